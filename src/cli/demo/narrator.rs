//! The narrator: reads the store like an admin and prints what is new.

use std::collections::BTreeSet;
use std::time::Duration;

use f0_learning::store::{Store, StoreError, TUNER};
use f0_learning_core::document::Policy;
use f0_learning_core::policy::PolicyStatus;
use f0_learning_core::stats::Window;
use tokio_util::sync::CancellationToken;

use crate::cli::{output, policies, stats};

const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The table of statistics is printed every this many looks.
const TABLE_EVERY: u64 = 5;

pub async fn run(store: Store, stop: CancellationToken) {
    let mut seen = BTreeSet::new();
    let mut timer = tokio::time::interval(LOOK_EVERY);
    let mut look = 0;
    while stop.run_until_cancelled(timer.tick()).await.is_some() {
        look += 1;
        if let Err(error) = self::look(&store, &mut seen, look % TABLE_EVERY == 0).await {
            tracing::warn!(%error, "the narrator cannot read the store");
        }
    }
}

async fn look(
    store: &Store,
    seen: &mut BTreeSet<String>,
    with_table: bool,
) -> Result<(), StoreError> {
    let now = store.now().await?;
    if with_table {
        let mut all = store.all_stats(None).await?;
        all.retain(|stats| stats.window == Window::OneHour);
        if !all.is_empty() {
            say!("statistics of the last hour");
            output::print(&stats::table(&all, now));
            say!();
        }
    }
    for policy in store.policies(None).await? {
        match policy.status {
            PolicyStatus::Draft if seen.insert(policy.name()) => print_draft(&policy, now),
            PolicyStatus::Active if seen.insert(format!("{} active", policy.name())) => {
                print_active(&policy);
            }
            _ => {}
        }
    }
    Ok(())
}

fn print_active(policy: &Policy) {
    let weights = policy.params.model_weights().ok().flatten().unwrap_or_default();
    let weights: Vec<String> =
        weights.iter().map(|(arm, weight)| format!("{arm} {weight:.3}")).collect();
    let by = policy.activated_by.as_deref().unwrap_or(&policy.created_by);
    say!("{} is active ({by}): {}", policy.name(), weights.join(", "));
    if policy.created_by == TUNER {
        say_lines!("  {}", policy.notes.as_deref().unwrap_or_default());
    }
    say!();
}

fn print_draft(policy: &Policy, now: i64) {
    say!("a better version of {} was proposed", policy.id);
    match policies::describe(policy, now) {
        Ok(text) => say_lines!("{text}\n"),
        Err(error) => tracing::warn!(%error, "cannot describe the draft"),
    }
    let name = policy.name();
    say!("  compare it with the active version:  f0-learning policies diff {name}");
    say!("  activate it:                         f0-learning policies activate {name}");
    say!();
}
