//! A/B tests and watches, and how an admin stops one.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use maud::html;

use super::layout::{
    Confirmation, Failure, Reason, Tab, confirmation, done, live, page, unreadable,
};
use super::text::{UNKNOWN, gain, part, percent, shown, time};
use super::visit::{Posted, Visit, after, form_key};
use crate::jobs::guard::evaluate;
use f0_learning_core::document::Experiment;
use f0_learning_core::experiment::{Comparison, Kind};

/// What an experiment is called.
pub fn kind(it: &Experiment) -> &'static str {
    match it.kind {
        Kind::Ab => "A/B test",
        Kind::Watch => "watch",
    }
}

/// Open tests whose observations are read to see whether their candidates get units.
const MAX_EVALUATED: usize = 10;

/// The open tests whose candidates get no units although they should.
async fn unserved(visit: &Visit, found: &[Experiment]) -> Result<Vec<(String, String)>, Failure> {
    let is_open = |it: &&Experiment| it.open && it.kind == Kind::Ab;
    let open: Vec<_> = found.iter().filter(is_open).take(MAX_EVALUATED).collect();
    if open.is_empty() {
        return Ok(Vec::new());
    }
    let (rewards, now) = (visit.store.reward_config().await?, visit.api.now().await?);
    let mut notes = Vec::new();
    for it in open {
        match evaluate(&visit.store, it, &rewards, now).await {
            Ok(found) => notes.extend(found.unserved.map(|why| (it.policy.clone(), why))),
            Err(error) if error.concerns_one_document() => {
                notes.push((it.policy.clone(), error.to_string()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(notes)
}

pub async fn list(visit: Visit) -> Result<Response, Failure> {
    let found = visit.store.experiments_list(None).await?;
    let unserved = unserved(&visit, &found.items).await?;
    let change = |it: &Experiment| {
        let change = it.comparison.as_ref().and_then(Comparison::change_of_reward);
        change.map_or(UNKNOWN.to_owned(), |it| gain(it.estimate, Some((it.low, it.high))))
    };
    let content = html! {
        h1 { "Experiments" }
        section.card {
            @if found.items.is_empty() { p.muted { "There were no experiments yet. Every activation starts a watch; "
                "the page of a policy starts an A/B test of a draft." } }
            (unreadable(&found.unreadable))
            @for (policy, why) in &unserved { p.alert { strong { (shown(policy)) } ": " (shown(why)) } }
            @if !found.items.is_empty() { div.scroll tabindex="0" { table {
                thead { tr {
                    th scope="col" { "Policy" } th scope="col" { "Kind" } th scope="col" { "Candidate" }
                    th scope="col" { "Status" } th.number scope="col" { "Share" } th scope="col" { "Started" }
                    th scope="col" { "Change of reward" } th scope="col" { "Ended because" }
                    @if visit.session.is_admin() { th scope="col" { "Decide" } }
                } }
                tbody { @for it in &found.items { tr {
                    th scope="row" { a href={ "/policies/" (part(&it.policy)) } { (shown(&it.policy)) } }
                    td { (kind(it)) }
                    td { (it.candidate) " against " (it.control) }
                    td { span.tag { (it.status.as_str()) } }
                    td.number { (percent(it.share)) }
                    td { (time(it.started_at)) " by " (shown(&it.started_by)) }
                    td { (change(it)) }
                    td { (shown(it.reason.as_deref().unwrap_or_default())) }
                    @if visit.session.is_admin() { td { @if it.open {
                        a.button href={ "/experiments/" (part(&it.id)) "/stop" } { "Stop…" span.hidden { " " (shown(&it.policy)) " " (it.candidate) } }
                    } } }
                } } }
            } } }
        }
    };
    let body = html! { (done(visit.query("done"))) (live("/experiments", &content)) };
    Ok(page(&visit.session, Tab::Experiments, "Experiments", &body))
}

pub async fn confirm(visit: Visit, Path(id): Path<String>) -> Result<Response, Failure> {
    visit.require_admin()?;
    let found = visit.store.experiment(&id).await?;
    let it = found.ok_or_else(|| Failure::new(StatusCode::NOT_FOUND, "unknown experiment"))?;
    let effect = match it.kind {
        Kind::Ab => "The candidate stays a draft, and no unit uses it any more.",
        Kind::Watch => "The version stays active and is not watched any more.",
    };
    let form = Confirmation {
        action: format!("/experiments/{}/stop", part(&id)),
        hidden: Vec::new(),
        choices: html! {},
        reason: Reason::Optional,
        label: "Stop it",
        is_dangerous: true,
        cancel: "/experiments".to_owned(),
    };
    let body = html! {
        h1 { "Stop an experiment" }
        section.card {
            p { (shown(&it.policy)) ": " (it.candidate) " against " (it.control) ". " (effect) }
            (confirmation(&visit.session, &form_key(), &form))
        }
    };
    Ok(page(&visit.session, Tab::Experiments, "Stop an experiment", &body))
}

pub async fn stop(Path(id): Path<String>, posted: Posted) -> Result<Response, Failure> {
    let intent = posted.intent(&format!("stop {id}")).await?;
    posted.visit.store.stop_experiment(&id, &intent).await?;
    posted.visit.api.pages.overview.forget().await;
    Ok(after("/experiments?done=stop"))
}
