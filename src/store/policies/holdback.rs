//! What the units that stay on the version of an envelope's approval show of what was published since.

use firestore_kit::{Query, value};

use crate::store::collection::{ENVELOPES, POLICIES};
use crate::store::lifecycle::TUNER;
use crate::store::scoring::stored_fields::scored_under;
use crate::store::{Result, Store, StoreError};
use f0_learning_core::estimate::Sample;
use f0_learning_core::experiment::Baseline;
use f0_learning_core::policy::PolicyKey;
use f0_learning_core::reward::ScoredUnder;
use f0_learning_core::tuning::envelope::Envelope;
use semver::Version;

/// The fields of an envelope with what was counted of the holdback's version at the approval.
pub(super) const BASELINE: &str = "baseline";
pub(super) const BASELINE_SCORED_UNDER: &str = "baselineScoredUnder";

/// The number of published versions that are compared with the holdback, the latest first.
const COMPARED: usize = 64;

impl Store {
    /// What was counted since the approval: as control of the units that stay, as candidate of the
    /// versions that the tuner published. `None` without a holdback, or if the envelope was replaced.
    ///
    /// # Errors
    /// What Firestore refused, or counts that cannot be read.
    pub async fn holdback_counts(&self, envelope: &Envelope) -> Result<Option<Baseline>> {
        let policy = &envelope.policy;
        let Some(document) = self.db.get(ENVELOPES, policy).await? else { return Ok(None) };
        // A person may have approved another one since.
        let number = value::as_whole(&document.fields, "number");
        if number != Some(envelope.number.into()) {
            return Ok(None);
        }
        let Some(bytes) = value::as_bytes(&document.fields, BASELINE) else { return Ok(None) };
        let malformed = |detail: String| {
            StoreError::decode(self.db.short_name(&document.name), "a holdback's baseline", detail)
        };
        let mut before = Baseline::decode(bytes).map_err(|error| malformed(error.to_string()))?;
        before.scored_under[0] =
            scored_under(&document.fields, BASELINE_SCORED_UNDER).map_err(malformed)?;
        let parent: Version = envelope.parent.parse().map_err(|error: semver::Error| {
            StoreError::decode(policy, "the parent of an envelope", error)
        })?;
        let published = self.published_since(policy, envelope.approved_at).await?;
        let mut tallies = self.tallies(policy, published.iter().chain([&parent])).await?;
        let mut counted = Baseline::default();
        if let Some(held) = tallies.remove(&parent) {
            counted.control = held.tally.samples().clone();
            counted.scored_under[0] = held.scored_under;
        }
        for tally in tallies.into_values() {
            let mut samples = tally.tally.samples().clone();
            let stamps = [tally.scored_under.as_ref(), counted.scored_under[0].as_ref()];
            if !ScoredUnder::is_same(stamps[0], stamps[1]) {
                samples.reward = Sample::default();
            }
            counted.candidate.merge(&samples);
        }
        for state in [&mut counted, &mut before] {
            state.scored_under[1] = state.scored_under[0].clone();
        }
        Ok(Some(counted.since(&before)))
    }

    /// What is counted of the holdback's version now.
    pub(super) async fn holdback_baseline(
        &self,
        policy: &str,
        parent: &Version,
    ) -> Result<Baseline> {
        let key = PolicyKey::new(policy, parent.clone())
            .map_err(|error| StoreError::decode(policy, "a policy id", error))?;
        let (tally, stamp) = self.stamped_tally(&key).await?;
        let control = tally.samples().clone();
        Ok(Baseline { control, scored_under: [stamp, None], ..Baseline::default() })
    }

    /// The versions that the tuner activated since a time.
    async fn published_since(&self, policy: &str, since: i64) -> Result<Vec<Version>> {
        let query = Query::of(POLICIES).equal("id", value::string(policy)).descending("createdAt");
        let found = self.db.query_all(POLICIES, query.limit(COMPARED).build()).await?;
        let published = self
            .decode_readable_policies(&found)
            .into_iter()
            .filter(|it| it.created_by == TUNER && it.activated_at.is_some_and(|at| at >= since));
        Ok(published.map(|it| it.version).collect())
    }
}
