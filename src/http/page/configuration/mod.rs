//! The configuration: as it is stored and in use, and changes of it. A change is made in three steps:
//! the form, the page that shows what the change would do, and the change itself.

mod effect;
mod form;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::{Map, Value};

use super::layout::{
    Confirmation, Failure, Reason, Tab, answering, confirmation, done, live, page,
};
use super::text::{part, shown};
use super::visit::{Fields, Posted, Visit, after, form_key};
use crate::http::extract::MakesMuch;
use crate::http::problem::Problem;
use crate::jobs::preview::{Preview, preview as compute};
use crate::store::{ChangeError, ConfigDocument, MAX_CONFIG_BYTES, StoredConfig};

/// The documents, what they are for, and in which order they are shown.
const DOCUMENTS: [(ConfigDocument, &str); 4] = [
    (ConfigDocument::Flags, "The kill switch, and whether the tuner activates its own drafts."),
    (ConfigDocument::RewardConfig, "How observations are scored, and which mean reward is enough."),
    (
        ConfigDocument::Tuning,
        "Which policies are tuned, within which bounds; limits of tests and watches.",
    ),
    (
        ConfigDocument::Scoring,
        "Over how many shards observations are spread; how much one may count.",
    ),
];

fn named(name: &str) -> Result<ConfigDocument, Failure> {
    let unknown = |_| Failure::new(StatusCode::NOT_FOUND, "unknown document of config");
    name.parse().map_err(unknown)
}

pub async fn show(visit: Visit) -> Result<Response, Failure> {
    let mut sections = Vec::new();
    for (document, about) in DOCUMENTS {
        sections.push(section(&visit, &visit.store.config(document).await?, about));
    }
    let content = html! {
        h1 { "Configuration" }
        p.muted { "As it is in use: fields that the document does not have are shown with their defaults. "
            code { "docs/configuration.md" } " describes each field." }
        @for it in &sections { (it) }
    };
    let body = html! { (done(visit.query("done"))) (live("/configuration", &content)) };
    Ok(page(&visit.session, Tab::Configuration, "Configuration", &body))
}

fn section(visit: &Visit, stored: &StoredConfig, about: &str) -> Markup {
    let (path, id) = (stored.document.path(), stored.document.id());
    let leaves = form::effective(stored).map(|it| form::leaves(&it)).unwrap_or_default();
    html! {
        section.card aria-labelledby=(id) {
            div.head {
                h2 #(id) { (path) }
                @if visit.session.is_admin() {
                    a.button href={ "/configuration/" (id) } { "Edit…" span.hidden { " " (path) } }
                }
            }
            p.muted { (about) @if stored.content.is_none() { " There is no such document yet." } }
            @if let Some(why) = &stored.problem { p.alert { (shown(why)) } }
            @if !leaves.is_empty() {
                details open[leaves.len() <= 12] {
                    summary { (leaves.len()) " values" }
                    (form::table(&leaves[..leaves.len().min(form::MAX_FIELDS)]))
                    @if leaves.len() > form::MAX_FIELDS {
                        p.muted { "The first " (form::MAX_FIELDS) " are shown; the form has all, as JSON." }
                    }
                }
            }
        }
    }
}

/// The form: a field for each value, or the whole document as JSON.
pub async fn edit(visit: Visit, Path(name): Path<String>) -> Result<Response, Failure> {
    visit.require_admin()?;
    let stored = visit.store.config(named(&name)?).await?;
    let by_json = visit.query("as") == Some("json");
    Ok(form_page(&visit, &stored, by_json, None, None))
}

