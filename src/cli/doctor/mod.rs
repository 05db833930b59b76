//! `doctor`: tries what the service needs, and says what to do about each thing that is missing.
//!
//! It decides nothing and repairs nothing. It writes one document of state and deletes it again, unless
//! --read-only is given.

mod checks;
mod finding;
mod rules;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use f0_learning_core::plural;
use serde_json::json;

use super::connection;
use super::output::{self, Shown};
use finding::{Finding, Verdict};

#[derive(Debug, Args)]
pub struct Options {
    /// Write nothing: permission to write, transactions and the clock are then not checked
    #[arg(long)]
    read_only: bool,
    /// Compare the deployed security rules with this file instead of those of this version
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    #[command(flatten)]
    shown: Shown,
}

/// 0 if all is well, 1 if something should be looked at, 2 if something does not work.
pub async fn run(options: Options) -> Result<ExitCode> {
    let findings = match connection() {
        Ok(connection) => checks::all(&connection, &options).await,
        Err(error) => vec![Finding::fail(
            "settings",
            super::one_line(&error),
            "set the variables that the message names",
        )],
    };
    let worst = findings.iter().map(|it| it.verdict).max().unwrap_or(Verdict::Ok);
    match options.shown.data() {
        Some(data) => data.print(&json!({ "verdict": worst, "findings": findings }))?,
        None => {
            findings.iter().for_each(print);
            say!();
            say!("{}", summary(&findings));
        }
    }
    Ok(ExitCode::from(worst.exit_code()))
}

fn print(it: &Finding) {
    let mark = format!("{:<8}", it.verdict.mark());
    output::print_marked(it.verdict.style(), &mark, &format!("{:<12} {}", it.name, it.detail));
    if let Some(action) = &it.action {
        say!("        {:<12} → {action}", "");
    }
}

fn summary(findings: &[Finding]) -> String {
    let count = |verdict| findings.iter().filter(|it| it.verdict == verdict).count();
    format!(
        "{}: {} ok, {} not checked, {} to look at, {} failed",
        plural::count(findings.len(), "check"),
        count(Verdict::Ok),
        count(Verdict::NotChecked),
        count(Verdict::Warn),
        count(Verdict::Fail)
    )
}
