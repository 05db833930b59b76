//! `seed`: the first documents of a project.

use anyhow::Result;
use clap::Args;
use f0_learning::store::{SeedReport, Store};

#[derive(Debug, Args)]
pub struct Options {
    /// Write only this document, if it is missing or cannot be read, as config/tuning
    #[arg(long)]
    only: Option<String>,
}

pub async fn run(store: &Store, options: Options) -> Result<()> {
    let report = match &options.only {
        Some(path) => store.seed_again(path).await?,
        None => store.seed(store.now().await?).await?,
    };
    print(&report);
    Ok(())
}

pub fn print(report: &SeedReport) {
    for path in &report.created {
        say!("created {path}");
    }
    for path in &report.existing {
        say!("exists, unchanged: {path}");
    }
}
