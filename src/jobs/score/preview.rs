//! What observations of the last week would have earned under another configuration.

use std::collections::BTreeMap;

use crate::store::{Result, Store};
use f0_learning_core::observation::Observation;
use f0_learning_core::reward::{RewardConfig, score};
use f0_learning_core::time::DAY_MS;

/// The components that are shown, those with the most observations first.
const MAX_COMPONENTS: usize = 50;

/// The mean rewards of a sample under two configurations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RewardsPreview {
    /// The observations of the sample.
    pub n: usize,
    /// When the sample begins, in epoch milliseconds.
    pub since: i64,
    pub components: Vec<ComponentRewards>,
    /// Components of the sample that were left out.
    pub left_out: usize,
}

/// The mean rewards of one component, each observation weighed by what it represents.
#[derive(Clone, Debug, PartialEq)]
pub struct ComponentRewards {
    pub component: String,
    pub n: usize,
    pub before: f64,
    pub after: f64,
}

/// Scores a sample of the last week, or of the time since the first observation if that is shorter, under
/// both configurations.
///
/// # Errors
/// What Firestore refused.
pub async fn preview(
    store: &Store,
    (before, after): (&RewardConfig, &RewardConfig),
    now: i64,
) -> Result<RewardsPreview> {
    let week = now - 7 * DAY_MS;
    let since = store.first_observed(week).await?.unwrap_or(week).min(now);
    let sample = store.sample_observations(since, now).await?;
    Ok(RewardsPreview { since, ..compare(&sample, before, after) })
}

fn compare(sample: &[Observation], before: &RewardConfig, after: &RewardConfig) -> RewardsPreview {
    let mut sums: BTreeMap<&str, (usize, f64, f64, f64)> = BTreeMap::new();
    for it in sample {
        let (weight, sum) = (it.weight().as_f64(), sums.entry(&it.component).or_default());
        sum.0 += 1;
        sum.1 += weight;
        sum.2 += weight * score(before, it).score;
        sum.3 += weight * score(after, it).score;
    }
    let mean = |(component, (n, weight, before, after)): (&str, (usize, f64, f64, f64))| {
        let component = component.to_owned();
        ComponentRewards { component, n, before: before / weight, after: after / weight }
    };
    let mut components: Vec<_> = sums.into_iter().map(mean).collect();
    // Stable, so that those with as many observations keep the order of their names.
    components.sort_by_key(|it| std::cmp::Reverse(it.n));
    let left_out = components.len().saturating_sub(MAX_COMPONENTS);
    components.truncate(MAX_COMPONENTS);
    RewardsPreview { n: sample.len(), since: 0, components, left_out }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn means_weigh_each_observation_by_what_it_represents() {
        let observation = |rate: f64, outcome: &str| {
            let fields = json!({
                "ts": 1_780_000_000_000_i64, "component": "a", "outcome": outcome,
                "durationMs": 0, "sampleRate": rate,
            });
            Observation::parse("o", fields.as_object().unwrap()).unwrap()
        };
        let sample = [observation(0.1, "success"), observation(1.0, "failure")];
        let before = RewardConfig::default();
        let mut after = before.clone();
        after.weights.success = 0.35;
        let found = compare(&sample, &before, &after);
        let [it] = found.components.as_slice() else { panic!("one component") };
        assert_eq!((found.n, it.n), (2, 2));
        assert!((it.before - 0.85 * 10.0 / 11.0).abs() < 1e-12, "{it:?}");
        assert!((it.after - 0.6 * 10.0 / 11.0).abs() < 1e-12, "{it:?}");
    }
}
