//! `policies show`.

use anyhow::{Result, bail};
use f0_learning::jobs::tune::TuneJob;
use f0_learning::observability::printable;
use f0_learning::store::{MAX_EFFECT_DAYS, Store};
use f0_learning_core::document::Policy;
use f0_learning_core::effectiveness::{Activation, Earned, Effectiveness};
use f0_learning_core::plural::count;
use f0_learning_core::policy::{PolicyKey, PolicyStatus};
use f0_learning_core::tuning::{Check, of_observations};
use serde_json::json;

use crate::cli::format::{self, UNKNOWN};
use crate::cli::named;
use crate::cli::output::{self, Cell, Shown, number};

pub async fn run(store: &Store, text: &str, days: u32, shown: Shown) -> Result<()> {
    let text = &named::version(store, text).await?;
    if text.contains('@') {
        version(store, text, shown).await
    } else {
        policy(store, text, days, shown).await
    }
}

async fn version(store: &Store, text: &str, shown: Shown) -> Result<()> {
    let key: PolicyKey = text.parse()?;
    let policy = super::require(store, &key).await?;
    let earned = store.earned(&key.id, [&key.version]).await?.remove(&key.version);
    if let Some(data) = shown.data() {
        return data.print(&json!({ "policy": policy, "earned": earned }));
    }
    say_lines!("{}", describe(&policy, store.now().await?)?);
    match earned {
        Some(earned) => say!("  earned     {}", sum(&earned)),
        None => say!("  earned     no observations of this version"),
    }
    Ok(())
}

async fn policy(store: &Store, id: &str, days: u32, shown: Shown) -> Result<()> {
    if !(1..=MAX_EFFECT_DAYS).contains(&days) {
        bail!("invalid --days: expected 1 to {MAX_EFFECT_DAYS}, got {days}");
    }
    let unreadable = store.unreadable_versions(Some(id)).await?;
    for version in &unreadable {
        complain!("warning: {version}");
    }
    let standing = store.standing_policies(id).await?;
    if unreadable.is_empty() && standing.is_empty() && store.recent_versions(id).await?.is_empty() {
        bail!("unknown policy {id}: `policies list` shows all policies");
    }
    let now = store.now().await?;
    let effect = store.effectiveness(id, days, now).await?;
    let active: Vec<_> = standing.iter().filter(|it| it.status == PolicyStatus::Active).collect();
    let checks = match active.as_slice() {
        [active] => checks(store, active, now).await,
        _ => Vec::new(),
    };
    if let Some(data) = shown.data() {
        let all = json!({ "policies": standing, "effectiveness": effect, "checks": checks });
        return data.print(&all);
    }
    for policy in &standing {
        say_lines!("{}", describe(policy, now)?);
        if policy.status == PolicyStatus::Draft {
            print_stale(policy, &active);
        }
        say!();
    }
    for check in checks.iter().filter(|check| check.passed == Some(false)) {
        say!("check {} FAILED: {}", check.name, check.detail);
    }
    print_effect(&effect, days, now);
    match active.len() {
        1 => {}
        _ if !unreadable.is_empty() => {}
        _ => {
            let mut known = standing.clone();
            // A policy without an active version and without drafts may still have old versions.
            known.extend(store.recent_versions(id).await?.into_iter().take(1));
            known.dedup_by_key(|policy| policy.name());
            super::list::irregular(&known).iter().for_each(|it| complain!("warning: {it}"));
        }
    }
    Ok(())
}

/// The checks of the observations behind the active version; none if the policy is not tuned.
async fn checks(store: &Store, active: &Policy, now: i64) -> Vec<Check> {
    match TuneJob::new(store.clone()).look(active, now).await {
        Ok(input) => input.map(|input| of_observations(&input)).unwrap_or_default(),
        Err(error) => {
            complain!("warning: cannot check the observations: {error}");
            Vec::new()
        }
    }
}

fn print_stale(draft: &Policy, active: &[&Policy]) {
    if let Some(parent) = &draft.parent_version
        && !active.iter().any(|policy| policy.version == *parent)
    {
        say!("  stale      its parent {parent} is no longer active");
    }
}

/// Where the text of notes begins.
const NOTES_AT: usize = 13;

