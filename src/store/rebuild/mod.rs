//! What a rebuild of statistics reads and commits. `docs/decisions/2026-11-28-rebuild.md` explains why
//! it is exact.
//!
//! - A [`Cut`] says which rewards and quarantined documents are counted, as of one read time.
//! - A [`Fence`] makes scoring count into a parked document from a cut on, while the statistic is
//!   recounted up to the cut. One commit then replaces the statistic and merges what was parked.
//! - A [`Repair`] makes cursors and the state of reconciliation readable again. They stay closed until
//!   every statistic that may include what they will count again is recounted without it.

mod cut;
mod documents;
mod evidence;
mod fence;
mod listed;
mod repair;

use std::fmt;

use crate::store::collection::STATE;
use crate::store::scoring::{series, versions};
use f0_learning_core::policy::PolicyKey;
use firestore_kit::name_of_part;

pub use cut::Cut;
pub use documents::StateKind;
pub use evidence::{
    CountedReward, Evidence, EvidencePage, Known, Rejected, counted_observation,
    observation_of_reward, rejected_of_entry,
};
pub use fence::{Fence, Recounted, Stored, Sums, Swapped};
pub use repair::Repair;

/// A document of statistics, which can be recounted from rewards and observations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// The series of a component.
    Series(String),
    /// The tally of a version of a policy.
    Tally(PolicyKey),
}

impl Statistic {
    /// The statistic that the document with this id in `ops_state` holds, or holds parked counts of.
    pub fn of_state_id(id: &str) -> Option<Self> {
        let (kind, name) = id.split_once('|')?;
        match kind {
            "series" => name_of_part(name).map(Self::Series),
            "version" => name.parse().ok().map(Self::Tally),
            _ if is_parked(kind) => Self::of_state_id(name).filter(|_| !name.starts_with("parked")),
            _ => None,
        }
    }

    pub(in crate::store) fn state_id(&self) -> String {
        match self {
            Self::Series(component) => series::state_id(component),
            Self::Tally(key) => versions::state_id(key),
        }
    }

    /// The path of its document.
    pub fn document(&self) -> String {
        format!("{STATE}/{}", self.state_id())
    }
}

/// Whether ids with this first part are of parked counts.
fn is_parked(kind: &str) -> bool {
    let number = kind.strip_prefix("parked");
    number.is_some_and(|it| it.is_empty() || it.parse::<u64>().is_ok())
}

impl fmt::Display for Statistic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Series(component) => write!(f, "component {component}"),
            Self::Tally(key) => write!(f, "version {key}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statistic_is_found_by_the_id_of_its_document_and_of_its_parked_counts() {
        let series = Statistic::Series("a/b|c".to_owned());
        let id = series.state_id();
        for id in [id.clone(), format!("parked|{id}"), format!("parked12|{id}")] {
            assert_eq!(Statistic::of_state_id(&id), Some(series.clone()), "{id}");
        }
        for id in ["cursor|1", "parked|cursor|1", "parked|parked|series|a", "parkedx|series|a"] {
            assert_eq!(Statistic::of_state_id(id), None, "{id}");
        }
        assert_eq!(
            Statistic::of_state_id("version|p@1.0.0").map(|it| it.to_string()).as_deref(),
            Some("version p@1.0.0")
        );
    }
}
