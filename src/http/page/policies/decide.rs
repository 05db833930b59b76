//! Decisions on a policy: the page that shows what a decision would do, and the decision itself. The
//! store decides whether it is allowed, as for the same request to `/ops`.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use semver::Version;
use strum::{EnumString, IntoStaticStr};

use super::{by_hand, envelope, serving, weights};
use crate::http::page::layout::{Confirmation, Failure, Reason, Tab, confirmation, page};
use crate::http::page::text::{part, shown, time};
use crate::http::page::visit::{Fields, Posted, Visit, after, check_id, form_key};
use crate::store::{OverrideParams, Store};
use f0_learning_core::document::Policy;
use f0_learning_core::policy::{PolicyKey, PolicyStatus, lifecycle};

/// What an admin may decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "lowercase", const_into_str)]
enum Decision {
    Activate,
    Reject,
    Rollback,
    Override,
    Pin,
    Unpin,
    /// Approves an envelope.
    Envelope,
    /// Freezes it.
    Freeze,
    Repair,
}

impl Decision {
    fn of(fields: &Fields) -> Result<Self, Failure> {
        let unknown = |_| Failure::bad_request("unknown action: use the links of the page");
        fields.require("action")?.parse().map_err(unknown)
    }

    const fn name(self) -> &'static str {
        self.into_str()
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Activate => "Activate a draft",
            Self::Reject => "Reject a draft",
            Self::Rollback => "Roll back",
            Self::Override => "Override by hand",
            Self::Pin => "Pin",
            Self::Unpin => "Unpin",
            Self::Envelope => "Approve an envelope",
            Self::Freeze => "Freeze the envelope",
            Self::Repair => "Repair",
        }
    }

    const fn verb(self) -> &'static str {
        match self {
            Self::Activate => "Activate",
            Self::Reject => "Reject",
            Self::Rollback => "Roll back to",
            Self::Override => "Override",
            Self::Pin => "Pin",
            Self::Unpin => "Unpin",
            Self::Envelope => "Approve",
            Self::Freeze => "Freeze",
            Self::Repair => "Repair",
        }
    }

    const fn reason(self) -> Reason {
        match self {
            Self::Pin | Self::Freeze => Reason::Required,
            _ => Reason::Optional,
        }
    }

    const fn is_dangerous(self) -> bool {
        matches!(self, Self::Rollback | Self::Override | Self::Freeze)
    }

    const fn needs_version(self) -> bool {
        matches!(self, Self::Activate | Self::Reject | Self::Rollback)
    }
}

const WATCHED: &str = "The new version is watched: the guard job rolls it back if it is proven to break a \
                       guardrail of config/tuning.";

fn version_of(fields: &Fields) -> Result<Version, Failure> {
    let version = fields.require("version")?.parse();
    version.map_err(|error| Failure::bad_request(format!("invalid version: {error}")))
}

fn key_of(id: &str, fields: &Fields) -> Result<PolicyKey, Failure> {
    PolicyKey::new(id, version_of(fields)?)
        .map_err(|error| Failure::bad_request(format!("invalid version: {error}")))
}

async fn version(store: &Store, id: &str, fields: &Fields) -> Result<Policy, Failure> {
    let key = key_of(id, fields)?;
    let unknown = || Failure::new(StatusCode::NOT_FOUND, format!("unknown version {key}"));
    store.policy(&key).await?.ok_or_else(unknown)
}

