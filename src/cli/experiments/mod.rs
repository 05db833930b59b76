//! `experiments`: drafts that are tested against the active version, and activations that are
//! watched.

mod show;

use anyhow::Result;
use clap::Subcommand;
use f0_learning::store::{ExperimentRequest, Store};
use f0_learning_core::document::Experiment;
use f0_learning_core::experiment::Metric;
use f0_learning_core::policy::PolicyKey;

use super::output;
use super::policies::{Why, told};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Give a draft 10% of the units, then 25, then 50; it is taken back where it proves to be worse
    Start {
        candidate: PolicyKey,
        /// What it is to do better at: reward, successRate or costUsd
        #[arg(long, default_value = "reward", value_parser = metric)]
        metric: Metric,
        /// The smallest gain that is worth having, in units of the metric
        #[arg(long)]
        min_effect: Option<f64>,
        /// Observations of the candidate that a stage needs
        #[arg(long)]
        min_samples: Option<u64>,
        /// How long a stage lasts at least
        #[arg(long, value_name = "MINUTES")]
        stage_minutes: Option<u32>,
        /// How long it lasts at most
        #[arg(long, value_name = "DAYS")]
        max_days: Option<u32>,
        #[command(flatten)]
        why: Why,
    },
    /// List the latest
    List {
        /// Only this policy's
        #[arg(long)]
        policy: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what is known of one by now
    Show {
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// End one; the candidate of a test stays a draft, an activation that was watched stays
    Stop {
        id: String,
        #[command(flatten)]
        why: Why,
    },
}

fn metric(text: &str) -> Result<Metric, String> {
    let found = Metric::ALL.into_iter().find(|it| it.as_str() == text);
    found.ok_or_else(|| "there are reward, successRate and costUsd".to_owned())
}

pub async fn run(store: &Store, command: Command) -> Result<()> {
    match command {
        Command::Start {
            candidate,
            metric,
            min_effect,
            min_samples,
            stage_minutes,
            max_days,
            why,
        } => {
            let asked =
                ExperimentRequest { metric, min_effect, min_samples, stage_minutes, max_days };
            told(store.start_experiment(&candidate, &asked, &why.intent()).await)
        }
        Command::List { policy, json } => list(store, policy.as_deref(), json).await,
        Command::Show { id, json } => show::run(store, &id, json).await,
        Command::Stop { id, why } => told(store.stop_experiment(&id, &why.intent()).await),
    }
}

async fn list(store: &Store, policy: Option<&str>, json: bool) -> Result<()> {
    let found = store.experiments(policy).await?;
    if json {
        return output::print_json(&found);
    }
    let header = ["started", "id", "kind", "policy", "candidate", "control", "share", "status"];
    let mut table = output::table(&header);
    for it in &found {
        table.add_row([
            output::time(it.started_at),
            it.id.clone(),
            kind(it).to_owned(),
            it.policy.clone(),
            it.candidate.to_string(),
            it.control.to_string(),
            format!("{:.0}%", it.share * 100.0),
            it.status.as_str().to_owned(),
        ]);
    }
    output::print(&table);
    Ok(())
}

pub fn kind(experiment: &Experiment) -> &'static str {
    match experiment.kind {
        f0_learning_core::experiment::Kind::Ab => "ab",
        f0_learning_core::experiment::Kind::Watch => "watch",
    }
}

/// `+0.012 (-0.001..+0.025)`.
pub fn range(estimate: f64, low: f64, high: f64, digits: usize) -> String {
    format!("{estimate:+.digits$} ({low:+.digits$}..{high:+.digits$})")
}
