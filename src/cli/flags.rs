//! `flags`: read or change `config/flags`.

use anyhow::{Result, anyhow};
use clap::Subcommand;
use f0_learning::jobs::Clock;
use f0_learning::store::{Flag, FlagsState, Store};

use super::output;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the flags
    Get {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Set a flag: learning.enabled=false is the kill switch
    Set {
        /// `learning.enabled` or `learning.autoActivatePolicies`, `=`, `true` or `false`
        #[arg(value_parser = parse_assignment)]
        assignment: (Flag, bool),
        /// Why, for the audit trail
        #[arg(long)]
        reason: Option<String>,
        /// Who, for the audit trail
        #[arg(long, env = "USER", default_value = "cli")]
        actor: String,
    },
}

fn parse_assignment(text: &str) -> Result<(Flag, bool)> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| anyhow!("write NAME=VALUE, as in learning.enabled=false"))?;
    let flag = name.trim().parse().map_err(|error: String| anyhow!(error))?;
    let value = value.trim().parse().map_err(|_| anyhow!("{value:?} is neither true nor false"))?;
    Ok((flag, value))
}

pub async fn run(store: &Store, command: Command) -> Result<()> {
    match command {
        Command::Get { json } => match (store.flags().await?, json) {
            (FlagsState::Set(flags), true) => output::print_json(&flags)?,
            (state, _) => println!("{state}"),
        },
        Command::Set { assignment: (flag, enabled), reason, actor } => {
            let now = Clock::system().now();
            let flags = store.set_flag(flag, enabled, &actor, reason, now).await?;
            println!("{}", FlagsState::Set(flags));
        }
    }
    Ok(())
}
