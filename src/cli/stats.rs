//! `stats`: the statistics of each component.

use anyhow::Result;
use clap::Args;
use f0_learning::store::{ComponentStats, Store};
use f0_learning_core::stats::WindowStats;

use super::format;
use super::output::{self, Cell, Shown, number};

#[derive(Debug, Args)]
pub struct Options {
    /// Only this component
    #[arg(long)]
    component: Option<String>,
    #[command(flatten)]
    shown: Shown,
}

pub async fn run(store: &Store, options: Options) -> Result<()> {
    let all = store.all_stats(options.component.as_deref()).await?;
    if let Some(data) = options.shown.data() {
        return data.print(&all);
    }
    if all.is_empty() {
        say!(
            "no statistics: no observation of the last 7 days was scored (older ones are in no \
             window); write observations and run `f0-learning score`"
        );
        return Ok(());
    }
    output::print(&table(&all, store.now().await?));
    Ok(())
}

/// A row for each window. A window without observations has no means.
pub fn table(all: &[ComponentStats], now: i64) -> output::Table {
    let mut table = output::table(&[
        "component",
        "window",
        "n",
        "rejected",
        "malformed",
        "no version",
        "success",
        "p50 ms",
        "p95 ms",
        "avg usd",
        "avg reward",
        "as of",
    ])
    .optional(&["rejected", "malformed", "no version", "as of"]);
    for ComponentStats { component, window, ts, stats } in all {
        let [success, p50, p95, cost, reward] = figures(stats);
        table.add_row(vec![
            component.into(),
            window.as_str().into(),
            number(stats.n),
            number(stats.rejected),
            number(stats.malformed),
            number(stats.unversioned),
            success,
            p50,
            p95,
            cost,
            reward,
            Cell::time(*ts, now),
        ]);
    }
    table
}

/// The success rate, both latencies, the cost and the reward of a window.
pub fn figures(stats: &WindowStats) -> [Cell; 5] {
    [
        figure(stats, |it| Some(format!("{:.1}%", it.success_rate * 100.0))),
        figure(stats, |it| Some(format!("{:.0}", it.p50_latency))),
        figure(stats, |it| Some(format!("{:.0}", it.p95_latency))),
        figure(stats, |it| it.avg_cost_usd.map(|cost| format!("{cost:.4}"))),
        figure(stats, |it| Some(format!("{:.3}", it.avg_reward))),
    ]
}

/// A figure of a window; a dash where nothing was observed.
fn figure(stats: &WindowStats, text: impl Fn(&WindowStats) -> Option<String>) -> Cell {
    let known = if stats.n == 0 { None } else { text(stats) };
    number(known.unwrap_or_else(|| format::NONE.to_owned()))
}
