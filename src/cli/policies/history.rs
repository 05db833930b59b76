//! `policies history`: the promised gain and the measured effect of each activation.

use anyhow::{Result, bail};
use f0_learning::jobs::guard::history::{ActivationRecord, history};
use f0_learning::store::Store;
use f0_learning_core::estimate::Measured;
use f0_learning_core::experiment::{Compared, Kind, Verdict};
use f0_learning_core::policy::PolicyKey;
use f0_learning_core::tuning::MoveCause;

use crate::cli::format::{self, UNKNOWN};
use crate::cli::output;

pub async fn run(store: &Store, id: &str, json: bool) -> Result<()> {
    PolicyKey::check_id(id)?;
    let records = history(store, id, store.now().await?).await?;
    if json {
        return output::print_json(&records);
    }
    if records.is_empty() && store.recent_versions(id).await?.is_empty() {
        bail!("unknown policy {id}: `policies list` shows all policies");
    }
    let header = [
        "version",
        "activated",
        "by",
        "cause",
        "promised",
        "reward",
        "success",
        "p95 ms",
        "cost usd",
        "verdict",
        "why",
    ];
    let mut table = output::table(&header);
    for record in &records {
        let promised = record.promised.map_or("-".to_owned(), |gain| match (gain.low, gain.high) {
            (Some(low), Some(high)) => {
                format::difference(Measured { estimate: gain.expected, low, high }, 3)
            }
            _ => format!("{:+.3}", gain.expected),
        });
        let [reward, success, latency, cost] = effects(record.verdict.as_ref());
        table.add_row([
            record.version.to_string(),
            format::time(record.activated_at),
            record.activated_by.clone(),
            record.cause.map_or("-", MoveCause::as_str).to_owned(),
            promised,
            reward,
            success,
            latency,
            cost,
            summary(record),
            record.why.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    output::print(&table);
    Ok(())
}

fn effects(verdict: Option<&Verdict>) -> [String; 4] {
    let Some(verdict) = verdict else { return [(); 4].map(|()| UNKNOWN.to_owned()) };
    let it = &verdict.comparison;
    let unknown = || UNKNOWN.to_owned();
    let change = |compared: Option<Compared>, digits| {
        compared.map_or_else(unknown, |it| format::difference(it.change, digits))
    };
    let latency = it.p95_latency.map_or_else(unknown, |it| {
        format!("{} → {}", format::interval(it.control, 0), format::interval(it.candidate, 0))
    });
    [change(it.reward, 3), change(it.success_rate, 3), latency, change(it.cost_usd, 5)]
}

fn summary(record: &ActivationRecord) -> String {
    let Some(verdict) = &record.verdict else { return UNKNOWN.to_owned() };
    let promise = verdict
        .promise
        .map_or(String::new(), |promise| format!(", promise {}", promise.kept.as_str()));
    let settled = if record.settled { "" } else { " so far" };
    let back = if record.rolled_back_at.is_some() { ", rolled back" } else { "" };
    let controls = match (verdict.kind, verdict.comparison.controls) {
        (Kind::Ab, _) => String::new(),
        (Kind::Watch, None) => ", without controls".to_owned(),
        (Kind::Watch, Some(controls)) => format!(", {} controls", controls.components),
    };
    format!("{}{promise}{settled}{controls}{back}", verdict.effect.as_str())
}
