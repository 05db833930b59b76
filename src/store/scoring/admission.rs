//! Which well-formed observations are counted.

use f0_learning_core::limits::Limits;
use f0_learning_core::observation::{Observation, Rejection};

/// What a well-formed observation must satisfy to be counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Admission<'a> {
    /// Its `ts` is not before this time: its reward may have been archived, so that it is unknown
    /// whether it was counted.
    pub archived_before: Option<i64>,
    /// It does not count for more actions than these allow; `None` checks nothing.
    pub limits: Option<&'a Limits>,
}

impl Admission<'_> {
    pub(in crate::store) fn check(&self, observation: &Observation) -> Result<(), Rejection> {
        observation.check_archived(self.archived_before)?;
        self.limits.map_or(Ok(()), |limits| observation.within_limits(limits))
    }
}
