//! The sliding windows that statistics are kept for, and the figures of each.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantNames};

use super::tiers::align;
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use crate::variants::UnknownVariant;

/// A stretch of time that ends now.
///
/// Its start is rounded down to the start of a bucket. An observation that is younger than the
/// window is long always counts. One that is older by less than a step may count, too: 5 minutes
/// for an hour, an hour for a day, 6 hours for a week. [`Window::start`] returns the exact start.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantNames,
)]
#[strum(const_into_str, parse_err_ty = UnknownVariant, parse_err_fn = unknown_window)]
pub enum Window {
    #[serde(rename = "1h")]
    #[strum(serialize = "1h")]
    OneHour,
    #[serde(rename = "24h")]
    #[strum(serialize = "24h")]
    OneDay,
    #[serde(rename = "7d")]
    #[strum(serialize = "7d")]
    SevenDays,
}

impl Window {
    /// From the shortest to the longest; each is part of the next.
    pub const ALL: [Self; 3] = [Self::OneHour, Self::OneDay, Self::SevenDays];

    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    pub const fn span_ms(self) -> i64 {
        match self {
            Self::OneHour => HOUR_MS,
            Self::OneDay => DAY_MS,
            Self::SevenDays => 7 * DAY_MS,
        }
    }

    /// The width of the buckets at the window's old end. Each divides the next, so that a bucket
    /// never straddles the start of a window.
    pub const fn step_ms(self) -> i64 {
        match self {
            Self::OneHour => 5 * MINUTE_MS,
            Self::OneDay => HOUR_MS,
            Self::SevenDays => 6 * HOUR_MS,
        }
    }

    /// The window at `now` contains exactly the observations with `start(now) <= ts <= now`.
    pub const fn start(self, now: i64) -> i64 {
        align(now.saturating_sub(self.span_ms()), self.step_ms())
    }
}

fn unknown_window(text: &str) -> UnknownVariant {
    UnknownVariant::new::<Window>("window", text)
}

/// The figures of a window.
///
/// `n` counts documents. Every other figure describes the actions that the documents represent:
/// each document is weighted by 1 / sampleRate. In a window without observations every figure is 0,
/// and the cost is unknown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WindowStats {
    pub n: u64,
    /// Documents of the component that could not be scored and are in quarantine.
    #[serde(default)]
    pub rejected: u64,
    /// Optional fields of the `n` observations that were invalid, which are scored without them.
    #[serde(default)]
    pub malformed: u64,
    /// Documents, rejected ones included, that name no version of a policy in `policyVersion`.
    #[serde(default)]
    pub unversioned: u64,
    /// The number of actions that the `n` observations represent.
    pub population: f64,
    pub success_rate: f64,
    pub failure_rate: f64,
    pub timeout_rate: f64,
    /// Of the observations with a usable duration. Within 1% of the true value, see
    /// [`super::Sketch`].
    pub p50_latency: f64,
    pub p95_latency: f64,
    /// The mean over the observations with a cost.
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
