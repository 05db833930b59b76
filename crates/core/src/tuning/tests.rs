//! Decisions on arms with known rewards, and the invariants of every decision.

use proptest::prelude::*;
use semver::Version;

use super::blocks::{Block, Blocks};
use super::*;
use crate::estimate::{ArmLog, Sample};
use crate::number::{Lossy, whole_u64};
use crate::observation::{Observation, Outcome, Weight};
use crate::policy::PolicyStatus;
use crate::reward::{RewardConfig, Thresholds};
use crate::stats::Samples;

/// An input with these arms: name, weight, observations, mean reward.
fn case(arms: &[(&str, f64, u64, f64)]) -> TuningInput {
    TuningInput {
        policy_id: "router-core".to_owned(),
        parent: Version::new(1, 0, 0),
        weights: arms.iter().map(|it| (it.0.to_owned(), it.1)).collect(),
        arms: arms.iter().map(|it| (it.0.to_owned(), arm(it.2, it.3))).collect(),
        max_weight: 1.0,
        routed: None,
        rewards: RewardConfig::default(),
        config: TuningConfig::default().policies["router-core"].clone(),
        tuning_version: "1.0.0".to_owned(),
        last_draft: None,
        as_of: 1_734_000_000_000,
        blocks: Some(Blocks {
            versions: [(VERSION.to_owned(), block(arms))].into(),
            ..Blocks::default()
        }),
    }
}

const VERSION: &str = "1.0.0";

/// The same observations, as they name one version whose weights they follow.
fn block(arms: &[(&str, f64, u64, f64)]) -> Block {
    let total: u64 = arms.iter().map(|it| it.2).sum();
    let share = |n: u64| n.to_f64() / total.max(1).to_f64();
    Block {
        weights: arms.iter().map(|it| (it.0.to_owned(), share(it.2))).collect(),
        logs: arms.iter().map(|it| (it.0.to_owned(), log(&[(None, it.2, it.3)]))).collect(),
    }
}

/// `n` rewards of 0 and 1 whose mean is as near to `mean` as possible.
fn arm(n: u64, mean: f64) -> ArmInput {
    let mut samples = Samples::default();
    let ones = whole_u64((n.to_f64() * mean).round());
    for index in 0..n {
        let value = f64::from(u8::from(index < ones));
        samples.reward.add(value, Weight::ONE);
        samples.success.add(value, Weight::ONE);
        samples.latency.add(100.0 + (index % 100).to_f64(), Weight::ONE);
    }
    ArmInput { memory: memory::ArmMemory::default(), samples }
}

fn proposal(input: &TuningInput) -> Proposal {
    match decide(input) {
        Decision::Propose(proposal) => *proposal,
        Decision::None(reason) => panic!("{reason}"),
    }
}

fn reason(input: &TuningInput) -> Reason {
    match decide(input) {
        Decision::Propose(proposal) => panic!("{}", proposal.notes),
        Decision::None(reason) => reason,
    }
}

fn drafted(mut input: TuningInput, proposal: &Proposal, status: PolicyStatus) -> TuningInput {
    let (version, weights) = (Version::new(1, 0, 1), proposal.weights.clone());
    input.last_draft = Some(LastDraft { version, weights, status });
    input
}

fn failing_gpt() -> TuningInput {
    case(&[("gpt-5", 0.6, 100, 0.0), ("gemini", 0.25, 0, 0.0), ("claude", 0.15, 0, 0.0)])
}

#[test]
fn a_hundred_failures_lead_to_a_proposal() {
    let proposal = proposal(&failing_gpt());
    // 0.4 is not a multiple of 1/1024; the next one within the step is.
    assert_eq!(proposal.weights["gpt-5"], 410.0 / 1024.0);
    assert!(proposal.weights["gemini"] > 0.25 && proposal.weights["claude"] > 0.15);
    assert_eq!(proposal.weights.values().sum::<f64>(), 1.0);
    assert!((proposal.expected_gain - 0.55 * (0.6 - 410.0 / 1024.0)).abs() < 1e-12);
    assert_eq!(proposal.changes.len(), 3);
    for part in [
        "Auto-tuned from 1.0.0. gpt-5 0.600 → 0.400: mean reward 0.000 (0.000–0.",
        "over 100 observations, proven to be below the retrain threshold 0.40.",
        "an arm needs 100, this one has 0; its mean reward is assumed to be 0.55.",
        "Expected mean reward 0.220 → 0.330 (+0.110, lower bound unknown",
    ] {
        assert!(proposal.notes.contains(part), "{part} in {}", proposal.notes);
    }
}

