//! `experiments show`.

use anyhow::{Result, bail};
use f0_learning::jobs::guard::{Evaluation, evaluate};
use f0_learning::store::Store;
use f0_learning_core::document::Experiment;
use f0_learning_core::experiment::{Comparison, Controls, Judgement, Kind, Status};
use f0_learning_core::plural::count;
use serde_json::json;

use super::kind;
use crate::cli::figures::{difference, measured};
use crate::cli::format::{self, UNKNOWN};
use crate::cli::output::{self, Cell, Shown};

pub async fn run(store: &Store, id: &str, shown: Shown) -> Result<()> {
    let Some(experiment) = store.experiment(id).await? else {
        bail!("unknown experiment {id}: `experiments list` shows the latest");
    };
    // An open experiment is evaluated now; one that ended has its last comparison on record.
    let now = store.now().await?;
    let (comparison, judgement, note) = match experiment.open {
        true => {
            let rewards = store.reward_config().await?;
            let Evaluation { comparison, judgement, unserved, .. } =
                evaluate(store, &experiment, &rewards, now).await?;
            (Some(comparison), Some(judgement), unserved)
        }
        false => (experiment.comparison.clone(), None, None),
    };
    if let Some(data) = shown.data() {
        let mut all = json!({ "experiment": experiment, "comparison": comparison });
        if let Some(note) = note {
            all["note"] = json!(note);
        }
        return data.print(&all);
    }
    head(&experiment, now);
    if let Some(comparison) = comparison {
        say!();
        print(&comparison);
        if experiment.kind == Kind::Watch {
            say!();
            say!("{}", comparison.basis());
        }
    }
    if let Some(judgement) = judgement {
        say!();
        say!("{}", next_step(experiment.status, &judgement));
    }
    if let Some(note) = note {
        say!("note: {note}");
    }
    Ok(())
}

fn head(it: &Experiment, now: i64) {
    say!("{}@{} against {} ({})", it.policy, it.candidate, it.control, kind(it));
    say!("  id         {}", it.id);
    say!("  status     {}", it.status.as_str());
    say!("  share      {:.0}% of the units", it.share * 100.0);
    say!("  metric     {}, smallest gain that matters {}", it.metric.as_str(), it.guard.min_effect);
    let rails = it.guard.guardrails;
    say!(
        "  guardrails reward -{}, success rate -{}, p95 x{}, cost x{}, rejected share {}",
        rails.reward,
        rails.success_rate,
        rails.p95_latency,
        rails.cost_usd,
        rails.rejected_share
    );
    say!("  started    {} by {}", format::time_ago(it.started_at, now), it.started_by);
    if it.stage > 0 {
        say!("  stage      {} since {}", it.stage + 1, format::time_ago(it.stage_started_at, now));
    }
    if let (Some(at), Some(by)) = (it.ended_at, &it.ended_by) {
        say!("  ended      {} by {by}", format::time_ago(at, now));
    }
    if let Some(reason) = &it.reason {
        say!("  reason     {reason}");
    }
}

/// The intervals are those that the guard decides by.
fn print(comparison: &Comparison) {
    let mut table = output::table(&["", "control", "candidate", "change"]);
    let n = |n: u64| Cell::from(n.to_string()).whole();
    table.add_row([
        "observations".into(),
        n(comparison.control_n),
        n(comparison.candidate_n),
        "".into(),
    ]);
    let means = [
        ("reward", comparison.reward, 4),
        ("success rate", comparison.success_rate, 4),
        ("cost usd", comparison.cost_usd, 6),
    ];
    for (name, compared, digits) in means {
        let Some(it) = compared else { continue };
        table.add_row([
            name.into(),
            measured(it.control, digits),
            measured(it.candidate, digits),
            difference(it.change, digits),
        ]);
    }
    if let Some(it) = comparison.p95_latency {
        table.add_row([
            "p95 ms".into(),
            Cell::from(format::durations(it.control)).whole(),
            Cell::from(format::durations(it.candidate)).whole(),
            "".into(),
        ]);
    }
    if let Some(it) = comparison.rejected_share {
        table.add_row([
            "rejected share".into(),
            it.control.map_or_else(|| UNKNOWN.into(), |it| measured(it, 4)),
            measured(it.candidate, 4),
            it.change.map_or_else(|| "".into(), |it| difference(it, 4)),
        ]);
    }
    if let Some(it) = comparison.missing_costs {
        table.add_row([
            "with a cost".to_owned(),
            format!("{:.0}%", it.control * 100.0),
            format!("{:.0}%", it.candidate * 100.0),
            "not compared".to_owned(),
        ]);
    }
    output::print(&table);
    if let Some(controls) = &comparison.controls {
        print_controls(controls);
    }
}

/// What other components did at the same time.
fn print_controls(controls: &Controls) {
    let Controls { components, before_n, after_n, .. } = controls;
    say!();
    let before = count(before_n, "observation");
    say!("other components: {components}, {before} before and {after_n} after");
    let mut table = output::table(&["", "change of the others", "change beyond theirs"]);
    let means = [("reward", controls.reward), ("success rate", controls.success_rate)];
    for (name, shift) in means {
        let Some(it) = shift else { continue };
        let [others, beyond] = [it.others, it.beyond].map(|it| difference(it, 4));
        table.add_row([name.into(), others, beyond]);
    }
    let ratios =
        [("p95 ms, factor", controls.p95_latency), ("cost usd, factor", controls.cost_usd)];
    for (name, shift) in ratios {
        let Some(it) = shift else { continue };
        let [others, beyond] = [it.others, it.beyond].map(|it| format::interval(it, 2));
        table.add_row([name.to_owned(), others, beyond]);
    }
    output::print(&table);
}

fn next_step(status: Status, judgement: &Judgement) -> String {
    match judgement {
        Judgement::Breach(breach) => {
            format!("the next guard pass rolls the candidate back: {breach}")
        }
        Judgement::Invalidated(why) => format!("the next guard pass ends the experiment: {why}"),
        _ if status == Status::Succeeded => {
            "proven to be better: activate the candidate or stop the experiment".to_owned()
        }
        Judgement::Continue => "running: no decision yet".to_owned(),
        Judgement::NextStage => "the next guard pass gives the candidate more units".to_owned(),
        Judgement::Success => "proven to be better".to_owned(),
        Judgement::Passed => "its effect is known and within the guardrails".to_owned(),
        Judgement::NoGain => "proven to gain less than the smallest gain that matters".to_owned(),
        Judgement::Inconclusive => "time is up without a proven difference".to_owned(),
    }
}
