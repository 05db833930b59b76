//! The components that a version does not concern, as controls of its watch.

use std::collections::BTreeSet;

use semver::Version;

use crate::store::{Result, Store, StoreError};
use f0_learning_core::document::Policy;
use f0_learning_core::experiment::{MAX_COMPONENTS, OtherComponent};
use f0_learning_core::policy::PolicyKey;
use f0_learning_core::tuning::{ARM_PLACEHOLDER, PolicyTuning};

/// The activation of `candidate`, which replaced `control`.
pub(super) struct Activated<'a> {
    pub policy: &'a str,
    pub control: &'a Version,
    pub candidate: &'a Version,
    /// Epoch milliseconds.
    pub at: i64,
}

/// The components that are not arms of the policy, that no observation of the two versions names, and
/// that were observed before and after the activation.
pub(super) async fn others(
    store: &Store,
    activated: &Activated<'_>,
    now: i64,
) -> Result<Vec<OtherComponent>> {
    let Activated { policy, control, candidate, at } = *activated;
    let mut concerned = BTreeSet::new();
    for tally in store.tallies(policy, [control, candidate]).await?.values() {
        // Too many components name the version for all of them to be known.
        let Some(rewards) = tally.tally.rewards() else { return Ok(Vec::new()) };
        concerned.extend(rewards.keys().cloned());
    }
    let bounds = store.tuning_config().await?.policies.remove(policy).unwrap_or_default();
    let mut since = i64::MIN;
    for version in [control, candidate] {
        let Some(found) = readable(store, policy, version).await? else { continue };
        let weights = found.params.model_weights().ok().flatten().unwrap_or_default();
        concerned.extend(weights.keys().map(|arm| bounds.component_of(arm)));
        if version == control {
            since = found.activated_at.filter(|it| *it < at).unwrap_or(since);
        }
    }
    let is_concerned =
        |component: &str| concerned.contains(component) || is_arm(&bounds, component);
    let found = store.first_series(2 * MAX_COMPONENTS).await?;
    let others = found.into_iter().filter(|it| !is_concerned(&it.component));
    let others = others.filter_map(|mut it| {
        it.series.advance(now);
        OtherComponent::of(&it.series, since, at, now)
    });
    Ok(others.take(MAX_COMPONENTS).collect())
}

async fn readable(store: &Store, policy: &str, version: &Version) -> Result<Option<Policy>> {
    let Ok(key) = PolicyKey::new(policy, version.clone()) else { return Ok(None) };
    match store.policy(&key).await {
        Err(StoreError::Decode { .. }) => Ok(None),
        found => found,
    }
}

/// Whether the component has the name of an arm, also of one that no version has. A pattern without
/// any other text says nothing.
fn is_arm(bounds: &PolicyTuning, component: &str) -> bool {
    let Some((prefix, suffix)) = bounds.component.split_once(ARM_PLACEHOLDER) else { return false };
    let has_text = !prefix.is_empty() || !suffix.is_empty();
    has_text && component.starts_with(prefix) && component.ends_with(suffix)
}
