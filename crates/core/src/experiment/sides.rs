//! Two samples side by side, compared with any probability of error.

use serde::{Deserialize, Serialize};

use crate::estimate::{
    Cells, Cost, Grid, Interval, Measured, Sample, difference, mean_interval, quantile_interval,
};
use crate::stats::Samples;

/// The mean of each version, and the candidate's minus the control's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    pub control: Measured,
    pub candidate: Measured,
    pub change: Measured,
}

/// A quantile of each version.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranges {
    pub control: Interval,
    pub candidate: Interval,
}

/// The samples of control and candidate, to be compared with any probability of error.
pub(super) struct Sides<'a> {
    samples: [&'a Samples; 2],
    reward: [Cells; 2],
    success: [Cells; 2],
    cost: [Cells; 2],
    most: f64,
    max_weight: f64,
}

impl<'a> Sides<'a> {
    pub fn of(samples: [&'a Samples; 2], max_cost_usd: f64, min_sample_rate: f64) -> Self {
        let weights = samples.map(|it| it.success.max_weight());
        let max_weight = weights[0].max(weights[1]).max(1.0 / min_sample_rate);
        let most = Cost::point_from(max_cost_usd);
        Self {
            samples,
            reward: samples.map(|it| cells(&it.reward, 1.0, max_weight)),
            success: samples.map(|it| cells(&it.success, 1.0, max_weight)),
            cost: samples.map(|it| cells(&it.cost, most, max_weight)),
            most,
            max_weight,
        }
    }

    pub fn reward(&self, tail: f64) -> Option<Compared> {
        compared(&self.reward, 1.0, tail)
    }

    pub fn success_rate(&self, tail: f64) -> Option<Compared> {
        compared(&self.success, 1.0, tail)
    }

    pub fn cost_usd(&self, tail: f64) -> Option<Compared> {
        compared(&self.cost, self.most, tail)
    }

    pub fn p95_latency(&self, tail: f64) -> Option<Ranges> {
        let [control, candidate] = self
            .samples
            .map(|it| quantile_interval(&it.latency, self.max_weight, 0.95, 2.0 * tail));
        let (control, candidate) = control.zip(candidate)?;
        Some(Ranges { control, candidate })
    }

    /// The factors by which the candidate's 95th percentile of durations may differ.
    pub fn latency_ratio(&self, tail: f64) -> Option<Interval> {
        let Ranges { control, candidate } = self.p95_latency(tail)?;
        Some(ratio(candidate, control))
    }

    /// The factors by which the candidate's mean cost may differ.
    pub fn cost_ratio(&self, tail: f64) -> Option<Interval> {
        let [control, candidate] = &self.cost;
        if control.is_empty() || candidate.is_empty() {
            return None;
        }
        let [control, candidate] = [control, candidate].map(|it| mean_interval(it, 2.0 * tail));
        Some(ratio(candidate, control))
    }
}

fn cells<G: Grid>(sample: &Sample<G>, most: f64, max_weight: f64) -> Cells {
    Cells::scaled(sample, most).within(max_weight)
}

/// Of the control and the candidate; their values are divided by `most`.
pub(super) fn compared(
    [control, candidate]: &[Cells; 2],
    most: f64,
    tail: f64,
) -> Option<Compared> {
    // An interval has two ends, each of which may err with the probability `tail`.
    let alpha = 2.0 * tail;
    let of = |cells: &Cells| Measured::of(cells, alpha, most);
    let (at_control, at_candidate) = (of(control)?, of(candidate)?);
    let Interval { low, high } = difference(candidate, control, alpha).scaled(most);
    let estimate = at_candidate.estimate - at_control.estimate;
    let change = Measured { estimate, low, high };
    Some(Compared { control: at_control, candidate: at_candidate, change })
}

/// The factors that two ranges allow.
pub(super) fn ratio(of: Interval, to: Interval) -> Interval {
    let quotient = |a: f64, b: f64| if b > 0.0 { (a / b).min(f64::MAX) } else { f64::MAX };
    Interval { low: of.low / to.high.max(f64::MIN_POSITIVE), high: quotient(of.high, to.low) }
}
