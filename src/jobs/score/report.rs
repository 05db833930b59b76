//! What a scoring pass did.

use std::collections::BTreeMap;
use std::fmt;

use tracing::Level;

use crate::jobs::rejected::{MalformedFields, Rejected, Volumes};
use crate::jobs::{JobReport, LogLine};
use crate::observability::health::Health;
use crate::observability::printable;
use crate::store::remedy;
use f0_learning_core::plural::count;
use f0_learning_core::stats::WindowStats;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScoreReport {
    /// Valid observations that were scored and counted.
    pub scored: u64,
    /// Those of them that are older than the longest window, and so in no window.
    pub too_old: u64,
    /// Invalid observations.
    pub quarantined: u64,
    /// The same by component.
    pub rejected: Rejected,
    /// The valid ones by component.
    pub volume: Volumes,
    /// The last hour of the components that were counted or renewed, as it was committed; not of all
    /// where they are many.
    pub windows: BTreeMap<String, WindowStats>,
    /// The mean reward from which a component does well enough.
    pub min_acceptable: f64,
    /// Leases that the worker holds after the pass.
    pub leases: usize,
    /// Invalid optional fields of the valid observations.
    pub malformed: MalformedFields,
    /// Commits of statistics.
    pub checkpoints: u64,
    /// Components whose windows were renewed because time had passed.
    pub refreshed: u64,
    /// Why documents of statistics cannot be read, by document. What they should count is parked.
    pub damaged: BTreeMap<String, String>,
    /// Shards that were left to other workers.
    pub left_to_others: u64,
    /// Whether the pass was stopped before its work was done.
    pub interrupted: bool,
}

impl JobReport for ScoreReport {
    fn log_lines(&self) -> Vec<LogLine> {
        damaged_lines(&self.damaged)
    }

    fn observe(&self, health: &Health) {
        let components = health.metrics().components();
        components.add_volume(&self.volume);
        components.add_rejected(&self.rejected);
        components.add_malformed(&self.malformed.by_component);
        components.set_windows(&self.windows, self.min_acceptable);
        health.metrics().service().set_leases("score", self.leases);
        health.set_damaged("score", &with_remedies(&self.damaged));
    }
}

/// A line in the log for each document that cannot be read.
pub(in crate::jobs) fn damaged_lines(damaged: &BTreeMap<String, String>) -> Vec<LogLine> {
    let line = |(document, why): (&String, &String)| {
        let text = format!("{document} cannot be read: {why}; {}", remedy(document));
        LogLine::new(Level::ERROR, &text)
    };
    damaged.iter().map(line).collect()
}

/// The same, each reason with the command that repairs the document.
pub(in crate::jobs) fn with_remedies(
    damaged: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let with = |(document, why): (&String, &String)| {
        (document.clone(), format!("{why}; {}", remedy(document)))
    };
    damaged.iter().map(with).collect()
}

impl fmt::Display for ScoreReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} scored, {} quarantined, {}, {} renewed",
            count(self.scored, "observation"),
            self.quarantined,
            count(self.checkpoints, "checkpoint"),
            count(self.refreshed, "component")
        )?;
        write!(f, "{}", self.malformed)?;
        if self.too_old > 0 {
            write!(
                f,
                "; {} of them are older than 7 days by their ts, and so in no window of `stats`",
                self.too_old
            )?;
        }
        for (document, why) in &self.damaged {
            let remedy = remedy(document);
            let damage =
                format!("{document} cannot be read ({why}); what it counts waits; {remedy}");
            write!(f, "\n{}\n", printable::line(&damage))?;
        }
        if self.left_to_others > 0 {
            write!(f, ", {} left to other workers", count(self.left_to_others, "shard"))?;
        }
        if self.interrupted {
            f.write_str("; interrupted, the next pass continues")
        } else {
            Ok(())
        }
    }
}
