//! Invariants 3 and 4 with experiments: guards, admins and the tuner act at the same time, and each
//! may crash at any `await`. After every round one version is active, at most one test and one
//! watch are open, and the audit trail gives the state of every version.

use f0_learning_core::time::HOUR_MS;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::collection;
use f0_learning::jobs::guard::GuardJob;
use f0_learning::store::{ChangeError, GUARD, NewDraft, OverrideParams, Store};
use f0_learning_core::audit::AuditEntry;
use f0_learning_core::audit::replay;
use f0_learning_core::document::{Experiment, FlagChanges, Policy};
use f0_learning_core::experiment::{Kind, STAGES};
use f0_learning_core::intent::{Intent, Watching};
use f0_learning_core::observation::Observation;
use f0_learning_core::policy::{PolicyKey, PolicyStatus};
use f0_learning_core::reward::{RewardConfig, score};
use f0_learning_core::stats::Tally;
use firestore_kit::value;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use semver::Version;
use serde_json::json;

use crate::experiments::{ASKED, flags};
use crate::support::{START, crash_after, key, new_draft, put, router_params, seeded_store};

const POLICY: &str = "router-core";
const ROUNDS: u64 = 60;

/// A refusal or a lost race is allowed, because the checks look at what it left behind; any other
/// error is a bug.
fn assert_allowed<T>(outcome: Result<T, ChangeError>) {
    match outcome {
        Ok(_)
        | Err(
            ChangeError::Refused { .. }
            | ChangeError::Stale(_)
            | ChangeError::NothingBefore(_)
            | ChangeError::Pinned(..)
            | ChangeError::NotPinned(_)
            | ChangeError::ExperimentRuns { .. }
            | ChangeError::ExperimentOver(_),
        ) => {}
        Err(ChangeError::Store(error)) => assert!(error.is_conflict(), "{error}"),
        Err(other) => panic!("{other}"),
    }
}

/// One observation in this many fails, by the number of the version.
const FAILURE_EVERY: [u64; 3] = [2, 50, 5];

/// 2,000 observations: enough to prove a difference in one round or two.
fn tally_of(failure_every: u64) -> Tally {
    let mut tally = Tally::default();
    for number in 0..2_000_u64 {
        let outcome = if number.is_multiple_of(failure_every) { "failure" } else { "success" };
        let fields = json!({
            "ts": START, "component": "router:gpt-5", "outcome": outcome, "durationMs": 400,
            "costUsd": 0.01,
        });
        let observation = Observation::parse("o", fields.as_object().unwrap()).unwrap();
        tally.add(&observation, &score(&RewardConfig::default(), &observation));
    }
    tally
}

/// Adds 2,000 observations to the tally of each version.
async fn count(
    store: &Store,
    more: &[Tally],
    counted: &mut BTreeMap<Version, Tally>,
    versions: &[Policy],
) {
    for Policy { version, .. } in versions {
        let tally = counted.entry(version.clone()).or_default();
        tally.merge(&more[usize::try_from(version.patch).unwrap() % more.len()]);
        let stored = value::fields([
            ("policyVersion", value::string(format!("{POLICY}@{version}"))),
            ("format", value::int(4)),
            ("tally", value::bytes(tally.encode())),
        ]);
        put(store, collection::STATE, &format!("version|{POLICY}@{version}"), stored).await;
    }
}

/// The stored state at one moment. Every change adds to the trail, so that two equal reads of the
/// trail prove that nothing changed between them.
struct Moment {
    trail: Vec<AuditEntry>,
    versions: Vec<Policy>,
    experiments: Vec<Experiment>,
}

impl Moment {
    async fn of(store: &Store) -> Self {
        let trail = async || {
            let records = store.trail(POLICY, None).await.unwrap();
            records.into_iter().map(|it| it.entry).collect::<Vec<_>>()
        };
        loop {
            let before = trail().await;
            let versions = store.policies(Some(POLICY)).await.unwrap();
            let experiments = store.experiments(Some(POLICY)).await.unwrap();
            if before == trail().await {
                return Self { trail: before, versions, experiments };
            }
        }
    }

