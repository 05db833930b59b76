//! Labels whose values come from others. Each value is a time series that the process and Prometheus
//! keep, so that only so many have one of their own.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};

/// The most policies, and the most components, that have a value of their own.
pub const MAX_NAMED: usize = 200;
/// The longest name that is shown.
const MAX_NAME_CHARS: usize = 200;
/// The value of the label of all others.
pub const OTHER: &str = "other";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PolicyLabels {
    pub policy: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ComponentLabels {
    pub component: String,
}

/// The names that have a value of their own, for as long as the process lives: a counter must not
/// fall.
#[derive(Debug, Default)]
pub struct Names(Mutex<BTreeSet<String>>);

impl Names {
    /// The name, or [`OTHER`].
    pub fn label(&self, name: &str) -> String {
        let mut named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if named.contains(name) {
            return name.to_owned();
        }
        if named.len() >= MAX_NAMED || name.chars().count() > MAX_NAME_CHARS {
            return OTHER.to_owned();
        }
        named.insert(name.to_owned());
        name.to_owned()
    }
}

/// A family in a registry.
pub fn family<L, M>(registry: &mut Registry, name: &str, help: &str) -> Family<L, M>
where
    L: Clone + Debug + Eq + Hash + EncodeLabelSet + Send + Sync + 'static,
    M: Default + Debug + EncodeMetric + TypedMetric + Send + Sync + 'static,
    Family<L, M>: EncodeMetric,
{
    let family = Family::default();
    registry.register(name, help, family.clone());
    family
}

/// The same with a unit, which becomes the end of the name.
pub fn family_in<L, M>(registry: &mut Registry, name: &str, unit: Unit, help: &str) -> Family<L, M>
where
    L: Clone + Debug + Eq + Hash + EncodeLabelSet + Send + Sync + 'static,
    M: Default + Debug + EncodeMetric + TypedMetric + Send + Sync + 'static,
    Family<L, M>: EncodeMetric,
{
    let family = Family::default();
    registry.register_with_unit(name, help, unit, family.clone());
    family
}

/// A metric without labels in a registry.
pub fn single<M>(registry: &mut Registry, name: &str, help: &str) -> M
where
    M: Clone + Default + Debug + EncodeMetric + Send + Sync + 'static,
{
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

/// The same with a unit, which becomes the end of the name.
pub fn single_in<M>(registry: &mut Registry, name: &str, unit: Unit, help: &str) -> M
where
    M: Clone + Default + Debug + EncodeMetric + Send + Sync + 'static,
{
    let metric = M::default();
    registry.register_with_unit(name, help, unit, metric.clone());
    metric
}

/// Whole numbers in metrics are signed.
pub fn whole(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
