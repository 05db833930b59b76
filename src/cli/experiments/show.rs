//! `experiments show`.

use anyhow::{Result, bail};
use f0_learning::jobs::guard::{Evaluation, evaluate};
use f0_learning::store::Store;
use f0_learning_core::Clock;
use f0_learning_core::document::Experiment;
use f0_learning_core::experiment::{Comparison, Judgement, Status};
use serde_json::json;

use super::{kind, range};
use crate::cli::output;

pub async fn run(store: &Store, id: &str, json: bool) -> Result<()> {
    let Some(experiment) = store.experiment(id).await? else {
        bail!("there is no experiment {id}; `experiments list` shows those that there are");
    };
    // What goes on is looked at now; of what ended, what it ended on is on record.
    let (comparison, judgement) = match experiment.open {
        true => {
            let rewards = store.reward_config().await?;
            let Evaluation { comparison, judgement, .. } =
                evaluate(store, &experiment, &rewards, Clock::system().now()).await?;
            (Some(comparison), Some(judgement))
        }
        false => (experiment.comparison.clone(), None),
    };
    if json {
        return output::print_json(&json!({ "experiment": experiment, "comparison": comparison }));
    }
    head(&experiment);
    if let Some(comparison) = comparison {
        say!();
        print(&comparison);
    }
    if let Some(judgement) = judgement {
        say!("\n{}", follows(experiment.status, &judgement));
    }
    Ok(())
}

fn head(it: &Experiment) {
    say!("{}@{} against {} ({})", it.policy, it.candidate, it.control, kind(it));
    say!("  id         {}", it.id);
    say!("  status     {}", it.status.as_str());
    say!("  share      {:.0}% of the units", it.share * 100.0);
    say!("  metric     {}, at least {}", it.metric.as_str(), it.guard.min_effect);
    let rails = it.guard.guardrails;
    say!(
        "  allowed    reward -{}, success rate -{}, p95 x{}, cost x{}",
        rails.reward,
        rails.success_rate,
        rails.p95_latency,
        rails.cost_usd
    );
    say!("  started    {} by {}", output::time(it.started_at), it.started_by);
    if it.stage > 0 {
        say!("  stage      {} since {}", it.stage + 1, output::time(it.stage_started_at));
    }
    if let (Some(at), Some(by)) = (it.ended_at, &it.ended_by) {
        say!("  ended      {} by {by}", output::time(at));
    }
    if let Some(reason) = &it.reason {
        say!("  because    {reason}");
    }
}

/// Every interval is what the guard goes by.
fn print(comparison: &Comparison) {
    let mut table = output::table(&["", "control", "candidate", "change"]);
    let n = |n: u64| n.to_string();
    table.add_row([
        "observations".to_owned(),
        n(comparison.control_n),
        n(comparison.candidate_n),
        String::new(),
    ]);
    let means = [
        ("reward", comparison.reward, 4),
        ("success rate", comparison.success_rate, 4),
        ("cost usd", comparison.cost_usd, 6),
    ];
    for (name, compared, digits) in means {
        let Some(it) = compared else { continue };
        let shown = |m: f0_learning_core::estimate::Measured| {
            format!("{:.digits$} ({:.digits$}..{:.digits$})", m.estimate, m.low, m.high)
        };
        let change = range(it.change.estimate, it.change.low, it.change.high, digits);
        table.add_row([name.to_owned(), shown(it.control), shown(it.candidate), change]);
    }
    if let Some(it) = comparison.p95_latency {
        let shown = |low: f64, high: f64| format!("{low:.0}..{high:.0}");
        table.add_row([
            "p95 ms".to_owned(),
            shown(it.control.low, it.control.high),
            shown(it.candidate.low, it.candidate.high),
            String::new(),
        ]);
    }
    output::print(&table);
}

fn follows(status: Status, judgement: &Judgement) -> String {
    match judgement {
        Judgement::Breach(breach) => format!("to be taken back: {breach}"),
        Judgement::Invalidated(invalidated) => {
            format!("it ends with the guard's next pass: {invalidated}")
        }
        _ if status == Status::Succeeded => {
            "proven to be better; activate it, or stop the experiment".to_owned()
        }
        Judgement::Continue => "nothing follows yet".to_owned(),
        Judgement::NextStage => "the guard's next pass gives the candidate more units".to_owned(),
        Judgement::Success => "proven to be better".to_owned(),
        Judgement::Passed => "what it did is known, and is within bounds".to_owned(),
        Judgement::NoGain => "proven to gain less than was asked".to_owned(),
        Judgement::Inconclusive => "time is up, and they cannot be told apart".to_owned(),
    }
}
