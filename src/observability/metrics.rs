//! What `/metrics` shows, in the text format of Prometheus.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

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

/// The most policies, and the most components, that have a value of their own: each value of a label
/// is a time series that the process and Prometheus keep.
const MAX_NAMED: usize = 200;
/// The longest name that is shown.
const MAX_NAME_CHARS: usize = 200;
/// The value of the label of all others.
const OTHER: &str = "other";

/// The components that have a value of their own, for as long as the process lives: a counter must
/// not fall.
#[derive(Debug, Default)]
struct Components(Mutex<BTreeSet<String>>);

impl Components {
    fn label(&self, component: &str) -> ComponentLabels {
        let mut named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_named = named.contains(component);
        let has_room = named.len() < MAX_NAMED && component.chars().count() <= MAX_NAME_CHARS;
        if !is_named && !has_room {
            return ComponentLabels { component: OTHER.to_owned() };
        }
        if !is_named {
            named.insert(component.to_owned());
        }
        ComponentLabels { component: component.to_owned() }
    }
}

#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    passes: Family<PassLabels, Counter<u64, AtomicU64>>,
    active_versions: Family<PolicyLabels, Gauge>,
    ready: Gauge,
    refused: Counter<u64, AtomicU64>,
    components: Components,
    rejected: Family<ComponentLabels, Counter<u64, AtomicU64>>,
    malformed: Family<ComponentLabels, Counter<u64, AtomicU64>>,
    late: Counter<u64, AtomicU64>,
    orphans: Gauge,
    damaged: Gauge,
    rolled_back: Counter<u64, AtomicU64>,
    clock_jumps: Counter<u64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("f0");
        let passes = Family::default();
        registry.register("job_passes", "Passes that ended, by job and outcome", passes.clone());
        let active_versions = Family::default();
        let help = "Active versions of each policy; repair a policy that does not have exactly 1";
        registry.register("policy_active_versions", help, active_versions.clone());
        let ready = Gauge::default();
        registry.register("ready", "Whether the service is ready, as in /readyz", ready.clone());
        let refused = Counter::default();
        let help = "Requests whose credentials were missing or refused";
        registry.register("http_refused_credentials", help, refused.clone());
        let rejected = Family::default();
        let help = "Invalid observations, by the component that sent them";
        registry.register("observations_rejected", help, rejected.clone());
        let malformed = Family::default();
        let help =
            "Invalid optional fields of scored observations, by the component that sent them";
        registry.register("observations_malformed", help, malformed.clone());
        let late = Counter::default();
        let help = "Late observations: behind the scoring cursors, and scored by reconciliation";
        registry.register("observations_late", help, late.clone());
        let orphans = Gauge::default();
        let help = "Rewards without an observation, as of the last reconciliation";
        registry.register("rewards_without_observation", help, orphans.clone());
        let damaged = Gauge::default();
        let help = "Stored documents that cannot be read; /readyz names them";
        registry.register("damaged_documents", help, damaged.clone());
        let rolled_back = Counter::default();
        let help = "Versions that were rolled back because a guardrail was proven to be broken";
        registry.register("versions_taken_back", help, rolled_back.clone());
        let clock_jumps = Counter::default();
        let help =
            "Jumps of the machine's wall clock, after each of which the timers were set again";
        registry.register("wall_clock_jumps", help, clock_jumps.clone());
        Self {
            registry,
            passes,
            active_versions,
            ready,
            refused,
            components: Components::default(),
            rejected,
            malformed,
            late,
            orphans,
            damaged,
            rolled_back,
            clock_jumps,
        }
    }
}

impl Metrics {
    pub fn pass(&self, job: &'static str, succeeded: bool) {
        let outcome = if succeeded { "succeeded" } else { "failed" };
        self.passes.get_or_create(&PassLabels { job, outcome }).inc();
    }

    /// Replaces the number of active versions of each policy. Those beyond a bound are not shown;
    /// `/readyz` reports the ones to repair whatever their number.
    pub fn set_active_versions<'a>(&self, policies: impl IntoIterator<Item = (&'a str, usize)>) {
        self.active_versions.clear();
        for (policy, active) in policies.into_iter().take(MAX_NAMED) {
            let labels = PolicyLabels { policy: policy.to_owned() };
            let count = i64::try_from(active).unwrap_or(i64::MAX);
            self.active_versions.get_or_create(&labels).set(count);
        }
    }

    /// Adds invalid observations, by the component that sent them.
    pub fn add_rejected(&self, by_component: &BTreeMap<String, u64>) {
        for (component, count) in by_component {
            let labels = self.components.label(component);
            self.rejected.get_or_create(&labels).inc_by(*count);
        }
    }

    /// Adds invalid optional fields, by the component that sent them.
    pub fn add_malformed(&self, by_component: &BTreeMap<String, u64>) {
        for (component, count) in by_component {
            let labels = self.components.label(component);
            self.malformed.get_or_create(&labels).inc_by(*count);
        }
    }

    pub fn add_late(&self, observations: u64) {
        self.late.inc_by(observations);
    }

    pub fn set_orphans(&self, rewards: u64) {
        self.orphans.set(i64::try_from(rewards).unwrap_or(i64::MAX));
    }

    pub fn set_damaged(&self, documents: usize) {
        self.damaged.set(i64::try_from(documents).unwrap_or(i64::MAX));
    }

    pub fn add_rolled_back(&self, versions: u64) {
        self.rolled_back.inc_by(versions);
    }

    pub fn clock_jumped(&self) {
        self.clock_jumps.inc();
    }

    pub fn credentials_refused(&self) {
        self.refused.inc();
    }

    pub fn text(&self, ready: bool) -> String {
        self.ready.set(i64::from(ready));
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(error) => format!("# cannot encode the metrics: {error}\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_shown_and_a_removed_policy_disappears() {
        let metrics = Metrics::default();
        metrics.pass("tune", true);
        metrics.set_active_versions([("gone", 1)]);
        metrics.set_active_versions([("router-core", 2)]);
        let text = metrics.text(true);
        assert!(
            text.contains(r#"f0_job_passes_total{job="tune",outcome="succeeded"} 1"#),
            "{text}"
        );
        assert!(text.contains(r#"f0_policy_active_versions{policy="router-core"} 2"#), "{text}");
        assert!(text.contains("f0_ready 1") && !text.contains("gone"), "{text}");
    }

    #[test]
    fn components_beyond_a_bound_share_one_series_and_no_count_is_lost() {
        let metrics = Metrics::default();
        let names = (0..3 * MAX_NAMED).map(|n| (format!("made-up-{n:04}"), 2)).collect();
        metrics.add_rejected(&names);
        metrics.add_malformed(&names);
        metrics.add_rejected(&BTreeMap::from([("x".repeat(10_000), 1)]));
        let text = metrics.text(true);
        let rejected: Vec<_> =
            text.lines().filter(|line| line.starts_with("f0_observations_rejected")).collect();
        assert_eq!(rejected.len(), MAX_NAMED + 1);
        let counts = rejected.iter().map(|line| line.rsplit(' ').next().unwrap());
        let total: usize = counts.map(|count| count.parse::<usize>().unwrap()).sum();
        assert_eq!(total, 2 * 3 * MAX_NAMED + 1);
        assert!(text.contains(r#"{component="other"}"#) && text.len() < 100_000, "{}", text.len());
    }
}
