//! The log of an arm: its rewards, kept such that the value of other weights can be estimated.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::sample::{RewardScore, Sample, place_inverse, weight_point};
use crate::number::{Lossy, whole_u64};
use crate::observation::Observation;

/// The rewards of one arm by propensity, the probability with which the arm was chosen.
///
/// Most components draw an arm by the weights of the policy version, which need not be kept with each
/// observation. A component that prefers some arms for some actions states the `propensity` of its
/// choice. 1 / propensity is kept at points, and each observation is split between two of them, so
/// that sums of it are exact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmLog {
    drawn: Sample<RewardScore>,
    /// By the number of the point of 1 / propensity.
    stated: BTreeMap<u16, Sample<RewardScore>>,
}

impl ArmLog {
    /// The rewards of actions that were all drawn by the weights.
    #[cfg(test)]
    pub fn of_drawn(drawn: Sample<RewardScore>) -> Self {
        Self { drawn, stated: BTreeMap::new() }
    }

    pub fn add(&mut self, observation: &Observation, reward: f64) {
        let weight = observation.weight();
        let Some(propensity) = observation.propensity else {
            return self.drawn.add(reward, weight);
        };
        let (point, share) = place_inverse(1.0 / propensity);
        let further = |mass: u64| whole_u64((mass.to_f64() * share).round());
        let near = self.stated.entry(point).or_default();
        near.add_portion(reward, weight, |mass| mass - further(mass));
        if share > 0.0 {
            self.stated.entry(point + 1).or_default().add_portion(reward, weight, further);
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.drawn.merge(&other.drawn);
        for (point, sample) in &other.stated {
            self.stated.entry(*point).or_default().merge(sample);
        }
    }

    /// What was added since `earlier`, an earlier state of this log.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let none = Sample::default();
        let of = |(point, sample): (&u16, &Sample<RewardScore>)| {
            let more = sample.since(earlier.stated.get(point).unwrap_or(&none));
            (!more.is_empty()).then_some((*point, more))
        };
        Self {
            drawn: self.drawn.since(&earlier.drawn),
            stated: self.stated.iter().filter_map(of).collect(),
        }
    }

    /// See [`Sample::coarsen`].
    pub fn coarsen(&mut self, points: u16) {
        self.drawn.coarsen(points);
        self.stated.values_mut().for_each(|it| it.coarsen(points));
    }

    pub fn is_empty(&self) -> bool {
        self.drawn.is_empty() && self.stated.is_empty()
    }

    /// The number of observations.
    pub fn n(&self) -> u64 {
        let stated: f64 = self.stated.values().map(Sample::n).sum();
        whole_u64((self.drawn.n() + stated).round())
    }

    /// Whether any observation stated a propensity.
    pub fn is_stated(&self) -> bool {
        !self.stated.is_empty()
    }

    /// The largest weight of an observation; 1 without observations.
    pub fn max_weight(&self) -> f64 {
        let stated = self.stated.values().map(Sample::max_weight);
        stated.fold(self.drawn.max_weight(), f64::max)
    }

    /// Each propensity with its observations. Observations without a stated propensity were drawn with
    /// `weight`, the weight of the version. An arm that was never chosen has only that propensity.
    pub fn chosen(&self, weight: f64) -> impl Iterator<Item = Chosen<'_>> {
        let stated = self.stated.iter().map(|(point, it)| (1.0 / weight_point(*point), it));
        let is_drawn = !self.drawn.is_empty() || self.stated.is_empty();
        let drawn = is_drawn.then_some((weight, &self.drawn));
        let all = drawn.into_iter().chain(stated);
        all.map(|(propensity, rewards)| Chosen { propensity, rewards })
    }
}

/// The observations of an arm that were chosen with one propensity.
#[derive(Clone, Copy, Debug)]
pub struct Chosen<'a> {
    pub propensity: f64,
    pub rewards: &'a Sample<RewardScore>,
}
