//! A version that an admin writes: the weights of all arms.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use maud::html;
use serde_json::Value;

use super::serving;
use crate::http::page::layout::{Failure, Tab, page};
use crate::http::page::text::{part, shown};
use crate::http::page::visit::{Fields, Visit, check_id};
use crate::store::OverrideParams;
use f0_learning_core::document::Policy;
use f0_learning_core::policy::{MODEL_WEIGHTS, Params};

/// Precedes the arm in the name of a field.
const FIELD: &str = "weight:";

/// The form in which the weights are written; the next page shows what they would change.
pub async fn override_form(visit: Visit, Path(id): Path<String>) -> Result<Response, Failure> {
    check_id(&id)?;
    visit.require_admin()?;
    let standing = visit.store.standing_policies(&id).await?;
    let weights = serving(&standing).and_then(|it| it.params.model_weights().ok().flatten());
    let (Some(active), Some(weights)) = (serving(&standing), weights) else {
        let detail = format!(
            "{id} has no active version with weights; `f0-learning policies override` sets other values"
        );
        return Err(Failure::new(StatusCode::CONFLICT, detail));
    };
    let sum: f64 = weights.values().sum();
    let body = html! {
        h1 { "Override by hand: " (shown(&id)) }
        section.card {
            p { "The weights of " (active.version) ", which is active. They must add up to 1." }
            // Only the script makes sliders.
            p.muted.sliders-only { "A slider that moves rescales the other weights in proportion." }
            form.weights method="get" action={ "/policies/" (part(&id)) "/decide" } data-weights {
                input type="hidden" name="action" value="override";
                input type="hidden" name="parent" value=(active.version);
                @for (index, (arm, weight)) in weights.iter().enumerate() {
                    @let field = format!("weight-{index}");
                    div.row {
                        label for=(field) { span class={ "swatch c" (index % 8) } aria-hidden="true" {} (shown(arm)) }
                        input id=(field) type="number" name={ (FIELD) (arm) } value=(weight)
                            min="0" max="1" step="any" required inputmode="decimal";
                    }
                }
                p.sum { "Sum: " output data-sum { (format!("{sum:.4}")) } }
                div.actions {
                    button.primary type="submit" { "Show what would change" }
                    a.button href={ "/policies/" (part(&id)) } { "Cancel" }
                }
            }
        }
    };
    Ok(page(&visit.session, Tab::Policies, "Override by hand", &body))
}

fn weights(fields: &Fields) -> impl Iterator<Item = (&str, &str)> {
    fields.0.iter().filter_map(|(name, value)| Some((name.strip_prefix(FIELD)?, value.as_str())))
}

/// The fields that the confirmation sends again, and the version that the admin saw as the active one.
pub fn hidden(fields: &Fields, active: Option<&Policy>) -> Vec<(String, String)> {
    let shown = active.map_or(String::new(), |it| it.version.to_string());
    let parent = fields.get("parent").map_or(shown, str::to_owned);
    let weights = weights(fields).map(|(arm, it)| (format!("{FIELD}{arm}"), it.to_owned()));
    std::iter::once(("parent".to_owned(), parent)).chain(weights).collect()
}

/// The value of each path that the form sets.
pub fn assignments(fields: &Fields) -> Result<Vec<(String, Value)>, Failure> {
    let assignment = |(arm, text): (&str, &str)| {
        let weight: Option<f64> = text.trim().parse().ok();
        let weight = weight.filter(|it| it.is_finite()).ok_or_else(|| {
            let detail = format!("invalid weight of {arm}: expected a number, got {text:?}");
            Failure::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
        })?;
        Ok((format!("{MODEL_WEIGHTS}.{arm}"), Value::from(weight)))
    };
    weights(fields).map(assignment).collect()
}

/// The params that the form would make of those of the active version.
pub fn params(fields: &Fields, active: &Policy) -> Result<Params, Failure> {
    let params = OverrideParams::Set(assignments(fields)?).over(active);
    params.map_err(|error| Failure::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))
}
