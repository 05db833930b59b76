//! `policies history`: the promised gain and the measured effect of each activation.

use anyhow::{Result, bail};
use f0_learning::jobs::guard::history::{ActivationRecord, history};
use f0_learning::store::Store;
use f0_learning_core::estimate::Measured;
use f0_learning_core::experiment::{Compared, Kind, Verdict};
use f0_learning_core::policy::PolicyKey;
use f0_learning_core::tuning::MoveCause;

use crate::cli::figures::difference;
use crate::cli::format::{self, UNKNOWN};
use crate::cli::named;
use crate::cli::output::{self, Cell, Shown};

pub async fn run(store: &Store, id: &str, shown: Shown) -> Result<()> {
    PolicyKey::check_id(id)?;
    let id = &named::policy(store, id).await?;
    let now = store.now().await?;
    let records = history(store, id, now).await?;
    if let Some(data) = shown.data() {
        return data.print(&records);
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
    // The verdict says how each metric counted; `show` and JSON have the rest.
    let less = ["by", "cause", "success", "p95 ms", "cost usd", "why"];
    let mut table = output::table(&header).optional(&less);
    for record in &records {
        let promised = record.promised.map_or("-".into(), |gain| match (gain.low, gain.high) {
            (Some(low), Some(high)) => {
                difference(Measured { estimate: gain.expected, low, high }, 3)
            }
            _ => format!("{:+.3}", gain.expected).into(),
        });
        let [reward, success, latency, cost] = effects(record.verdict.as_ref());
        table.add_row([
            record.version.to_string().into(),
            Cell::time(record.activated_at, now),
            record.activated_by.clone().into(),
            record.cause.map_or("-", MoveCause::as_str).into(),
            promised,
            reward,
            success,
            latency,
            cost,
            summary(record).into(),
            record.why.as_deref().unwrap_or("-").into(),
        ]);
    }
    output::print(&table);
    Ok(())
}

fn effects(verdict: Option<&Verdict>) -> [Cell; 4] {
    let Some(verdict) = verdict else { return [(); 4].map(|()| UNKNOWN.into()) };
    let it = &verdict.comparison;
    let unknown = || Cell::from(UNKNOWN);
    let change = |compared: Option<Compared>, digits| {
        compared.map_or_else(unknown, |it| difference(it.change, digits))
    };
    let latency = it.p95_latency.map_or_else(unknown, |it| {
        format!("{} → {}", format::durations(it.control), format::durations(it.candidate)).into()
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
