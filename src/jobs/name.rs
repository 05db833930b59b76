//! The names of the jobs, and what follows from a name.

use strum::VariantArray;

/// A job by its name: the same in the schedule, the lease, the log and the metrics.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    strum::Display,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[strum(serialize_all = "lowercase")]
pub enum JobName {
    Score,
    Reconcile,
    Tune,
    Check,
    Guard,
    Retain,
    Measure,
    Notify,
}

/// What a lease of a job covers. Leases save work; none is needed for correctness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseScope {
    /// One worker at a time runs a pass.
    Pass,
    /// The job itself takes a lease for each shard that it works on.
    Shards,
    /// Every worker runs the job.
    None,
}

impl JobName {
    pub const ALL: &'static [Self] = Self::VARIANTS;

    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// When the job runs by default: a cron expression of six fields, seconds first, in UTC.
    pub const fn default_cron(self) -> &'static str {
        match self {
            // Keeps the `1h` window fresh, at about four writes a minute for each component that
            // sends observations.
            Self::Score => "0 * * * * *",
            // A late observation waits up to ten minutes. A pass that finds nothing costs a read
            // for each thousand documents of the last three hours.
            Self::Reconcile => "45 */10 * * * *",
            // Policies change every few hours at most.
            Self::Tune => "30 */15 * * * *",
            // Two reads for each policy.
            Self::Check => "15 */5 * * * *",
            // A read for each policy, and five for each version that is tested or watched.
            Self::Guard => "40 * * * * *",
            // Once a day, when traffic is low.
            Self::Retain => "0 25 3 * * *",
            // About nine reads a pass.
            Self::Measure => "20 * * * * *",
            // About twelve reads a pass.
            Self::Notify => "50 * * * * *",
        }
    }

    /// The environment variable of the schedule.
    pub const fn cron_variable(self) -> &'static str {
        match self {
            Self::Score => "SCORE_CRON",
            Self::Reconcile => "RECONCILE_CRON",
            Self::Tune => "TUNE_CRON",
            Self::Check => "CHECK_CRON",
            Self::Guard => "GUARD_CRON",
            Self::Retain => "RETAIN_CRON",
            Self::Measure => "MEASURE_CRON",
            Self::Notify => "NOTIFY_CRON",
        }
    }

    /// The flag of the schedule, without its dashes.
    pub const fn cron_flag(self) -> &'static str {
        match self {
            Self::Score => "score-cron",
            Self::Reconcile => "reconcile-cron",
            Self::Tune => "tune-cron",
            Self::Check => "check-cron",
            Self::Guard => "guard-cron",
            Self::Retain => "retain-cron",
            Self::Measure => "measure-cron",
            Self::Notify => "notify-cron",
        }
    }

    /// What the job does, as it follows "when to".
    pub const fn purpose(self) -> &'static str {
        match self {
            Self::Score => "score new observations",
            Self::Reconcile => "look for observations that scoring missed",
            Self::Tune => "tune policies",
            Self::Check => "check that each policy has exactly one active version",
            Self::Guard => "evaluate A/B tests and watches",
            Self::Retain => "archive and delete old documents",
            Self::Measure => "look at what waits, for the metrics",
            Self::Notify => "send notifications",
        }
    }

    pub const fn lease(self) -> LeaseScope {
        match self {
            Self::Score => LeaseScope::Shards,
            Self::Reconcile | Self::Tune | Self::Guard | Self::Retain | Self::Notify => {
                LeaseScope::Pass
            }
            Self::Check | Self::Measure => LeaseScope::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_variables_follow_the_name() {
        for name in JobName::ALL {
            assert_eq!(name.cron_flag(), format!("{name}-cron"));
            assert_eq!(name.cron_variable(), format!("{}_CRON", name.as_str().to_uppercase()));
        }
    }
}