/// What the decision would do, and the form that makes it.
pub async fn confirm(visit: Visit, Path(id): Path<String>) -> Result<Response, Failure> {
    check_id(&id)?;
    visit.require_admin()?;
    let fields = visit.fields();
    let decision = Decision::of(fields)?;
    let standing = visit.store.standing_policies(&id).await?;
    let active = serving(&standing);
    let target = match decision.needs_version() {
        true => Some(version(&visit.store, &id, fields).await?),
        false => None,
    };
    if let Some(target) = &target {
        possible(decision, &standing, target)?;
    }
    let mut hidden = vec![("action".to_owned(), decision.name().to_owned())];
    if let Some(target) = &target {
        hidden.push(("version".to_owned(), target.version.to_string()));
        if let Some(digest) = target.evidence_digest().filter(|_| decision == Decision::Activate) {
            hidden.push(("seen".to_owned(), digest.to_owned()));
        }
    }
    if decision == Decision::Override {
        hidden.extend(by_hand::hidden(fields, active));
    }
    if decision == Decision::Envelope {
        hidden.extend(envelope::hidden(fields));
    }
    let current = match decision {
        Decision::Envelope | Decision::Freeze => visit.store.envelope(&id).await?,
        _ => None,
    };
    let about = match decision {
        Decision::Envelope => envelope::about(&id, current.as_ref(), &envelope::terms(fields)?),
        _ => about(decision, &id, active, target.as_ref(), fields)?,
    };
    let stale = target
        .as_ref()
        .filter(|_| decision == Decision::Activate)
        .and_then(|target| weights::stale(target, active));
    let choices = html! {
        @if let Some(parent) = stale {
            label.check {
                input type="checkbox" name="force" value="yes" required;
                " Activate it although its parent " (parent) " is not the active version"
            }
        }
    };
    let label = match &target {
        Some(target) => format!("{} {}", decision.verb(), target.version),
        None => decision.verb().to_owned(),
    };
    let form = Confirmation {
        action: format!("/policies/{}/decide", part(&id)),
        hidden,
        choices,
        reason: decision.reason(),
        label: &label,
        is_dangerous: decision.is_dangerous(),
        cancel: format!("/policies/{}", part(&id)),
    };
    let tests = match (decision, &target) {
        (Decision::Activate, Some(target)) => tests(&visit.store, target).await?,
        _ => html! {},
    };
    let body = html! {
        h1 { (decision.title()) ": " (shown(&id)) }
        section.card { (about) (tests) (confirmation(&visit.session, &form_key(), &form)) }
    };
    Ok(page(&visit.session, Tab::Policies, decision.title(), &body))
}

/// Refuses a decision that the store would refuse whatever the form said.
fn possible(decision: Decision, standing: &[Policy], target: &Policy) -> Result<(), Failure> {
    let active = standing.iter().filter(|it| it.status == PolicyStatus::Active);
    let active: Vec<Version> = active.map(|it| it.version.clone()).collect();
    let facts = target.facts();
    let planned = match decision {
        Decision::Activate => lifecycle::activate(&active, &facts, true),
        Decision::Reject => lifecycle::reject(&facts),
        // A version that cannot be read may be active: the store knows.
        Decision::Rollback if !active.is_empty() => lifecycle::roll_back(&active, &facts),
        _ => return Ok(()),
    };
    let refused = |refusal| {
        let by = target.superseded_by.as_ref();
        let by = by.map_or(String::new(), |by| format!(" (it was superseded by {by})"));
        Failure::new(StatusCode::CONFLICT, format!("{}: {refusal}{by}", target.name()))
    };
    planned.map(drop).map_err(refused)
}

