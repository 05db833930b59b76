//! `policies history`: promise beside outcome.

use anyhow::{Result, bail};
use f0_learning::jobs::guard::history::{ActivationRecord, history};
use f0_learning::store::Store;
use f0_learning_core::Clock;
use f0_learning_core::experiment::Verdict;
use f0_learning_core::policy::PolicyKey;

use crate::cli::experiments::range;
use crate::cli::output;

pub async fn run(store: &Store, id: &str, json: bool) -> Result<()> {
    PolicyKey::check_id(id)?;
    let outcomes = history(store, id, Clock::system().now()).await?;
    if json {
        return output::print_json(&outcomes);
    }
    if outcomes.is_empty() && store.recent_versions(id).await?.is_empty() {
        bail!("there is no policy {id}; `policies list` shows those that there are");
    }
    let header = [
        "version",
        "activated",
        "by",
        "promised",
        "reward",
        "success",
        "p95 ms",
        "cost usd",
        "verdict",
    ];
    let mut table = output::table(&header);
    for outcome in &outcomes {
        let promised =
            outcome.promised.map_or("-".to_owned(), |gain| match (gain.low, gain.high) {
                (Some(low), Some(high)) => range(gain.expected, low, high, 3),
                _ => format!("{:+.3}", gain.expected),
            });
        let [reward, success, latency, cost] = effects(outcome.verdict.as_ref());
        table.add_row([
            outcome.version.to_string(),
            output::time(outcome.activated_at),
            outcome.activated_by.clone(),
            promised,
            reward,
            success,
            latency,
            cost,
            told(outcome),
        ]);
    }
    output::print(&table);
    Ok(())
}

fn effects(verdict: Option<&Verdict>) -> [String; 4] {
    let Some(verdict) = verdict else { return [(); 4].map(|()| "-".to_owned()) };
    let it = &verdict.comparison;
    let change = |compared: Option<f0_learning_core::experiment::Compared>, digits| {
        compared.map_or("-".to_owned(), |it| {
            range(it.change.estimate, it.change.low, it.change.high, digits)
        })
    };
    let latency = it.p95_latency.map_or("-".to_owned(), |it| {
        format!(
            "{:.0}..{:.0} to {:.0}..{:.0}",
            it.control.low, it.control.high, it.candidate.low, it.candidate.high
        )
    });
    [change(it.reward, 3), change(it.success_rate, 3), latency, change(it.cost_usd, 5)]
}

fn told(outcome: &ActivationRecord) -> String {
    let Some(verdict) = &outcome.verdict else { return "not known yet".to_owned() };
    let promise = verdict
        .promise
        .map_or(String::new(), |promise| format!(", promise {}", promise.kept.as_str()));
    let settled = if outcome.settled { "" } else { " so far" };
    let back = if outcome.rolled_back_at.is_some() { ", taken back" } else { "" };
    format!("{}{promise}{settled}{back}", verdict.effect.as_str())
}
