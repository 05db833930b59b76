//! `score`: runs one scoring pass.

use anyhow::Result;
use clap::Args;
use f0_learning::jobs::score::{ScoreJob, ScoreOptions};
use f0_learning::store::Store;

use super::{output, pass_time, shutdown};

#[derive(Debug, Args)]
pub struct Options {
    /// How long to wait after the ts of an observation before it is scored, in milliseconds
    #[arg(long, env = "SCORE_SETTLE_MS", default_value_t = ScoreOptions::default().settle_ms)]
    settle_ms: i64,
}

pub async fn run(store: Store, options: Options) -> Result<()> {
    let options = ScoreOptions { settle_ms: options.settle_ms, ..ScoreOptions::default() };
    let now = pass_time(&store).await?;
    let mut job = ScoreJob::new(store, options);
    let bar = output::progress(job.backlog(now).await?, "scoring");
    let stop = shutdown::token();
    let hidden = bar.is_hidden();
    let report = job
        .pass(now, &stop, &|done| {
            bar.set_position(done);
            if hidden {
                tracing::info!(done, "scoring");
            }
        })
        .await;
    bar.finish_and_clear();
    say_lines!("{}", report?);
    Ok(())
}
