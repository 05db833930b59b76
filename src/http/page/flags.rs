//! The flags: confirmed on a page of their own, and changed.

use axum::response::Response;
use maud::html;

use super::layout::{Confirmation, Failure, Reason, Tab, confirmation, page};
use super::visit::{Fields, Posted, Visit, after, form_key};
use f0_learning_core::document::FlagChanges;

fn wanted(fields: &Fields) -> Result<(&str, bool, FlagChanges), Failure> {
    let name = fields.require("flag")?;
    let to = match fields.require("to")? {
        "true" => true,
        "false" => false,
        _ => return Err(Failure::bad_request("invalid value: expected true or false")),
    };
    Ok((name, to, FlagChanges::named(name, to).map_err(Failure::bad_request)?))
}

pub async fn confirm(visit: Visit) -> Result<Response, Failure> {
    visit.require_admin()?;
    let (name, to, _) = wanted(visit.fields())?;
    let state = if to { "on" } else { "off" };
    let effect = match (name, to) {
        ("learning.enabled", false) => {
            "All tuning stops: nothing is proposed or activated. Scoring continues."
        }
        ("learning.enabled", true) => "The tuner proposes versions again.",
        (_, true) => "The tuner activates its own drafts, within the limits of config/tuning.",
        (_, false) => "People decide on every draft.",
    };
    let label = format!("Turn {state}");
    let form = Confirmation {
        action: "/flags".to_owned(),
        hidden: vec![("flag".to_owned(), name.to_owned()), ("to".to_owned(), to.to_string())],
        choices: html! {},
        reason: Reason::Optional,
        label: &label,
        is_dangerous: !to,
        cancel: "/".to_owned(),
    };
    let body = html! {
        h1 { "Turn " code { (name) } " " (state) }
        section.card { p { (effect) } (confirmation(&visit.session, &form_key(), &form)) }
    };
    Ok(page(&visit.session, Tab::Overview, "Change a flag", &body))
}

pub async fn change(posted: Posted) -> Result<Response, Failure> {
    let (_, _, changes) = wanted(&posted.fields)?;
    posted.visit.store.set_flags(changes, &posted.intent("flags").await?).await?;
    posted.visit.api.pages.overview.forget().await;
    Ok(after("/?done=flags"))
}
