//! What a scoring pass did.

use std::collections::BTreeMap;
use std::fmt;

/// Components that a report names; of the others only the number counts.
const MAX_NAMED: usize = 1_000;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScoreReport {
    /// Valid observations that were scored and counted.
    pub scored: u64,
    /// Observations that could not be scored.
    pub quarantined: u64,
    /// Of those, how many each component sent; under the empty name those that name none.
    pub rejected: BTreeMap<String, u64>,
    /// Commits of statistics.
    pub checkpoints: u64,
    /// Components whose windows were renewed because time had passed.
    pub refreshed: u64,
    /// Shards that other workers hold the lease of.
    pub left_to_others: u64,
    /// Whether the pass stopped before the work was done, because it was told to.
    pub interrupted: bool,
}

impl ScoreReport {
    pub(crate) fn reject(&mut self, component: Option<&str>) {
        self.quarantined += 1;
        let name = component.unwrap_or_default();
        if let Some(count) = self.rejected.get_mut(name) {
            *count += 1;
        } else if self.rejected.len() < MAX_NAMED {
            self.rejected.insert(name.to_owned(), 1);
        }
    }
}

impl fmt::Display for ScoreReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} observations scored, {} quarantined, {} checkpoints, {} components renewed",
            self.scored, self.quarantined, self.checkpoints, self.refreshed
        )?;
        if self.left_to_others > 0 {
            write!(f, ", {} shards left to other workers", self.left_to_others)?;
        }
        if self.interrupted {
            f.write_str("; interrupted, the rest is for the next pass")
        } else {
            Ok(())
        }
    }
}