#[test]
fn the_evidence_contains_everything_that_the_decision_used() {
    let evidence = proposal(&failing_gpt()).evidence;
    let json = serde_json::to_value(&evidence).unwrap();
    assert_eq!(json["asOf"], 1_734_000_000_000_i64);
    assert_eq!(json["arms"][2]["component"], "router:gpt-5");
    assert_eq!(json["arms"][2]["judged"], true);
    assert_eq!(json["arms"][2]["failing"], true);
    assert!(json["arms"][2]["reward"]["high"].as_f64().unwrap() < 0.4);
    assert_eq!(json["arms"][0]["judged"], false);
    assert_eq!(json["arms"][0]["takenAt"], 0.55);
    assert_eq!(json["arms"][0]["reward"], serde_json::Value::Null);
    assert_eq!(json["gain"]["low"], serde_json::Value::Null);
    let mut more = failing_gpt();
    more.arms.insert("gemini".to_owned(), arm(1, 0.0));
    assert_ne!(proposal(&more).evidence.digest, evidence.digest);
    let later = TuningInput { as_of: 1_734_000_000_001, ..failing_gpt() };
    assert_eq!(proposal(&later).evidence.digest, evidence.digest);
}

#[test]
fn a_proven_difference_moves_weight_and_has_a_bounded_gain() {
    let input = case(&[("a", 0.5, 500, 0.8), ("b", 0.5, 500, 0.5)]);
    let proposal = proposal(&input);
    assert_eq!(proposal.weights["b"], 410.0 / 1024.0);
    let gain = proposal.evidence.gain;
    assert!((gain.expected - 0.3 * (0.5 - 410.0 / 1024.0)).abs() < 1e-9);
    assert!(gain.low.unwrap() > 0.0 && gain.low.unwrap() < gain.expected, "{gain:?}");
    assert!(gain.high.unwrap() > gain.expected, "{gain:?}");
    let difference = &proposal.evidence.differences[0];
    assert_eq!((difference.better.as_str(), difference.worse.as_str()), ("a", "b"));
    assert_eq!(proposal.evidence.arms[1].beaten_by, ["a"]);
    assert!(proposal.notes.contains("proven to be worse than a"), "{}", proposal.notes);
}

#[test]
fn an_unproven_difference_is_not_proposed() {
    let input = case(&[("a", 0.5, 150, 0.6), ("b", 0.5, 150, 0.5)]);
    assert_eq!(reason(&input).code(), "nothing-proven");
    let text = reason(&input).to_string();
    assert!(text.contains("after 300 observations no arm is proven"), "{text}");
    assert!(text.contains("a is the best with probability 0.9"), "{text}");
}

#[test]
fn only_the_weight_of_a_loser_moves() {
    let input = case(&[("a", 0.3, 800, 0.8), ("b", 0.4, 800, 0.4), ("c", 0.3, 800, 0.79)]);
    let weights = proposal(&input).weights;
    assert!(weights["a"] >= 0.3 && weights["c"] >= 307.0 / 1024.0 - 1e-9, "{weights:?}");
    assert!(
        weights["a"] > weights["c"],
        "the arm more likely to be the best gets more: {weights:?}"
    );
    assert!((weights["b"] - 0.3).abs() < 2.0 / 1024.0, "{weights:?}");
}

#[test]
fn the_worst_arm_loses_weight_first() {
    let input = case(&[("a", 0.6, 900, 0.45), ("b", 0.25, 900, 0.9), ("c", 0.15, 900, 0.7)]);
    let weights = proposal(&input).weights;
    assert!(weights["a"] < 0.51 && weights["c"] > 0.148, "{weights:?}");
}

#[test]
fn an_arm_that_fails_moves_by_the_larger_step() {
    let arms = |worst| case(&[("a", 0.5, 900, 0.8), ("b", 0.5, 900, worst)]);
    assert_eq!(proposal(&arms(0.48)).weights["b"], 410.0 / 1024.0);
    assert_eq!(proposal(&arms(0.3)).weights["b"], 308.0 / 1024.0);
}

