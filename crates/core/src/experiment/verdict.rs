//! What an activation did, compared with what the proposal promised.

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr};

use super::{Comparison, Kind};

/// What a version did to reward, success, latency and cost, once that is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Epoch milliseconds.
    pub at: i64,
    /// The version that it is compared with.
    pub against: String,
    /// Whether both versions were used at the same time (`ab`) or one after the other (`watch`).
    pub kind: Kind,
    pub effect: Effect,
    /// Absent if the proposal promised nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promise: Option<Promise>,
    pub comparison: Comparison,
}

/// The effect on the mean reward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, IntoStaticStr)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase", const_into_str)]
pub enum Effect {
    Better,
    Worse,
    /// The data allow either.
    Unclear,
}

/// The promised gain in mean reward, and whether the version delivered it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Promise {
    /// The gain that the proposal expected.
    pub expected: f64,
    pub kept: Promised,
}

/// Whether a promise was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, IntoStaticStr)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase", const_into_str)]
pub enum Promised {
    /// There is a gain, and the data allow it to be as large as promised.
    Kept,
    /// The gain is proven to be smaller than promised.
    Broken,
    /// The data allow either.
    Unclear,
}

impl Verdict {
    /// `None` until both versions have observations. A candidate whose documents were
    /// [rejected](Comparison::is_incomplete) more often than `max_rejected_share` is not better, and
    /// neither is one that leaves out costs.
    pub fn of(
        against: impl Into<String>,
        kind: Kind,
        comparison: Comparison,
        max_rejected_share: f64,
        expected: Option<f64>,
        at: i64,
    ) -> Option<Self> {
        let change = comparison.change_of_reward()?;
        let effect = match change {
            _ if change.low > 0.0
                && !comparison.is_incomplete(max_rejected_share)
                && !comparison.lacks_costs() =>
            {
                Effect::Better
            }
            _ if change.high < 0.0 => Effect::Worse,
            _ => Effect::Unclear,
        };
        let promise = expected.map(|expected| {
            let kept = match effect {
                _ if change.high < expected => Promised::Broken,
                Effect::Better => Promised::Kept,
                Effect::Worse | Effect::Unclear => Promised::Unclear,
            };
            Promise { expected, kept }
        });
        Some(Self { at, against: against.into(), kind, effect, promise, comparison })
    }
}

impl Effect {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

impl Promised {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}
