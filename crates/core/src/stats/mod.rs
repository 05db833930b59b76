//! What many observations say: counts, rates, quantiles and means over sliding windows.
//!
//! Everything here is sums of integers, so merging is exactly associative and commutative: the
//! same observations give the same statistics whatever the order, the grouping into pages, or the
//! number of workers. Memory is bounded by the number of buckets and bins, never by volume.

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

pub use bucket::Bucket;
pub use histogram::RewardHistogram;
pub use series::{DecodeError, MAX_AHEAD_MS, Placement, Series};
pub use sketch::Sketch;
pub use tally::Tally;
pub use timeline::{Samples, Timeline};
pub use window::{UnknownWindow, Window, WindowStats};
