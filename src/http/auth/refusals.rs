//! How many refused credentials are logged: a client that sends requests must not decide how much is
//! written, or hide other lines among their own.

use std::sync::{Mutex, PoisonError};

/// Lines in each period; what more there is only counts.
const LINES: u32 = 10;
const PERIOD_MS: i64 = 60_000;

#[derive(Debug, Default)]
pub struct Refusals(Mutex<Period>);

#[derive(Debug, Default)]
struct Period {
    began: Option<i64>,
    lines: u32,
    unlogged: u64,
}

impl Refusals {
    /// Whether a refusal at `now` (epoch milliseconds) is logged, and how many were not since the
    /// last line that was.
    pub fn line(&self, now: i64) -> Option<u64> {
        let mut period = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that is set back starts a period, too.
        let is_current = period.began.is_some_and(|began| (0..PERIOD_MS).contains(&(now - began)));
        if !is_current {
            *period = Period { began: Some(now), lines: 0, unlogged: period.unlogged };
        }
        if period.lines >= LINES {
            period.unlogged += 1;
            return None;
        }
        period.lines += 1;
        Some(std::mem::take(&mut period.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_writes_a_bounded_number_of_lines_that_count_the_others() {
        let refusals = Refusals::default();
        let lines: Vec<_> = (0..1_000).filter_map(|_| refusals.line(5_000)).collect();
        assert_eq!(lines, vec![0; 10]);
        assert_eq!(refusals.line(5_000 + PERIOD_MS - 1), None);
        assert_eq!(refusals.line(5_000 + PERIOD_MS), Some(991));
        assert_eq!(refusals.line(5_000 + PERIOD_MS), Some(0));
        assert_eq!(refusals.line(0), Some(0), "the clock was set back");
    }
}
