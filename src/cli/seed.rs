//! `seed`: the first documents of a project.

use anyhow::Result;
use f0_learning::store::{SeedReport, Store};
use f0_learning_core::Clock;

pub async fn run(store: &Store) -> Result<()> {
    print(&store.seed(Clock::system().now()).await?);
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