#[test]
fn an_arm_that_fails_does_not_gain_from_a_worse_one() {
    let input = case(&[("a", 0.1, 900, 0.3), ("b", 0.8, 900, 0.0), ("c", 0.1, 900, 0.5)]);
    let weights = proposal(&input).weights;
    assert!(weights["a"] <= 0.1 && weights["c"] > 0.1, "{weights:?}");
}

#[test]
fn too_few_samples_are_listed_by_arm() {
    let reason = reason(&case(&[("a", 0.5, 99, 0.1), ("b", 0.5, 3, 0.9)]));
    assert_eq!(reason.code(), "too-few-samples");
    assert_eq!(reason.to_string(), "too few samples: an arm needs 100; a has 99, b has 3");
}

#[test]
fn a_single_arm_is_not_tuned() {
    let input = case(&[("a", 1.0, 500, 0.1)]);
    assert_eq!(reason(&input), Reason::SingleArm { arm: "a".to_owned() });
}

#[test]
fn invalid_documents_are_a_reason_not_to_propose() {
    let mut input = failing_gpt();
    input.config.step_bound = f64::NAN;
    assert_eq!(reason(&input).code(), "invalid-config");
    let mut input = failing_gpt();
    input.rewards.thresholds.retrain = 0.9;
    assert_eq!(reason(&input).code(), "invalid-thresholds");
    let mut input = failing_gpt();
    input.weights.insert("more".to_owned(), 0.1);
    assert_eq!(reason(&input).code(), "invalid-weights");
    let mut input = failing_gpt();
    input.config.exploration_floor = 0.34;
    assert_eq!(reason(&input), Reason::Infeasible { arms: 3, floor: 0.34, step: 0.2 });
}

#[test]
fn the_same_is_not_proposed_twice() {
    let proposal = proposal(&failing_gpt());
    let text = |status| reason(&drafted(failing_gpt(), &proposal, status)).to_string();
    assert_eq!(text(PolicyStatus::Draft), "1.0.1 already proposes the same and awaits approval");
    assert_eq!(text(PolicyStatus::Rejected), "1.0.1 already proposed the same and is rejected");
}

#[test]
fn new_evidence_leads_to_another_draft_whatever_the_status_of_the_last() {
    let before = proposal(&failing_gpt());
    let mut input = failing_gpt();
    input.arms.insert("claude".to_owned(), arm(400, 0.0));
    let draft = proposal(&drafted(input.clone(), &before, PolicyStatus::Draft));
    assert!(draft.weights["claude"] <= 0.15);
    let rejected = proposal(&drafted(input, &before, PolicyStatus::Rejected));
    assert_eq!(rejected.weights, draft.weights);
}

#[test]
fn an_arm_below_the_floor_moves_up_to_it_without_a_proof() {
    let input = case(&[("a", 0.9, 500, 0.6), ("b", 0.1, 500, 0.6), ("c", 0.0, 0, 0.0)]);
    let weights = proposal(&input).weights;
    assert!(weights["c"] >= 0.05, "{weights:?}");
}

#[test]
fn arms_that_cannot_all_reach_the_floor_move_towards_it() {
    let arms = [("a", 1.0, 500, 0.45), ("b", 0.0, 0, 0.0), ("c", 0.0, 0, 0.0), ("d", 0.0, 0, 0.0)];
    let weights = proposal(&case(&arms)).weights;
    assert_eq!(weights["a"], 922.0 / 1024.0);
    assert!(["b", "c", "d"].iter().all(|arm| weights[*arm] >= 33.0 / 1024.0), "{weights:?}");
}

/// If each proposal is activated and the evidence stays the same, tuning ends, and no step is worse.
#[test]
fn repeated_tuning_converges_to_the_best_arm() {
    let mut input = case(&[("a", 0.6, 500, 0.2), ("b", 0.2, 500, 0.8), ("c", 0.2, 500, 0.5)]);
    for _ in 0..20 {
        match decide(&input) {
            Decision::Propose(proposal) => {
                assert!(proposal.expected_gain > 0.0);
                input.weights = proposal.weights;
            }
            Decision::None(reason) => {
                assert_eq!(reason.code(), "already-best");
                assert!(input.weights["b"] > 0.89, "{:?}", input.weights);
                return;
            }
        }
    }
    panic!("still moving: {:?}", input.weights);
}

