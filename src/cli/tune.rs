//! `tune`: runs one tuning pass.

use anyhow::Result;
use f0_learning::jobs::tune::TuneJob;
use f0_learning::store::Store;

use super::pass_time;

pub async fn run(store: Store) -> Result<()> {
    let now = pass_time(&store).await?;
    let report = TuneJob::new(store).pass(now).await?;
    say_lines!("{report}");
    Ok(())
}
