use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use f0_learning_core::estimate::Measured;
use f0_learning_core::intent::Author;
use f0_learning_core::observation::Observation;
use f0_learning_core::stats::WindowStats;
use serde_json::json;

use super::names::MAX_NAMED;
use super::*;

/// Every metric with at least one value.
fn filled() -> Metrics {
    let metrics = Metrics::default();
    let service = metrics.service();
    service.job_added("score");
    service.pass("score", true);
    service.pass_took("score", Duration::from_secs(2));
    service.set_leases("score", 1);
    service.set_waiting(Waiting { backlog: 3, backlog_age_ms: 1_500, ..Waiting::default() });
    let failures = BTreeMap::from([("Unavailable".to_owned(), 1)]);
    service.set_requests(&Requests { reads: 7, failures, ..Requests::default() });
    service.notified("webhook", true);
    service.exported(true);
    let policies = metrics.policies();
    policies.set_active_versions([("router-core", 1)]);
    policies.add_changes("activate", Author::Tuner, 2);
    policies.set_reward_change("router-core", Measured { estimate: 0.03, low: 0.01, high: 0.05 });
    policies.set_convergence("router-core", Convergence::Moving);
    let components = metrics.components();
    components.add_volume(&BTreeMap::from([("c".to_owned(), volume())]));
    components.add_rejected(&BTreeMap::from([("c".to_owned(), 1)]));
    components.add_malformed(&BTreeMap::from([("c".to_owned(), 1)]));
    components.set_windows(&BTreeMap::from([("c".to_owned(), window(0.5))]), 0.55);
    metrics
}

fn volume() -> Volume {
    let json = json!({
        "ts": 1_780_000_000_000_i64, "component": "c", "outcome": "failure", "durationMs": 250,
        "costUsd": 0.5,
    });
    let mut volume = Volume::default();
    volume.add(&Observation::parse("o", json.as_object().unwrap()).unwrap());
    volume
}

fn window(avg_reward: f64) -> WindowStats {
    WindowStats { n: 4, avg_reward, avg_cost_usd: Some(0.5), ..WindowStats::default() }
}

/// What a text declares: name, type, unit, labels and help of each metric, as a row of the table.
fn rows(text: &str) -> BTreeSet<String> {
    let mut rows = BTreeSet::new();
    for help in text.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
        let (name, help) = help.split_once(' ').unwrap();
        let after = |start: String| {
            text.lines().find_map(move |line| line.strip_prefix(start.as_str()).map(str::to_owned))
        };
        let kind = after(format!("# TYPE {name} ")).unwrap();
        let unit = after(format!("# UNIT {name} ")).unwrap_or_default();
        let shown = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
        let sample = text.lines().find(|line| {
            let start = if kind == "histogram" { format!("{name}_count") } else { shown.clone() };
            line.strip_prefix(&start).is_some_and(|rest| rest.starts_with(['{', ' ']))
        });
        let sample = sample.unwrap_or_else(|| panic!("{name} has no value"));
        let labels = sample.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
        let labels = labels.map_or("", |(labels, _)| labels);
        let labels = labels.split("\",").filter_map(|label| label.split_once('='));
        let labels: Vec<_> = labels
            .map(|(name, _)| name)
            .filter(|it| *it != "le")
            .map(|it| format!("`{it}`"))
            .collect();
        let help = help.trim_end_matches('.');
        rows.insert(format!("| `{shown}` | {kind} | {unit} | {} | {help} |", labels.join(", ")));
    }
    rows
}

#[test]
fn the_table_of_the_documentation_is_what_is_exported() {
    let exported = rows(&filled().text(true));
    let documented = include_str!("../../../docs/metrics.md").lines();
    let documented: BTreeSet<String> =
        documented.filter(|line| line.starts_with("| `f0_")).map(str::to_owned).collect();
    let missing: Vec<_> = exported.difference(&documented).collect();
    let unknown: Vec<_> = documented.difference(&exported).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:#?}, unknown {unknown:#?}");
}

