//! The samples of one component by time, from which estimates are computed.

use serde::{Deserialize, Serialize};

use super::tiers::{Merge, Scale, Slot, Tiers};
use crate::estimate::{Cost, Latency, RewardScore, Sample, Success};
use crate::number::{Lossy, whole_u64};
use crate::observation::{Observation, Outcome, Weight};
use crate::reward::Reward;
use crate::time::{DAY_MS, HOUR_MS};

/// The samples that estimates are computed from; see [`crate::estimate`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Samples {
    pub reward: Sample<RewardScore>,
    pub success: Sample<Success>,
    /// Of the observations with a cost.
    pub cost: Sample<Cost>,
    /// Of the observations with a usable duration.
    pub latency: Sample<Latency>,
    /// Documents that could not be scored. This and the next field are not in the encoding of the
    /// samples, but after it, so that earlier versions can read what this one writes; see
    /// `crate::appended`.
    #[serde(skip)]
    pub rejected: u64,
    /// Observations from the time before rejected documents were counted; they say nothing about
    /// their share.
    #[serde(skip)]
    pub uncounted: u64,
}

impl Samples {
    /// Adds an observation with its weight.
    pub fn add(&mut self, observation: &Observation, reward: &Reward) {
        self.add_with_weight(observation, reward, observation.weight());
    }

    /// Adds an observation with its weight for the arm; see [`Observation::weight_of_arm`].
    pub(super) fn add_of_arm(&mut self, observation: &Observation, reward: &Reward) {
        self.add_with_weight(observation, reward, observation.weight_of_arm());
    }

    fn add_with_weight(&mut self, observation: &Observation, reward: &Reward, weight: Weight) {
        self.reward.add(reward.score, weight);
        let success = observation.outcome == Outcome::Success;
        self.success.add(f64::from(u8::from(success)), weight);
        if let Some(duration_ms) = observation.duration_ms {
            self.latency.add(duration_ms, weight);
        }
        if let Some(cost) = observation.cost_usd {
            self.cost.add(cost, weight);
        }
    }

    /// Counts a document that is not an observation.
    pub fn reject(&mut self) {
        self.rejected = self.rejected.saturating_add(1);
    }

    /// A rejected document was released from quarantine.
    pub fn release(&mut self) {
        self.rejected = self.rejected.saturating_sub(1);
    }

    /// The number of observations.
    pub fn n(&self) -> u64 {
        whole_u64(self.reward.n().round())
    }

    /// The number of documents, rejected ones included, since rejected ones were counted.
    pub fn documents(&self) -> u64 {
        self.n().saturating_sub(self.uncounted).saturating_add(self.rejected)
    }

    /// The share of the documents that could not be scored; 0 without documents.
    pub fn rejected_share(&self) -> f64 {
        match self.documents() {
            0 => 0.0,
            documents => self.rejected.to_f64() / documents.to_f64(),
        }
    }

    /// See [`Sample::coarsen`].
    pub fn coarsen(&mut self, points: u16) {
        self.reward.coarsen(points);
        self.success.coarsen(points);
        self.cost.coarsen(points);
        self.latency.coarsen(points);
    }

    pub fn merge(&mut self, other: &Self) {
        self.reward.merge(&other.reward);
        self.success.merge(&other.success);
        self.cost.merge(&other.cost);
        self.latency.merge(&other.latency);
        self.rejected = self.rejected.saturating_add(other.rejected);
        self.uncounted = self.uncounted.saturating_add(other.uncounted);
    }

    /// What was added since `earlier`, an earlier state of these samples.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            reward: self.reward.since(&earlier.reward),
            success: self.success.since(&earlier.success),
            cost: self.cost.since(&earlier.cost),
            latency: self.latency.since(&earlier.latency),
            rejected: self.rejected.saturating_sub(earlier.rejected),
            uncounted: self.uncounted.saturating_sub(earlier.uncounted),
        }
    }
}

impl Merge for Samples {
    fn merge(&mut self, other: &Self) {
        Samples::merge(self, other);
    }
}

/// Buckets of an hour for the last day, of six hours for the last week, of a day for two months.
pub(super) enum Months {}

impl Scale for Months {
    const SPANS: [i64; 3] = [DAY_MS, 7 * DAY_MS, Timeline::SPAN_MS];
    const STEPS: [i64; 3] = [HOUR_MS, 6 * HOUR_MS, DAY_MS];
}

/// [`Samples`] of an arm by time: at most 115 buckets, independent of the number of observations.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeline(Tiers<Months, Samples>);

impl Timeline {
    /// How far the timeline reaches back: no younger observation is dropped.
    pub const SPAN_MS: i64 = 61 * DAY_MS;

    pub(super) fn at(now: i64) -> Self {
        Self(Tiers::at(now))
    }

    pub(super) fn tiers(&self) -> &Tiers<Months, Samples> {
        &self.0
    }

    pub(super) fn tiers_mut(&mut self) -> &mut Tiers<Months, Samples> {
        &mut self.0
    }

