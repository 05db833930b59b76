//! The sliding windows that statistics are kept for, and what they say.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::tiers::align;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A stretch of time that ends now.
///
/// Its start is aligned to the buckets that serve it, downwards: an observation younger than the
/// window's name says is always in it, and one that is older by less than a step (5 minutes of
/// an hour, an hour of a day, 6 hours of a week) may be. [`Window::start`] says exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Window {
    #[serde(rename = "1h")]
    OneHour,
    #[serde(rename = "24h")]
    OneDay,
    #[serde(rename = "7d")]
    SevenDays,
}

impl Window {
    /// From the shortest to the longest; each is part of the next.
    pub const ALL: [Self; 3] = [Self::OneHour, Self::OneDay, Self::SevenDays];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OneHour => "1h",
            Self::OneDay => "24h",
            Self::SevenDays => "7d",
        }
    }

    pub const fn span_ms(self) -> i64 {
        match self {
            Self::OneHour => HOUR,
            Self::OneDay => DAY,
            Self::SevenDays => 7 * DAY,
        }
    }

    /// The width of the buckets at the window's old end. Each divides the next, so that a
    /// bucket never straddles the start of a window.
    pub const fn step_ms(self) -> i64 {
        match self {
            Self::OneHour => 5 * MINUTE,
            Self::OneDay => HOUR,
            Self::SevenDays => 6 * HOUR,
        }
    }

    /// The window at `now` holds exactly the observations with `start(now) <= ts <= now`.
    pub const fn start(self, now: i64) -> i64 {
        align(now.saturating_sub(self.span_ms()), self.step_ms())
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("window is {0:?}, must be 1h, 24h or 7d")]
pub struct UnknownWindow(pub String);

impl FromStr for Window {
    type Err = UnknownWindow;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| UnknownWindow(text.to_owned()))
    }
}

/// What a window's observations say.
///
/// `n` counts documents. Everything else is about what they stand for: each is weighed by
/// 1 / sampleRate. In a window without observations every figure is 0 and no cost is known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WindowStats {
    pub n: u64,
    /// Documents of the component that could not be scored and are in quarantine.
    #[serde(default)]
    pub rejected: u64,
    /// How many actions the `n` observations stand for.
    pub population: f64,
    pub success_rate: f64,
    pub failure_rate: f64,
    pub timeout_rate: f64,
    /// Within 1% of the true value, see [`super::Sketch`].
    pub p50_latency: f64,
    pub p95_latency: f64,
    /// The mean over those that gave a cost.
    pub avg_cost_usd: Option<f64>,
    pub avg_reward: f64,
    /// Within 0.0025 of the true value, see [`super::RewardHistogram`].
    pub p50_reward: f64,
    pub p95_reward: f64,
    /// Estimated totals of the population.
    pub tokens_in: f64,
    pub tokens_out: f64,
    pub window_start: i64,
}