#[test]
fn a_unit_stands_at_the_end_of_the_name() {
    for row in rows(&filled().text(true)) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`').trim_end_matches("_total");
        assert!(cells[3].is_empty() || name.ends_with(cells[3]), "{row}");
    }
}

#[test]
fn counts_are_shown_and_a_removed_policy_disappears() {
    let metrics = Metrics::default();
    metrics.service().pass("tune", true);
    metrics.policies().set_active_versions([("gone", 1)]);
    metrics.policies().set_active_versions([("router-core", 2)]);
    let text = metrics.text(true);
    assert!(
        text.contains(r#"f0_job_passes_total{job_name="tune",outcome="succeeded"} 1"#),
        "{text}"
    );
    assert!(text.contains(r#"f0_policy_active_versions{policy="router-core"} 2"#), "{text}");
    assert!(text.contains("f0_ready 1") && !text.contains("gone"), "{text}");
}

#[test]
fn components_beyond_a_bound_share_one_series_and_no_count_is_lost() {
    let metrics = Metrics::default();
    let names: BTreeMap<_, _> =
        (0..3 * MAX_NAMED).map(|n| (format!("made-up-{n:04}"), 2)).collect();
    metrics.components().add_rejected(&names);
    metrics.components().add_malformed(&names);
    metrics.components().add_rejected(&BTreeMap::from([("x".repeat(10_000), 1)]));
    let windows = names.keys().map(|name| (name.clone(), window(0.7))).collect();
    metrics.components().set_windows(&windows, 0.55);
    let text = metrics.text(true);
    let of = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
    let rejected = text.lines().filter(|line| line.starts_with("f0_observations_rejected_total"));
    let counts = rejected.map(|line| line.rsplit(' ').next().unwrap());
    let total: usize = counts.map(|count| count.parse::<usize>().unwrap()).sum();
    assert_eq!(total, 2 * 3 * MAX_NAMED + 1);
    assert_eq!(of("f0_observations_rejected_total"), MAX_NAMED + 1);
    assert_eq!(of("f0_component_reward_mean{"), MAX_NAMED);
    assert!(text.contains(r#"{component="other"}"#) && text.len() < 400_000, "{}", text.len());
}

#[tokio::test(start_paused = true)]
async fn a_component_below_the_threshold_is_marked_until_its_window_is_out_of_date() {
    let metrics = Metrics::default();
    let windows =
        BTreeMap::from([("bad".to_owned(), window(0.5)), ("good".to_owned(), window(0.6))]);
    metrics.components().set_windows(&windows, 0.55);
    let text = metrics.text(true);
    assert!(text.contains(r#"f0_component_below_acceptable{component="bad"} 1"#), "{text}");
    assert!(text.contains(r#"f0_component_below_acceptable{component="good"} 0"#), "{text}");
    tokio::time::advance(Duration::from_secs(16 * 60)).await;
    assert!(!metrics.text(true).contains("f0_component_reward_mean{"), "another worker counts");
}

#[test]
fn volume_adds_up_durations_and_costs_by_component() {
    let metrics = Metrics::default();
    let volumes = BTreeMap::from([("c".to_owned(), volume())]);
    metrics.components().add_volume(&volumes);
    metrics.components().add_volume(&volumes);
    let text = metrics.text(true);
    for expected in [
        r#"f0_observations_scored_total{component="c",outcome="failure"} 2"#,
        r#"f0_observations_duration_seconds_total{component="c"} 0.5"#,
        r#"f0_observations_cost_usd_total{component="c"} 1.0"#,
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_to_convergence_is_from_the_first_better_version_to_the_best_weights() {
    let metrics = Metrics::default();
    let policies = metrics.policies();
    for (found, seconds) in [
        (Convergence::Moving, 0),
        (Convergence::Unknown, 600),
        (Convergence::Moving, 600),
        (Convergence::AtBest, 300),
        (Convergence::AtBest, 9_000),
    ] {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        policies.set_convergence("p", found);
    }
    let text = metrics.text(true);
    assert!(text.contains(r#"f0_policy_convergence_seconds{policy="p"} 1500.0"#), "{text}");
    assert!(text.contains(r#"f0_policy_at_best{policy="p"} 1"#), "{text}");
}
