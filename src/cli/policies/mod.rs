//! `policies`: the versions of policies, their evidence, and decisions on them.

mod create;
mod decide;
mod diff;
mod envelope;
mod evidence;
mod history;
mod list;
mod override_by_hand;
mod replay;
mod show;

use anyhow::{Result, bail};
use clap::Subcommand;
use f0_learning::store::Store;
use f0_learning_core::document::Policy;
use f0_learning_core::intent::Watching;
use f0_learning_core::policy::{PolicyKey, PolicyStatus};

use super::changes::{self, ChangeOptions};
use super::named;
use super::output::Shown;

#[cfg(feature = "local")]
pub use evidence::describe as describe_evidence;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List all versions
    List {
        /// Only this policy
        #[arg(long)]
        id: Option<String>,
        /// Only versions with this status: draft, active, archived or rejected
        #[arg(long)]
        status: Option<PolicyStatus>,
        /// Show the list again and again, until Ctrl-C; once where the output is not a terminal
        #[arg(long)]
        watch: bool,
        /// Seconds between two looks
        #[arg(long, default_value_t = 5, requires = "watch", value_parser = clap::value_parser!(u32).range(1..=3_600))]
        every: u32,
        #[command(flatten)]
        shown: Shown,
    },
    /// Show a policy: ID for the active version, the drafts and the effects of earlier proposals,
    /// ID@VERSION for one version
    Show {
        policy: String,
        /// Days that the effects of proposals are shown for
        #[arg(long, default_value_t = f0_learning::store::DEFAULT_EFFECT_DAYS)]
        days: u32,
        #[command(flatten)]
        shown: Shown,
    },
    /// Show the params that a version changes: ID@VERSION against the active version, or two versions
    Diff {
        version: PolicyKey,
        other: Option<PolicyKey>,
        #[command(flatten)]
        shown: Shown,
    },
    /// Show the promised gain and the measured effect of each activation
    History {
        id: String,
        #[command(flatten)]
        shown: Shown,
    },
    /// Repeat the decision of a proposal from its recorded input, and compare the results
    Replay {
        version: PolicyKey,
        #[command(flatten)]
        shown: Shown,
    },
    /// Activate a draft
    Activate {
        version: PolicyKey,
        /// Activate the draft even if its parent is no longer the active version
        #[arg(long)]
        force: bool,
        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
        /// Whether the version is watched, and rolled back if it proves to be worse: on or off
        #[arg(long, default_value = "on", value_name = "on|off")]
        guard: Watching,
        #[command(flatten)]
        change: ChangeOptions,
    },
    /// Reject a draft
    Reject {
        version: PolicyKey,
        #[command(flatten)]
        change: ChangeOptions,
    },
    /// Create a policy: its first version, from a file or from weights
    Create(create::Options),
    /// Write a version by hand and activate it
    Override(override_by_hand::Options),
    /// Pin a policy: the tuner stops proposing versions of it
    Pin {
        id: String,
        #[command(flatten)]
        change: ChangeOptions,
    },
    /// Unpin a policy: the tuner may propose versions of it again
    Unpin {
        id: String,
        #[command(flatten)]
        change: ChangeOptions,
    },
    /// The range of weights within which the tuner may publish versions by itself
    #[command(subcommand)]
    Envelope(envelope::Command),
    /// Activate an earlier version again: ID for the previous version, or ID@VERSION
    Rollback {
        policy: String,
        #[command(flatten)]
        change: ChangeOptions,
    },
    /// Restore exactly one active version if there are several or none
    Repair {
        id: String,
        #[command(flatten)]
        change: ChangeOptions,
    },
}

pub async fn run(store: &Store, command: Command) -> Result<()> {
    match command {
        Command::List { id, status, watch, every, shown } => {
            list::run(store, list::Wanted { id, status }, shown, watch.then_some(every)).await
        }
        Command::Show { policy, days, shown } => show::run(store, &policy, days, shown).await,
        Command::Diff { version, other, shown } => {
            diff::run(store, &version, other.as_ref(), shown).await
        }
        Command::History { id, shown } => history::run(store, &id, shown).await,
        Command::Replay { version, shown } => replay::run(store, &version, shown).await,
        Command::Activate { version, force, yes, guard, change } => {
            let version = named::key(store, &version).await?;
            decide::activate(store, &version, force, yes, guard, change).await
        }
        Command::Create(options) => create::run(store, options).await,
        Command::Override(options) => override_by_hand::run(store, options).await,
        Command::Reject { version, change } => {
            let version = named::key(store, &version).await?;
            let outcome = store.reject(&version, &change.intent(store).await?).await;
            changes::print_refusal(store, outcome).await
        }
        Command::Pin { id, change } => {
            let id = named::policy(store, &id).await?;
            changes::print(store.pin(&id, &change.intent(store).await?).await)
        }
        Command::Unpin { id, change } => {
            let id = named::policy(store, &id).await?;
            changes::print(store.unpin(&id, &change.intent(store).await?).await)
        }
        Command::Rollback { policy, change } => {
            decide::roll_back(store, &named::version(store, &policy).await?, change).await
        }
        Command::Envelope(command) => envelope::run(store, command).await,
        Command::Repair { id, change } => {
            let id = named::policy(store, &id).await?;
            changes::print(store.repair(&id, &change.intent(store).await?).await)
        }
    }
}

async fn require(store: &Store, key: &PolicyKey) -> Result<Policy> {
    match store.policy(key).await? {
        Some(policy) => Ok(policy),
        None => bail!("unknown version {key}: `policies list` shows all versions"),
    }
}

async fn active_version(store: &Store, id: &str) -> Result<Policy> {
    let standing = store.standing_policies(id).await?;
    match standing.into_iter().rfind(|policy| policy.status == PolicyStatus::Active) {
        Some(policy) => Ok(policy),
        None => bail!("{id} has no active version: `policies list` shows all versions"),
    }
}
