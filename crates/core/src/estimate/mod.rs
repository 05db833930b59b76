//! Estimates and their certainty: intervals that hold at every look.
//!
//! A usual test that is repeated every hour until it finds a difference finds one too often. The
//! estimates here are valid however often they are looked at. They are based on betting
//! (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", arXiv
//! 2010.09686). A gambler bets that a mean is not `m`, at odds that are fair if it is `m`. By Ville's
//! inequality, the capital then reaches `1 / alpha` at any time with a probability of at most alpha.
//! The interval consists of the values of `m` for which the capital did not reach `1 / alpha`. It
//! holds at all times at once.
//!
//! - [`mean_interval`] and [`quantile_interval`] return the interval of one mean or quantile.
//! - [`difference()`] and [`is_greater`] compare two means.
//! - [`Contrast`] compares two arms within blocks of fixed probabilities, whatever changes in time.
//! - [`off_policy()`] estimates what other weights would have earned.
//! - [`best`] returns the probability of each mean to be the highest.
//!
//! The gambler uses a mixture of constant bets. The result does not depend on the order of the
//! observations, so that a [`Sample`], a histogram, is all that must be kept: it can be merged,
//! accepts late observations and never becomes invalid. A sample has points instead of bins, and each
//! observation is split between two points, so that means are exact. The logarithm of the capital is
//! concave in weight and value, so that splitting can only lower it: no interval is narrower than it
//! should be.

mod capital;
mod contrast;
mod difference;
mod interval;
mod log;
mod off_policy;
mod posterior;
mod quantile;
mod sample;

pub use capital::{Cells, Side};
pub use contrast::{Contrast, Drawn, Limits, Pilot};
pub use difference::{difference, is_greater};
pub use interval::{Interval, Measured, mean_interval};
pub use log::{ArmLog, Chosen};
pub use off_policy::{Expected, Logged, OffPolicy, off_policy};
pub use posterior::{Belief, Best, best};
pub use quantile::quantile_interval;
pub use sample::{COARSER, Cost, Grid, Latency, Moments, RewardScore, Sample, Success};

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
