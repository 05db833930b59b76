//! What components sent, and how they do: observations as they are counted, and the windows of the last
//! hour as scoring commits them.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;

use super::names::{ComponentLabels, MAX_NAMED, Names, OTHER, family, family_in, single, whole};
use f0_learning_core::observation::{Observation, Outcome};
use f0_learning_core::stats::WindowStats;

/// How long the window of a component is shown after this process has last written it. A window with
/// observations changes every five minutes; later, another worker counts for the component.
const SHOWN_FOR: Duration = Duration::from_secs(15 * 60);

type Count = Counter<u64, AtomicU64>;
type Amount = Counter<f64, AtomicU64>;
type Value = Gauge<f64, AtomicU64>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    component: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QuantileLabels {
    component: String,
    quantile: &'static str,
}

/// What was counted of one component in a pass.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Volume {
    /// By outcome, in the order of [`OUTCOMES`].
    counts: [u64; 3],
    duration_ms: f64,
    cost_usd: f64,
}

const OUTCOMES: [Outcome; 3] = [Outcome::Success, Outcome::Failure, Outcome::Timeout];

impl Volume {
    pub fn add(&mut self, observation: &Observation) {
        for (count, outcome) in self.counts.iter_mut().zip(OUTCOMES) {
            *count += u64::from(observation.outcome == outcome);
        }
        self.duration_ms += observation.duration_ms.unwrap_or_default();
        self.cost_usd += observation.cost_usd.unwrap_or_default();
    }
}

/// The window of the last hour of a component.
#[derive(Clone, Debug)]
struct Shown {
    stats: WindowStats,
    min_acceptable: f64,
    at: Instant,
}

#[derive(Debug)]
pub struct Components {
    names: Names,
    scored: Family<OutcomeLabels, Count>,
    duration: Family<ComponentLabels, Amount>,
    cost: Family<ComponentLabels, Amount>,
    rejected: Family<ComponentLabels, Count>,
    malformed: Family<ComponentLabels, Count>,
    late: Count,
    orphans: Gauge,
    shown: Mutex<BTreeMap<String, Shown>>,
    windows: Windows,
}

/// The figures of the windows that are shown.
#[derive(Debug)]
struct Windows {
    observations: Family<ComponentLabels, Gauge>,
    success: Family<ComponentLabels, Value>,
    latency: Family<QuantileLabels, Value>,
    cost: Family<ComponentLabels, Value>,
    reward_mean: Family<ComponentLabels, Value>,
    reward: Family<QuantileLabels, Value>,
    below: Family<ComponentLabels, Gauge>,
}

impl Components {
    pub fn register(registry: &mut Registry) -> Self {
        let usd = || Unit::Other("usd".to_owned());
        Self {
            names: Names::default(),
            scored: family(
                registry,
                "observations_scored",
                "Valid observations that this process counted, by component and outcome",
            ),
            duration: family_in(
                registry,
                "observations_duration",
                Unit::Seconds,
                "Sum of the durations of the counted observations",
            ),
            cost: family_in(
                registry,
                "observations_cost",
                usd(),
                "Sum of the costs of the counted observations",
            ),
            rejected: family(
                registry,
                "observations_rejected",
                "Invalid observations, by the component that sent them",
            ),
            malformed: family(
                registry,
                "observations_malformed",
                "Invalid optional fields of scored observations, by the component that sent them",
            ),
            late: single(
                registry,
                "observations_late",
                "Late observations: behind the scoring cursors, and scored by reconciliation",
            ),
            orphans: single(
                registry,
                "rewards_without_observation",
                "Rewards without an observation, as of the last reconciliation",
            ),
            shown: Mutex::default(),
            windows: Windows::register(registry),
        }
    }

    pub fn add_volume(&self, by_component: &BTreeMap<String, Volume>) {
        for (component, volume) in by_component {
            let component = self.names.label(component);
            for (outcome, count) in OUTCOMES.iter().zip(volume.counts) {
                let outcome = outcome.as_str();
                let labels = OutcomeLabels { component: component.clone(), outcome };
                self.scored.get_or_create(&labels).inc_by(count);
            }
            let labels = ComponentLabels { component };
            self.duration.get_or_create(&labels).inc_by(volume.duration_ms / 1_000.0);
            self.cost.get_or_create(&labels).inc_by(volume.cost_usd);
        }
    }

