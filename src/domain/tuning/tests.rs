use proptest::prelude::*;

use super::*;

/// A tuner's input that owns its parts, the specification's case unless changed.
#[derive(Clone, Debug)]
struct Case {
    weights: BTreeMap<String, f64>,
    stats: BTreeMap<String, WindowStats>,
    thresholds: Thresholds,
    config: PolicyTuning,
    last_draft: Option<LastDraft>,
}

impl Case {
    fn new(arms: &[(&str, f64, u64, f64)]) -> Self {
        let stats = |n, avg_reward| WindowStats { n, avg_reward, ..WindowStats::default() };
        Self {
            weights: arms.iter().map(|it| (it.0.to_owned(), it.1)).collect(),
            stats: arms.iter().map(|it| (it.0.to_owned(), stats(it.2, it.3))).collect(),
            thresholds: Thresholds { min_acceptable: 0.55, retrain: 0.40 },
            config: TuningConfig::default().policies["router-core"].clone(),
            last_draft: None,
        }
    }

    fn decide(&self) -> Decision {
        decide(&TuningInput {
            policy_id: "router-core",
            parent: &Version::new(1, 0, 0),
            weights: &self.weights,
            stats: &self.stats,
            thresholds: &self.thresholds,
            config: &self.config,
            last_draft: self.last_draft.as_ref(),
            as_of: 1_734_000_000_000,
        })
    }

    fn proposal(&self) -> Proposal {
        match self.decide() {
            Decision::Propose(proposal) => *proposal,
            Decision::None(reason) => panic!("{reason}"),
        }
    }

    fn reason(&self) -> Reason {
        match self.decide() {
            Decision::Propose(proposal) => panic!("{}", proposal.notes),
            Decision::None(reason) => reason,
        }
    }

    fn drafted(mut self, proposal: &Proposal, status: PolicyStatus) -> Self {
        let (version, weights) = (Version::new(1, 0, 1), proposal.weights.clone());
        self.last_draft = Some(LastDraft { version, weights, status });
        self
    }
}

fn failing_gpt() -> Case {
    Case::new(&[("gpt-5", 0.6, 100, 0.0), ("gemini", 0.25, 0, 0.0), ("claude", 0.15, 0, 0.0)])
}

#[test]
fn a_hundred_failures_lead_to_a_proposal() {
    let proposal = failing_gpt().proposal();
    // 0.4 is no multiple of 1/1024; the next one within the step is.
    assert_eq!(proposal.weights["gpt-5"], 410.0 / 1024.0);
    assert!(proposal.weights["gemini"] > 0.25 && proposal.weights["claude"] > 0.15);
    assert_eq!(proposal.weights.values().sum::<f64>(), 1.0);
    assert!((proposal.expected_gain - 0.55 * (0.6 - 410.0 / 1024.0)).abs() < 1e-12);
    assert_eq!(proposal.changes.len(), 3);
    assert_eq!(
        proposal.notes,
        "Auto-tuned from 1.0.0 on the last 24h. \
         gpt-5 down from 0.600 to 0.400: mean reward 0.000 over 100 observations, below the \
         retrain threshold 0.40. \
         gemini up from 0.250 to 0.375: 0 observations where 100 are needed to judge, taken at \
         0.55. \
         claude up from 0.150 to 0.225: 0 observations where 100 are needed to judge, taken at \
         0.55. \
         Expected mean reward 0.220 to 0.330 (+0.110)."
    );
}

#[test]
fn the_evidence_says_what_the_decision_rested_on() {
    let evidence = failing_gpt().proposal().evidence;
    let json = serde_json::to_value(&evidence).unwrap();
    assert_eq!(json["window"], "24h");
    assert_eq!(json["asOf"], 1_734_000_000_000_i64);
    assert_eq!(json["arms"][2]["component"], "router:gpt-5");
    assert_eq!(json["arms"][2]["judged"], true);
    assert_eq!(json["arms"][0]["judged"], false);
    assert_eq!(json["arms"][0]["reward"], 0.55);
    assert_eq!(json["arms"][0]["avgReward"], serde_json::Value::Null);
    let mut more = failing_gpt();
    more.stats.insert("gemini".to_owned(), WindowStats { n: 1, ..WindowStats::default() });
    assert_ne!(more.proposal().evidence.digest, evidence.digest);
    assert_eq!(failing_gpt().proposal().evidence.digest, evidence.digest);
}

