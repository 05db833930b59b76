//! `experiments`: A/B tests of drafts against the active version, and watches of activations.

mod show;

use anyhow::Result;
use clap::Subcommand;
use f0_learning::jobs::guard::{Evaluation, evaluate};
use f0_learning::store::{ExperimentRequest, Store};
use f0_learning_core::document::Experiment;
use f0_learning_core::experiment::{ExpectedDuration, Kind, Metric};
use f0_learning_core::plural::count;
use f0_learning_core::policy::PolicyKey;

use firestore_kit::Unreadable;
use serde_json::{Value, json};

use super::changes::{self, ChangeOptions};
use super::output::{self, Cell, Shown};
use super::{format, named};

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
    /// Estimate how long an A/B test of a draft would take, without starting it
    Estimate {
        candidate: PolicyKey,
        /// The metric that the draft is to improve: reward, successRate or costUsd
        #[arg(long, default_value = "reward", value_parser = metric)]
        metric: Metric,
        /// The smallest gain that matters, in units of the metric
        #[arg(long)]
        min_effect: Option<f64>,
        #[command(flatten)]
        shown: Shown,
    },
    /// List the latest experiments
    List {
        /// Only experiments of this policy
        #[arg(long)]
        policy: Option<String>,
        #[command(flatten)]
        shown: Shown,
    },
    /// Show an experiment and its results so far
    Show {
        id: String,
        #[command(flatten)]
        shown: Shown,
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
            let candidate = named::key(store, &candidate).await?;
            print_estimate(store, &candidate, &request).await?;
            changes::print(
                store.start_experiment(&candidate, &request, &change.intent(store).await?).await,
            )?;
            say!(
                "units get the candidate only where components choose by `candidate` of the active version; \
                 `status` and `experiments show` warn if none do"
            );
            Ok(())
        }
        Command::Estimate { candidate, metric, min_effect, shown } => {
            let request = ExperimentRequest { metric, min_effect, ..ExperimentRequest::default() };
            let candidate = named::key(store, &candidate).await?;
            match shown.data() {
                Some(data) => data.print(&estimate(store, &candidate, &request).await?),
                None => print_estimate(store, &candidate, &request).await,
            }
        }
        Command::List { policy, shown } => list(store, policy.as_deref(), shown).await,
        Command::Show { id, shown } => {
            show::run(store, &named::experiment(store, &id).await?, shown).await
        }
        Command::Stop { id, change } => {
            let id = named::experiment(store, &id).await?;
            changes::print(store.stop_experiment(&id, &change.intent(store).await?).await)
        }
    }
}

/// The same for programs; `null` if the duration is unknown.
async fn estimate(
    store: &Store,
    candidate: &PolicyKey,
    request: &ExperimentRequest,
) -> Result<Value> {
    let estimate = store.estimate_experiment(candidate, request).await?;
    Ok(estimate.map_or(Value::Null, |it| {
        let durations = it.durations.iter();
        let durations: Vec<_> =
            durations.map(|it| json!({ "gain": it.gain, "hours": it.hours })).collect();
        let per_hour = it.traffic.per_hour;
        json!({ "perHour": per_hour, "maxDays": it.max_days, "durations": durations })
    }))
}

/// How long the test is expected to take, for several true gains.
async fn print_estimate(
    store: &Store,
    candidate: &PolicyKey,
    request: &ExperimentRequest,
) -> Result<()> {
    let Some(estimate) = store.estimate_experiment(candidate, request).await? else {
        say!("duration unknown: no observation names the active version of {}", candidate.id);
        return Ok(());
    };
    say!(
        "at {:.0} observations an hour, a true gain in {} is expected to be proven",
        estimate.traffic.per_hour,
        request.metric.as_str()
    );
    for ExpectedDuration { gain, hours } in &estimate.durations {
        match hours {
            Some(hours) => say!("  of {gain:.4} after {}", format::hours(*hours)),
            None => say!("  of {gain:.4} not within {}", count(estimate.max_days, "day")),
        }
    }
    Ok(())
}

async fn list(store: &Store, policy: Option<&str>, shown: Shown) -> Result<()> {
    let policy = match policy {
        Some(policy) => Some(named::policy(store, policy).await?),
        None => None,
    };
    let found = store.experiments_list(policy.as_deref()).await?;
    for Unreadable { document, why } in &found.unreadable {
        complain!(
            "warning: {document} cannot be read: {why}; correct it, or end it with `experiments stop`"
        );
    }
    let found = found.items;
    if let Some(data) = shown.data() {
        return data.print(&found);
    }
    let header = ["started", "id", "kind", "policy", "candidate", "control", "share", "status"];
    let (rewards, now) = (store.reward_config().await?, store.now().await?);
    let mut table = output::table(&header).optional(&["control", "kind"]);
    for it in &found {
        table.add_row([
            Cell::time(it.started_at, now),
            it.id.clone().into(),
            kind(it).into(),
            it.policy.clone().into(),
            it.candidate.to_string().into(),
            it.control.to_string().into(),
            format!("{:.0}%", it.share * 100.0).into(),
            it.status.as_str().into(),
        ]);
    }
    output::print(&table);
    for it in found.iter().filter(|it| it.open && it.kind == Kind::Ab) {
        match evaluate(store, it, &rewards, now).await {
            Ok(Evaluation { unserved: Some(note), .. }) => say!("note: {}: {note}", it.id),
            Ok(_) => {}
            Err(error) => complain!("warning: cannot evaluate {}: {error}", it.id),
        }
    }
    Ok(())
}

pub fn kind(experiment: &Experiment) -> &'static str {
    match experiment.kind {
        Kind::Ab => "ab",
        Kind::Watch => "watch",
    }
}