    fn with(&self, status: PolicyStatus) -> Vec<&Policy> {
        self.versions.iter().filter(|it| it.status == status).collect()
    }

    fn open(&self, kind: Kind) -> Vec<&Experiment> {
        self.experiments.iter().filter(|it| it.open && it.kind == kind).collect()
    }

    fn check(&self, why: &str) {
        let active = self.with(PolicyStatus::Active);
        let [active] = active.as_slice() else { panic!("{why}: {active:?}") };
        for other in self.versions.iter().filter(|it| it.version != active.version) {
            assert_eq!(other.candidate, None, "{why}: {}", other.version);
        }
        let (tests, watches) = (self.open(Kind::Ab), self.open(Kind::Watch));
        assert!(tests.len() <= 1 && watches.len() <= 1, "{why}: {tests:?} {watches:?}");
        match (&active.candidate, tests.first()) {
            (None, None) => {}
            (Some(named), Some(test)) => {
                let draft = self.versions.iter().find(|it| it.version == named.version).unwrap();
                assert_eq!(draft.status, PolicyStatus::Draft, "{why}");
                assert_eq!(named.params, draft.params, "{why}");
                assert_eq!(
                    (&named.experiment, &named.version),
                    (&test.id, &test.candidate),
                    "{why}"
                );
                assert_eq!(test.control, active.version, "{why}");
                assert!((named.share - test.share).abs() < 1e-9, "{why}: {named:?} {test:?}");
                assert!((STAGES[test.stage] - test.share).abs() < 1e-9, "{why}: {test:?}");
            }
            either => panic!("{why}: {either:?}"),
        }
        for watch in watches {
            assert_eq!(watch.candidate, active.version, "{why}");
        }
        for it in &self.experiments {
            assert_eq!(it.open, it.status.is_open(), "{why}: {it:?}");
            assert_eq!(it.open, it.ended_at.is_none(), "{why}: {it:?}");
            let audited = self.trail.iter().any(|entry| entry.experiment.as_ref() == Some(&it.id));
            assert!(audited, "{why}: no audit entry names {it:?}");
        }
        let (replayed, contradictions) = replay(&self.trail);
        assert_eq!(contradictions, [], "{why}");
        let stored: BTreeMap<_, _> =
            self.versions.iter().map(|it| (it.version.clone(), it.status)).collect();
        assert_eq!(replayed, stored, "{why}");
    }
}

fn any<'a, T>(of: &'a [T], rng: &mut StdRng) -> Option<&'a T> {
    (!of.is_empty()).then(|| &of[rng.random_range(0..of.len())])
}

