//! How sure the figures are: estimates whose error holds at every look.
//!
//! A test that is looked at every hour until it says yes says yes too often, unless it was made for
//! that. Everything here rests on betting (Waudby-Smith and Ramdas, "Estimating means of bounded
//! random variables by betting", arXiv 2010.09686): a gambler bets that a mean is not `m`, at odds
//! that are fair if it is, so that by Ville's inequality their capital ever reaches `1 / alpha`
//! with a probability of at most alpha. The values of `m` against which nobody grew so rich are
//! the interval, at every moment at once.
//!
//! The bets are a mixture of constant ones. They do not depend on the order of the observations,
//! so that what has to be kept is a [`Sample`]: a histogram, which merges, counts late arrivals,
//! and cannot become invalid. It holds not bins but points between which each observation is
//! split, so that means are exact; the logarithm of the capital is concave in weight and value, so
//! that splitting only ever lowers it, and no interval comes out narrower than it should.

mod capital;
mod difference;
mod interval;
mod log;
mod off_policy;
mod posterior;
mod quantile;
mod sample;

pub use capital::{Cells, Side};
pub use difference::{difference, is_greater};
pub use interval::{Interval, Measured, mean_interval};
pub use log::{ArmLog, Chosen};
pub use off_policy::{Expected, Logged, OffPolicy, off_policy};
pub use posterior::{Belief, Best, best};
pub use quantile::quantile_interval;
pub use sample::{COARSER, Cost, Grid, Latency, RewardScore, Sample, Success};

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