/// The log of an arm: propensity (`None` if drawn by the weight), observations, mean reward.
fn log(takes: &[(Option<f64>, u64, f64)]) -> ArmLog {
    let mut log = ArmLog::default();
    for (propensity, n, mean) in takes {
        let ones = whole_u64((n.to_f64() * mean).round());
        let propensity = *propensity;
        let observation = Observation { propensity, ..Observation::at(0, Outcome::Success) };
        (0..*n).for_each(|index| log.add(&observation, f64::from(u8::from(index < ones))));
    }
    log
}

fn logs(arms: &[(&str, ArmLog)]) -> Option<BTreeMap<String, ArmLog>> {
    Some(arms.iter().map(|(arm, log)| ((*arm).to_owned(), log.clone())).collect())
}

/// A component that prefers an arm for some actions and states its propensities follows its policy;
/// one that states wrong propensities does not.
#[test]
fn stated_propensities_are_compared_with_the_actions() {
    let mut input = case(&[("a", 0.5, 500, 0.8), ("b", 0.5, 500, 0.5)]);
    let check = |input: &TuningInput| proposal(input).evidence.checks[0].clone();
    input.config.sample_ratio_check = false;
    let [often, seldom] = [Some(0.8), Some(0.2)];
    let honest = [(often, 800, 0.8), (seldom, 200, 0.8)];
    input.routed = logs(&[("a", log(&honest)), ("b", log(&honest))]);
    assert_eq!(check(&input).passed, Some(true), "{}", check(&input).detail);
    // 700 actions of `a`, although its propensity predicts 400.
    let (a, b) = (log(&[(Some(0.4), 700, 0.8)]), log(&[(Some(0.6), 300, 0.5)]));
    input.routed = logs(&[("a", a), ("b", b)]);
    let found = check(&input);
    assert_eq!(found.passed, Some(false));
    assert!(found.detail.contains("add up to 1.750 of all actions instead"), "{}", found.detail);
}

/// If the log of the active version contradicts its weights, arms are not compared; an arm that fails
/// loses weight nevertheless.
#[test]
fn a_failed_sample_ratio_check_prevents_comparisons() {
    let routed =
        |a: u64, b: u64| logs(&[("a", log(&[(None, a, 0.5)])), ("b", log(&[(None, b, 0.5)]))]);
    let mut input = case(&[("a", 0.5, 500, 0.8), ("b", 0.5, 500, 0.5)]);
    input.routed = routed(900, 100);
    assert_eq!(reason(&input).code(), "sample-ratio");
    assert!(reason(&input).to_string().contains("a has 0.900 of the actions"));
    input.config.sample_ratio_check = false;
    let proposal = proposal(&input);
    assert_eq!(proposal.evidence.checks[0].passed, Some(false));
    assert!(proposal.notes.contains("check sampleRatio failed"), "{}", proposal.notes);
    input.config.sample_ratio_check = true;
    input.routed = routed(510, 490);
    assert_eq!(decide(&input).proposal().unwrap().evidence.checks[0].passed, Some(true));
    input.routed = routed(900, 100);
    input.arms.insert("b".to_owned(), arm(500, 0.1));
    assert!(decide(&input).proposal().is_some());
}

#[test]
fn the_reward_of_the_proposal_is_estimated_from_the_log() {
    let mut input = case(&[("a", 0.5, 500, 0.8), ("b", 0.5, 500, 0.5)]);
    input.routed = logs(&[("a", log(&[(None, 500, 0.8)])), ("b", log(&[(None, 500, 0.5)]))]);
    let proposal = proposal(&input);
    let found = proposal.evidence.off_policy.unwrap();
    let expected = 0.65 + proposal.expected_gain;
    for value in [found.ips, found.snips, found.dr] {
        assert!((value - expected).abs() < 1e-9, "{found:?}");
    }
    assert!(found.interval.contains(expected) && found.effective_n < 1_000.0);
}

