//! What waits for the service and for people.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::names::{single, single_in, whole};

/// What waits, as one look at the store found it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Observations that are due to be scored.
    pub backlog: u64,
    /// For how long the oldest of them has been due.
    pub backlog_age_ms: i64,
    /// Up to a bound.
    pub quarantined: u64,
    pub drafts: u64,
    pub experiments: u64,
    pub learning_enabled: bool,
    pub publishing_enabled: bool,
}

#[derive(Debug)]
pub struct Gauges {
    backlog: Gauge,
    backlog_age: Gauge<f64, AtomicU64>,
    quarantined: Gauge,
    drafts: Gauge,
    experiments: Gauge,
    learning: Gauge,
    publishing: Gauge,
}

impl Gauges {
    pub fn register(registry: &mut Registry) -> Self {
        let help = "For how long the oldest observation has been due to be scored";
        let backlog_age = single_in(registry, "backlog_age", Unit::Seconds, help);
        let mut gauge = |name, help| single(registry, name, help);
        Self {
            backlog_age,
            backlog: gauge(
                "backlog_observations",
                "Observations that are due to be scored and are not yet",
            ),
            quarantined: gauge(
                "quarantined_observations",
                "Observations in quarantine, counted up to 10000",
            ),
            drafts: gauge("open_drafts", "Drafts that wait for a decision"),
            experiments: gauge("open_experiments", "A/B tests and watches that run"),
            learning: gauge(
                "learning_enabled",
                "1 if tuning may run; 0 if the kill switch is off, or the flags cannot be read",
            ),
            publishing: gauge(
                "auto_activation_enabled",
                "1 if the flags let the service activate versions by itself, else 0",
            ),
        }
    }

    pub fn set(&self, waiting: Waiting) {
        self.backlog.set(whole(waiting.backlog));
        #[expect(clippy::cast_precision_loss, reason = "milliseconds are far below 2^53")]
        self.backlog_age.set(waiting.backlog_age_ms.max(0) as f64 / 1_000.0);
        self.quarantined.set(whole(waiting.quarantined));
        self.drafts.set(whole(waiting.drafts));
        self.experiments.set(whole(waiting.experiments));
        self.learning.set(i64::from(waiting.learning_enabled));
        self.publishing.set(i64::from(waiting.publishing_enabled));
    }
}
