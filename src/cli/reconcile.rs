//! `reconcile`: one pass of the reconcile job.

use anyhow::Result;
use clap::Args;
use f0_learning::jobs::reconcile::{ReconcileJob, ReconcileOptions};
use f0_learning::store::Store;

use super::{pass_time, shutdown};

#[derive(Debug, Args)]
pub struct Options {
    /// Check all observations, not only those that are due
    #[arg(long)]
    full: bool,
}

pub async fn run(store: Store, options: Options) -> Result<()> {
    let now = pass_time(&store).await?;
    let mut job = ReconcileJob::new(store, ReconcileOptions::default());
    let stop = shutdown::token();
    say!("{}", job.pass(now, options.full, &stop).await?);
    Ok(())
}
