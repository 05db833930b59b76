//! Comparing two versions of a policy in production.
//!
//! An experiment has one of two [kinds](Kind):
//!
//! - An **A/B test** runs both versions at the same time. The active version is the control; it
//!   names a draft as the candidate and the share of units that use it. The share rises by
//!   [stages](STAGES).
//! - A **watch** follows a version that was activated for all units at once, and compares it with
//!   the version that it replaced. Comparing before with after is weaker, because other conditions
//!   may have changed as well. [Other components](Controls) show by how much.
//!
//! [`compare()`] measures both versions, and [`judge()`] decides what follows: continue, the next
//! stage, or an end. Either kind ends early when a [guardrail](Guardrail) is proven to be broken.
//! Every claim is based on intervals that hold at every look ([`crate::estimate`]), so that an
//! experiment may be judged as often as every minute.

mod assign;
mod baseline;
mod compare;
mod controls;
mod duration;
mod judge;
mod plan;
mod sides;
#[cfg(test)]
mod tests;
mod validity;
mod verdict;

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr};

pub use assign::takes_candidate;
pub use baseline::Baseline;
pub use compare::{
    COST_SHARE_MARGIN, Comparison, MissingCosts, RejectedShare, compare, compare_beyond,
};
pub use controls::{Controls, MAX_COMPONENTS, OtherComponent, RatioShift, Shift};
pub use duration::{ExpectedDuration, Traffic, expected_duration};
pub use judge::{Breach, Guardrail, Judgement, Setting, judge};
pub use plan::{GuardConfig, GuardConfigError, Guardrails, Metric, STAGES};
pub use sides::{Compared, Ranges};
pub use validity::{Invalidated, VersionStatuses};
pub use verdict::{Effect, Promise, Promised, Verdict};

/// Whether both versions are used at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, IntoStaticStr)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase", const_into_str)]
pub enum Kind {
    Ab,
    Watch,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

/// The status of an experiment. Every status except the first two is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, IntoStaticStr)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase", const_into_str)]
pub enum Status {
    Running,
    /// The candidate is proven to be better and awaits approval.
    Succeeded,
    /// The candidate became the active version; in a watch, it remains active.
    Passed,
    /// A guardrail was broken and the candidate was rolled back.
    Breached,
    /// The candidate is proven to gain less than required.
    NoGain,
    /// The time limit was reached.
    Inconclusive,
    /// An admin ended it.
    Stopped,
    /// Another version became active.
    Superseded,
}

impl Status {
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Running | Self::Succeeded)
    }

    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}
