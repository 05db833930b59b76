//! `tune`: runs one tuning pass.

use anyhow::Result;
use f0_learning::jobs::tune::TuneJob;
use f0_learning::store::Store;

pub async fn run(store: Store) -> Result<()> {
    let now = store.now().await?;
    let report = TuneJob::new(store).pass(now).await?;
    say_lines!("{report}");
    Ok(())
}
