//! Fault injection: faults that tests and `dev --faults` inject between a client and the store.

mod collections;
mod plan;

use std::collections::BTreeMap;
use std::sync::Mutex;

use tokio::sync::watch;

use crate::locks::lock;
pub use collections::NamedCollections;
pub use plan::{Fault, FaultCode, Plan, PlanError, Rule};

/// The active plan and its progress.
#[derive(Debug)]
pub struct Faults {
    state: Mutex<State>,
    held: watch::Sender<usize>,
    released: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    plan: Plan,
    /// For each rule, how many requests it matched and how many faults it injected.
    counts: Vec<(u64, u64)>,
    injected: BTreeMap<String, u64>,
}

/// Counts a held request until it is dropped, which also happens when its client disconnects.
struct Held<'a>(&'a watch::Sender<usize>);

impl<'a> Held<'a> {
    fn count(held: &'a watch::Sender<usize>) -> Self {
        held.send_modify(|held| *held += 1);
        Self(held)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|held| *held -= 1);
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            held: watch::Sender::new(0),
            released: watch::Sender::new(0),
        }
    }
}

impl Faults {
    /// Waits until held requests are released.
    pub async fn hold(&self) {
        let mut released = self.released.subscribe();
        let _held = Held::count(&self.held);
        // The sender lives in `self`, so only a release can end the wait.
        let _ = released.changed().await;
    }

    /// Releases the held requests.
    pub fn release(&self) {
        self.released.send_modify(|count| *count += 1);
    }

    /// Waits until a request is held.
    pub async fn until_held(&self) {
        let _ = self.held.subscribe().wait_for(|held| *held > 0).await;
    }

    /// Activates a plan from its start.
    pub fn set(&self, plan: Plan) {
        let counts = vec![(0, 0); plan.rules.len()];
        *lock(&self.state) = State { plan, counts, injected: BTreeMap::new() };
    }

    pub fn plan(&self) -> Plan {
        lock(&self.state).plan.clone()
    }

    /// How often each kind of fault has been injected since the plan was activated.
    pub fn injected(&self) -> BTreeMap<String, u64> {
        lock(&self.state).injected.clone()
    }

    /// The fault for a request: that of the first rule that injects one.
    pub fn decide(&self, rpc: &str, request: &impl NamedCollections) -> Option<Fault> {
        let mut state = lock(&self.state);
        let State { plan, counts, injected } = &mut *state;
        if plan.rules.is_empty() {
            return None;
        }
        let (collections, bytes) = (request.collections(), request.encoded_len());
        let mut decided = None;
        for (index, (rule, (seen, faults))) in (0..).zip(plan.rules.iter().zip(counts)) {
            if !rule.matches(rpc, &collections, bytes) {
                continue;
            }
            let number = *seen;
            *seen += 1;
            let exhausted = rule.times.is_some_and(|times| *faults >= times);
            if decided.is_some() || number < rule.after || exhausted {
                continue;
            }
            if unit(plan::draw(plan.seed, index, number)) < rule.probability {
                *faults += 1;
                *injected.entry(rule.fault.name().to_owned()).or_default() += 1;
                decided = Some(rule.fault);
            }
        }
        decided
    }
}

