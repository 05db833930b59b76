//! `experiments`: A/B tests of drafts against the active version, and watches of activations.

mod show;

use anyhow::Result;
use clap::Subcommand;
use f0_learning::store::{ExperimentRequest, Store};
use f0_learning_core::document::Experiment;
use f0_learning_core::experiment::Metric;
use f0_learning_core::policy::PolicyKey;

use firestore_kit::Unreadable;

use super::changes::{self, ChangeOptions};
use super::{format, output};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start an A/B test: the draft gets 10%, 25%, then 50% of the units, unless it proves to be worse
    Start {
        candidate: PolicyKey,
        /// The metric that the draft is to improve: reward, successRate or costUsd
        #[arg(long, default_value = "reward", value_parser = metric)]
        metric: Metric,
        /// The smallest gain that matters, in units of the metric
        #[arg(long)]
        min_effect: Option<f64>,
        /// Observations of the draft that each stage needs
        #[arg(long)]
        min_samples: Option<u64>,
        /// The shortest duration of a stage
        #[arg(long, value_name = "MINUTES")]
        stage_minutes: Option<u32>,
        /// The longest duration of the test
        #[arg(long, value_name = "DAYS")]
        max_days: Option<u32>,
        #[command(flatten)]
        change: ChangeOptions,
    },
    /// List the latest experiments
    List {
        /// Only experiments of this policy
        #[arg(long)]
        policy: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show an experiment and its results so far
    Show {
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Stop an experiment: a tested draft stays a draft, a watched version stays active
    Stop {
        id: String,
        #[command(flatten)]
        change: ChangeOptions,
    },
}

fn metric(text: &str) -> Result<Metric, String> {
    let found = Metric::ALL.into_iter().find(|it| it.as_str() == text);
    found.ok_or_else(|| "expected reward, successRate or costUsd".to_owned())
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
            change,
        } => {
            let request =
                ExperimentRequest { metric, min_effect, min_samples, stage_minutes, max_days };
            changes::print(store.start_experiment(&candidate, &request, &change.intent()).await)
        }
        Command::List { policy, json } => list(store, policy.as_deref(), json).await,
        Command::Show { id, json } => show::run(store, &id, json).await,
        Command::Stop { id, change } => {
            changes::print(store.stop_experiment(&id, &change.intent()).await)
        }
    }
}

async fn list(store: &Store, policy: Option<&str>, json: bool) -> Result<()> {
    let found = store.experiments_list(policy).await?;
    for Unreadable { document, why } in &found.unreadable {
        eprintln!(
            "warning: {document} cannot be read: {why}; correct it, or end it with `experiments stop`"
        );
    }
    let found = found.items;
    if json {
        return output::print_json(&found);
    }
    let header = ["started", "id", "kind", "policy", "candidate", "control", "share", "status"];
    let mut table = output::table(&header);
    for it in &found {
        table.add_row([
            format::time(it.started_at),
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
