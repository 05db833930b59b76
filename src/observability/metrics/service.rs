//! The service itself: its passes, its readiness, and its notifications.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::firestore::{Counters, Requests};
use super::names::{family, family_in, single, whole};
use super::waiting::{Gauges, Waiting};
use f0_learning_core::Clock;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PassLabels {
    job_name: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobLabels {
    job_name: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    sink: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VersionLabels {
    version: &'static str,
}

/// The outcome of what is sent elsewhere.
const fn sent(delivered: bool) -> &'static str {
    if delivered { "delivered" } else { "failed" }
}

/// A histogram of the durations of passes.
#[derive(Clone, Debug)]
struct PassDurations;

impl MetricConstructor<Histogram> for PassDurations {
    fn new_metric(&self) -> Histogram {
        Histogram::new([0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0, 1_800.0])
    }
}

type Count = Counter<u64, AtomicU64>;

#[derive(Debug)]
pub struct Service {
    passes: Family<PassLabels, Count>,
    durations: Family<JobLabels, Histogram, PassDurations>,
    last_success: Family<JobLabels, Gauge>,
    leases: Family<JobLabels, Gauge>,
    ready: Gauge,
    refused: Count,
    damaged: Gauge,
    clock_jumps: Count,
    waiting: Gauges,
    firestore: Counters,
    notifications: Family<EventLabels, Count>,
    exports: Family<OutcomeLabels, Count>,
}

impl Service {
    pub fn register(registry: &mut Registry) -> Self {
        let build: Family<VersionLabels, Gauge> =
            family(registry, "build_info", "Always 1; the label names the version");
        build.get_or_create(&VersionLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
        let durations = Family::new_with_constructor(PassDurations);
        let help = "Durations of passes, by job";
        registry.register_with_unit("job_pass_duration", help, Unit::Seconds, durations.clone());
        Self {
            durations,
            waiting: Gauges::register(registry),
            firestore: Counters::register(registry),
            passes: family(registry, "job_passes", "Passes that ended, by job and outcome"),
            last_success: family_in(
                registry,
                "job_last_success_timestamp",
                Unit::Seconds,
                "When the last pass of the job succeeded in this process, in epoch seconds; before the \
                 first, when the process started",
            ),
            leases: family(
                registry,
                "job_leases_held",
                "Leases of the job that this process holds; 0 means that another one works",
            ),
            ready: single(registry, "ready", "Whether the service is ready, as in /readyz"),
            refused: single(
                registry,
                "http_refused_credentials",
                "Requests whose credentials were missing or refused",
            ),
            damaged: single(
                registry,
                "damaged_documents",
                "Stored documents that cannot be read; /readyz names them",
            ),
            clock_jumps: single(
                registry,
                "wall_clock_jumps",
                "Jumps of the machine's wall clock, after each of which the timers were set again",
            ),
            notifications: family(
                registry,
                "notifications",
                "Attempts to send a notification, by sink and outcome",
            ),
            exports: family(
                registry,
                "otlp_exports",
                "Exports of the metrics by OTLP, by outcome, if an endpoint is named",
            ),
        }
    }

    /// The job runs in this process from now on.
    pub fn job_added(&self, job_name: &'static str) {
        self.last_success.get_or_create(&JobLabels { job_name }).set(Self::now());
    }

    fn now() -> i64 {
        Clock::system().now() / 1_000
    }

    pub fn pass(&self, job_name: &'static str, succeeded: bool) {
        let outcome = if succeeded { "succeeded" } else { "failed" };
        self.passes.get_or_create(&PassLabels { job_name, outcome }).inc();
        if succeeded {
            self.last_success.get_or_create(&JobLabels { job_name }).set(Self::now());
        }
    }

    pub fn pass_took(&self, job_name: &'static str, duration: Duration) {
        self.durations.get_or_create(&JobLabels { job_name }).observe(duration.as_secs_f64());
    }

    pub fn set_leases(&self, job_name: &'static str, held: usize) {
        self.leases.get_or_create(&JobLabels { job_name }).set(whole(held));
    }

    pub fn set_damaged(&self, documents: usize) {
        self.damaged.set(whole(documents));
    }

    pub fn clock_jumped(&self) {
        self.clock_jumps.inc();
    }

    pub fn credentials_refused(&self) {
        self.refused.inc();
    }

    pub fn set_ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
    }

    pub fn set_waiting(&self, waiting: Waiting) {
        self.waiting.set(waiting);
    }

    /// Replaces the counts of requests, which only grow.
    pub fn set_requests(&self, requests: &Requests) {
        self.firestore.set(requests);
    }

    /// Notifications are sent there from now on.
    pub fn sink_added(&self, sink: &'static str) {
        for outcome in [true, false].map(sent) {
            let _ = self.notifications.get_or_create(&EventLabels { sink, outcome });
        }
    }

    pub fn notified(&self, sink: &'static str, delivered: bool) {
        let outcome = sent(delivered);
        self.notifications.get_or_create(&EventLabels { sink, outcome }).inc();
    }

    /// Metrics are exported from now on.
    pub fn exporter_added(&self) {
        for outcome in [true, false].map(sent) {
            let _ = self.exports.get_or_create(&OutcomeLabels { outcome });
        }
    }

    pub fn exported(&self, delivered: bool) {
        let outcome = sent(delivered);
        self.exports.get_or_create(&OutcomeLabels { outcome }).inc();
    }
}
