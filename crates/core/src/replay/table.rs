//! A table with the reward of every arm for every request.

use thiserror::Error;

use crate::number::{Lossy, whole_u64};

/// The most arms of a table.
const MAX_ARMS: usize = 50;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    arms: Vec<String>,
    /// By request and arm.
    rows: Vec<Vec<f64>>,
}

/// A table that cannot be replayed.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum TableError {
    #[error("invalid number of arms: expected 2 to {MAX_ARMS}, got {0}")]
    Arms(usize),
    #[error("invalid arms: {0:?} is named twice")]
    Duplicate(String),
    #[error("invalid table: it has no requests")]
    Empty,
    #[error("invalid request {row}: expected {expected} rewards, got {found}")]
    Width { row: usize, expected: usize, found: usize },
    #[error(
        "invalid reward of {arm:?} for request {row}: expected a number from 0 to 1, got {found}"
    )]
    Reward { row: usize, arm: String, found: f64 },
}

impl Table {
    /// `rows` holds, for each request, the reward of each arm.
    ///
    /// # Errors
    /// A table that is not complete, or a reward outside of 0 to 1.
    pub fn new(arms: Vec<String>, rows: Vec<Vec<f64>>) -> Result<Self, TableError> {
        if !(2..=MAX_ARMS).contains(&arms.len()) {
            return Err(TableError::Arms(arms.len()));
        }
        if let Some(twice) = arms.iter().enumerate().find(|(at, it)| arms[..*at].contains(it)) {
            return Err(TableError::Duplicate(twice.1.clone()));
        }
        if rows.is_empty() {
            return Err(TableError::Empty);
        }
        for (at, row) in rows.iter().enumerate() {
            if row.len() != arms.len() {
                let (expected, found) = (arms.len(), row.len());
                return Err(TableError::Width { row: at + 1, expected, found });
            }
            let wrong = row.iter().zip(&arms).find(|(reward, _)| !(0.0..=1.0).contains(*reward));
            if let Some((reward, arm)) = wrong {
                return Err(TableError::Reward { row: at + 1, arm: arm.clone(), found: *reward });
            }
        }
        Ok(Self { arms, rows })
    }

    pub fn arms(&self) -> &[String] {
        &self.arms
    }

    /// The number of requests.
    pub fn requests(&self) -> usize {
        self.rows.len()
    }

    /// The mean reward of each arm.
    pub fn means(&self) -> Vec<f64> {
        let count = self.rows.len().to_f64();
        (0..self.arms.len())
            .map(|arm| self.rows.iter().map(|row| row[arm]).sum::<f64>() / count)
            .collect()
    }

    /// The arms from the highest to the lowest mean; of equal ones the earlier first.
    pub fn ranked(&self) -> Vec<usize> {
        let means = self.means();
        let mut arms: Vec<usize> = (0..means.len()).collect();
        arms.sort_by(|a, b| means[*b].total_cmp(&means[*a]));
        arms
    }

    /// The rewards of the request at a place from 0 to 1.
    pub(super) fn row_at(&self, place: f64) -> &[f64] {
        let at = usize::try_from(whole_u64(place * self.rows.len().to_f64())).unwrap_or(0);
        &self.rows[at.min(self.rows.len() - 1)]
    }
}