/// A version as text, with its evidence and params.
pub fn describe(policy: &Policy, now: i64) -> Result<String> {
    let mut text = String::new();
    // A text that ends a line must not look like one of these lines.
    let mut add = |line: std::fmt::Arguments<'_>| {
        text.push_str(&printable::line(&line.to_string()));
        text.push('\n');
    };
    add(format_args!("{}  {}", policy.name(), policy.status_in_words()));
    if let Some(why) = policy.pin_reason_text() {
        let by = policy.pin.pinned_by.as_deref().unwrap_or(UNKNOWN);
        add(format_args!("  pinned     by {by}: {why}"));
    }
    let created = format::time_ago(policy.created_at, now);
    add(format_args!("  created    {created} by {}", policy.created_by));
    if let (Some(at), Some(by)) = (policy.activated_at, &policy.activated_by) {
        add(format_args!("  activated  {} by {by}", format::time_ago(at, now)));
    }
    if let (Some(at), Some(by)) = (policy.rejected_at, &policy.rejected_by) {
        add(format_args!("  rejected   {} by {by}", format::time_ago(at, now)));
    }
    if let Some(parent) = &policy.parent_version {
        add(format_args!("  parent     {parent}"));
    }
    if let Some(previous) = &policy.previous_version {
        add(format_args!("  previous   {previous}"));
    }
    if let Some(gain) = policy.expected_gain {
        add(format_args!("  expected   {gain:+.3} mean reward"));
    }
    for (index, line) in policy.notes.as_deref().unwrap_or_default().lines().enumerate() {
        let line = output::wrapped(&printable::line(line), NOTES_AT);
        for (part, line) in line.lines().enumerate() {
            let title = if (index, part) == (0, 0) { "notes" } else { "" };
            add(format_args!("  {title:<10} {}", line.trim_start()));
        }
    }
    super::evidence::describe(policy, now).lines().for_each(|line| add(format_args!("{line}")));
    for line in serde_json::to_string_pretty(&policy.params)?.lines() {
        add(format_args!("  {line}"));
    }
    Ok(text)
}

fn sum(earned: &Earned) -> String {
    format!(
        "mean reward {:.3}, success {:.1}%, p95 {:.0} ms; {} of {}",
        earned.avg_reward,
        earned.success_rate * 100.0,
        earned.p95_latency,
        count(earned.n, "observation"),
        count(format_args!("{:.0}", earned.population), "action"),
    )
}

fn print_effect(effect: &Effectiveness, days: u32, now: i64) {
    say!("effects in the last {}", count(days, "day"));
    say!("  proposed   {} ({:.2} a day)", effect.proposed, effect.proposed_per_day);
    let automatic = effect.auto_activation_rate.map_or(String::new(), |rate| {
        format!(", {} of them automatically ({:.0}%)", effect.auto_activated, rate * 100.0)
    });
    say!("  activated  {}{automatic}", effect.activated);
    say!("  rejected   {} by admins, {} superseded", effect.rejected, effect.superseded);
    let (overrides, rollbacks) =
        (count(effect.overrides, "override"), count(effect.rollbacks, "rollback"));
    say!("  by hand    {overrides}, {rollbacks}");
    if let Some(ms) = effect.median_decision_ms {
        say!("  decided    within {} of the proposal (median)", format::duration(ms));
    }
    if !effect.activations.is_empty() {
        say!();
        output::print(&activations(&effect.activations, now));
    }
}

fn activations(all: &[Activation], now: i64) -> output::Table {
    let header =
        ["time", "action", "by", "version", "reward", "n", "replaced", "reward", "n", "change"];
    let mut table = output::table(&header).optional(&["by"]);
    let reward = |earned: &Option<Earned>| {
        number(earned.as_ref().map_or("-".to_owned(), |it| format!("{:.3}", it.avg_reward)))
    };
    let n = |earned: &Option<Earned>| number(earned.as_ref().map_or(0, |it| it.n));
    for it in all {
        table.add_row(vec![
            Cell::time(it.ts, now),
            it.action.clone().into(),
            it.actor.clone().into(),
            it.version.to_string().into(),
            reward(&it.after),
            n(&it.after),
            it.replaced.as_ref().map_or("-".to_owned(), ToString::to_string).into(),
            reward(&it.before),
            n(&it.before),
            number(it.change.map_or(String::new(), |change| format!("{change:+.3}"))),
        ]);
    }
    table
}