    pub(super) fn from_slots(
        slots: [Vec<Slot<Samples>>; 3],
        now: i64,
        latest: i64,
    ) -> Result<Self, &'static str> {
        Tiers::from_slots(slots, now, latest).map(Self)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The start and the samples of each bucket, the oldest first. A bucket ends at or before the start
    /// of the next.
    pub fn buckets(&self) -> impl DoubleEndedIterator<Item = (i64, &Samples)> {
        self.0.slots().iter().rev().flatten().map(|slot| (slot.start, &slot.bucket))
    }

    /// From when to when each bucket reaches, and its samples, the oldest first.
    pub fn spans(&self) -> impl Iterator<Item = (i64, i64, &Samples)> {
        self.0.spans()
    }

    /// The rewards of the buckets from `since` on, divided at each of `cuts`, which must be sorted. The
    /// first part is everything before the first cut. Each part comes with its number of buckets.
    pub fn parts(&self, since: i64, cuts: &[i64]) -> Vec<(usize, Sample<RewardScore>)> {
        let mut parts = vec![(0, Sample::default()); cuts.len() + 1];
        // A bucket may hold only rejected documents.
        let buckets = self.buckets().filter(|(_, samples)| !samples.reward.is_empty());
        for (start, samples) in buckets.filter(|(start, _)| *start >= since) {
            let (buckets, sum) = &mut parts[cuts.partition_point(|cut| *cut <= start)];
            *buckets += 1;
            sum.merge(&samples.reward);
        }
        parts
    }

    /// Leaves out all rewards, and keeps success, cost and latency.
    pub(super) fn restart_rewards(&mut self) {
        self.0.buckets_mut().for_each(|samples| samples.reward = Sample::default());
    }

    pub(super) fn coarsen(&mut self, points: u16) {
        self.0.buckets_mut().for_each(|samples| samples.coarsen(points));
    }

    /// The largest weight of an observation.
    pub fn max_weight(&self) -> f64 {
        self.buckets().map(|(_, samples)| samples.success.max_weight()).fold(1.0, f64::max)
    }