    pub fn add_rejected(&self, by_component: &BTreeMap<String, u64>) {
        self.add(&self.rejected, by_component);
    }

    pub fn add_malformed(&self, by_component: &BTreeMap<String, u64>) {
        self.add(&self.malformed, by_component);
    }

    fn add(&self, family: &Family<ComponentLabels, Count>, counts: &BTreeMap<String, u64>) {
        for (component, count) in counts {
            let labels = ComponentLabels { component: self.names.label(component) };
            family.get_or_create(&labels).inc_by(*count);
        }
    }

    pub fn add_late(&self, observations: u64) {
        self.late.inc_by(observations);
    }

    pub fn set_orphans(&self, rewards: u64) {
        self.orphans.set(whole(rewards));
    }

    /// Replaces the windows of these components. Means of several components say nothing, so that
    /// those without a name of their own are left out.
    pub fn set_windows(&self, windows: &BTreeMap<String, WindowStats>, min_acceptable: f64) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for (component, stats) in windows {
            let component = self.names.label(component);
            if component != OTHER && (shown.len() < MAX_NAMED || shown.contains_key(&component)) {
                let (stats, at) = (stats.clone(), Instant::now());
                shown.insert(component, Shown { stats, min_acceptable, at });
            }
        }
    }

    /// Shows the windows that are current.
    pub fn refresh(&self) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.retain(|_, it| it.at.elapsed() < SHOWN_FOR && it.stats.n > 0);
        self.windows.clear();
        for (component, it) in &*shown {
            self.windows.show(component, it);
        }
    }
}

impl Windows {
    fn register(registry: &mut Registry) -> Self {
        Self {
            observations: family(
                registry,
                "component_observations",
                "Observations of the component in the last hour",
            ),
            success: family_in(
                registry,
                "component_success",
                Unit::Other("ratio".to_owned()),
                "Share of actions that succeeded in the last hour",
            ),
            latency: family_in(
                registry,
                "component_latency",
                Unit::Seconds,
                "Quantiles of the durations in the last hour",
            ),
            cost: family_in(
                registry,
                "component_cost",
                Unit::Other("usd".to_owned()),
                "Mean cost of an action in the last hour",
            ),
            reward_mean: family(
                registry,
                "component_reward_mean",
                "Mean reward of the component in the last hour",
            ),
            reward: family(
                registry,
                "component_reward",
                "Quantiles of the rewards of the component in the last hour",
            ),
            below: family(
                registry,
                "component_below_acceptable",
                "1 if the mean reward of the last hour is below thresholds.minAcceptable, else 0",
            ),
        }
    }

    fn clear(&self) {
        self.observations.clear();
        self.success.clear();
        self.latency.clear();
        self.cost.clear();
        self.reward_mean.clear();
        self.reward.clear();
        self.below.clear();
    }

    fn show(&self, component: &str, Shown { stats, min_acceptable, .. }: &Shown) {
        let labels = ComponentLabels { component: component.to_owned() };
        let quantile = |quantile| QuantileLabels { component: component.to_owned(), quantile };
        self.observations.get_or_create(&labels).set(whole(stats.n));
        self.success.get_or_create(&labels).set(stats.success_rate);
        self.latency.get_or_create(&quantile("0.5")).set(stats.p50_latency / 1_000.0);
        self.latency.get_or_create(&quantile("0.95")).set(stats.p95_latency / 1_000.0);
        if let Some(cost) = stats.avg_cost_usd {
            self.cost.get_or_create(&labels).set(cost);
        }
        self.reward_mean.get_or_create(&labels).set(stats.avg_reward);
        self.reward.get_or_create(&quantile("0.5")).set(stats.p50_reward);
        self.reward.get_or_create(&quantile("0.95")).set(stats.p95_reward);
        let is_below = stats.avg_reward < *min_acceptable;
        self.below.get_or_create(&labels).set(i64::from(is_below));
    }
}
