//! What a reconcile pass found and mended.

use std::fmt;

use crate::jobs::rejected::Rejected;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReconcileReport {
    /// Valid observations without reward that were scored and counted now.
    pub scored: u64,
    /// Invalid ones that no cursor would have come by, put into quarantine and counted now.
    pub quarantined: u64,
    /// Of those, how many each component sent.
    pub rejected: Rejected,
    /// Invalid ones ahead of the cursors, put into quarantine now.
    pub early: u64,
    /// Rewards and quarantined documents whose observation is gone. They are left as they are.
    pub orphans: u64,
    /// Ranges that were counted.
    pub ranges: u64,
    /// Whether the pass stopped before the work was done, because it was told to.
    pub interrupted: bool,
}

impl ReconcileReport {
    pub fn is_quiet(&self) -> bool {
        self.scored + self.quarantined + self.early + self.orphans == 0
    }
}

impl fmt::Display for ReconcileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} late observations scored, {} put into quarantine, {} without their observation, \
             {} ranges counted",
            self.scored,
            self.quarantined + self.early,
            self.orphans,
            self.ranges
        )?;
        if self.interrupted { f.write_str("; interrupted") } else { Ok(()) }
    }
}
