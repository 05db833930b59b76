//! What all commands that change something share: their options, and what they print.

use anyhow::Result;
use clap::Args;
use f0_learning::store::{ChangeError, Changed, Store};
use f0_learning_core::intent::{self, Intent};
use f0_learning_core::policy::PolicyStatus;

/// What a change is recorded with.
#[derive(Debug, Args)]
pub struct ChangeOptions {
    /// The reason, for the audit trail
    #[arg(long)]
    reason: Option<String>,
    /// The name of the actor, for the audit trail
    #[arg(long, env = "USER", default_value = "cli")]
    actor: String,
}

impl ChangeOptions {
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// The intent as of now. The time is Firestore's: what a change decides later, as the end of an
    /// envelope, must not depend on the clock of the machine on which it is made.
    ///
    /// # Errors
    /// An actor's name that stands for others, or a control character; or Firestore cannot be reached.
    pub async fn intent(self, store: &Store) -> Result<Intent> {
        intent::check_own_name(&self.actor)?;
        if let Some(reason) = &self.reason {
            intent::check_plain("reason", reason)?;
        }
        let intent = Intent::new(self.actor, store.now().await?);
        Ok(Intent { reason: self.reason, ..intent })
    }
}

/// Prints a change in a line.
pub fn print(outcome: Result<Changed, ChangeError>) -> Result<()> {
    let Changed { audit_id, entry, .. } = outcome?;
    let id = &entry.id;
    let named = |version: &Option<String>| version.clone().unwrap_or_default();
    let replacing = match &entry.from {
        Some(from) if entry.from != entry.to => format!(" and replaces {from}"),
        _ => String::new(),
    };
    let done = match entry.action.as_str() {
        "reject" => format!("rejected {id}@{}", named(&entry.from)),
        "pin" => format!("pinned {id}: the tuner does not propose versions of it"),
        "unpin" => format!("unpinned {id}: the tuner may propose versions of it"),
        "experimentStart" => format!(
            "started an A/B test of {id}@{} against {}; see `experiments show {}`",
            named(&entry.to),
            named(&entry.from),
            named(&entry.experiment)
        ),
        "envelopeApprove" => format!(
            "approved an envelope of {id}: the tuner publishes versions within it if \
             autoActivatePolicies is on; see `policies envelope show {id}`"
        ),
        "envelopeFreeze" => format!("froze the envelope of {id}: the tuner only drafts versions"),
        "seed" => {
            let version = named(&entry.to);
            let is_draft = entry.changes.iter().any(|it| it.to == PolicyStatus::Draft);
            let status = if is_draft { "a draft" } else { "active" };
            format!("created {id}@{version}: it is {status}")
        }
        "config" | "flags" => {
            format!("changed {id} from {} to {}", named(&entry.from), named(&entry.to))
        }
        "experimentEnd" => format!("stopped the experiment with {id}@{}", named(&entry.to)),
        action => format!("{action}: {id}@{} is active{replacing}", named(&entry.to)),
    };
    say!("{done} (audit entry {audit_id})");
    Ok(())
}

/// Prints a rollback, an override or a rejection, and what follows for the tuner.
pub async fn print_refusal(store: &Store, outcome: Result<Changed, ChangeError>) -> Result<()> {
    let note = match &outcome {
        Ok(changed) => store.veto_note(&changed.entry).await,
        Err(_) => None,
    };
    print(outcome)?;
    if let Some(note) = note {
        say!("{note}");
    }
    Ok(())
}
