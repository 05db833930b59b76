//! `flags`: read or change `config/flags`.

use anyhow::{Result, anyhow};
use clap::Subcommand;
use f0_learning::store::Store;
use f0_learning_core::document::{FlagChanges, FlagsState};
use serde_json::json;

use super::changes::ChangeOptions;
use super::output::Shown;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the flags
    Get {
        #[command(flatten)]
        shown: Shown,
    },
    /// Set a flag: learning.enabled=false is the kill switch
    Set {
        /// `learning.enabled` or `learning.autoActivatePolicies`, `=`, `true` or `false`
        #[arg(value_parser = parse_assignment)]
        assignment: FlagChanges,
        #[command(flatten)]
        change: ChangeOptions,
    },
}

fn parse_assignment(text: &str) -> Result<FlagChanges> {
    let (name, value) = text.split_once('=').ok_or_else(|| {
        anyhow!("invalid assignment {text:?}: expected NAME=VALUE, such as learning.enabled=false")
    })?;
    let value = value
        .trim()
        .parse()
        .map_err(|_| anyhow!("invalid value {value:?}: expected true or false"))?;
    FlagChanges::named(name.trim(), value).map_err(|error| anyhow!(error))
}

pub async fn run(store: &Store, command: Command) -> Result<()> {
    match command {
        Command::Get { shown } => match (store.flags().await?, shown.data()) {
            (FlagsState::Set(flags), Some(data)) => data.print(&flags)?,
            (state, Some(data)) => data.print(&json!({ "unreadable": state.to_string() }))?,
            (state, None) => say!("{state}"),
        },
        Command::Set { assignment, change } => {
            match store.set_flags(assignment, &change.intent(store).await?).await? {
                Some(changed) => {
                    let now = changed.entry.to.unwrap_or_default();
                    say!("{now} (audit entry {})", changed.audit_id);
                }
                None => say!("{}: unchanged, nothing was written", store.flags().await?),
            }
        }
    }
    Ok(())
}
