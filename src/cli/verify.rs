//! `verify`: compares the stored statistics with a recount.

use anyhow::{Result, bail};
use clap::Args;
use f0_learning::jobs::rebuild::RebuildOptions;
use f0_learning::store::{Store, shell_word};
use f0_learning_core::plural::count;
use serde_json::json;

use super::output::Shown;
use super::rebuild::Source;

#[derive(Debug, Args)]
pub struct Options {
    /// Only this component
    #[arg(long)]
    component: Option<String>,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    shown: Shown,
}

pub async fn run(store: Store, options: Options) -> Result<()> {
    let now = store.now().await?;
    let job = options.source.job(store, RebuildOptions::default())?;
    let report = job.verify(options.component.as_deref(), now).await?;
    match options.shown.data() {
        Some(data) => data.print(&json!({
            "verified": report.verified,
            "differences": report.differences,
            "unknown": report.unknown,
        }))?,
        None => say_lines!("{report}"),
    }
    let repair = match &options.component {
        Some(component) => format!("rebuild --component {}", shell_word(component)),
        None => "rebuild --all".to_owned(),
    };
    match report.differences.len() {
        0 => Ok(()),
        n => bail!(
            "stored and recounted statistics differ in {}; run `f0-learning {repair}`",
            count(n, "figure")
        ),
    }
}
