//! How long an A/B test of a draft is expected to take, by the traffic of the active version.

use super::ExperimentRequest;
use crate::store::change::ChangeResult;
use crate::store::{ChangeError, Store, StoreError};
use f0_learning_core::experiment::{ExpectedDuration, Traffic, expected_duration};
use f0_learning_core::policy::{PolicyKey, PolicyStatus};

/// The gains that are estimated, as multiples of the smallest that matters.
const GAINS: [f64; 4] = [1.0, 2.0, 5.0, 10.0];

/// What a test is expected to take.
#[derive(Clone, Debug, PartialEq)]
pub struct TestEstimate {
    pub traffic: Traffic,
    pub durations: Vec<ExpectedDuration>,
    pub max_days: u32,
}

impl Store {
    /// What an A/B test of a draft is expected to take. `None` if no observation names the active
    /// version, or if the version has been active for less than a minute.
    ///
    /// # Errors
    /// [`ChangeError::UnknownPolicy`] without an active version, or what Firestore refused.
    pub async fn estimate_experiment(
        &self,
        candidate: &PolicyKey,
        request: &ExperimentRequest,
        now: i64,
    ) -> ChangeResult<Option<TestEstimate>> {
        let versions = self.standing_policies(&candidate.id).await?;
        let active = versions.into_iter().rfind(|it| it.status == PolicyStatus::Active);
        let active = active.ok_or_else(|| ChangeError::UnknownPolicy(candidate.id.clone()))?;
        let config = request.over(self.tuning_config().await?.guard);
        let key = PolicyKey::new(&candidate.id, active.version.clone())
            .map_err(|error| StoreError::decode(&candidate.id, "a policy id", error))?;
        let tally = self.tally(&key).await?;
        let since = active.activated_at.unwrap_or(active.created_at);
        let traffic = Traffic::of(tally.samples(), request.metric, now.saturating_sub(since));
        let Some(traffic) = traffic else { return Ok(None) };
        let least = if config.min_effect > 0.0 { config.min_effect } else { 0.01 };
        let durations = GAINS.map(|times| expected_duration(&config, traffic, least * times));
        let max_days = config.max_days;
        Ok(Some(TestEstimate { traffic, durations: durations.into(), max_days }))
    }
}
