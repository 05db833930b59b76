//! What the overview shows, read once for all who look at it.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::http::page::layout::Failure;
use crate::http::page::visit::Visit;
use crate::store::{AuditFilter, AuditRecord, ComponentSeries, Result, Store, StoreError};
use f0_learning_core::audit::Action;
use f0_learning_core::document::{Experiment, FlagsState, Policy};
use f0_learning_core::experiment::Status;
use f0_learning_core::reward::RewardConfig;
use f0_learning_core::stats::{Window, WindowStats};
use f0_learning_core::time::DAY_MS;
use f0_learning_core::tuning::{ARM_PLACEHOLDER, TuningConfig};

/// How long what was read is shown to everyone; a change through a page ends it.
const TTL_MS: i64 = 5_000;
/// The most components that a chart can distinguish.
pub const MAX_LINES: usize = 8;
/// The most active versions that are shown, each a read; the list of policies shows all.
const MAX_ACTIVE: usize = 50;
/// The most drafts that are listed, each a read.
const MAX_DRAFTS: usize = 20;
/// The actions that make a version active, and how many of each the chart shows at most.
const ACTIVATING: [Action; 3] = [Action::Activate, Action::Rollback, Action::Override];
const MAX_MARKS: usize = 8;
/// Quarantine is counted up to here.
pub const MAX_COUNTED: usize = 1_000;

/// What was read last, and when.
#[derive(Debug, Default)]
pub struct Latest(Mutex<Option<(i64, Arc<Overview>)>>);

impl Latest {
    /// What is stored; callers that come at the same time share what one of them reads.
    pub async fn get(&self, visit: &Visit) -> Result<Arc<Overview>, Failure> {
        let mut latest = self.0.lock().await;
        if let Some((at, found)) = &*latest
            && (0..TTL_MS).contains(&(visit.now - at))
        {
            return Ok(found.clone());
        }
        let found = Arc::new(Overview::read(&visit.store, visit.now).await?);
        *latest = Some((visit.now, found.clone()));
        Ok(found)
    }

    /// Makes the next caller read again.
    pub async fn forget(&self) {
        *self.0.lock().await = None;
    }
}

#[derive(Debug)]
pub struct Overview {
    /// When it was read, in epoch milliseconds.
    pub at: i64,
    pub flags: FlagsState,
    pub active: Vec<Policy>,
    /// Whether there are more active versions than are shown.
    pub has_more_active: bool,
    pub drafts: Vec<Policy>,
    pub experiments: Vec<Experiment>,
    pub quarantined: u64,
    /// Documents that cannot be read and what is wrong with the configuration, in sentences.
    pub broken: Vec<String>,
    /// In the order of the chart.
    pub components: Vec<Component>,
    pub activations: Vec<Activation>,
    pub min_acceptable: f64,
    /// Observations that scoring has not reached.
    pub backlog: u64,
}

/// A component's rewards over time.
#[derive(Debug)]
pub struct Component {
    pub name: String,
    /// The start, the end and the figures of each stretch of time, the oldest first.
    pub course: Vec<(i64, i64, WindowStats)>,
    pub windows: [(Window, WindowStats); 3],
}

/// A version that became active.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Activation {
    pub ts: i64,
    pub policy: String,
    pub version: String,
}

impl Overview {
    /// The tests whose candidate is proven to be better and waits for its activation.
    pub fn asking(&self) -> impl Iterator<Item = &Experiment> {
        self.experiments.iter().filter(|it| it.status == Status::Succeeded)
    }

