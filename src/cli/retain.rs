//! `retain`: one pass that archives old documents and then deletes them.

use anyhow::Result;
use clap::Args;
use f0_learning::archive::Archive;
use f0_learning::jobs::retain::{MIN_DAYS, RetainJob, RetainOptions};
use f0_learning::store::Store;

use super::{pass_time, shutdown};

/// How long documents stay in Firestore, and where they are archived.
#[derive(Debug, Args)]
pub struct Retention {
    /// Archive for old documents: a folder, or gs://BUCKET/PREFIX
    #[arg(long, env = "ARCHIVE_URL")]
    archive_url: Option<String>,
    /// Days that observations, rewards and quarantined documents stay in Firestore
    #[arg(
        long,
        env = "RETENTION_DAYS",
        default_value_t = RetainOptions::default().days,
        value_parser = clap::value_parser!(u32).range(i64::from(MIN_DAYS)..=36_500)
    )]
    retention_days: u32,
}

impl Retention {
    /// The job; `None` without an archive.
    pub fn job(&self, store: &Store) -> Result<Option<RetainJob>> {
        let Some(url) = &self.archive_url else { return Ok(None) };
        let options = RetainOptions { days: self.retention_days, ..RetainOptions::default() };
        Ok(Some(RetainJob::new(store.clone(), Archive::open(url)?, options)))
    }
}

pub async fn run(store: Store, options: Retention) -> Result<()> {
    let Some(mut job) = options.job(&store)? else {
        anyhow::bail!("no archive: set ARCHIVE_URL to a folder or to gs://BUCKET/PREFIX");
    };
    let now = pass_time(&store).await?;
    say!("{}", job.pass(now, &shutdown::token()).await?);
    Ok(())
}