/// Converts random bits to a number that is uniform in 0..1.
#[expect(clippy::cast_precision_loss, reason = "53 bits and a power of two are exact in f64")]
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::BeginTransactionRequest;

    fn run(plan: &Plan, requests: usize) -> Vec<Option<Fault>> {
        let faults = Faults::default();
        faults.set(plan.clone());
        let request = BeginTransactionRequest::default();
        (0..requests).map(|_| faults.decide("Commit", &request)).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_faults_and_another_seed_others() {
        let plan = Plan::from_seed(7);
        assert_eq!(run(&plan, 500), run(&plan, 500));
        assert_ne!(run(&plan, 500), run(&Plan::from_seed(8), 500));
    }

    #[test]
    fn faults_occur_with_their_probability() {
        let rule = Rule::on("Commit", Fault::Drop).with_probability(0.1);
        let hits = run(&Plan::new(1, vec![rule]), 20_000).into_iter().flatten().count();
        assert!((1_800..2_200).contains(&hits), "{hits}");
    }

    #[test]
    fn a_rule_respects_after_and_times() {
        let plan = Plan::new(0, vec![Rule::on("Commit", Fault::LoseAnswer).once_after(2)]);
        let expected = [None, None, Some(Fault::LoseAnswer), None];
        assert_eq!(run(&plan, 4), expected);
        let faults = Faults::default();
        faults.set(Plan::new(0, vec![Rule::on("RunQuery", Fault::Drop)]));
        assert_eq!(faults.decide("Commit", &BeginTransactionRequest::default()), None);
    }

    #[test]
    fn only_streams_of_answers_are_cut() {
        let faults = Faults::default();
        let cut = Fault::Cut { after: 1 };
        faults.set(Plan::new(0, vec![Rule::always(cut)]));
        assert_eq!(faults.decide("Commit", &BeginTransactionRequest::default()), None);
        assert_eq!(faults.injected().get("cut"), None);
        assert_eq!(faults.decide("RunQuery", &BeginTransactionRequest::default()), Some(cut));
        assert_eq!(faults.injected()["cut"], 1);
    }

    #[test]
    fn the_decisions_of_a_rule_do_not_depend_on_other_rules() {
        let rule = |rpc, fault| Rule::on(rpc, fault).with_probability(0.3);
        let alone = run(&Plan::new(5, vec![rule("Commit", Fault::Drop)]), 200);
        let both = vec![rule("Commit", Fault::Drop), rule("Commit", Fault::LoseAnswer)];
        let both = run(&Plan::new(5, both), 200);
        let drops = |faults: Vec<Option<Fault>>| -> Vec<bool> {
            faults.into_iter().map(|fault| fault == Some(Fault::Drop)).collect()
        };
        assert!(both.contains(&Some(Fault::LoseAnswer)));
        assert_eq!(drops(alone), drops(both));
    }

    #[test]
    fn a_plan_restarts_when_it_is_activated_again() {
        let plan = Plan::new(0, vec![Rule::on("Commit", Fault::Drop).once_after(1)]);
        let faults = Faults::default();
        let request = BeginTransactionRequest::default();
        for _ in 0..2 {
            faults.set(plan.clone());
            assert_eq!(faults.decide("Commit", &request), None);
            assert_eq!(faults.injected().get("drop"), None);
            assert_eq!(faults.decide("Commit", &request), Some(Fault::Drop));
            assert_eq!(faults.injected()["drop"], 1);
        }
    }

    #[test]
    fn a_plan_with_an_invalid_probability_is_refused() {
        for number in ["1.5", "-0.1"] {
            let text =
                format!(r#"{{"rules":[{{"fault":{{"kind":"drop"}},"probability":{number}}}]}}"#);
            let error = serde_json::from_str::<Plan>(&text).unwrap_err().to_string();
            assert!(error.contains("between 0 and 1"), "{error}");
        }
    }

    #[test]
    fn a_plan_argument_is_a_seed_or_a_file() {
        assert_eq!(Plan::of_argument(None).unwrap(), Plan::none());
        assert_eq!(Plan::of_argument(Some("12")).unwrap(), Plan::from_seed(12));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plan.json");
        let plan = Plan::new(1, vec![Rule::always(Fault::Delay { millis: 5 })]);
        std::fs::write(&file, serde_json::to_string(&plan).unwrap()).unwrap();
        assert_eq!(Plan::of_argument(file.to_str()).unwrap(), plan);
        std::fs::write(&file, "{").unwrap();
        let error = Plan::of_argument(file.to_str()).unwrap_err();
        assert!(error.to_string().contains("invalid fault plan"), "{error}");
        let error = Plan::of_argument(Some("/no/such/file")).unwrap_err();
        assert!(error.to_string().contains("expected a seed or a readable file"), "{error}");
    }

    #[test]
    fn a_plan_survives_a_round_trip_through_json() {
        let plan = Plan::from_seed(3);
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
        let short = r#"{"rules":[{"rpc":"Commit","fault":{"kind":"refuse","code":"ABORTED"}}]}"#;
        let plan: Plan = serde_json::from_str(short).unwrap();
        assert_eq!(plan.rules[0].fault, Fault::Refuse { code: FaultCode::Aborted });
        assert!(serde_json::from_str::<Plan>(r#"{"rules":[{"fault":{"kind":"fire"}}]}"#).is_err());
    }
}
