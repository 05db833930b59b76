//! Statistics of many observations: counts, rates, quantiles and means over sliding windows.
//!
//! A [`Series`] holds the windows of one component and the [`Timeline`] that estimates are made
//! from. A [`Tally`] holds everything that was counted for one policy version.
//!
//! All statistics are sums of integers, so that merging is exactly associative and commutative: the
//! same observations lead to the same statistics, independent of their order, their grouping into
//! pages and the number of workers. Memory is bounded by the number of buckets and bins, not by the
//! number of observations.

mod bucket;
mod histogram;
mod series;
mod sketch;
mod tally;
#[cfg(test)]
mod tests;
mod tiers;
mod timeline;
mod window;

pub use bucket::{Bucket, Distribution};
pub use histogram::RewardHistogram;
pub use series::{DecodeError, MAX_AHEAD_MS, Placement, Series};
pub use sketch::Sketch;
pub use tally::Tally;
pub use timeline::{Samples, Timeline};
pub use window::{Window, WindowStats};
