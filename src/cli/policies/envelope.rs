//! `policies envelope`: what the tuner may do by itself.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use f0_learning::store::{EnvelopeTerms, Store};
use f0_learning_core::plural::count;
use f0_learning_core::tuning::envelope::{ApprovedGuardrails, Envelope, WeightRange};

use crate::cli::changes::{self, ChangeOptions};
use crate::cli::output::Shown;
use crate::cli::{format, named};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the envelope of a policy
    Show {
        id: String,
        #[command(flatten)]
        shown: Shown,
    },
    /// Approve a range of weights: with autoActivatePolicies on, the tuner publishes versions within it
    Approve(Approve),
    /// Stop the tuner from publishing versions of a policy; it drafts them instead
    Freeze {
        id: String,
        #[command(flatten)]
        change: ChangeOptions,
    },
}

#[derive(Debug, Args)]
pub struct Approve {
    id: String,
    /// The smallest weight of an arm, as gpt-5=0.1; the floor by default
    #[arg(long, value_name = "ARM=WEIGHT", value_parser = weight)]
    min: Vec<(String, f64)>,
    /// The largest weight of an arm, as gpt-5=0.8; 1 by default
    #[arg(long, value_name = "ARM=WEIGHT", value_parser = weight)]
    max: Vec<(String, f64)>,
    /// The smallest weight of every arm
    #[arg(long, default_value_t = 0.02)]
    floor: f64,
    /// How far a weight may move in one version
    #[arg(long, default_value_t = 0.2)]
    step: f64,
    /// The most versions in an hour
    #[arg(long, default_value_t = 2)]
    per_hour: u32,
    /// The most versions in 24 hours
    #[arg(long, default_value_t = 24)]
    per_day: u32,
    /// The share of units that stay on the version that is active now
    #[arg(long, default_value_t = 0.0)]
    holdback: f64,
    /// The reward that may be lost within a week by exploring, summed over actions; no limit by default
    #[arg(long)]
    regret_budget: Option<f64>,
    /// The probability of any wrong claim in the watch of a version; that of config/tuning by default
    #[arg(long)]
    alpha: Option<f64>,
    /// A guardrail of that watch, as successRate=0.01, costUsd=1.1 or p95Latency=1.2; that of
    /// config/tuning by default
    #[arg(long = "guardrail", value_name = "NAME=LIMIT", value_parser = guardrail)]
    guardrails: Vec<(Rail, f64)>,
    /// For how many days
    #[arg(long, default_value_t = 30)]
    days: u32,
    #[command(flatten)]
    change: ChangeOptions,
}

/// A guardrail that an envelope may have.
#[derive(Clone, Copy, Debug)]
enum Rail {
    SuccessRate,
    CostUsd,
    P95Latency,
}

fn guardrail(text: &str) -> Result<(Rail, f64), String> {
    let (name, limit) = text.split_once('=').ok_or("expected NAME=LIMIT, as successRate=0.01")?;
    let rail = match name {
        "successRate" => Rail::SuccessRate,
        "costUsd" => Rail::CostUsd,
        "p95Latency" => Rail::P95Latency,
        _ => return Err(format!("expected successRate, costUsd or p95Latency, got {name:?}")),
    };
    let limit = limit.parse().map_err(|_| format!("{limit:?} is not a number"))?;
    Ok((rail, limit))
}

pub(super) fn weight(text: &str) -> Result<(String, f64), String> {
    let (arm, weight) = text.rsplit_once('=').ok_or("expected ARM=WEIGHT, as gpt-5=0.1")?;
    let weight = weight.parse().map_err(|_| format!("{weight:?} is not a number"))?;
    Ok((arm.to_owned(), weight))
}

pub async fn run(store: &Store, command: Command) -> Result<()> {
    match command {
        Command::Show { id, shown } => show(store, &named::policy(store, &id).await?, shown).await,
        Command::Approve(options) => {
            let terms = options.terms();
            let id = named::policy(store, &options.id).await?;
            let intent = options.change.intent(store).await?;
            changes::print(store.approve_envelope(&id, &terms, &intent).await)
        }
        Command::Freeze { id, change } => {
            let id = named::policy(store, &id).await?;
            changes::print(store.freeze_envelope(&id, &change.intent(store).await?).await)
        }
    }
}

