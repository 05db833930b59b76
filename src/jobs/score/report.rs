//! What a scoring pass did.

use std::fmt;

use crate::jobs::rejected::Rejected;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScoreReport {
    /// Valid observations that were scored and counted.
    pub scored: u64,
    /// Observations that could not be scored.
    pub quarantined: u64,
    /// Of those, how many each component sent.
    pub rejected: Rejected,
    /// Commits of statistics.
    pub checkpoints: u64,
    /// Components whose windows were renewed because time had passed.
    pub refreshed: u64,
    /// Shards that other workers hold the lease of.
    pub left_to_others: u64,
    /// Whether the pass stopped before the work was done, because it was told to.
    pub interrupted: bool,
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
