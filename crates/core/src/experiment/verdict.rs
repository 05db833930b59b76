//! What an activation did, against what was promised.

use serde::{Deserialize, Serialize};

use super::{Comparison, Kind};

/// What a version did to reward, success, latency and cost, once that is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Epoch milliseconds.
    pub at: i64,
    /// The version that it is compared with.
    pub against: String,
    /// Whether both were in use at a time (`ab`), or one after the other (`watch`).
    pub kind: Kind,
    pub effect: Effect,
    /// Absent where nothing was promised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promise: Option<Promise>,
    pub comparison: Comparison,
}

/// What it did to the mean reward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    Better,
    Worse,
    /// The data allow either.
    Unclear,
}

/// What was promised of the mean reward, and whether it came.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Promise {
    /// The gain that the proposal expected.
    pub expected: f64,
    pub kept: Promised,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Promised {
    /// There is a gain, and as much as was promised is not refuted.
    Kept,
    /// There is proven to be less than was promised.
    Broken,
    /// The data allow either.
    Unclear,
}

impl Verdict {
    /// `None` while one of the versions has not been observed.
    pub fn of(
        against: impl Into<String>,
        kind: Kind,
        comparison: Comparison,
        expected: Option<f64>,
        at: i64,
    ) -> Option<Self> {
        let change = comparison.reward?.change;
        let effect = match change {
            _ if change.low > 0.0 => Effect::Better,
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
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Unclear => "unclear",
        }
    }
}

impl Promised {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Broken => "broken",
            Self::Unclear => "unclear",
        }
    }
}
