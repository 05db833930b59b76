//! `guard`: one pass of the guard job.

use anyhow::Result;
use f0_learning::jobs::guard::GuardJob;
use f0_learning::store::Store;

use super::pass_time;

pub async fn run(store: Store) -> Result<()> {
    let now = pass_time(&store).await?;
    let report = GuardJob::new(store).pass(now).await?;
    say_lines!("{report}");
    Ok(())
}