    async fn read(store: &Store, now: i64) -> Result<Self> {
        let (flags, rewards, tuning, mut active, drafts, open, quarantined, activations, backlog) =
            tokio::try_join!(
                store.flags(),
                readable(store.reward_config()),
                readable(store.tuning_config()),
                store.first_active_versions(MAX_ACTIVE + 1),
                store.open_drafts(MAX_DRAFTS),
                store.all_open_experiments(),
                store.quarantine_count(MAX_COUNTED),
                activations(store, now),
                readable(backlog(store, now)),
            )?;
        let has_more_active = active.readable.len() > MAX_ACTIVE;
        active.readable.truncate(MAX_ACTIVE);
        let mut broken: Vec<String> = Vec::new();
        broken.extend(active.unreadable.iter().map(ToString::to_string));
        broken.extend(open.1.iter().map(ToString::to_string));
        let mut note = |error: Option<StoreError>| broken.extend(error.map(|it| it.to_string()));
        let (rewards, error) = parted(rewards);
        note(error);
        let (tuning, error): (TuningConfig, _) = parted(tuning);
        note(error);
        let (backlog, error) = parted(backlog);
        note(error);
        broken.extend(tuning.refused.values().cloned());
        if !matches!(flags, FlagsState::Set(_)) {
            broken.push(flags.to_string());
        }
        let components = components(store, &active.readable, &tuning, now).await?;
        let rewards: RewardConfig = rewards;
        let min_acceptable = rewards.thresholds.min_acceptable;
        Ok(Self {
            at: now,
            flags,
            active: active.readable,
            has_more_active,
            drafts,
            experiments: open.0,
            quarantined,
            broken,
            components,
            activations,
            min_acceptable,
            backlog,
        })
    }
}

/// The latest activations of the last week, in the order of time.
async fn activations(store: &Store, now: i64) -> Result<Vec<Activation>> {
    let mut found = Vec::new();
    for action in ACTIVATING {
        let (action, since) = (Some(action.to_string()), Some(now - 7 * DAY_MS));
        let filter = AuditFilter { action, since, ..AuditFilter::default() };
        for AuditRecord { entry, .. } in store.audit(&filter, MAX_MARKS).await? {
            let (ts, policy) = (entry.ts, entry.id);
            found.extend(entry.to.map(|version| Activation { ts, policy, version }));
        }
    }
    found.sort();
    Ok(found)
}

async fn backlog(store: &Store, now: i64) -> Result<u64> {
    let layout = store.layout().await?.layout;
    let mut backlog = 0;
    for cursor in store.cursors(&layout.shards()).await? {
        backlog += store.backlog(&cursor, now).await?;
    }
    Ok(backlog)
}

/// A document that cannot be read is shown, and does not hide the rest of the page.
async fn readable<T>(found: impl Future<Output = Result<T>>) -> Result<Result<T>> {
    match found.await {
        Err(error) if !matches!(error, StoreError::Decode { .. }) => Err(error),
        found => Ok(found),
    }
}

fn parted<T: Default>(found: Result<T>) -> (T, Option<StoreError>) {
    match found {
        Ok(found) => (found, None),
        Err(error) => (T::default(), Some(error)),
    }
}

/// The components of the arms of tuned policies, and then others, by name.
async fn components(
    store: &Store,
    active: &[Policy],
    tuning: &TuningConfig,
    now: i64,
) -> Result<Vec<Component>> {
    let of_arms = |policy: &Policy| {
        let weights = policy.params.model_weights().ok().flatten().unwrap_or_default();
        let component = tuning.policies.get(&policy.id).map(|it| it.component.clone());
        let named = component.map(|it| {
            weights
                .into_keys()
                .map(move |arm| it.replace(ARM_PLACEHOLDER, &arm))
                .collect::<Vec<_>>()
        });
        named.unwrap_or_default()
    };
    let mut names: Vec<String> = active.iter().flat_map(of_arms).collect();
    names.dedup();
    names.truncate(MAX_LINES);
    let asked: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut found = store.series_to_count(&asked).await?;
    if found.len() < MAX_LINES {
        let others = store.first_series(MAX_LINES).await?;
        found.extend(others.into_iter().filter(|it| !names.contains(&it.component)));
    }
    found.truncate(MAX_LINES);
    Ok(found.into_iter().map(|it| Component::of(it, now)).collect())
}

impl Component {
    fn of(found: ComponentSeries, now: i64) -> Self {
        let ComponentSeries { component, mut series, .. } = found;
        series.advance(now);
        let course = series.course().filter(|(_, _, stats)| stats.n > 0).collect();
        Self { name: component, course, windows: series.windows() }
    }

    pub fn window(&self, wanted: Window) -> &WindowStats {
        let found = self.windows.iter().find(|(window, _)| *window == wanted);
        found.map_or(&self.windows[0].1, |(_, stats)| stats)
    }
}