#[test]
fn a_stored_input_leads_to_the_same_decision() {
    let input = failing_gpt();
    let kept = TuningInput::decode(&input.encode()).unwrap();
    assert_eq!(kept, input);
    assert_eq!(decide(&kept), decide(&input));
    assert!(TuningInput::decode(&[9, 1, 2]).unwrap_err().to_string().contains("format 9"));
    assert!(TuningInput::decode(&input.encode()[..20]).is_err());
}

/// An input without blocks, as the format before them was written, is decided by the rule of its time.
#[test]
fn an_input_of_the_format_before_is_decided_by_its_own_rule() {
    let input = TuningInput { blocks: None, ..case(&[("a", 0.5, 500, 0.8), ("b", 0.5, 500, 0.5)]) };
    let stored = input.encode();
    assert_eq!(stored[0], 3);
    let read = TuningInput::decode(&stored).unwrap();
    assert_eq!(read, input);
    let found = proposal(&read);
    assert_eq!(found.evidence.rule, "elimination-4");
    assert_eq!(found.evidence.within_versions, None);
    assert!(!found.notes.contains("version"), "{}", found.notes.replace("log of", ""));
}

/// Two versions: each weight, and for each arm the observations with their mean.
fn versions(blocks: [[(f64, u64, f64); 2]; 2]) -> TuningInput {
    let [first, second] = blocks;
    let n = |arm: usize| first[arm].1 + second[arm].1;
    let earned = |(_, n, mean): (f64, u64, f64)| n.to_f64() * mean;
    let mean = |arm: usize| (earned(first[arm]) + earned(second[arm])) / n(arm).to_f64();
    let mut input = case(&[("a", 0.5, n(0), mean(0)), ("b", 0.5, n(1), mean(1))]);
    let of = |version: [(f64, u64, f64); 2]| Block {
        weights: [("a".to_owned(), version[0].0), ("b".to_owned(), version[1].0)].into(),
        logs: [("a", version[0]), ("b", version[1])]
            .map(|(arm, (_, n, mean))| (arm.to_owned(), log(&[(None, n, mean)])))
            .into(),
    };
    let versions = [("1.0.0".to_owned(), of(first)), ("1.0.1".to_owned(), of(second))].into();
    input.blocks = Some(Blocks { versions, ..Blocks::default() });
    input
}

/// By day `a` had most of the actions, at night `b`: pooled, `a` succeeds in 81% and `b` in 27%.
#[test]
fn equal_arms_that_were_used_at_different_times_are_not_told_apart() {
    let input = versions([[(0.9, 900, 0.9), (0.1, 100, 0.9)], [(0.1, 100, 0.2), (0.9, 900, 0.2)]]);
    assert_eq!(proofs(&input), Vec::<[String; 2]>::new());
    // The mean of `b` is below the retrain threshold, but no arm would do better at the same time.
    assert_eq!(reason(&input).code(), "gain-too-small");
    let pooled = TuningInput { blocks: None, ..input };
    assert_eq!(proofs(&pooled), [["a".to_owned(), "b".to_owned()]], "the rule before was fooled");
}

#[test]
fn differences_within_several_versions_add_up_to_a_proof() {
    let input =
        versions([[(0.6, 240, 0.8), (0.4, 160, 0.65)], [(0.4, 160, 0.6), (0.6, 240, 0.45)]]);
    let proposal = proposal(&input);
    let difference = &proposal.evidence.differences[0];
    assert!((difference.estimate - 0.15).abs() < 1e-9 && difference.low > 0.0, "{difference:?}");
    assert!(
        proposal
            .notes
            .contains("Arms are compared within versions, by 800 observations that name one."),
        "{}",
        proposal.notes
    );
    assert_eq!(proposal.evidence.rule, "elimination-5");
}

#[test]
fn observations_that_name_no_version_are_not_compared_and_the_reason_counts_them() {
    let mut input = case(&[("a", 0.5, 600, 0.9), ("b", 0.5, 600, 0.3)]);
    input.rewards.thresholds.retrain = 0.1;
    input.blocks = Some(Blocks::default());
    let text = reason(&input).to_string();
    assert!(text.contains("1,200 observations name no policyVersion"), "{text}");
}

