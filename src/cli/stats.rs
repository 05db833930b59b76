//! `stats`: the statistics of each component.

use anyhow::Result;
use clap::Args;
use f0_learning::store::{ComponentStats, Store};

use super::format;
use super::output::{self, number};

#[derive(Debug, Args)]
pub struct Options {
    /// Only this component
    #[arg(long)]
    component: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(store: &Store, options: Options) -> Result<()> {
    let all = store.all_stats(options.component.as_deref()).await?;
    if options.json {
        return output::print_json(&all);
    }
    if all.is_empty() {
        say!(
            "no statistics: no observation of the last 7 days was scored (older ones are in no \
             window); write observations and run `f0-learning score`"
        );
        return Ok(());
    }
    output::print(&table(&all));
    Ok(())
}

pub fn table(all: &[ComponentStats]) -> output::Table {
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
    ]);
    for ComponentStats { component, window, ts, stats } in all {
        table.add_row(vec![
            component.into(),
            window.as_str().into(),
            number(stats.n),
            number(stats.rejected),
            number(stats.malformed),
            number(stats.unversioned),
            number(format!("{:.1}%", stats.success_rate * 100.0)),
            number(format!("{:.0}", stats.p50_latency)),
            number(format!("{:.0}", stats.p95_latency)),
            number(stats.avg_cost_usd.map_or("-".to_owned(), |cost| format!("{cost:.4}"))),
            number(format!("{:.3}", stats.avg_reward)),
            format::time(*ts).into(),
        ]);
    }
    table
}
