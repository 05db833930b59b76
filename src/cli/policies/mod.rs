//! `policies`: the versions of policies, what they rest on, and what people decide on them.

mod decide;
mod diff;
mod evidence;
mod history;
mod list;
mod override_by_hand;
mod replay;
mod show;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use f0_learning::store::{ChangeError, Changed, Store};
use f0_learning_core::Clock;
use f0_learning_core::document::Policy;
use f0_learning_core::intent::{Intent, Watching};
use f0_learning_core::policy::{PolicyKey, PolicyStatus};

pub use show::describe;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List all versions
    List {
        /// Only this policy
        #[arg(long)]
        id: Option<String>,
        /// Only versions in this state: draft, active, archived or rejected
        #[arg(long)]
        status: Option<PolicyStatus>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a policy: ID for what is active, what awaits a decision and what came of earlier ones,
    /// ID@VERSION for one version
    Show {
        policy: String,
        /// Over how many days to tell what came of proposals
        #[arg(long, default_value_t = f0_learning::store::DEFAULT_EFFECT_DAYS)]
        days: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what a version changes: ID@VERSION against the active one, or two of them
    Diff {
        version: PolicyKey,
        other: Option<PolicyKey>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what each activation promised, and what came of it
    History {
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Decide again from what a proposal was decided from, and say whether it is the same
    Replay {
        version: PolicyKey,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a draft the active version
    Activate {
        version: PolicyKey,
        /// Take it although its parent is no longer the active version
        #[arg(long)]
        force: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        /// Whether it is watched, and taken back should it prove to be worse: on or off
        #[arg(long, default_value = "on", value_name = "on|off")]
        guard: Watching,
        #[command(flatten)]
        why: Why,
    },
    /// Say no to a draft
    Reject {
        version: PolicyKey,
        #[command(flatten)]
        why: Why,
    },
    /// Write a version by hand and make it active
    Override(override_by_hand::Options),
    /// Keep the tuner off a policy
    Pin {
        id: String,
        #[command(flatten)]
        why: Why,
    },
    /// Let the tuner at a policy again
    Unpin {
        id: String,
        #[command(flatten)]
        why: Why,
    },
    /// Make an earlier version active again: ID for the one that was before, or ID@VERSION
    Rollback {
        policy: String,
        #[command(flatten)]
        why: Why,
    },
    /// Restore exactly one active version where there are several or none
    Repair {
        id: String,
        #[command(flatten)]
        why: Why,
    },
}

/// What a change is recorded with.
#[derive(Debug, Args)]
pub struct Why {
    /// Why, for the audit trail
    #[arg(long)]
    reason: Option<String>,
    /// Who, for the audit trail
    #[arg(long, env = "USER", default_value = "cli")]
    actor: String,
}

impl Why {
    pub fn intent(self) -> Intent {
        let intent = Intent::new(self.actor, Clock::system().now());
        Intent { reason: self.reason, ..intent }
    }
}

pub async fn run(store: &Store, command: Command) -> Result<()> {
    match command {
        Command::List { id, status, json } => list::run(store, id.as_deref(), status, json).await,
        Command::Show { policy, days, json } => show::run(store, &policy, days, json).await,
        Command::Diff { version, other, json } => {
            diff::run(store, &version, other.as_ref(), json).await
        }
        Command::History { id, json } => history::run(store, &id, json).await,
        Command::Replay { version, json } => replay::run(store, &version, json).await,
        Command::Activate { version, force, yes, guard, why } => {
            let intent = why.intent().watched(guard);
            decide::activate(store, &version, force, yes, intent).await
        }
        Command::Override(options) => override_by_hand::run(store, options).await,
        Command::Reject { version, why } => told(store.reject(&version, &why.intent()).await),
        Command::Pin { id, why } => told(store.pin(&id, &why.intent()).await),
        Command::Unpin { id, why } => told(store.unpin(&id, &why.intent()).await),
        Command::Rollback { policy, why } => decide::roll_back(store, &policy, why).await,
        Command::Repair { id, why } => told(store.repair(&id, &why.intent()).await),
    }
}

/// Says what was done, in a line.
pub fn told(outcome: Result<Changed, ChangeError>) -> Result<()> {
    let Changed { audit_id, entry, .. } = outcome?;
    let id = &entry.id;
    let named = |version: &Option<String>| version.clone().unwrap_or_default();
    let replacing = match &entry.from {
        Some(from) if entry.from != entry.to => format!(" in place of {from}"),
        _ => String::new(),
    };
    let done = match entry.action.as_str() {
        "reject" => format!("rejected {id}@{}", named(&entry.from)),
        "pin" => format!("pinned {id}: the tuner leaves it alone"),
        "unpin" => format!("unpinned {id}"),
        "experimentStart" => format!(
            "{id}@{} is tested against {}: `experiments show {}`",
            named(&entry.to),
            named(&entry.from),
            named(&entry.experiment)
        ),
        "experimentEnd" => format!("ended the experiment with {id}@{}", named(&entry.to)),
        action => format!("{action}: {id}@{} is active{replacing}", named(&entry.to)),
    };
    say!("{done} (audit entry {audit_id})");
    Ok(())
}

async fn require(store: &Store, key: &PolicyKey) -> Result<Policy> {
    match store.policy(key).await? {
        Some(policy) => Ok(policy),
        None => bail!("there is no version {key}; `policies list` shows those that there are"),
    }
}

/// The version in force.
async fn in_force(store: &Store, id: &str) -> Result<Policy> {
    let standing = store.standing_policies(id).await?;
    match standing.into_iter().rfind(|policy| policy.status == PolicyStatus::Active) {
        Some(policy) => Ok(policy),
        None => bail!("{id} has no active version; `policies list` shows what there is"),
    }
}