#[test]
fn the_larger_step_takes_an_arm_below_retrain() {
    let arms = |worst| Case::new(&[("a", 0.5, 500, 0.8), ("b", 0.5, 500, worst)]);
    assert_eq!(arms(0.41).proposal().weights["b"], 410.0 / 1024.0);
    assert_eq!(arms(0.39).proposal().weights["b"], 308.0 / 1024.0);
}

#[test]
fn an_arm_below_retrain_does_not_gain_from_a_worse_one() {
    let case = Case::new(&[("a", 0.1, 500, 0.39), ("b", 0.8, 500, 0.0), ("c", 0.1, 500, 0.5)]);
    let weights = case.proposal().weights;
    assert!(weights["a"] <= 0.1 && weights["c"] > 0.1, "{weights:?}");
}

#[test]
fn too_few_samples_are_counted_out() {
    let reason = Case::new(&[("a", 0.5, 99, 0.1), ("b", 0.5, 3, 0.9)]).reason();
    assert_eq!(reason.code(), "too-few-samples");
    assert_eq!(
        reason.to_string(),
        "no arm has the 100 observations in 24h that it takes to judge it: a 99, b 3"
    );
}

#[test]
fn equal_arms_are_left_alone() {
    let case = Case::new(&[("a", 0.5, 500, 0.7), ("b", 0.5, 500, 0.7)]);
    assert_eq!(case.reason(), Reason::AlreadyBest { largest_change: 0.0, min_change: 0.01 });
}

#[test]
fn a_small_gain_is_not_worth_a_version() {
    let case = Case::new(&[("a", 0.5, 500, 0.70), ("b", 0.5, 500, 0.73)]);
    assert_eq!(case.reason().code(), "gain-too-small");
}

#[test]
fn a_single_arm_has_nothing_to_weigh_against() {
    let case = Case::new(&[("a", 1.0, 500, 0.1)]);
    assert_eq!(case.reason(), Reason::SingleArm { arm: "a".to_owned() });
}

#[test]
fn documents_that_make_no_sense_are_a_reason() {
    let mut case = failing_gpt();
    case.config.step_bound = f64::NAN;
    assert_eq!(case.reason().code(), "invalid-config");
    let mut case = failing_gpt();
    case.thresholds.retrain = 0.9;
    assert_eq!(case.reason().code(), "invalid-thresholds");
    let mut case = failing_gpt();
    case.weights.insert("more".to_owned(), 0.1);
    assert_eq!(case.reason().code(), "invalid-weights");
    let mut case = failing_gpt();
    case.config.exploration_floor = 0.34;
    assert_eq!(case.reason(), Reason::Infeasible { arms: 3, floor: 0.34, step: 0.2 });
}

#[test]
fn the_same_is_not_proposed_twice() {
    let proposal = failing_gpt().proposal();
    let words = |status| failing_gpt().drafted(&proposal, status).reason().to_string();
    assert_eq!(words(PolicyStatus::Draft), "1.0.1 proposes the same already and awaits an admin");
    assert_eq!(words(PolicyStatus::Rejected), "1.0.1 proposed the same already and is rejected");
}

#[test]
fn new_evidence_leads_to_another_draft_whatever_became_of_the_last() {
    let before = failing_gpt().proposal();
    let mut case = failing_gpt();
    case.stats.insert("claude".to_owned(), WindowStats { n: 400, ..WindowStats::default() });
    let draft = case.clone().drafted(&before, PolicyStatus::Draft).proposal();
    assert!(draft.weights["claude"] <= 0.15);
    let rejected = case.drafted(&before, PolicyStatus::Rejected).proposal();
    assert_eq!(rejected.weights, draft.weights);
}

