//! The command line: one file per command. Commands connect the parts of the library and print
//! results; they contain no domain logic.

#[macro_use]
mod output;

mod audit;
mod changes;
mod clock;
mod condition;
mod config;
#[cfg(feature = "local")]
mod demo;
#[cfg(feature = "local")]
mod dev;
mod doctor;
#[cfg(test)]
mod documented;
mod environment;
mod experiments;
mod export;
mod figures;
#[cfg(feature = "local")]
mod firestore;
mod flags;
mod guard;
mod live;
mod manual;
mod named;
mod observations;
mod policies;
mod prompt;
mod rebuild;
mod reconcile;
mod retain;
mod score;
mod seed;
mod serve;
mod shutdown;
#[cfg(feature = "local")]
mod simulate;
mod stats;
mod status;
mod timers;
mod top;
mod tune;
mod verify;

use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};
use f0_learning::jobs::Time;
use f0_learning::observability::format;
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
    /// Show what waits for whom, what is watched, what is wrong, and the command to type next
    Status(status::Options),
    /// Try everything that the service needs; exit with 1 if something is to be looked at, 2 if it fails
    Doctor(doctor::Options),
    /// Run a local Firestore, the jobs and the API in one process; --demo adds a simulated platform
    #[cfg(feature = "local")]
    Dev(dev::Options),
    /// Run the API, and the jobs on their timers, against the configured project
    Serve(serve::Options),
    /// Run only the local Firestore
    #[cfg(feature = "local")]
    Firestore(firestore::Options),
    /// Create the configuration documents and the first policy, if they do not exist
    Seed(seed::Options),
    /// Run one pass of the score job: score new observations
    Score(score::Options),
    /// Run one pass of the reconcile job: find observations that scoring missed
    Reconcile(reconcile::Options),
    /// Run one pass of the retain job: archive old documents, then delete them
    Retain(retain::Retention),
    /// Recount statistics from observations and rewards, and repair damaged documents of state
    Rebuild(rebuild::Options),
    /// Compare the stored statistics with a recount; exit with 1 if they differ
    Verify(verify::Options),
    /// Run one pass of the tune job: evaluate policies and propose drafts
    Tune,
    /// Run one pass of the guard job: advance, end or roll back experiments
    Guard,
    /// Simulate the whole loop in virtual time, with arms whose true rewards are known
    #[cfg(feature = "local")]
    Simulate(simulate::Options),
    /// Import, list or requeue observations
    #[command(subcommand)]
    Observations(observations::Command),
    /// Show policies, and decide on their versions
    #[command(subcommand)]
    Policies(policies::Command),
    /// Start, stop or show experiments: A/B tests of drafts, and watches of activations
    #[command(subcommand)]
    Experiments(experiments::Command),
    /// Show the components, drafts and the backlog, and refresh them until Ctrl-C
    Top(top::Options),
    /// Show the statistics of components
    Stats(stats::Options),
    /// Show the audit trail
    Audit(audit::Options),
    /// Show, check, compare or change the documents of `config`
    #[command(subcommand)]
    Config(config::Command),
    /// Read or change the flags
    #[command(subcommand)]
    Flags(flags::Command),
    /// Show the times that passes compare, or accept the time of Firestore
    #[command(subcommand)]
    Clock(clock::Command),
    /// Print the script that completes commands in a shell
    Completions(manual::Completions),
    /// Write a manual page for each command into a folder
    Man(manual::Man),
}

impl Arguments {
    /// Whether log lines are JSON, as Cloud Logging reads them.
    pub fn logs_json(&self) -> bool {
        environment::variable("LOG_FORMAT").is_some_and(|format| format == "json")
    }

    /// Whether log lines, which go to standard error, have colours.
    pub fn logs_colours() -> bool {
        output::screen::has_colours(&std::io::stderr())
    }

    /// Long-running commands log their progress.
    pub fn verbosity(&self) -> Verbosity {
        match self.command {
            Command::Serve(_) | Command::Score(_) | Command::Observations(_) => Verbosity::Info,
            #[cfg(feature = "local")]
            Command::Dev(ref options) if options.is_demo() => Verbosity::Sentences,
            #[cfg(feature = "local")]
            Command::Dev(_) => Verbosity::Info,
            _ => Verbosity::Warnings,
        }
    }
}

pub async fn run(arguments: Arguments) -> Result<ExitCode> {
    if let Command::Doctor(options) = arguments.command {
        return doctor::run(options).await;
    }
    match run_command(arguments.command).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => match error.downcast_ref::<shutdown::Stopped>() {
            Some(stopped) => Ok(ExitCode::from(stopped.exit_code())),
            None => Err(error),
        },
    }
}

async fn run_command(command: Command) -> Result<()> {
    match command {
        // Its exit code says more than success and failure.
        Command::Doctor(options) => doctor::run(options).await.map(drop),
        Command::Status(options) => status::run(&connect().await?, options).await,
        #[cfg(feature = "local")]
        Command::Dev(options) => dev::run(options).await,
        Command::Serve(options) => serve::run(options).await,
        #[cfg(feature = "local")]
        Command::Firestore(options) => firestore::run(options).await,
        Command::Seed(options) => seed::run(&connect().await?, options).await,
        Command::Score(options) => score::run(connect().await?, options).await,
        Command::Reconcile(options) => reconcile::run(connect().await?, options).await,
        Command::Retain(options) => retain::run(connect().await?, options).await,
        Command::Rebuild(options) => rebuild::run(connect().await?, options).await,
        Command::Verify(options) => verify::run(connect().await?, options).await,
        Command::Tune => tune::run(connect().await?).await,
        #[cfg(feature = "local")]
        Command::Simulate(options) => simulate::run(options).await,
        Command::Guard => guard::run(connect().await?).await,
        Command::Observations(command) => observations::run(&connect().await?, command).await,
        Command::Policies(command) => policies::run(&connect().await?, command).await,
        Command::Experiments(command) => experiments::run(&connect().await?, command).await,
        Command::Stats(options) => stats::run(&connect().await?, options).await,
        Command::Audit(options) => audit::run(&connect().await?, options).await,
        Command::Config(command) => config::run(&connect().await?, command).await,
        Command::Flags(command) => flags::run(&connect().await?, command).await,
        Command::Clock(command) => clock::run(&connect().await?, command).await,
        Command::Top(options) => top::run(&connect().await?, options).await,
        Command::Completions(options) => {
            options.run(Arguments::command());
            Ok(())
        }
        Command::Man(options) => options.run(Arguments::command()),
    }
}

fn connection() -> Result<Connection> {
    Ok(connection_from_env(environment::variable)?)
}

async fn connect() -> Result<Store> {
    Ok(Store::connect(&connection()?).await?)
}

/// The time of the pass that a command runs.
async fn pass_time(store: &Store) -> Result<i64> {
    Ok(Time::from(store.clone()).begin_pass().await?)
}

/// Prints a line to standard error.
pub fn report(text: &str) {
    complain!("{text}");
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