    /// The sum of all buckets that start at `start` or later.
    pub fn since(&self, start: i64) -> Samples {
        let mut sum = Samples::default();
        let within = self.buckets().rev().take_while(|(begins, _)| *begins >= start);
        within.for_each(|(_, samples)| sum.merge(samples));
        sum
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use crate::estimate::{Cells, mean_interval};
    use crate::observation::{MAX_DURATION_MS, Observation, Outcome};
    use crate::reward::{Reward, RewardConfig, score};
    use crate::stats::{Series, Timeline};

    use crate::number::whole_u64;
    use crate::time::{DAY_MS, HOUR_MS};

    const NOW: i64 = 1_734_000_123_456;

    fn record(series: &mut Series, ts: i64, now: i64) {
        let observation =
            Observation { cost_usd: Some(0.01), ..Observation::at(ts, Outcome::Success) };
        let reward = score(&RewardConfig::default(), &observation);
        let _ = series.record(&observation, &reward, now);
    }

    fn n(timeline: &Timeline, since: i64) -> u64 {
        whole_u64(timeline.since(since).reward.n().round())
    }

    #[test]
    fn two_months_of_load_take_a_bounded_number_of_buckets() {
        let mut series = Series::default();
        for hour in 0..24 * 90 {
            record(&mut series, NOW + hour * HOUR_MS, NOW + hour * HOUR_MS);
        }
        let last = NOW + (24 * 90 - 1) * HOUR_MS;
        let kept = n(series.timeline(), 0);
        assert!((61 * 24..=62 * 24).contains(&kept), "{kept}");
        assert!(series.timeline().buckets().count() <= 115);
        assert!(series.encode().len() < 20_000, "{}", series.encode().len());
        assert_eq!(n(series.timeline(), last - 6 * HOUR_MS), 6);
        assert!(series.timeline().buckets().is_sorted_by(|a, b| a.0 < b.0));
    }

    /// Of 100 easy and 100 hard actions, the arm was used for one in five of the easy actions and four
    /// in five of the hard actions.
    #[test]
    fn propensities_correct_for_an_arm_that_is_preferred_for_hard_actions() {
        let mut series = Series::default();
        for (propensity, successes, failures) in [(0.2, 18, 2), (0.8, 40, 40)] {
            for n in 0..successes + failures {
                let outcome = if n < successes { Outcome::Success } else { Outcome::Failure };
                let observation =
                    Observation { propensity: Some(propensity), ..Observation::at(NOW, outcome) };
                let reward = score(&RewardConfig::default(), &observation);
                let _ = series.record(&observation, &reward, NOW);
            }
        }
        let of_arm = Cells::of(&series.timeline().since(0).success);
        assert!((of_arm.mean() - 0.7).abs() < 1e-4, "{of_arm:?}");
        assert!((of_arm.population() - 200.0).abs() < 1e-2);
        // The windows describe what happened, without the correction.
        let (_, hour) = series.windows().into_iter().next().unwrap();
        assert_eq!((hour.n, hour.success_rate), (100, 0.58));
    }

    /// Every duration, cost and reward, at every weight, in every bucket, a million times each. No real
    /// component does this, but if one did, it must not block the others.
    #[test]
    fn the_series_of_every_component_fits_into_a_document() {
        const MOST: usize = 1_000_000;
        let mut series = Series::default();
        let ages = (0..24).map(|hour| hour * HOUR_MS).chain((4..28).map(|six| six * 6 * HOUR_MS));
        for age in ages.chain((7..61).map(|day| day * DAY_MS)) {
            for point in 0..=330_i32 {
                for sample_rate in [1.0, 1e-6] {
                    let observation = Observation {
                        duration_ms: Some(
                            (f64::from(point - 80) / 8.0).exp2().min(MAX_DURATION_MS),
                        ),
                        cost_usd: Some((f64::from(point % 101 - 60) / 2.0).exp2().min(1e6)),
                        sample_rate,
                        ..Observation::at(NOW - age, Outcome::Success)
                    };
                    let reward = score(&RewardConfig::default(), &observation);
                    let reward = Reward { score: f64::from(point % 33) / 32.0, ..reward };
                    let _ = series.record(&observation, &reward, NOW);
                }
            }
        }
        for _ in 0..20 {
            series.merge(&series.clone());
        }
        assert!(series.timeline().buckets().count() > 95);
        let encoded = series.encode_within(MOST);
        assert!(encoded.len() <= MOST, "{}", encoded.len());
        assert_eq!(Series::decode(&encoded).unwrap(), series);
    }

    /// Many different sample rates and propensities take too much space: fewer weights are kept, and
    /// the means stay the same.
    #[test]
    fn a_series_that_is_too_large_keeps_fewer_weights_and_the_same_means() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut series = Series::default();
        for n in 0..16_000 {
            let observation = Observation {
                sample_rate: rng.random_range(0.01..1.0),
                propensity: Some(rng.random_range(0.02..1.0)),
                duration_ms: Some(rng.random_range(2.0..10.0_f64).exp()),
                ..Observation::at(NOW + n * DAY_MS / 400, Outcome::Success)
            };
            let reward = score(&RewardConfig::default(), &observation);
            let _ = series.record(&observation, &reward, observation.ts);
        }
        let (before, needed) = (series.timeline().since(0), series.encode().len());
        assert_eq!(
            series.clone().encode_within(needed).len(),
            needed,
            "a series that fits is unchanged"
        );
        assert!(series.encode_within(needed / 2).len() <= needed / 2, "of {needed}");
        let after = series.timeline().since(0);
        let [before, after] = [before, after].map(|it| Cells::of(&it.reward));
        assert!((before.mean() - after.mean()).abs() < 1e-6, "{before:?} {after:?}");
        assert!((before.population() / after.population() - 1.0).abs() < 1e-6);
        let of = |cells: &Cells| mean_interval(&cells.clone().within(1e4), 0.05);
        assert!(of(&after).width() >= of(&before).width());
    }

    #[test]
    fn a_series_without_new_observations_becomes_empty_after_its_last_day() {
        let mut series = Series::default();
        record(&mut series, NOW, NOW);
        series.advance(NOW + 8 * DAY_MS);
        assert!(series.windows().iter().all(|(_, stats)| stats.n == 0));
        let next = series.next_change(NOW + 8 * DAY_MS).unwrap();
        assert!(next > NOW + 61 * DAY_MS && next < NOW + 63 * DAY_MS);
        series.advance(next);
        assert!(series.is_empty() && series.next_change(next).is_none());
    }

    proptest! {
        #[test]
        fn order_and_grouping_do_not_change_the_timeline(
            ages in proptest::collection::vec(0..70 * DAY_MS, 0..40), cut in 0..40_usize,
        ) {
            let cut = cut.min(ages.len());
            let mut late = Series::default();
            ages.iter().for_each(|age| record(&mut late, NOW - age, NOW));
            let mut sorted = ages.clone();
            sorted.sort_unstable_by(|a, b| b.cmp(a));
            let mut in_order = Series::default();
            sorted.iter().for_each(|age| record(&mut in_order, NOW - age, NOW - age));
            in_order.advance(NOW);
            late.advance(NOW);
            prop_assert_eq!(late.timeline(), in_order.timeline());
            let mut parts = Series::default();
            ages[cut..].iter().for_each(|age| record(&mut parts, NOW - age, NOW));
            let mut rest = Series::default();
            ages[..cut].iter().for_each(|age| record(&mut rest, NOW - age, NOW));
            parts.advance(NOW);
            parts.merge(&rest);
            prop_assert_eq!(parts.timeline(), late.timeline());
            prop_assert_eq!(Series::decode(&parts.encode()).unwrap(), parts);
        }
    }
}
