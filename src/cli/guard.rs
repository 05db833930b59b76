//! `guard`: one look at what is tested or watched.

use anyhow::Result;
use f0_learning::jobs::Clock;
use f0_learning::jobs::guard::GuardJob;
use f0_learning::store::Store;

pub async fn run(store: Store) -> Result<()> {
    let report = GuardJob::new(store).pass(Clock::system().now()).await?;
    say!("{report}");
    Ok(())
}