fn about(
    decision: Decision,
    id: &str,
    active: Option<&Policy>,
    target: Option<&Policy>,
    fields: &Fields,
) -> Result<Markup, Failure> {
    let now = active.map_or("no version".to_owned(), |it| it.version.to_string());
    Ok(match (decision, target, active) {
        (Decision::Activate, Some(draft), _) => html! {
            p { (shown(&draft.name())) " replaces " (now) ". Expected gain in mean reward: "
                strong { (weights::promise(draft)) } "." }
            (weights::table(draft, active))
            (weights::checks(draft))
            @if let Some(active) = active { (weights::changes(&active.params, &draft.params)) }
            p { (WATCHED) }
        },
        (Decision::Reject, Some(draft), _) => html! {
            p { (shown(&draft.name())) " is rejected; " (now) " stays active. For the hours of "
                code { "vetoHours" } " in config/tuning the tuner does not propose the same direction again." }
            (weights::table(draft, active))
        },
        (Decision::Rollback, Some(earlier), Some(active)) => html! {
            p { (earlier.version) " becomes active again and replaces " (active.version) "." }
            (rolled_back_before(earlier))
            (weights::changes(&active.params, &earlier.params))
        },
        (Decision::Rollback, Some(earlier), None) => html! {
            p { (earlier.version) " becomes active again. No active version can be read; it replaces what is active." }
            (rolled_back_before(earlier))
            (weights::table(earlier, None))
        },
        (Decision::Freeze, ..) => html! {
            p { "The tuner stops publishing versions of " (shown(id)) " by itself, and drafts them instead, until "
                "an envelope is approved. " (now) " stays active." }
        },
        (Decision::Repair, ..) => html! {
            p { "Exactly one version of " (shown(id)) " is active afterwards: the highest of several, or, if none "
                "is active, the one that was active last." }
        },
        (Decision::Override, _, Some(active)) => html! {
            p { "A version that you write becomes active at once and replaces " (active.version) "." }
            (weights::changes(&active.params, &by_hand::params(fields, active)?))
            p { (WATCHED) }
        },
        (Decision::Pin, ..) => html! {
            p { "The tuner stops proposing versions of " (shown(id)) " until it is unpinned. " (now) " stays active." }
        },
        (Decision::Unpin, ..) => html! {
            p { "The tuner may propose versions of " (shown(id)) " again." }
        },
        _ => {
            let detail =
                format!("{id} has no active version; activate a draft or repair the policy");
            return Err(Failure::new(StatusCode::CONFLICT, detail));
        }
    })
}

/// Makes the decision.
pub async fn decide(Path(id): Path<String>, posted: Posted) -> Result<Response, Failure> {
    check_id(&id)?;
    let (fields, store) = (&posted.fields, &posted.visit.store);
    let decision = Decision::of(fields)?;
    let intent = posted.intent(&format!("{} {id}", decision.name())).await?;
    match decision {
        Decision::Activate => {
            let intent = intent.having_seen(fields.get("seen").map(str::to_owned));
            let key = key_of(&id, fields)?;
            store.activate(&key, fields.get("force").is_some(), &intent).await?;
        }
        Decision::Reject => {
            store.reject(&key_of(&id, fields)?, &intent).await?;
        }
        Decision::Rollback => {
            store.roll_back(&id, Some(&version_of(fields)?), &intent).await?;
        }
        Decision::Override => {
            let parent: Option<Version> = fields.require("parent")?.parse().ok();
            let set = OverrideParams::Set(by_hand::assignments(fields)?);
            store.override_policy(&id, &set, parent.as_ref(), &intent).await?;
        }
        Decision::Pin => {
            store.pin(&id, &intent).await?;
        }
        Decision::Unpin => {
            store.unpin(&id, &intent).await?;
        }
        Decision::Envelope => {
            let current = store.envelope(&id).await?;
            if fields.require("number")? != envelope::number_of(current.as_ref()) {
                let detail = format!(
                    "the envelope of {id} was changed since it was shown; look at it again, nothing was changed"
                );
                return Err(Failure::new(StatusCode::CONFLICT, detail));
            }
            store.approve_envelope(&id, &envelope::terms(fields)?, &intent).await?;
        }
        Decision::Freeze => {
            store.freeze_envelope(&id, &intent).await?;
        }
        Decision::Repair => {
            store.repair(&id, &intent).await?;
        }
    }
    posted.visit.api.pages.overview.forget().await;
    Ok(after(&format!("/policies/{}?done={}", part(&id), decision.name())))
}

/// What the activation of a draft means for the test that runs.
async fn tests(store: &Store, draft: &Policy) -> Result<Markup, Failure> {
    let open = store.open_experiments().await?;
    let of_policy = open.iter().filter(|it| it.policy == draft.id);
    let said: Vec<_> = of_policy.filter_map(|it| it.on_activation_of(&draft.version)).collect();
    Ok(html! { @for it in &said { p.alert { (shown(it)) "." } } })
}

/// A warning if a version was proven to be worse before.
fn rolled_back_before(version: &Policy) -> Markup {
    html! {
        @if let Some(at) = version.rolled_back_at {
            p.alert { "The guard rolled this version back at " (time(at)) " UTC, because it was proven to be worse." }
        }
    }
}
