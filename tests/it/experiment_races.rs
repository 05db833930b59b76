//! Guards, admins and the tuner at once, any of whom may die at any `await`: whatever they leave
//! behind is one active version, at most one test and one watch, and a trail that tells it all.

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
use f0_learning_core::time::HOUR_MS;
use firestore_kit::value;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use semver::Version;
use serde_json::json;

use crate::experiments::{ASKED, flags};
use crate::races::die_after;
use crate::support::{START, key, put, seeded_store};

const POLICY: &str = "router-core";
const ROUNDS: u64 = 60;

/// What a lost race or a refusal leaves behind is for the checks to find; anything else is a bug.
fn expected<T>(outcome: Result<T, ChangeError>) {
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

/// One in so many fails, by the number of the version: some do better than others.
const FAILS: [u64; 3] = [2, 50, 5];

/// 2,000 observations, enough to prove a difference in a round or two.
fn observed(fails: u64) -> Tally {
    let mut tally = Tally::default();
    for number in 0..2_000_u64 {
        let outcome = if number.is_multiple_of(fails) { "failure" } else { "success" };
        let fields = json!({
            "ts": START, "component": "router:gpt-5", "outcome": outcome, "durationMs": 400,
            "costUsd": 0.01,
        });
        let observation = Observation::parse("o", fields.as_object().unwrap()).unwrap();
        tally.add(&observation, &score(&RewardConfig::default(), &observation));
    }
    tally
}

/// More is counted of each version.
async fn count(
    store: &Store,
    more: &[Tally],
    counted: &mut BTreeMap<Version, Tally>,
    versions: &[Policy],
) {
    for Policy { version, .. } in versions {
        let tally = counted.entry(version.clone()).or_default();
        tally.merge(&more[version.patch as usize % more.len()]);
        let stored = value::fields([
            ("policyVersion", value::string(format!("{POLICY}@{version}"))),
            ("format", value::int(4)),
            ("tally", value::bytes(tally.encode())),
        ]);
        put(store, collection::STATE, &format!("version|{POLICY}@{version}"), stored).await;
    }
}

/// What is stored at one moment: every change adds to the trail, so that nothing has changed
/// between two looks at it that are the same.
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
            let told = self.trail.iter().any(|entry| entry.experiment.as_ref() == Some(&it.id));
            assert!(told, "{why}: no entry tells of {it:?}");
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

/// What somebody does who saw `moment`, which may be over.
async fn operate(store: &Store, moment: &Moment, number: u64, now: i64, mut rng: StdRng) {
    let rng = &mut rng;
    let intent = Intent::new("ada", now).because("a test");
    let keyed = |it: &Policy| key(&format!("{POLICY}@{}", it.version));
    let drafts = moment.with(PolicyStatus::Draft);
    let draft = any(&drafts, rng).map(|it| keyed(it));
    let parent = moment.with(PolicyStatus::Active)[0].version.clone();
    match (rng.random_range(0..36), draft) {
        (0..=1, _) | (2..=7, None) => {
            let params = json!({
                "modelWeights": { "gpt-5": 0.5, "gemini": 0.25, "claude": 0.25 }, "of": number,
            });
            let draft = NewDraft {
                key: PolicyKey::new(POLICY, Version::new(2, 0, number)).unwrap(),
                parent,
                params: serde_json::from_value(params).unwrap(),
                notes: "for a test".to_owned(),
                expected_gain: 0.01,
                evidence: json!({}),
                decision: None,
                supersedes: drafts.iter().map(|it| it.version.clone()).take(1).collect(),
                now,
            };
            match store.propose(&draft).await {
                Ok(_) => {}
                Err(error) => assert!(error.is_conflict(), "{error}"),
            }
        }
        (2..=5, Some(draft)) => expected(store.start_experiment(&draft, &ASKED, &intent).await),
        (6, Some(draft)) => {
            let guard = if rng.random_bool(0.8) { Watching::On } else { Watching::Off };
            let intent = intent.watched(guard);
            expected(store.activate(&draft, rng.random_bool(0.5), &intent).await);
        }
        (7, Some(draft)) => expected(store.reject(&draft, &intent).await),
        (8, _) => {
            let archived = moment.with(PolicyStatus::Archived);
            let version = any(&archived, rng).map(|it| it.version.clone());
            expected(store.roll_back(POLICY, version.as_ref(), &intent).await);
        }
        (9, _) => {
            let set = OverrideParams::Set(vec![("cooldownMs".to_owned(), json!(number))]);
            expected(store.override_policy(POLICY, &set, None, &intent).await);
        }
        (10, _) => {
            let open: Vec<_> = moment.experiments.iter().filter(|it| it.open).collect();
            if let Some(it) = any(&open, rng) {
                expected(store.stop_experiment(&it.id, &intent).await);
            }
        }
        (11, _) => match rng.random_bool(0.4) {
            true => expected(store.pin(POLICY, &intent).await),
            false => expected(store.unpin(POLICY, &intent).await),
        },
        (12, _) => {
            let changes = FlagChanges {
                enabled: Some(rng.random_bool(0.8)),
                auto_activate_policies: Some(rng.random_bool(0.7)),
            };
            expected(store.set_flags(changes, &intent).await);
        }
        (_, _) => match GuardJob::new(store.clone()).pass(now).await {
            Ok(_) => {}
            Err(error) => assert!(error.is_conflict(), "{error}"),
        },
    }
}

/// A race in which nothing happens shows nothing: each of these is to happen in one of the races.
const TO_HAPPEN: [&str; 10] = [
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
/// A seed chooses who does what, not who wins, so that a rare event may ask for more races.
const MOST_RACES: u64 = 24;

/// One race from a seed, checked after each of its rounds; what happened in it.
async fn race(seed: u64) -> BTreeSet<String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let store = seeded_store().await;
    flags(&store, true, true).await;
    let more = FAILS.map(observed);
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
                die_after(polls, operate(&store, &moment, number, now, rng)).await;
            }
        };
        tokio::join!(act(0), act(1), act(2));
        moment = Arc::new(Moment::of(&store).await);
        moment.check(&format!("seed {seed}, round {round}"));
    }
    let told = moment.trail.iter().map(|entry| {
        let by = if entry.actor == GUARD { "guard" } else { "others" };
        format!("{by}: {}", entry.action)
    });
    told.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_acts_and_dies_at_once_leaves_one_active_version_and_its_one_test() {
    let mut seen = BTreeSet::new();
    let missing = |seen: &BTreeSet<String>| TO_HAPPEN.into_iter().find(|it| !seen.contains(*it));
    for seed in 0..MOST_RACES {
        if seed >= RACES && missing(&seen).is_none() {
            break;
        }
        seen.extend(race(seed).await);
    }
    assert_eq!(missing(&seen), None, "in {seen:?}");
}
