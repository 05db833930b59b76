//! Comparing two versions of a policy while both, or one after the other, are in use.
//!
//! An experiment is one of two kinds. In an *A/B test* the active version, the control, names a
//! candidate and the share of units that it is to have; the share rises by stages, and what is
//! compared was observed side by side. A *watch* follows a version that became active at once, and
//! compares it with the one that it replaced: before with after, which is weaker, since the world
//! may have changed as well.
//!
//! Either ends early where a guardrail is proven to be broken. All that is claimed comes from
//! intervals that hold at every look ([`crate::estimate`]), so that looking each minute
//! costs nothing.

mod assign;
mod baseline;
mod compare;
mod footing;
mod judge;
mod plan;
#[cfg(test)]
mod tests;
mod verdict;

use serde::{Deserialize, Serialize};

pub use assign::takes_candidate;
pub use baseline::Baseline;
pub use compare::{Compared, Comparison, Ranges, compare};
pub use footing::{Footing, Void};
pub use judge::{Breach, Guardrail, Judgement, Setting, judge};
pub use plan::{GuardConfig, GuardConfigError, Guardrails, Metric, STAGES};
pub use verdict::{Effect, Promise, Promised, Verdict};

/// Whether both versions are in use at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    Ab,
    Watch,
}

/// Where an experiment stands. All but the first two are ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    Running,
    /// The candidate is proven to be better, and waits for somebody to activate it.
    Succeeded,
    /// The candidate became the active version; or, of a watch, it stays.
    Passed,
    /// A guardrail was broken: the candidate was taken back.
    Breached,
    /// The candidate is proven to gain less than was asked of it.
    NoGain,
    /// Time ran out.
    Inconclusive,
    /// Somebody ended it.
    Stopped,
    /// Another version became active meanwhile.
    Superseded,
}

impl Status {
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Running | Self::Succeeded)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Passed => "passed",
            Self::Breached => "breached",
            Self::NoGain => "noGain",
            Self::Inconclusive => "inconclusive",
            Self::Stopped => "stopped",
            Self::Superseded => "superseded",
        }
    }
}