fn form_page(
    visit: &Visit,
    stored: &StoredConfig,
    by_json: bool,
    entered: Option<&Fields>,
    error: Option<&str>,
) -> Response {
    let (path, id) = (stored.document.path(), stored.document.id());
    let leaves = form::effective(stored).map(|it| form::leaves(&it)).unwrap_or_default();
    let has_fields = !leaves.is_empty() && leaves.len() <= form::MAX_FIELDS;
    let by_json = by_json || !has_fields;
    let body = html! {
        h1 { "Edit " code { (path) } }
        section.card {
            @if let Some(error) = error { p.alert role="alert" { (shown(error)) } }
            @if let Some(why) = &stored.problem { p.alert { (shown(why)) } }
            form.decide data-wide method="post" action={ "/configuration/" (id) "/preview" } {
                input type="hidden" name="csrf" value=(visit.session.csrf);
                input type="hidden" name="seen" value=(entered.and_then(|it| it.get("seen")).unwrap_or(&stored.seen));
                @if by_json {
                    (form::textarea(stored, entered))
                } @else {
                    (form::inputs(&leaves, entered))
                }
                div.actions {
                    button.primary type="submit" { "Show what would change" }
                    a.button href="/configuration" { "Cancel" }
                }
            }
            @if by_json && has_fields { p { a href={ "/configuration/" (id) } { "Edit single values" } } }
            @if !by_json { p { a href={ "/configuration/" (id) "?as=json" } { "Edit as JSON" } ", to add or remove fields" } }
        }
    };
    page(&visit.session, Tab::Configuration, &format!("Edit {path}"), &body)
}

/// The content that a form describes: JSON, or single values over the stored content.
fn content(stored: &StoredConfig, fields: &Fields) -> Result<Map<String, Value>, String> {
    let Some(text) = fields.get("content") else { return form::merged(stored, fields) };
    if text.len() > 2 * MAX_CONFIG_BYTES {
        return Err(format!("the content has more than {MAX_CONFIG_BYTES} bytes"));
    }
    serde_json::from_str(text).map_err(|error| format!("invalid JSON: {error}"))
}

/// What a change would do, and the form that makes it.
pub async fn preview(
    _: MakesMuch,
    Path(name): Path<String>,
    posted: Posted,
) -> Result<Response, Failure> {
    let Posted { visit, fields } = posted;
    let document = named(&name)?;
    let seen = fields.require("seen")?;
    let stored = visit.store.config(document).await?;
    stored.require_seen(Some(seen))?;
    let refused = |why: &str| {
        let form =
            form_page(&visit, &stored, fields.get("content").is_some(), Some(&fields), Some(why));
        answering(&Problem::unprocessable(why), form)
    };
    let content = match content(&stored, &fields) {
        Ok(content) => content,
        Err(why) => return Ok(refused(&why)),
    };
    let now = visit.api.now().await?;
    match compute(&visit.store, document, &content, Some(seen), now).await {
        Ok(found) => Ok(preview_page(&visit, &found, &content)),
        Err(ChangeError::Config(error)) => Ok(refused(&error.to_string())),
        Err(error) => Err(error.into()),
    }
}

fn preview_page(visit: &Visit, found: &Preview, content: &Map<String, Value>) -> Response {
    let (path, id) = (found.stored.document.path(), found.stored.document.id());
    let text = serde_json::to_string(content).unwrap_or_default();
    let form = Confirmation {
        action: format!("/configuration/{id}"),
        hidden: vec![("seen".to_owned(), found.stored.seen.clone()), ("content".to_owned(), text)],
        choices: html! {},
        reason: Reason::Optional,
        label: "Save",
        is_dangerous: false,
        cancel: format!("/configuration/{}", part(id)),
    };
    let body = html! {
        h1 { "What would change in " code { (path) } }
        section.card {
            (effect::changes(&found.changes))
            @for note in &found.notes { p { (note) } }
            @if !found.changes.is_empty() {
                (confirmation(&visit.session, &form_key(), &form))
            } @else {
                p { a.button href={ "/configuration/" (id) } { "Back to the form" } }
            }
        }
        @if let Some(rewards) = &found.rewards { (effect::rewards(rewards)) }
        @if let Some(tuning) = &found.tuning { (effect::tuning(tuning)) }
    };
    page(&visit.session, Tab::Configuration, &format!("Change {path}"), &body)
}

pub async fn save(Path(name): Path<String>, posted: Posted) -> Result<Response, Failure> {
    let document = named(&name)?;
    let fields = &posted.fields;
    let invalid = |error| Failure::bad_request(format!("invalid JSON: {error}"));
    let content: Map<String, Value> =
        serde_json::from_str(fields.require("content")?).map_err(invalid)?;
    let intent = posted.intent(&format!("change {}", document.path())).await?;
    let seen = Some(fields.require("seen")?);
    posted.visit.store.change_config(document, &content, seen, &intent).await?;
    posted.visit.api.pages.overview.forget().await;
    Ok(after("/configuration?done=config"))
}
