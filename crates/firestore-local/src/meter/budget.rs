//! Limits on billed operations, for tests and CI.

use std::fmt;

use serde::Serialize;

use super::usage::Billed;

/// The most operations that may be billed; `None` for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Budget {
    pub max_reads: Option<u64>,
    pub max_writes: Option<u64>,
    pub max_deletes: Option<u64>,
}

/// More was billed than the budget allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct Exceeded {
    pub budget: Budget,
    /// What was billed when the budget was found to be exceeded.
    pub billed: Billed,
}

impl Budget {
    /// At most these operations of each kind.
    pub fn at_most(billed: Billed) -> Self {
        Self {
            max_reads: Some(billed.reads),
            max_writes: Some(billed.writes),
            max_deletes: Some(billed.deletes),
        }
    }

    /// # Errors
    /// If more was billed than the budget allows.
    pub fn check(&self, billed: &Billed) -> Result<(), Exceeded> {
        let over = |limit: Option<u64>, count: u64| limit.is_some_and(|limit| count > limit);
        let is_exceeded = over(self.max_reads, billed.reads)
            || over(self.max_writes, billed.writes)
            || over(self.max_deletes, billed.deletes);
        if is_exceeded { Err(Exceeded { budget: *self, billed: *billed }) } else { Ok(()) }
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the budget of billed operations is exceeded")?;
        let kinds = [
            ("reads", self.budget.max_reads, self.billed.reads),
            ("writes", self.budget.max_writes, self.billed.writes),
            ("deletes", self.budget.max_deletes, self.billed.deletes),
        ];
        let mut separator = ": ";
        for (kind, limit, count) in kinds {
            if let Some(limit) = limit.filter(|limit| count > *limit) {
                write!(f, "{separator}{count} {kind}, at most {limit} allowed")?;
                separator = "; ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_exceeded_by_one_more_than_it_allows() {
        let billed = Billed { reads: 3, writes: 2, deletes: 1 };
        assert_eq!(Budget::default().check(&billed), Ok(()));
        assert_eq!(Budget::at_most(billed).check(&billed), Ok(()));
        let budget = Budget { max_reads: Some(2), max_deletes: Some(0), max_writes: Some(2) };
        assert_eq!(
            budget.check(&billed).unwrap_err().to_string(),
            "the budget of billed operations is exceeded: 3 reads, at most 2 allowed; 1 deletes, \
             at most 0 allowed"
        );
    }
}