/// One random action of an admin, the tuner or the guard, chosen from a state that may be stale.
async fn operate(store: &Store, moment: &Moment, number: u64, now: i64, mut rng: StdRng) {
    let rng = &mut rng;
    let intent = Intent::new("ada", now).because("a test");
    let keyed = |it: &Policy| key(&format!("{POLICY}@{}", it.version));
    let drafts = moment.with(PolicyStatus::Draft);
    let draft = any(&drafts, rng).map(|it| keyed(it));
    let parent = moment.with(PolicyStatus::Active)[0].version.clone();
    match (rng.random_range(0..36), draft) {
        (0..=1, _) | (2..=7, None) => {
            let key = PolicyKey::new(POLICY, Version::new(2, 0, number)).unwrap();
            let draft = NewDraft {
                supersedes: drafts.iter().map(|it| it.version.clone()).take(1).collect(),
                now,
                ..new_draft(key, parent, router_params(&number.to_string()))
            };
            match store.propose(&draft).await {
                Ok(_) => {}
                Err(error) => assert!(error.is_conflict(), "{error}"),
            }
        }
        (2..=5, Some(draft)) => {
            assert_allowed(store.start_experiment(&draft, &ASKED, &intent).await);
        }
        (6, Some(draft)) => {
            let guard = if rng.random_bool(0.8) { Watching::On } else { Watching::Off };
            let intent = intent.watched(guard);
            assert_allowed(store.activate(&draft, rng.random_bool(0.5), &intent).await);
        }
        (7, Some(draft)) => assert_allowed(store.reject(&draft, &intent).await),
        (8, _) => {
            let archived = moment.with(PolicyStatus::Archived);
            let version = any(&archived, rng).map(|it| it.version.clone());
            assert_allowed(store.roll_back(POLICY, version.as_ref(), &intent).await);
        }
        (9, _) => {
            let set = OverrideParams::Set(vec![("cooldownMs".to_owned(), json!(number))]);
            assert_allowed(store.override_policy(POLICY, &set, None, &intent).await);
        }
        (10, _) => {
            let open: Vec<_> = moment.experiments.iter().filter(|it| it.open).collect();
            if let Some(it) = any(&open, rng) {
                assert_allowed(store.stop_experiment(&it.id, &intent).await);
            }
        }
        (11, _) => match rng.random_bool(0.4) {
            true => assert_allowed(store.pin(POLICY, &intent).await),
            false => assert_allowed(store.unpin(POLICY, &intent).await),
        },
        (12, _) => {
            let changes = FlagChanges {
                enabled: Some(rng.random_bool(0.8)),
                auto_activate_policies: Some(rng.random_bool(0.7)),
            };
            assert_allowed(store.set_flags(changes, &intent).await);
        }
        (_, _) => match GuardJob::new(store.clone()).pass(now).await {
            Ok(_) => {}
            Err(error) => assert!(error.is_conflict(), "{error}"),
        },
    }
}

/// A race in which nothing happens proves nothing: each of these actions must occur in one of the
/// races.
const MUST_HAPPEN: [&str; 10] = [
    "guard: activate",
    "guard: experimentEnd",
    "guard: experimentRamp",
    "guard: rollback",
    "others: activate",
    "others: experimentEnd",
    "others: experimentStart",
    "others: override",
    "others: reject",
    "others: rollback",
];
const RACES: u64 = 4;
/// A seed chooses who does what, but not who wins, so that a rare action may need more races.
const MOST_RACES: u64 = 24;

/// Runs one race from a seed and checks the state after each round; gives the actions in it.
async fn race(seed: u64) -> BTreeSet<String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let store = seeded_store().await;
    flags(&store, true, true).await;
    let more = FAILURE_EVERY.map(tally_of);
    let mut counted = BTreeMap::new();
    let mut moment = Arc::new(Moment::of(&store).await);
    for round in 1..=ROUNDS {
        let now = START + i64::try_from(round).unwrap() * HOUR_MS;
        count(&store, &more, &mut counted, &moment.versions).await;
        let mut act = |rival| {
            let number = round * 3 + rival;
            let polls = if rng.random_bool(0.3) { rng.random_range(1..80) } else { usize::MAX };
            let (store, moment) = (store.clone(), moment.clone());
            let rng = StdRng::seed_from_u64(rng.random());
            async move {
                crash_after(polls, operate(&store, &moment, number, now, rng)).await;
            }
        };
        tokio::join!(act(0), act(1), act(2));
        moment = Arc::new(Moment::of(&store).await);
        moment.check(&format!("seed {seed}, round {round}"));
    }
    let actions = moment.trail.iter().map(|entry| {
        let by = if entry.actor == GUARD { "guard" } else { "others" };
        format!("{by}: {}", entry.action)
    });
    actions.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_changes_and_crashes_leave_one_active_version_and_at_most_one_test() {
    let mut seen = BTreeSet::new();
    let missing = |seen: &BTreeSet<String>| MUST_HAPPEN.into_iter().find(|it| !seen.contains(*it));
    for seed in 0..MOST_RACES {
        if seed >= RACES && missing(&seen).is_none() {
            break;
        }
        seen.extend(race(seed).await);
    }
    assert_eq!(missing(&seen), None, "never happened; only {seen:?} did");
}
