//! `firestore`: only the local Firestore.

use anyhow::{Context, Result, anyhow};
use firestore_local::indexes::Indexes;
pub use firestore_local::options::Options;
use firestore_local::options::OptionsError;
use firestore_local::options::{Command, Serve};
use firestore_local::{Error, Running};

use super::shutdown;

pub async fn run(options: Options) -> Result<()> {
    match options.command {
        Some(Command::Rules(command)) => {
            let answer = command.run()?;
            say_lines!("{answer}");
            Ok(answer.check()?)
        }
        Some(Command::Meter(command)) => {
            say_lines!("{}", command.run().await?);
            Ok(())
        }
        Some(Command::Indexes(command)) => {
            let report = command.run()?;
            say_lines!("{report}");
            Ok(report.check()?)
        }
        None => serve(options.serve).await,
    }
}

async fn serve(options: Serve) -> Result<()> {
    let end = shutdown::requested()?;
    let server = options.start().await.map_err(|error| match error {
        OptionsError::Start(error) => refused(error, "--addr"),
        error => error.into(),
    })?;
    say!("Firestore listens on {}; meter on http://{}/meter", server.addr(), server.meter_addr());
    server.warn_until(end).await;
    stop(server).await
}

/// Why the server does not start, with the option that chooses another address.
pub fn refused(error: Error, option: &str) -> anyhow::Error {
    match error {
        Error::Listen { .. } => {
            anyhow!("{error}, or pass another one as {option}, with port 0 for any free port")
        }
        error => error.into(),
    }
}

/// The indexes that this version is deployed with, where observations are counted over `counted` shards
/// and are to be counted over `asked`: what was announced before the change is read as it was announced.
pub fn indexes(counted: u32, asked: u32) -> Result<Indexes> {
    let text = match (counted, asked) {
        (0, 0) => include_str!("../../firestore.indexes.json"),
        (0, _) | (_, 0) => include_str!("../../deploy/firestore.indexes.resharding.json"),
        _ => include_str!("../../deploy/firestore.indexes.sharded.json"),
    };
    Indexes::parse(text).context("cannot use the indexes of this version")
}

/// Stops the server and prints what Firestore would have billed.
///
/// # Errors
/// If more was billed than the options allow.
pub async fn stop(server: Running) -> Result<()> {
    let (report, exceeded) = (server.report(), server.exceeded());
    server.shutdown().await;
    say_lines!("{}", report.summary());
    exceeded.map_or(Ok(()), |exceeded| Err(exceeded.into()))
}
