//! How long an A/B test of a draft is expected to take, by the traffic of the active version.

use super::ExperimentRequest;
use crate::store::change::ChangeResult;
use crate::store::{ChangeError, Result, Store, StoreError};
use f0_learning_core::experiment::{ExpectedDuration, Traffic, expected_duration};
use f0_learning_core::policy::{PolicyKey, PolicyStatus};
use f0_learning_core::stats::Window;

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
    /// version, or if its arms have no statistics.
    ///
    /// # Errors
    /// [`ChangeError::UnknownPolicy`] without an active version, or what Firestore refused.
    pub async fn estimate_experiment(
        &self,
        candidate: &PolicyKey,
        request: &ExperimentRequest,
    ) -> ChangeResult<Option<TestEstimate>> {
        let versions = self.standing_policies(&candidate.id).await?;
        let active = versions.into_iter().rfind(|it| it.status == PolicyStatus::Active);
        let active = active.ok_or_else(|| ChangeError::UnknownPolicy(candidate.id.clone()))?;
        let tuning = self.tuning_config().await?;
        let config = request.over(tuning.guard);
        let key = PolicyKey::new(&candidate.id, active.version.clone())
            .map_err(|error| StoreError::decode(&candidate.id, "a policy id", error))?;
        let tally = self.tally(&key).await?;
        let weights = active.params.model_weights().ok().flatten().unwrap_or_default();
        let settings = tuning.policies.get(&candidate.id);
        let components: Vec<String> = settings.map_or_else(Vec::new, |settings| {
            weights.keys().map(|arm| settings.component_of(arm)).collect()
        });
        let per_hour = self.observations_an_hour(&components).await?;
        let Some(traffic) = Traffic::of(tally.samples(), request.metric, per_hour) else {
            return Ok(None);
        };
        let least = if config.min_effect > 0.0 { config.min_effect } else { 0.01 };
        let durations = GAINS.map(|times| expected_duration(&config, traffic, least * times));
        let max_days = config.max_days;
        Ok(Some(TestEstimate { traffic, durations: durations.into(), max_days }))
    }

    /// The observations of the components an hour: by the last hour or, if that is more, by the last day.
    /// Only the time since the first observation counts, so that a system that began minutes ago is not
    /// taken for a slow one.
    async fn observations_an_hour(&self, components: &[String]) -> Result<f64> {
        let (now, mut most) = (self.now().await?, 0.0_f64);
        let first = self.first_observed(0).await?;
        for window in [Window::OneHour, Window::OneDay] {
            let stats = self.stats_of(components, window).await?;
            // A window ends when it was computed.
            let Some(end) = stats.iter().map(|it| it.ts).max() else { continue };
            let (end, since) = (end.min(now), window.start(end));
            let first = first.map_or(since, |it| it.max(since));
            let n = stats.iter().map(|it| it.stats.n).sum();
            most = most.max(Traffic::an_hour(n, end - first));
        }
        Ok(most)
    }
}
