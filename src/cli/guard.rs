//! `guard`: one pass of the guard job.

use anyhow::Result;
use f0_learning::jobs::guard::GuardJob;
use f0_learning::store::Store;

pub async fn run(store: Store) -> Result<()> {
    let now = store.now().await?;
    let report = GuardJob::new(store).pass(now).await?;
    say_lines!("{report}");
    Ok(())
}
