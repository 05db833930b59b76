//! What a reconcile pass found and repaired.

use f0_learning_core::plural::count;
use std::collections::BTreeMap;
use std::fmt;

use crate::jobs::rejected::{MalformedFields, Rejected, Volumes};
use crate::jobs::score::{damaged_lines, with_remedies};
use crate::jobs::{JobReport, LogLine};
use crate::observability::health::Health;
use crate::store::remedy;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReconcileReport {
    /// Late observations, valid and without a reward, that were scored and counted now.
    pub scored: u64,
    /// Late observations, invalid, that were quarantined and counted now.
    pub quarantined: u64,
    /// The same by component.
    pub rejected: Rejected,
    /// The valid ones by component.
    pub volume: Volumes,
    /// Invalid optional fields of the valid ones.
    pub malformed: MalformedFields,
    /// Invalid observations ahead of the cursors that were quarantined now.
    pub early: u64,
    /// Rewards and quarantined documents without an observation. They are left as they are.
    pub orphans: u64,
    /// Ranges that were counted.
    pub ranges: u64,
    /// Why documents of statistics cannot be read, by document. What they should count is parked.
    pub damaged: BTreeMap<String, String>,
    /// The documents that could be read again, and have got their parked counts.
    pub merged: Vec<String>,
    /// Whether the pass was stopped before its work was done.
    pub interrupted: bool,
}

impl ReconcileReport {
    pub fn is_quiet(&self) -> bool {
        self.scored + self.quarantined + self.early + self.orphans == 0
    }
}

impl JobReport for ReconcileReport {
    fn log_lines(&self) -> Vec<LogLine> {
        damaged_lines(&self.damaged)
    }

    fn observe(&self, health: &Health) {
        let components = health.metrics().components();
        components.add_volume(&self.volume);
        components.add_rejected(&self.rejected);
        components.add_malformed(&self.malformed.by_component);
        components.add_late(self.scored);
        components.set_orphans(self.orphans);
        health.set_damaged("reconcile", &with_remedies(&self.damaged));
    }
}

impl fmt::Display for ReconcileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} scored, {} quarantined, {} rewards or quarantined documents without an observation, \
             {} counted",
            count(self.scored, "late observation"),
            self.quarantined + self.early,
            self.orphans,
            count(self.ranges, "range")
        )?;
        write!(f, "{}", self.malformed)?;
        for document in &self.merged {
            write!(f, "; the parked counts were added to {document}")?;
        }
        for (document, why) in &self.damaged {
            write!(f, "; {document} cannot be read ({why}); {}", remedy(document))?;
        }
        if self.interrupted {
            f.write_str("; interrupted, the next pass continues")
        } else {
            Ok(())
        }
    }
}
