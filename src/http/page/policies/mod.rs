//! Policies: what is active, what is proposed, what happened, and decisions.

mod by_hand;
mod course;
mod decide;
mod envelope;
mod history;
mod picture;
mod test;
pub mod weights;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::layout::{Failure, Tab, done, live, page};
use super::text::{UNKNOWN, duration, part, shown, time};
use super::visit::{Visit, check_id};
use crate::jobs::guard::history::{ActivationRecord, of_trail};
use crate::store::{AuditFilter, AuditRecord, StoreError, UnreadableVersion};
use f0_learning_core::document::Policy;
use f0_learning_core::policy::PolicyStatus;
use semver::Version;

pub use by_hand::override_form;
pub use decide::{confirm, decide};
pub use envelope::form as envelope_form;
pub use test::{form as test_form, start as start_test};

/// The entries of the audit trail from which the weights over time are drawn.
const ENTRIES: usize = 100;
/// The most activations without a settled effect whose effect so far is shown, each several reads.
const MAX_UNSETTLED: usize = 3;
/// The most drafts of all policies that the list shows.
const MAX_DRAFTS: usize = 100;

pub async fn list(visit: Visit) -> Result<Response, Failure> {
    let active = visit.store.active_versions().await?;
    let drafts = visit.store.open_drafts(MAX_DRAFTS).await?;
    let drafts_of = |id: &str| drafts.iter().filter(|it| it.id == id).count();
    let content = html! {
        h1 { "Policies" }
        section.card {
            div.scroll tabindex="0" { table {
                thead { tr {
                    th scope="col" { "Policy" } th scope="col" { "Active" } th scope="col" { "Weights" }
                    th scope="col" { "Since" } th scope="col" { "By" } th.number scope="col" { "Drafts" }
                    th scope="col" { "Settled effect" }
                } }
                tbody { @for it in &active.readable { tr {
                    th scope="row" {
                        a href={ "/policies/" (part(&it.id)) } { (shown(&it.id)) }
                        @if it.pinned { " " span.tag { "pinned" } }
                    }
                    td { (it.version) }
                    td { (weights::bar(&it.params)) }
                    @let (since, by) = weights::since(it);
                    td { (duration(visit.now - since)) " ago" }
                    td { (by) }
                    td.number { (drafts_of(&it.id)) }
                    td { (weights::effect(it)) }
                } } }
            } }
            @for it in &active.unreadable { p.alert { (shown(&it.to_string())) } }
            @for it in drafts.iter().filter(|it| !active.readable.iter().any(|active| active.id == it.id)) {
                p { a href={ "/policies/" (part(&it.id)) } { (shown(&it.id)) } " has a draft and no active version" }
            }
        }
    };
    Ok(page(&visit.session, Tab::Policies, "Policies", &live(&visit.path, &content)))
}

pub async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response, Failure> {
    check_id(&id)?;
    let (standing, unreadable) = visit.store.standing_versions(&id).await?;
    let recent = visit.store.recent_versions(&id).await?;
    if standing.is_empty() && recent.is_empty() && unreadable.is_empty() {
        let detail = format!("unknown policy {id}: the list of policies shows all");
        return Err(Failure::new(StatusCode::NOT_FOUND, detail));
    }
    let active = serving(&standing);
    let drafts: Vec<_> = standing.iter().filter(|it| it.status == PolicyStatus::Draft).collect();
    let is_admin = visit.session.is_admin();
    let (envelope, damage) = match visit.store.envelope(&id).await {
        Err(StoreError::Decode { detail, .. }) => (None, Some(detail)),
        found => (found?, None),
    };
    let trail = visit.store.audit(&AuditFilter::of(&id), ENTRIES).await?;
    let (effects, unknown) = match effects(&visit, &standing, &recent, &trail).await {
        Err(StoreError::Decode { detail, .. }) => (Vec::new(), Some(detail)),
        found => (found?, None),
    };
    let actives = standing.iter().filter(|it| it.status == PolicyStatus::Active).count();
    let content = html! {
        h1 { (shown(&id)) }
        (repair(&id, actives, &unreadable, is_admin))
        @if let Some(active) = active { (active_card(active, previous(active, &recent), effect_of(&effects, &active.version), is_admin, visit.now)) }
        @if drafts.is_empty() { section.card { h2 { "Drafts" } p.muted { "No draft waits for a decision." } } }
        @for draft in drafts.iter().rev() { (draft_card(draft, active, is_admin, visit.now)) }
        @if active.is_some() { (envelope::card(&id, envelope.as_ref(), is_admin, visit.now)) }
        @if let Some(why) = &damage { p.alert { "The envelope cannot be read: " (shown(why)) ". Approve another one." } }
        @if let Some(why) = &unknown { p.alert { "What the versions did is unknown: " (shown(why)) } }
        @if let Some(active) = active { (course::draw(&trail, &recent, active, visit.now)) }
        (history::timeline(&id, is_admin, &recent, &effects, &trail))
    };
    let path = visit.path.split('?').next().unwrap_or_default();
    let body = html! { (done(visit.query("done"))) (live(path, &content)) };
    Ok(page(&visit.session, Tab::Policies, &shown(&id), &body))
}