/// What was counted before an arm restarted is not compared, also if it is later read again.
#[test]
fn what_was_counted_before_a_restart_is_not_compared() {
    let mut input = case(&[("a", 0.5, 500, 0.9), ("b", 0.5, 500, 0.5)]);
    let counted = input.blocks.clone().unwrap().versions;
    let memory = memory::Memory {
        marks: [(7, blocks::Mark::of(&counted, 1_000_000))].into(),
        starts: [("b".to_owned(), 7)].into(),
        ..memory::Memory::default()
    };
    let json = serde_json::to_value(&memory).unwrap();
    assert_eq!(serde_json::from_value::<memory::Memory>(json).unwrap(), memory);
    input.blocks = Some(memory.blocks(input.weights.keys(), counted.clone()));
    assert_eq!(proofs(&input), Vec::<[String; 2]>::new());
    // What is counted afterwards is.
    let mut more = counted.clone();
    let after = block(&[("a", 0.5, 600, 0.3), ("b", 0.5, 600, 0.8)]);
    let version = more.get_mut(VERSION).unwrap();
    version.logs.iter_mut().for_each(|(arm, log)| log.merge(&after.logs[arm]));
    input.blocks = Some(memory.blocks(input.weights.keys(), more.clone()));
    assert_eq!(proofs(&input), [["b".to_owned(), "a".to_owned()]]);
    assert_eq!(TuningInput::decode(&input.encode()).unwrap(), input);
    // A mark that does not fit keeps only the names of the versions.
    let marks = [(7, blocks::Mark::of(&counted, 0))].into();
    let memory = memory::Memory { marks, ..memory };
    input.blocks = Some(memory.blocks(input.weights.keys(), more));
    assert_eq!(proofs(&input), Vec::<[String; 2]>::new());
}

#[test]
fn an_input_that_is_too_large_is_reduced_and_still_leads_to_the_same_decision() {
    let mut input = case(&[("a", 0.5, 0, 0.0), ("b", 0.5, 0, 0.0)]);
    for (arm, mean) in [("a", 0.9), ("b", 0.3)] {
        let samples = &mut input.arms.get_mut(arm).unwrap().samples;
        for n in 0..4_000 {
            let rate = 0.02 + 0.98 * f64::from(n % 997) / 997.0;
            samples.reward.add(mean + 0.1 * f64::from(n % 2), Weight::from_sample_rate(rate));
        }
    }
    input.max_weight = 50.0;
    input.routed = logs(&[("a", log(&[(None, 500, 0.9)])), ("b", log(&[(None, 500, 0.3)]))]);
    let (needed, usual) = (input.encode().len(), proposal(&input));
    input.fit(needed);
    assert_eq!(proposal(&input), usual, "an input that fits is unchanged");
    input.fit(needed * 2 / 3);
    assert!(input.encode().len() <= needed * 2 / 3 && input.routed.is_some());
    assert_eq!(proposal(&input).weights, usual.weights);
    assert_eq!(decide(&TuningInput::decode(&input.encode()).unwrap()), decide(&input));
    input.fit(0);
    assert_eq!(input.routed, None, "the log is dropped last");
}

