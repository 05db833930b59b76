//! What is kept of an arm's rewards so that the value of another choice of arms can be told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::sample::{RewardScore, Sample, place_inverse, weight_point};
use crate::observation::Observation;

/// The rewards of one arm by how probable it was to be taken.
///
/// Most components draw an arm by the weights of the policy's version, which need not be kept with
/// each observation. One that prefers some arms for some actions says with which `propensity` it
/// took this one; 1 / propensity is kept at points, each observation split between two of them so
/// that sums of it are exact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmLog {
    drawn: Sample<RewardScore>,
    /// By number of the point of 1 / propensity.
    stated: BTreeMap<u16, Sample<RewardScore>>,
}

impl ArmLog {
    pub fn add(&mut self, observation: &Observation, reward: f64) {
        let weight = observation.weight();
        let Some(propensity) = observation.propensity else {
            return self.drawn.add(reward, weight);
        };
        let (point, share) = place_inverse(1.0 / propensity);
        let further = |mass: u64| (mass as f64 * share).round() as u64;
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

    /// See [`Sample::coarsen`].
    pub fn coarsen(&mut self, points: u16) {
        self.drawn.coarsen(points);
        self.stated.values_mut().for_each(|it| it.coarsen(points));
    }

    pub fn is_empty(&self) -> bool {
        self.drawn.is_empty() && self.stated.is_empty()
    }

    /// Whether any observation stated a propensity of its own.
    pub fn is_stated(&self) -> bool {
        !self.stated.is_empty()
    }

    /// What observations weigh at the most; 1 of nothing.
    pub fn max_weight(&self) -> f64 {
        let stated = self.stated.values().map(Sample::max_weight);
        stated.fold(self.drawn.max_weight(), f64::max)
    }

    /// Each propensity with what was observed under it, where what was drawn by the version's
    /// weights was drawn with `weight`. Of an arm that was never taken it is that weight.
    pub fn chosen(&self, weight: f64) -> impl Iterator<Item = Chosen<'_>> {
        let stated = self.stated.iter().map(|(point, it)| (1.0 / weight_point(*point), it));
        let is_drawn = !self.drawn.is_empty() || self.stated.is_empty();
        let drawn = is_drawn.then_some((weight, &self.drawn));
        let all = drawn.into_iter().chain(stated);
        all.map(|(propensity, rewards)| Chosen { propensity, rewards })
    }
}

/// Observations of an arm that was taken with one propensity.
#[derive(Clone, Copy, Debug)]
pub struct Chosen<'a> {
    pub propensity: f64,
    pub rewards: &'a Sample<RewardScore>,
}