/// What each activation did, by the rule of `policies history`.
async fn effects(
    visit: &Visit,
    standing: &[Policy],
    recent: &[Policy],
    trail: &[AuditRecord],
) -> Result<Vec<ActivationRecord>, StoreError> {
    let versions = recent.iter().chain(standing).cloned();
    let mut trail = trail.to_vec();
    trail.sort_by_key(|record| record.committed_us);
    of_trail(&visit.store, versions, &trail, MAX_UNSETTLED, visit.now).await
}

/// The latest activation of a version.
fn effect_of<'a>(
    effects: &'a [ActivationRecord],
    version: &Version,
) -> Option<&'a ActivationRecord> {
    effects.iter().find(|it| it.version == *version)
}

/// The version that components use: the highest active one.
fn serving(standing: &[Policy]) -> Option<&Policy> {
    Policy::highest(standing.iter().filter(|it| it.status == PolicyStatus::Active))
}

/// What is wrong with the active versions, and what an admin can do about it.
fn repair(id: &str, actives: usize, unreadable: &[UnreadableVersion], is_admin: bool) -> Markup {
    let damaged = || unreadable.iter().filter(|it| it.status == Some(PolicyStatus::Active));
    let is_sound = actives == 1 && damaged().next().is_none();
    html! {
        @for it in unreadable { p.alert { (shown(&it.to_string())) } }
        @if !is_sound {
            section.card aria-labelledby="repair" {
                h2 #repair { "This policy needs a repair" }
                @if actives + damaged().count() > 1 {
                    p { "Several versions are active. A repair keeps the highest and archives the others." }
                } @else if damaged().next().is_some() {
                    p { "The active version cannot be read, so that nothing is tuned. Correct its document in Firestore, "
                        "or roll back to an earlier version below, which replaces it." }
                } @else {
                    p { "No version is active. A repair activates the one that was active last; activating a draft does, too." }
                }
                @if is_admin && (actives + damaged().count() != 1) {
                    div.actions { a.button.primary href=(decision(id, "repair", None)) { "Repair…" } }
                }
            }
        }
    }
}

/// A link to the page that confirms a decision.
fn decision(id: &str, action: &str, version: Option<&str>) -> String {
    let version = version.map_or(String::new(), |it| format!("&version={}", part(it)));
    format!("/policies/{}/decide?action={action}{version}", part(id))
}

/// The version that a rollback restores, among the latest ones: the one before the active one, or the
/// one that was active last, but never one that the guard rolled back.
fn previous<'a>(active: &Policy, recent: &'a [Policy]) -> Option<&'a Policy> {
    let may_return =
        |it: &&Policy| it.rolled_back_at.is_none() && it.status == PolicyStatus::Archived;
    let named = recent.iter().filter(may_return);
    let named = named.clone().find(|it| Some(&it.version) == active.previous_version.as_ref());
    let order = |it: &&Policy| (it.archived_at, it.version.clone());
    named.or_else(|| recent.iter().filter(may_return).max_by_key(order))
}

fn active_card(
    active: &Policy,
    previous: Option<&Policy>,
    effect: Option<&ActivationRecord>,
    is_admin: bool,
    now: i64,
) -> Markup {
    let id = &active.id;
    let (since, by) = weights::since(active);
    html! {
        section.card aria-labelledby="active" {
            h2 #active { "Active: " (active.version) }
            p {
                "Active for " (duration(now - since)) ", by " (by) ", since " (time(since)) " UTC"
                ". Measured effect: " (weights::effect_so_far(effect)) "."
            }
            @if let Some(why) = active.pin_reason_text() {
                p { span.tag { "pinned" } " by " (shown(active.pin.pinned_by.as_deref().unwrap_or(UNKNOWN))) ": " (shown(why)) }
            }
            (weights::table(active, None))
            @if is_admin {
                div.actions {
                    @if let Some(version) = previous.map(|it| it.version.to_string()) {
                        a.button href=(decision(id, "rollback", Some(&version))) { "Roll back to " (version) "…" }
                    }
                    a.button href={ "/policies/" (part(id)) "/override" } { "Override…" }
                    @if active.pinned {
                        a.button href=(decision(id, "unpin", None)) { "Unpin…" }
                    } @else {
                        a.button href=(decision(id, "pin", None)) { "Pin…" }
                    }
                }
            }
        }
    }
}

fn draft_card(draft: &Policy, active: Option<&Policy>, is_admin: bool, now: i64) -> Markup {
    let version = draft.version.to_string();
    let stale = weights::stale(draft, active);
    html! {
        section.card {
            h2 { "Draft: " (version) }
            p {
                "Proposed " (duration(now - draft.created_at)) " ago by " (shown(&draft.created_by))
                ". Expected gain in mean reward: " strong { (weights::promise(draft)) } "."
            }
            @if let Some(parent) = stale {
                p.alert { "Its parent " (parent) " is not the active version: what it changes was decided against another one." }
            }
            (picture::draw(draft, active))
            (weights::table(draft, active))
            (weights::checks(draft))
            @if let Some(notes) = &draft.notes {
                details { summary { "Notes" } @for line in notes.lines() { p { (shown(line)) } } }
            }
            @if is_admin {
                div.actions {
                    a.button.primary href=(decision(&draft.id, "activate", Some(&version))) { "Activate " (version) "…" }
                    a.button href={ "/policies/" (part(&draft.id)) "/test?version=" (part(&version)) } { "Test " (version) "…" }
                    a.button href=(decision(&draft.id, "reject", Some(&version))) { "Reject " (version) "…" }
                }
            }
        }
    }
}
