//! The observations of all arms by time.

use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

use super::ArmInput;
use crate::number::Lossy;
use crate::time::HOUR_MS;

/// The sums of a number of rewards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sums {
    /// The effective number: with sample rates or propensities, the number of equally weighted
    /// observations that are as informative.
    pub n: f64,
    pub sum: f64,
    /// The sum of the squared rewards.
    pub squares: f64,
}

/// The rewards of one arm from `from` up to `to`, in epoch milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    pub from: i64,
    pub to: i64,
    pub sums: Sums,
}

impl Add for Sums {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            n: self.n + other.n,
            sum: self.sum + other.sum,
            squares: self.squares + other.squares,
        }
    }
}

impl Sub for Sums {
    type Output = Self;

    /// Never negative: rounding must not leave a count below 0.
    fn sub(self, other: Self) -> Self {
        Self {
            n: (self.n - other.n).max(0.0),
            sum: (self.sum - other.sum).max(0.0),
            squares: (self.squares - other.squares).max(0.0),
        }
    }
}

impl Sums {
    pub(super) fn mean(&self) -> f64 {
        if self.n > 0.0 { self.sum / self.n } else { 0.0 }
    }

    pub(super) fn scaled(self, share: f64) -> Self {
        Self { n: self.n * share, sum: self.sum * share, squares: self.squares * share }
    }
}

/// A column of the history: the time in which an arm may have a bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cell {
    pub from: i64,
    pub to: i64,
    /// The middle, in hours after the start of the history.
    pub at: f64,
}

/// The buckets of all arms on common cells: one cell for each time at which a bucket starts.
#[derive(Clone, Debug)]
pub(super) struct History {
    pub cells: Vec<Cell>,
    /// By arm and cell.
    pub arms: Vec<Vec<Sums>>,
}

/// The hours between two times.
pub(super) fn hours(from: i64, to: i64) -> f64 {
    (to - from).to_f64() / HOUR_MS.to_f64()
}

impl History {
    pub fn new(arms: &[&ArmInput]) -> Self {
        // An hour without data has no cell: it must not change anything.
        let seen = |arm: &&ArmInput| -> Vec<(i64, i64)> {
            let seen = arm.buckets.iter().filter(|it| it.sums.n > 0.0);
            seen.map(|it| (it.from, it.to)).collect()
        };
        let mut starts: Vec<(i64, i64)> = arms.iter().flat_map(seen).collect();
        starts.sort_unstable();
        // Of several buckets with one start, the longest ends the cell, but never after the next start.
        let mut cells: Vec<(i64, i64)> = Vec::with_capacity(starts.len());
        for (from, to) in starts {
            match cells.last_mut() {
                Some(last) if last.0 == from => last.1 = last.1.max(to),
                _ => cells.push((from, to)),
            }
        }
        let ends: Vec<i64> = cells.iter().skip(1).map(|it| it.0).chain([i64::MAX]).collect();
        let origin = cells.first().map_or(0, |it| it.0);
        let cells: Vec<Cell> = cells
            .into_iter()
            .zip(ends)
            .map(|((from, to), next)| {
                let to = to.min(next);
                Cell { from, to, at: f64::midpoint(hours(origin, from), hours(origin, to)) }
            })
            .collect();
        let arms = arms.iter().map(|arm| row(&cells, arm)).collect();
        Self { cells, arms }
    }

    /// The first cell that starts at `time` or later.
    pub fn first_from(&self, time: i64) -> usize {
        self.cells.partition_point(|it| it.from < time)
    }
}

fn row(cells: &[Cell], arm: &ArmInput) -> Vec<Sums> {
    let mut row = vec![Sums::default(); cells.len()];
    for bucket in &arm.buckets {
        if let Ok(at) = cells.binary_search_by(|cell| cell.from.cmp(&bucket.from)) {
            row[at] = row[at] + bucket.sums;
        }
    }
    row
}
