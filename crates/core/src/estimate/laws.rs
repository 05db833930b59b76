//! Laws of every estimate, for any observations, in any order and grouping.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::observation::Weight;

/// A value between 0 and 1, the sample rate, and one of four parts.
type Seen = (f64, f64, usize);

fn seen(least: usize) -> impl Strategy<Value = Vec<Seen>> {
    let rate = prop_oneof![Just(1.0), 0.01..=1.0_f64];
    vec((0.0..=1.0_f64, rate, 0..4_usize), least..40)
}

fn shuffled() -> impl Strategy<Value = (Vec<Seen>, Vec<Seen>)> {
    seen(1).prop_flat_map(|seen| (Just(seen.clone()), Just(seen).prop_shuffle()))
}

const MOST_MS: f64 = 60_000.0;
const MOST_USD: f64 = 2.0;

/// Every estimate of an arm and of a log of two arms, from the same observations.
#[derive(Clone, Debug, PartialEq)]
struct Estimates {
    reward: Interval,
    success: Interval,
    cost: Interval,
    median: Interval,
    tail: Interval,
    /// The difference of rewards and their opposites.
    apart: Interval,
    proposal: Option<OffPolicy>,
}

#[derive(Clone, Default)]
struct Kept {
    reward: Sample<RewardScore>,
    opposite: Sample<RewardScore>,
    success: Sample<Success>,
    cost: Sample<Cost>,
    latency: Sample<Latency>,
}

impl Kept {
    fn of<'a>(seen: impl IntoIterator<Item = &'a Seen>) -> Self {
        let mut kept = Self::default();
        for (value, rate, _) in seen {
            let weight = Weight::from_sample_rate(*rate);
            kept.reward.add(*value, weight);
            kept.opposite.add((1.0 - value) / 4.0, weight);
            kept.success.add(*value, weight);
            kept.cost.add(value * MOST_USD, weight);
            kept.latency.add(value * MOST_MS, weight);
        }
        kept
    }

    fn merge(&mut self, other: &Self) {
        self.reward.merge(&other.reward);
        self.opposite.merge(&other.opposite);
        self.success.merge(&other.success);
        self.cost.merge(&other.cost);
        self.latency.merge(&other.latency);
    }

    fn estimates(&self, alpha: f64) -> Estimates {
        let most = Cost::point_from(MOST_USD);
        let (reward, opposite) = (Cells::of(&self.reward), Cells::of(&self.opposite));
        let quantile = |share| quantile_interval(&self.latency, 1.0, share, alpha).unwrap();
        let log = [
            Logged {
                chosen: vec![Chosen { propensity: 0.8, rewards: &self.reward }],
                proposed: 0.4,
            },
            Logged {
                chosen: vec![Chosen { propensity: 0.2, rewards: &self.opposite }],
                proposed: 0.6,
            },
        ];
        Estimates {
            reward: mean_interval(&reward, alpha),
            success: mean_interval(&Cells::of(&self.success), alpha),
            cost: mean_interval(&Cells::scaled(&self.cost, most), alpha).scaled(most),
            median: quantile(0.5),
            tail: quantile(0.95),
            apart: difference(&reward, &opposite, alpha),
            proposal: off_policy(&log, Expected::default(), alpha),
        }
    }
}

impl Estimates {
    /// Each interval with its range and its precision.
    fn intervals(&self) -> Vec<(&'static str, Interval, Interval, f64)> {
        let from_to = |low, high| Interval { low, high };
        let mut found = vec![
            ("reward", self.reward, Interval::UNIT, 1e-6),
            ("success", self.success, Interval::UNIT, 1e-6),
            ("cost", self.cost, from_to(0.0, Cost::point_from(MOST_USD)), 1e-5),
            ("median", self.median, from_to(0.0, f64::MAX), 0.0),
            ("tail", self.tail, from_to(0.0, f64::MAX), 0.0),
            ("apart", self.apart, from_to(-1.0, 1.0), 0.02),
        ];
        found.extend(self.proposal.map(|it| ("proposal", it.interval, Interval::UNIT, 1e-5)));
        found
    }
}

proptest! {
    // Each case searches thousands of means.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn order_does_not_matter((seen, shuffled) in shuffled()) {
        prop_assert_eq!(Kept::of(&shuffled).estimates(0.05), Kept::of(&seen).estimates(0.05));
    }

    #[test]
    fn merged_parts_lead_to_the_same_estimates_as_the_whole(
        seen in seen(1), order in Just([0_usize, 1, 2, 3]).prop_shuffle(),
    ) {
        let mut merged = Kept::default();
        for part in order {
            merged.merge(&Kept::of(seen.iter().filter(|it| it.2 == part)));
        }
        prop_assert_eq!(merged.estimates(0.05), Kept::of(&seen).estimates(0.05));
    }

    #[test]
    fn every_interval_is_non_empty_and_within_its_range(seen in seen(1), alpha in 0.001..0.5_f64) {
        for (name, found, range, _) in Kept::of(&seen).estimates(alpha).intervals() {
            prop_assert!(found.low <= found.high, "{} {:?}", name, found);
            prop_assert!(range.low <= found.low && found.high <= range.high, "{} {:?}", name, found);
        }
    }

    /// With the same shares of the same values, fewer observations lead to wider intervals. (Other values
    /// may lead to narrower ones, because they may vary less.)
    #[test]
    fn fewer_of_the_same_observations_never_narrow_an_interval(seen in seen(3), times in 2..6_usize) {
        let once = Kept::of(&seen);
        let mut more = Kept::default();
        (0..times).for_each(|_| more.merge(&once));
        let (fewer, more) = (once.estimates(0.05).intervals(), more.estimates(0.05).intervals());
        for ((name, fewer, _, slack), (_, more, ..)) in fewer.into_iter().zip(more) {
            let holds = fewer.low <= more.low + slack && more.high <= fewer.high + slack;
            prop_assert!(holds, "{}: few {:?}, many {:?}", name, fewer, more);
        }
    }
}

/// The law above must not hold only because intervals never narrow.
#[test]
fn ten_times_as_many_observations_narrow_every_interval() {
    let seen: Vec<Seen> = (0..60).map(|i| (f64::from(i) / 59.0, 1.0, 0)).collect();
    let once = Kept::of(&seen);
    let mut more = Kept::default();
    (0..10).for_each(|_| more.merge(&once));
    let (fewer, more) = (once.estimates(0.05).intervals(), more.estimates(0.05).intervals());
    assert_eq!(fewer.len(), 7);
    for ((name, fewer, ..), (_, more, ..)) in fewer.into_iter().zip(more) {
        assert!(more.width() < fewer.width(), "{name}: few {fewer:?}, many {more:?}");
    }
}
