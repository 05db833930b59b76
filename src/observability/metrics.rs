//! What `/metrics` shows, in the text format of Prometheus.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::jobs::check::CheckReport;
use crate::jobs::guard::GuardReport;
use crate::jobs::reconcile::ReconcileReport;
use crate::jobs::rejected::Rejected;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PassLabels {
    job: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PolicyLabels {
    policy: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ComponentLabels {
    component: String,
}

#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    passes: Family<PassLabels, Counter<u64, AtomicU64>>,
    active_versions: Family<PolicyLabels, Gauge>,
    ready: Gauge,
    refused: Counter<u64, AtomicU64>,
    rejected: Family<ComponentLabels, Counter<u64, AtomicU64>>,
    late: Counter<u64, AtomicU64>,
    orphans: Gauge,
    rolled_back: Counter<u64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("f0");
        let passes = Family::default();
        registry.register("job_passes", "Passes of the jobs that ended", passes.clone());
        let active_versions = Family::default();
        let help = "Active versions of each policy; anything but 1 is to be repaired";
        registry.register("policy_active_versions", help, active_versions.clone());
        let ready = Gauge::default();
        registry.register(
            "ready",
            "Whether the service is fit for work, as /readyz",
            ready.clone(),
        );
        let refused = Counter::default();
        let help = "Requests whose credentials were missing or refused";
        registry.register("http_refused_credentials", help, refused.clone());
        let rejected = Family::default();
        let help = "Observations that could not be scored, by the component that sent them";
        registry.register("observations_rejected", help, rejected.clone());
        let late = Counter::default();
        let help = "Observations that reconciliation scored because no cursor would come by them";
        registry.register("observations_late", help, late.clone());
        let orphans = Gauge::default();
        let help =
            "Rewards whose observation no longer exists, as the last reconciliation found them";
        registry.register("rewards_without_observation", help, orphans.clone());
        let rolled_back = Counter::default();
        let help = "Versions that were taken back because a guardrail was proven to be broken";
        registry.register("versions_taken_back", help, rolled_back.clone());
        Self {
            registry,
            passes,
            active_versions,
            ready,
            refused,
            rejected,
            late,
            orphans,
            rolled_back,
        }
    }
}

impl Metrics {
    pub fn pass(&self, job: &'static str, succeeded: bool) {
        let outcome = if succeeded { "succeeded" } else { "failed" };
        self.passes.get_or_create(&PassLabels { job, outcome }).inc();
    }

    pub fn checked(&self, report: &CheckReport) {
        self.active_versions.clear();
        for (policy, active) in &report.active {
            let labels = PolicyLabels { policy: policy.clone() };
            let count = i64::try_from(active.len()).unwrap_or(i64::MAX);
            self.active_versions.get_or_create(&labels).set(count);
        }
    }

    pub fn rejected(&self, rejected: &Rejected) {
        for (component, count) in rejected.iter() {
            let labels = ComponentLabels { component: component.clone() };
            self.rejected.get_or_create(&labels).inc_by(*count);
        }
    }

    pub fn reconciled(&self, report: &ReconcileReport) {
        self.late.inc_by(report.scored);
        self.orphans.set(i64::try_from(report.orphans).unwrap_or(i64::MAX));
    }

    pub fn guarded(&self, report: &GuardReport) {
        self.rolled_back.inc_by(report.rolled_back() as u64);
    }

    pub fn credentials_refused(&self) {
        self.refused.inc();
    }

    pub fn text(&self, ready: bool) -> String {
        self.ready.set(i64::from(ready));
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(error) => format!("# the metrics could not be written: {error}\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_shown_and_a_policy_that_is_gone_is_not() {
        let metrics = Metrics::default();
        metrics.pass("tune", true);
        let versions = |count: u64| (0..count).map(|patch| semver::Version::new(1, 0, patch));
        let report = |id: &str, count| CheckReport {
            active: [(id.to_owned(), versions(count).collect())].into(),
        };
        metrics.checked(&report("gone", 1));
        metrics.checked(&report("router-core", 2));
        let text = metrics.text(true);
        assert!(
            text.contains(r#"f0_job_passes_total{job="tune",outcome="succeeded"} 1"#),
            "{text}"
        );
        assert!(text.contains(r#"f0_policy_active_versions{policy="router-core"} 2"#), "{text}");
        assert!(text.contains("f0_ready 1") && !text.contains("gone"), "{text}");
    }
}
