//! When each job runs.

use std::collections::BTreeMap;

use crate::jobs::JobName;

/// The cron expression of each job, of six fields, seconds first, in UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    changed: BTreeMap<JobName, String>,
}

impl Schedule {
    /// The same with another expression for one job.
    #[must_use]
    pub fn with(mut self, job: JobName, expression: impl Into<String>) -> Self {
        self.changed.insert(job, expression.into());
        self
    }

    pub fn expression(&self, job: JobName) -> &str {
        self.changed.get(&job).map_or(job.default_cron(), String::as_str)
    }
}