async fn show(store: &Store, id: &str, shown: Shown) -> Result<()> {
    let Some(envelope) = store.envelope(id).await? else {
        bail!("{id} has no envelope: `policies envelope approve {id}` approves one");
    };
    if let Some(data) = shown.data() {
        return data.print(&envelope);
    }
    print(&envelope, store.now().await?);
    print_holdback(store, &envelope).await
}

impl Approve {
    fn terms(&self) -> EnvelopeTerms {
        let mut arms: BTreeMap<String, WeightRange> = BTreeMap::new();
        let any = WeightRange { min: self.floor, max: 1.0 };
        for (arm, min) in &self.min {
            arms.entry(arm.clone()).or_insert(any).min = *min;
        }
        for (arm, max) in &self.max {
            let range = arms.entry(arm.clone()).or_insert(any);
            range.max = *max;
            // A maximum below the floor is meant.
            range.min = range.min.min(*max);
        }
        let mut guardrails = ApprovedGuardrails::default();
        for (rail, limit) in &self.guardrails {
            let field = match rail {
                Rail::SuccessRate => &mut guardrails.success_rate,
                Rail::CostUsd => &mut guardrails.cost_usd,
                Rail::P95Latency => &mut guardrails.p95_latency,
            };
            *field = Some(*limit);
        }
        EnvelopeTerms {
            arms,
            floor: self.floor,
            step_bound: self.step,
            versions_an_hour: self.per_hour,
            versions_a_day: self.per_day,
            holdback: self.holdback,
            regret_budget: self.regret_budget,
            alpha: self.alpha,
            guardrails,
            hours: self.days.saturating_mul(24),
        }
    }
}

async fn print_holdback(store: &Store, envelope: &Envelope) -> Result<()> {
    let Some(counted) = store.holdback_counts(envelope).await? else { return Ok(()) };
    let rewards = store.reward_config().await?;
    let tuning = store.tuning_config().await?;
    let config = tuning.policies.get(&envelope.policy).cloned().unwrap_or_default();
    let compared = envelope.compare(&counted, &rewards, &config);
    let n = (compared.control_n, compared.candidate_n);
    match compared.reward {
        Some(reward) => say!(
            "mean reward of the holdback {:.3} (n = {}), of what was published {:.3} (n = {}): {}",
            reward.control.estimate,
            n.0,
            reward.candidate.estimate,
            n.1,
            format::difference(reward.change, 3)
        ),
        None => {
            let [held, published] = [n.0, n.1].map(|it| count(it, "observation"));
            say!("holdback: {held}; published: {published}");
        }
    }
    Ok(())
}

fn print(it: &Envelope, now: i64) {
    say!(
        "envelope {}@{}, approved by {} at {}",
        it.policy,
        it.number,
        it.approved_by,
        format::time_ago(it.approved_at, now)
    );
    match &it.frozen {
        Some(why) => say!("frozen: {why}"),
        None => say!("valid until {}", format::time_ago(it.expires_at, now)),
    }
    for (arm, WeightRange { min, max }) in &it.arms {
        say!("  {arm:<24} {min:.3}–{max:.3}");
    }
    say!(
        "floor {:.3}, step {:.3}, at most {} an hour and {} a day",
        it.floor,
        it.step_bound,
        count(it.versions_an_hour, "version"),
        it.versions_a_day
    );
    if it.holdback > 0.0 {
        say!("holdback: {:.1}% of the units stay on {}", it.holdback * 100.0, it.parent);
    }
    if let Some(budget) = it.regret_budget {
        say!("regret budget: {budget} a week");
    }
    let ApprovedGuardrails { success_rate, cost_usd, p95_latency } = it.guardrails;
    let limits = [
        it.alpha.map(|it| format!("alpha {it}")),
        success_rate.map(|it| format!("success rate -{it}")),
        cost_usd.map(|it| format!("cost x{it}")),
        p95_latency.map(|it| format!("p95 x{it}")),
    ];
    let limits: Vec<String> = limits.into_iter().flatten().collect();
    if !limits.is_empty() {
        say!("watched with {}; otherwise as config/tuning says", limits.join(", "));
    }
}
