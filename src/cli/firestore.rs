//! `firestore`: only the local Firestore.

use anyhow::Result;
use firestore_local::Running;
pub use firestore_local::options::Options;
use firestore_local::options::{Command, Serve};

use super::shutdown;

pub async fn run(options: Options) -> Result<()> {
    match options.command {
        Some(Command::Rules(command)) => {
            let report = command.run()?;
            say!("{report}");
            Ok(report.check()?)
        }
        Some(Command::Meter(command)) => {
            say!("{}", command.run().await?);
            Ok(())
        }
        None => serve(options.serve).await,
    }
}

async fn serve(options: Serve) -> Result<()> {
    let end = shutdown::requested()?;
    let server = options.start().await?;
    say!("Firestore listens on {}; meter on http://{}/meter", server.addr(), server.meter_addr());
    server.warn_until(end).await;
    stop(server).await
}

/// Stops the server and prints what Firestore would have billed.
///
/// # Errors
/// If more was billed than the options allow.
pub async fn stop(server: Running) -> Result<()> {
    let (report, exceeded) = (server.report(), server.exceeded());
    server.shutdown().await;
    say!("{}", report.summary());
    exceeded.map_or(Ok(()), |exceeded| Err(exceeded.into()))
}
