//! `rebuild`: recounts statistics, and repairs the documents that counting depends on.

use anyhow::{Result, bail};
use chrono::NaiveDate;
use clap::Args;
use f0_learning::archive::Archive;
use f0_learning::jobs::rebuild::{RebuildJob, RebuildOptions};
use f0_learning::store::Store;
use f0_learning_core::plural::count;

use super::pass_time;

#[derive(Debug, Args)]
#[group(id = "what", required = true, multiple = false, args = ["component", "document", "all"])]
pub struct Options {
    /// Recount the statistics of this component
    #[arg(long)]
    component: Option<String>,
    /// Repair this document, as ops_state/cursor
    #[arg(long)]
    document: Option<String>,
    /// Repair the cursors, and recount all components and all versions of policies
    #[arg(long)]
    all: bool,
    /// Count only documents with a ts from this day on (UTC), as 2026-11-01
    #[arg(long)]
    from: Option<NaiveDate>,
    #[command(flatten)]
    source: Source,
}

/// Where old documents are.
#[derive(Debug, Args)]
pub struct Source {
    /// Archive of old documents: a folder, or gs://BUCKET/PREFIX
    #[arg(long, env = "ARCHIVE_URL")]
    archive_url: Option<String>,
}

impl Source {
    pub fn job(&self, store: Store, options: RebuildOptions) -> Result<RebuildJob> {
        let archive = self.archive_url.as_deref().map(Archive::open).transpose()?;
        Ok(RebuildJob::new(store, archive, options))
    }
}

pub async fn run(store: Store, options: Options) -> Result<()> {
    let from = options.from.and_then(|day| day.and_hms_opt(0, 0, 0));
    let from = from.map(|start| start.and_utc().timestamp_millis());
    let now = pass_time(&store).await?;
    let job = options.source.job(store, RebuildOptions { from, ..RebuildOptions::default() })?;
    let report = match (&options.component, &options.document) {
        (Some(component), _) => job.component(component, now).await?,
        (_, Some(document)) => job.document(document, now).await?,
        _ => job.all(now).await?,
    };
    say_lines!("{report}");
    match report.differences.len() {
        0 => Ok(()),
        n => bail!(
            "cannot verify the rebuilt statistics: {}; run the command again",
            count(n, "difference")
        ),
    }
}