#[test]
fn an_arm_below_the_floor_moves_up_to_it() {
    let case = Case::new(&[("a", 0.9, 500, 0.3), ("b", 0.1, 500, 0.8), ("c", 0.0, 0, 0.0)]);
    let weights = case.proposal().weights;
    assert!(weights["c"] >= 0.05, "{weights:?}");
}

#[test]
fn arms_that_cannot_all_reach_the_floor_come_nearer_to_it() {
    let arms = [("a", 1.0, 500, 0.45), ("b", 0.0, 0, 0.0), ("c", 0.0, 0, 0.0), ("d", 0.0, 0, 0.0)];
    let weights = Case::new(&arms).proposal().weights;
    assert_eq!(weights["a"], 922.0 / 1024.0);
    assert!(["b", "c", "d"].iter().all(|arm| weights[*arm] >= 34.0 / 1024.0), "{weights:?}");
}

/// Each version activated, the same evidence: it ends, and never for the worse.
#[test]
fn repeated_tuning_comes_to_rest_at_the_best_arm() {
    let mut case = Case::new(&[("a", 0.6, 500, 0.2), ("b", 0.2, 500, 0.8), ("c", 0.2, 500, 0.5)]);
    for _ in 0..20 {
        match case.decide() {
            Decision::Propose(proposal) => {
                assert!(proposal.expected_gain > 0.0);
                case.weights = proposal.weights;
            }
            Decision::None(reason) => {
                assert_eq!(reason.code(), "already-best");
                assert!(case.weights["b"] > 0.89, "{:?}", case.weights);
                return;
            }
        }
    }
    panic!("still moving: {:?}", case.weights);
}

#[test]
fn the_default_document_reads_back_and_gaps_take_the_defaults() {
    let config = TuningConfig::default();
    config.validate().unwrap();
    let json = serde_json::to_value(&config).unwrap();
    assert_eq!(json["policies"]["router-core"]["component"], "router:{arm}");
    assert_eq!(serde_json::from_value::<TuningConfig>(json).unwrap(), config);
    let sparse = serde_json::json!({"policies": {"router-core": {"component": "router:{arm}"}}});
    assert_eq!(serde_json::from_value::<TuningConfig>(sparse).unwrap(), config);
    assert_eq!(config.policies["router-core"].component_of("gpt-5"), "router:gpt-5");
}

