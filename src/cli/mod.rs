//! The command line: one file a command. Commands wire the library together and print; they
//! decide nothing.

#[macro_use]
mod output;

mod audit;
mod demo;
mod dev;
mod environment;
mod experiments;
mod firestore;
mod flags;
mod guard;
mod observations;
mod policies;
mod reconcile;
mod retain;
mod score;
mod seed;
mod serve;
mod shutdown;
mod simulate;
mod stats;
mod timers;
mod tune;

use anyhow::Result;
use clap::{Parser, Subcommand};
use f0_learning::observability::logging::Verbosity;
use f0_learning::store::Store;
use f0_learning_client::connection_from_env;
use firestore_kit::Connection;

/// Lets a platform learn from its own outcomes: scores observations, keeps statistics, and
/// proposes better versions of policies.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything locally: a Firestore, the jobs, and with --demo a platform that learns
    Dev(dev::Options),
    /// Run the jobs on their timers against the configured project
    Serve(serve::Options),
    /// Run only the local Firestore
    Firestore(firestore::Options),
    /// Create the configuration documents and the first policy where they are absent
    Seed,
    /// Score what is waiting, once
    Score(score::Options),
    /// Find what scoring could not come by and see to it, once
    Reconcile(reconcile::Options),
    /// Archive what is old enough and then delete it, once
    Retain(retain::Retention),
    /// Weigh the evidence and propose drafts, once
    Tune,
    /// Look at what is tested or watched, and move it on or take it back, once
    Guard,
    /// Run the whole loop in virtual time against arms whose truth is known
    Simulate(simulate::Options),
    /// Import or list observations
    #[command(subcommand)]
    Observations(observations::Command),
    /// List or show policies
    #[command(subcommand)]
    Policies(policies::Command),
    /// Test drafts against the active version, and see what is tested or watched
    #[command(subcommand)]
    Experiments(experiments::Command),
    /// Show the statistics of components
    Stats(stats::Options),
    /// Show the audit trail
    Audit(audit::Options),
    /// Read or change the flags
    #[command(subcommand)]
    Flags(flags::Command),
}

impl Arguments {
    /// Long-running commands log what they do.
    pub fn verbosity(&self) -> Verbosity {
        match self.command {
            Command::Serve(_) | Command::Score(_) | Command::Observations(_) => Verbosity::Info,
            _ => Verbosity::Warnings,
        }
    }
}

pub async fn run(arguments: Arguments) -> Result<()> {
    match arguments.command {
        Command::Dev(options) => dev::run(options).await,
        Command::Serve(options) => serve::run(options).await,
        Command::Firestore(options) => firestore::run(options).await,
        Command::Seed => seed::run(&connect().await?).await,
        Command::Score(options) => score::run(connect().await?, options).await,
        Command::Reconcile(options) => reconcile::run(connect().await?, options).await,
        Command::Retain(options) => retain::run(connect().await?, options).await,
        Command::Tune => tune::run(connect().await?).await,
        Command::Simulate(options) => simulate::run(options).await,
        Command::Guard => guard::run(connect().await?).await,
        Command::Observations(command) => observations::run(&connect().await?, command).await,
        Command::Policies(command) => policies::run(&connect().await?, command).await,
        Command::Experiments(command) => experiments::run(&connect().await?, command).await,
        Command::Stats(options) => stats::run(&connect().await?, options).await,
        Command::Audit(options) => audit::run(&connect().await?, options).await,
        Command::Flags(command) => flags::run(&connect().await?, command).await,
    }
}

fn connection() -> Result<Connection> {
    Ok(connection_from_env(|name| std::env::var(name).ok())?)
}

async fn connect() -> Result<Store> {
    Ok(Store::connect(&connection()?).await?)
}

/// An error and its causes, without line breaks.
pub fn one_line(error: &anyhow::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in error.chain().map(ToString::to_string) {
        // Some errors repeat their source in their own message.
        if !parts.last().is_some_and(|last| last.contains(&cause)) {
            parts.push(cause);
        }
    }
    parts.join(": ").split_whitespace().collect::<Vec<_>>().join(" ")
}
