//! What was rebuilt, and what differs.

use crate::observability::printable;
use f0_learning_core::plural::count;
use std::fmt;

use super::compare::Difference;
use super::recount::Totals;

/// The most differences that are printed.
const SHOWN: usize = 200;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RebuildReport {
    /// Series and tallies that were recounted and replaced.
    pub rebuilt: u64,
    pub totals: Totals,
    /// What was done to other documents, a line for each.
    pub done: Vec<String>,
    /// Where a recount after the replacement differs from what is stored: nothing should.
    pub differences: Vec<Difference>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Series and tallies that were compared.
    pub verified: u64,
    pub totals: Totals,
    pub differences: Vec<Difference>,
    /// Documents that are not of the service. They change nothing.
    pub unknown: Vec<String>,
}

impl VerifyReport {
    pub(super) fn add(&mut self, other: Self) {
        self.verified += other.verified;
        self.totals.add(other.totals);
        self.differences.extend(other.differences);
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { observations, rejected, changed, by_reward } = self;
        let counts = count(observations, "count");
        write!(f, "{counts} of observations and {rejected} of rejected documents")?;
        if *changed > 0 {
            write!(
                f,
                "; {} written again after scoring, and counted as stored now, at the ts of the reward",
                count(changed, "observation")
            )?;
        }
        if *by_reward > 0 {
            write!(
                f,
                "; {} not stored any more, and counted by the reward, without latency, cost, tokens \
                 and weight",
                count(by_reward, "observation")
            )?;
        }
        Ok(())
    }
}

fn list(f: &mut fmt::Formatter<'_>, differences: &[Difference]) -> fmt::Result {
    for difference in differences.iter().take(SHOWN) {
        write!(f, "\n{}", printable::line(&difference.to_string()))?;
    }
    match differences.len().checked_sub(SHOWN) {
        Some(more @ 1..) => write!(f, "\nand {}", count(more, "more difference")),
        _ => Ok(()),
    }
}

impl fmt::Display for RebuildReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} series and tallies rebuilt from {}", self.rebuilt, self.totals)?;
        for done in &self.done {
            write!(f, "\n{}", printable::line(done))?;
        }
        list(f, &self.differences)
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verified, totals, differences, .. } = self;
        let n = differences.len();
        let n = count(n, "difference");
        write!(f, "{verified} series and tallies compared with {totals}; {n}")?;
        for unknown in &self.unknown {
            let unknown = printable::line(unknown);
            write!(f, "\n{unknown} is not a document of the service, and changes nothing")?;
        }
        list(f, differences)
    }
}
