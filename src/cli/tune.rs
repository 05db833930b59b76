//! `tune`: runs one tuning pass.

use anyhow::Result;
use f0_learning::jobs::tune::TuneJob;
use f0_learning::store::Store;
use f0_learning_core::Clock;

pub async fn run(store: Store) -> Result<()> {
    let report = TuneJob::new(store).pass(Clock::system().now()).await?;
    say!("{report}");
    Ok(())
}
