//! The start of an A/B test of a draft: its settings, and how long it is expected to take.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use semver::Version;

use crate::http::page::layout::{Confirmation, Failure, Reason, Tab, confirmation, page};
use crate::http::page::text::{count, part, shown};
use crate::http::page::visit::{Fields, Posted, Visit, after, check_id, form_key};
use crate::observability::format;
use crate::store::{ChangeError, ExperimentRequest, TestEstimate};
use f0_learning_core::experiment::{Metric, STAGES};
use f0_learning_core::policy::PolicyKey;

/// The settings that may be left out: then those of `config/tuning` apply.
const SETTINGS: [(&str, &str); 4] = [
    ("minEffect", "Smallest gain that matters, in units of the metric"),
    ("minSamples", "Observations of the candidate that a stage needs"),
    ("stageMinutes", "Shortest duration of a stage, in minutes"),
    ("maxDays", "Longest duration of the test, in days"),
];

fn candidate(id: &str, fields: &Fields) -> Result<PolicyKey, Failure> {
    let invalid = |why: String| Failure::bad_request(format!("invalid version: {why}"));
    let version: Version = fields
        .require("version")?
        .parse()
        .map_err(|error: semver::Error| invalid(error.to_string()))?;
    PolicyKey::new(id, version).map_err(|error| invalid(error.to_string()))
}

fn request(fields: &Fields) -> Result<ExperimentRequest, Failure> {
    let unknown = |error: f0_learning_core::variants::UnknownVariant| {
        Failure::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
    };
    Ok(ExperimentRequest {
        metric: fields.get("metric").map_or(Ok(Metric::Reward), str::parse).map_err(unknown)?,
        min_effect: setting(fields, "minEffect")?,
        min_samples: setting(fields, "minSamples")?,
        stage_minutes: setting(fields, "stageMinutes")?,
        max_days: setting(fields, "maxDays")?,
    })
}

fn setting<T: std::str::FromStr>(fields: &Fields, name: &str) -> Result<Option<T>, Failure> {
    let parsed = |text: &str| {
        text.trim().parse().map_err(|_| {
            let detail = format!("invalid {name}: expected a number, got {text:?}");
            Failure::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
        })
    };
    fields.get(name).map(parsed).transpose()
}

/// The settings, the expected duration under them, and the form that starts the test.
pub async fn form(visit: Visit, Path(id): Path<String>) -> Result<Response, Failure> {
    check_id(&id)?;
    visit.require_admin()?;
    let fields = visit.fields();
    let (key, asked) = (candidate(&id, fields)?, request(fields)?);
    let estimate = visit.store.estimate_experiment(&key, &asked).await;
    let estimate = match estimate {
        Err(ChangeError::UnknownPolicy(_)) => {
            let detail = format!("{id} has no active version to test a draft against");
            return Err(Failure::new(StatusCode::CONFLICT, detail));
        }
        found => found?,
    };
    let names = ["version", "metric"].into_iter().chain(SETTINGS.map(|(name, _)| name));
    let sent = names.filter_map(|name| Some((name.to_owned(), fields.get(name)?.to_owned())));
    let start = Confirmation {
        action: format!("/policies/{}/test", part(&id)),
        hidden: sent.collect(),
        choices: html! {},
        reason: Reason::Optional,
        label: "Start the test",
        is_dangerous: false,
        cancel: format!("/policies/{}", part(&id)),
    };
    let stages = STAGES.map(|share| format!("{:.0}%", share * 100.0)).join(", ");
    let body = html! {
        h1 { "Test a draft: " (shown(&key.to_string())) }
        section.card aria-labelledby="settings" {
            h2 #settings { "Settings" }
            p { "The draft gets a share of the units, in stages of " (stages) ", while the active version keeps "
                "the others. It is stopped as soon as it is proven to break a guardrail." }
            (settings(&id, fields, asked.metric))
        }
        section.card aria-labelledby="estimate" {
            h2 #estimate { "Expected duration" }
            (expected(estimate.as_ref(), &asked))
            (confirmation(&visit.session, &form_key(), &start))
        }
    };
    Ok(page(&visit.session, Tab::Policies, "Test a draft", &body))
}

fn settings(id: &str, fields: &Fields, metric: Metric) -> Markup {
    html! {
        form.narrow-fields method="get" action={ "/policies/" (part(id)) "/test" } {
            input type="hidden" name="version" value=(fields.get("version").unwrap_or_default());
            div.field {
                label for="metric" { "Metric that the draft is to improve" }
                select #metric name="metric" {
                    @for it in Metric::ALL { option value=(it.as_str()) selected[it == metric] { (it.as_str()) } }
                }
            }
            @for (name, label) in SETTINGS {
                div.field {
                    label for=(name) { (label) }
                    input id=(name) type="number" name=(name) value=(fields.get(name).unwrap_or_default())
                        min="0" step="any" placeholder="config/tuning";
                }
            }
            div.actions { button type="submit" { "Estimate with these settings" } }
        }
    }
}

fn expected(estimate: Option<&TestEstimate>, asked: &ExperimentRequest) -> Markup {
    let Some(TestEstimate { traffic, durations, max_days }) = estimate else {
        return html! {
            p.alert { "No observation names the active version in " code { "policyVersion" } ". As things are, the "
                "candidate gets no units either, and the test ends without a result: let the components use "
                code { "candidate" } " of the active version, and name the version that they used "
                "(docs/integration.md)." }
        };
    };
    let duration = |hours: Option<f64>| match hours {
        Some(hours) => format::hours(hours),
        None => format!("not within {}", count(max_days, "day")),
    };
    let observations = |hours: Option<f64>| {
        hours.map_or("–".to_owned(), |it| format!("{:.0}", it * traffic.per_hour))
    };
    html! {
        p { "At " (format!("{:.0}", traffic.per_hour)) " observations an hour, a true gain in "
            (asked.metric.as_str()) " is expected to be proven after" }
        div.scroll tabindex="0" { table {
            thead { tr {
                th.number scope="col" { "True gain" } th.number scope="col" { "Duration" }
                th.number scope="col" { "Observations of both versions" }
            } }
            tbody { @for it in durations { tr {
                th.number scope="row" { (format!("{:.4}", it.gain)) }
                td.number { (duration(it.hours)) }
                td.number { (observations(it.hours)) }
            } } }
        } }
    }
}

pub async fn start(Path(id): Path<String>, posted: Posted) -> Result<Response, Failure> {
    check_id(&id)?;
    let fields = &posted.fields;
    let (key, asked) = (candidate(&id, fields)?, request(fields)?);
    let intent = posted.intent(&format!("test {key}")).await?;
    posted.visit.store.start_experiment(&key, &asked, &intent).await?;
    posted.visit.api.pages.overview.forget().await;
    Ok(after("/experiments?done=start"))
}
