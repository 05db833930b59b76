//! `guard`: one pass of the guard job.

use anyhow::Result;
use f0_learning::jobs::guard::GuardJob;
use f0_learning::store::Store;
use f0_learning_core::Clock;

pub async fn run(store: Store) -> Result<()> {
    let report = GuardJob::new(store).pass(Clock::system().now()).await?;
    say!("{report}");
    Ok(())
}