#[test]
fn the_default_document_round_trips_and_absent_fields_take_the_defaults() {
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
fn an_invalid_config_names_the_field() {
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
    assert_eq!(error(|it| it.alpha = 0.0), "tuning alpha is 0, must be between 0.000001 and 0.5");
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

fn any_arm() -> impl Strategy<Value = ArmInput> {
    let coins = (0_u64..400, 0.0..=1.0_f64).prop_map(|(n, mean)| arm(n, mean));
    let odd = proptest::collection::vec((0.0..=1.0_f64, 1e-3..=1.0_f64), 0..20);
    let odd = odd.prop_map(|values| {
        let mut reward = Sample::default();
        values.iter().for_each(|(x, rate)| reward.add(*x, Weight::from_sample_rate(*rate)));
        let samples = Samples { reward, ..Samples::default() };
        ArmInput { memory: memory::ArmMemory { since: 1, restarts: 2 }, samples }
    });
    prop_oneof![3 => coins, 1 => odd]
}

prop_compose! {
    fn any_bounds()(
        min_samples in 1_u64..150,
        step_bound in prop_oneof![0.001..0.3, Just(0.1), 0.001..=1.0],
        more_step in 1.0..3.0,
        exploration_floor in prop_oneof![Just(0.0), Just(0.05), 0.0..0.2],
        min_change in prop_oneof![Just(0.0), 0.0..0.05],
        min_gain in prop_oneof![Just(0.0), 0.0..0.05],
        alpha in 0.001..0.5,
    ) -> PolicyTuning {
        PolicyTuning {
            min_samples, step_bound, exploration_floor, min_change, min_gain, alpha,
            retrain_step_bound: f64::min(1.0, step_bound * more_step),
            ..PolicyTuning::default()
        }
    }
}

prop_compose! {
    fn any_case()(weights in any_weights())(
        arms in prop::collection::vec(prop::option::of(any_arm()), weights.len()),
        weights in Just(weights),
        config in any_bounds(),
        max_weight in 1.0..100.0_f64,
        thresholds in prop::array::uniform2(0.0..=1.0_f64),
    ) -> TuningInput {
        let name = |at: usize| format!("arm-{at:03}");
        let arms = arms.into_iter().enumerate();
        let mut input = case(&[]);
        input.weights = weights.into_iter().enumerate().map(|(at, it)| (name(at), it)).collect();
        input.arms = arms.filter_map(|(at, it)| Some((name(at), it?))).collect();
        input.rewards.thresholds = Thresholds {
            min_acceptable: thresholds[0].max(thresholds[1]),
            retrain: thresholds[0].min(thresholds[1]),
        };
        input.config = config;
        input.max_weight = max_weight;
        input
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_proposal_respects_every_bound(input in any_case()) {
        let Decision::Propose(proposal) = decide(&input) else { return Ok(()) };
        let TuningInput { weights: before, config, .. } = &input;
        let after = &proposal.weights;
        prop_assert!(after.keys().eq(before.keys()));
        prop_assert_eq!(after.values().sum::<f64>(), 1.0);
        prop_assert_eq!(after.values().rev().sum::<f64>(), 1.0);
        let retrain = proposal.evidence.arms.iter().any(|it| it.failing);
        let step = if retrain { config.retrain_step_bound } else { config.step_bound };
        let floor = config.exploration_floor;
        let mut largest_change = 0.0_f64;
        for (arm, to) in after {
            let from = before[arm];
            prop_assert_eq!((to * 1024.0).fract(), 0.0);
            prop_assert!((to - from).abs() <= step, "{arm}: {from} → {to}, step {step}");
            if from >= floor {
                prop_assert!(*to >= floor, "{arm}: {from} → {to}, floor {floor}");
            } else {
                prop_assert!(*to >= from, "{arm}: {from} → {to}, floor {floor}");
            }
            largest_change = largest_change.max((to - from).abs());
        }
        prop_assert!(largest_change > 0.0 && largest_change >= config.min_change);
        prop_assert!(within_bounds(&input, after));
    }

    #[test]
    fn deciding_again_proposes_nothing(input in any_case(), rejected: bool) {
        let Decision::Propose(proposal) = decide(&input) else { return Ok(()) };
        let status = if rejected { PolicyStatus::Rejected } else { PolicyStatus::Draft };
        let version = Version::new(1, 0, 1);
        let again = decide(&drafted(input, &proposal, status));
        prop_assert_eq!(again, Decision::None(Reason::AlreadyProposed { version, status }));
    }

    #[test]
    fn an_assessment_decides_like_a_replay(input in any_case(), rejected: bool) {
        let mut assessment = assess(input.clone());
        let decision = decide(&input);
        prop_assert_eq!(&assessment.decide(None), &decision);
        let Decision::Propose(proposal) = decision else {
            let Decision::None(reason) = decision else { unreachable!() };
            prop_assert_eq!(assessment.reason(), Some(&reason));
            return Ok(());
        };
        prop_assert_eq!(assessment.reason(), None);
        prop_assert!(assessment.within_bounds(&proposal.weights));
        let status = if rejected { PolicyStatus::Rejected } else { PolicyStatus::Draft };
        let drafted = drafted(input, &proposal, status);
        prop_assert_eq!(assessment.decide(drafted.last_draft.clone()), decide(&drafted));
        prop_assert_eq!(assessment.input(), &drafted);
        let fitted = assessment.fit(drafted.encode().len() / 2);
        prop_assert_eq!(fitted.clone().decide(None), decide(fitted.input()));
    }
}
