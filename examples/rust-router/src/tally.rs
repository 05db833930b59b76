//! How often each arm was used under each version.

use std::collections::BTreeMap;
use std::fmt;

#[derive(Debug, Default)]
pub struct Tally {
    counts: BTreeMap<(String, String), u64>,
}

impl Tally {
    pub fn add(&mut self, version: &str, arm: &str) {
        *self.counts.entry((version.to_owned(), arm.to_owned())).or_default() += 1;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<20} {:<12} {:>8}", "version", "arm", "requests")?;
        for ((version, arm), count) in &self.counts {
            writeln!(f, "{version:<20} {arm:<12} {count:>8}")?;
        }
        Ok(())
    }
}
