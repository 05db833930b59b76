//! `tune`: one tuning pass.

use anyhow::Result;
use f0_learning::jobs::Clock;
use f0_learning::jobs::tune::TuneJob;
use f0_learning::store::Store;

pub async fn run(store: Store) -> Result<()> {
    let report = TuneJob::new(store).pass(Clock::system().now()).await?;
    say!("{report}");
    Ok(())
}