#[test]
fn a_config_that_makes_no_sense_is_named() {
    let error = |change: fn(&mut PolicyTuning)| {
        let mut config = TuningConfig::default().policies["router-core"].clone();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    assert_eq!(error(|it| it.min_samples = 0), "tuning minSamples is 0, must be at least 1");
    assert_eq!(
        error(|it| it.exploration_floor = -0.1),
        "tuning explorationFloor is -0.1, must be between 0 and 0.5"
    );
    assert_eq!(
        error(|it| it.retrain_step_bound = 0.05),
        "tuning retrainStepBound is 0.05, must be at least stepBound, 0.1"
    );
    assert!(error(|it| it.component = "router".to_owned()).contains("exactly once"));
}

fn any_weights() -> impl Strategy<Value = Vec<f64>> {
    let raw = prop_oneof![4 => 0.0..1.0_f64, 1 => Just(0.0), 1 => 0.0..1e-4_f64];
    let count = prop_oneof![4 => 2_usize..12, 1 => 2..=MAX_ARMS];
    let many = count.prop_flat_map(move |count| prop::collection::vec(raw.clone(), count));
    many.prop_map(|mut raw| {
        raw[0] += 0.01;
        let sum: f64 = raw.iter().sum();
        raw.iter().map(|it| it / sum).collect()
    })
}

fn any_stats() -> impl Strategy<Value = WindowStats> {
    let n = prop_oneof![0_u64..200, any::<u64>()];
    let avg_reward = prop_oneof![8 => 0.0..=1.0, 1 => any::<f64>()];
    (n, avg_reward, any::<f64>()).prop_map(|(n, avg_reward, p95_latency)| WindowStats {
        n,
        avg_reward,
        p95_latency,
        ..WindowStats::default()
    })
}

prop_compose! {
    fn any_bounds()(
        min_samples in 1_u64..150,
        step_bound in prop_oneof![0.001..0.3, Just(0.1), 0.001..=1.0],
        more_step in 1.0..3.0,
        exploration_floor in prop_oneof![Just(0.0), Just(0.05), 0.0..0.2],
        min_change in prop_oneof![Just(0.0), 0.0..0.05],
        min_gain in prop_oneof![Just(0.0), 0.0..0.05],
        learning_rate in 0.0..=100.0,
    ) -> PolicyTuning {
        PolicyTuning {
            min_samples, step_bound, exploration_floor, min_change, min_gain, learning_rate,
            retrain_step_bound: f64::min(1.0, step_bound * more_step),
            ..PolicyTuning::default()
        }
    }
}

prop_compose! {
    fn any_case()(weights in any_weights())(
        stats in prop::collection::vec(prop::option::of(any_stats()), weights.len()),
        weights in Just(weights),
        config in any_bounds(),
        thresholds in prop::array::uniform2(0.0..=1.0_f64),
    ) -> Case {
        let name = |at: usize| format!("arm-{at:03}");
        let stats = stats.into_iter().enumerate();
        Case {
            weights: weights.into_iter().enumerate().map(|(at, it)| (name(at), it)).collect(),
            stats: stats.filter_map(|(at, it)| Some((name(at), it?))).collect(),
            thresholds: Thresholds {
                min_acceptable: thresholds[0].max(thresholds[1]),
                retrain: thresholds[0].min(thresholds[1]),
            },
            config,
            last_draft: None,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_proposal_keeps_every_bound(case in any_case()) {
        let Decision::Propose(proposal) = case.decide() else { return Ok(()) };
        let Case { weights: before, config, thresholds, stats, .. } = &case;
        let after = &proposal.weights;
        prop_assert!(after.keys().eq(before.keys()));
        prop_assert_eq!(after.values().sum::<f64>(), 1.0);
        prop_assert_eq!(after.values().rev().sum::<f64>(), 1.0);
        let failing = |it: &WindowStats| {
            it.n >= config.min_samples && (0.0..thresholds.retrain).contains(&it.avg_reward)
        };
        let retrain = before.keys().any(|arm| stats.get(arm).is_some_and(failing));
        let step = if retrain { config.retrain_step_bound } else { config.step_bound };
        let floor = config.exploration_floor;
        let mut largest_change = 0.0_f64;
        for (arm, to) in after {
            let from = before[arm];
            prop_assert_eq!((to * 1024.0).fract(), 0.0);
            prop_assert!((to - from).abs() <= step, "{arm}: {from} to {to}, step {step}");
            if from >= floor {
                prop_assert!(*to >= floor, "{arm}: {from} to {to}, floor {floor}");
            } else {
                prop_assert!(*to >= from, "{arm}: {from} to {to}, floor {floor}");
            }
            largest_change = largest_change.max((to - from).abs());
        }
        prop_assert!(largest_change > 0.0 && largest_change >= config.min_change);
        prop_assert!(proposal.expected_gain >= config.min_gain);
    }

    #[test]
    fn deciding_again_changes_nothing(case in any_case(), rejected: bool) {
        let Decision::Propose(proposal) = case.decide() else { return Ok(()) };
        let status = if rejected { PolicyStatus::Rejected } else { PolicyStatus::Draft };
        let version = Version::new(1, 0, 1);
        let again = case.drafted(&proposal, status).decide();
        prop_assert_eq!(again, Decision::None(Reason::AlreadyProposed { version, status }));
    }
}
