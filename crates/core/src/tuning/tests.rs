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
pub(super) fn case(arms: &[(&str, f64, u64, f64)]) -> TuningInput {
    TuningInput {
        policy_id: "router-core".to_owned(),
        parent: Version::new(1, 0, 0),
        weights: arms.iter().map(|it| (it.0.to_owned(), it.1)).collect(),
        arms: arms.iter().map(|it| (it.0.to_owned(), arm(it.2, it.3))).collect(),
        max_weight: 1.0,
        routed: None,
        rewards: RewardConfig::default(),
        config: PolicyTuning {
            allocation: Allocation::Proof,
            ..TuningConfig::default().policies["router-core"].clone()
        },
        tuning_version: "1.0.0".to_owned(),
        last_draft: None,
        as_of: 1_734_000_000_000,
        signals: Signals::default(),
        belief: None,
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
        ..Block::default()
    }
}

/// The input whose arms' observations all name one version.
pub(super) fn named(mut input: TuningInput) -> TuningInput {
    let total: u64 = input.arms.values().map(ArmInput::n).sum();
    let share = |arm: &ArmInput| arm.n().to_f64() / total.max(1).to_f64();
    let log = |arm: &ArmInput| ArmLog::of_drawn(arm.samples.reward.clone());
    let block = Block {
        weights: input.arms.iter().map(|(arm, it)| (arm.clone(), share(it))).collect(),
        logs: input.arms.iter().map(|(arm, it)| (arm.clone(), log(it))).collect(),
        rewards_since: None,
    };
    let versions = [(VERSION.to_owned(), block)].into();
    input.blocks = Some(Blocks { versions, ..Blocks::default() });
    input
}

/// `n` rewards of 0 and 1 whose mean is as near to `mean` as possible.
pub(super) fn arm(n: u64, mean: f64) -> ArmInput {
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

pub(super) fn proposal(input: &TuningInput) -> Proposal {
    match decide(input) {
        Decision::Propose(proposal) => *proposal,
        Decision::None(reason) => panic!("{reason}"),
    }
}

pub(super) fn reason(input: &TuningInput) -> Reason {
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

/// The true success rate of gpt-5 is 0.59, but its failures were rejected.
fn rejecting_gpt() -> TuningInput {
    let mut input =
        case(&[("claude", 0.3, 900, 0.8), ("gemini", 0.2, 900, 0.8), ("gpt-5", 0.5, 1_102, 1.0)]);
    input.arms.get_mut("gpt-5").unwrap().samples.rejected = 765;
    input
}

#[test]
fn an_arm_whose_failures_are_rejected_gains_nothing_and_the_reason_names_it() {
    let mut input = rejecting_gpt();
    let reason = reason(&input);
    assert_eq!(reason.code(), "rejected-share");
    let text = reason.to_string();
    let counts = "gpt-5 has 765 of 1867 documents rejected (41.0%), and maxRejectedShare is 0.01";
    assert!(text.starts_with(counts), "{text}");
    // As if all of them were allowed.
    input.config.max_rejected_share = 0.5;
    assert!(proposal(&input).weights["gpt-5"] > 0.5);
}

#[test]
fn one_rejected_document_does_not_keep_an_arm_from_gaining() {
    let mut input = case(&[("a", 0.5, 500, 0.8), ("b", 0.5, 500, 0.5)]);
    input.arms.get_mut("a").unwrap().samples.rejected = 1;
    let proposal = proposal(&input);
    assert!(proposal.weights["a"] > 0.5);
    let check = &proposal.evidence.checks[2];
    assert_eq!((check.name.as_str(), check.passed), ("rejectedShare", Some(true)));
    assert!(check.detail.starts_with("1 of 1001 documents were rejected"), "{}", check.detail);
}

#[test]
fn an_arm_with_rejected_documents_still_loses_and_its_weight_goes_to_others() {
    let mut input = rejecting_gpt();
    input.arms.insert("claude".to_owned(), arm(900, 0.2));
    let mut input = named(input);
    let before = input.weights.clone();
    let proposal = proposal(&input);
    assert!(proposal.weights["claude"] < before["claude"], "{:?}", proposal.weights);
    assert!(proposal.weights["gemini"] > before["gemini"], "{:?}", proposal.weights);
    assert!(proposal.weights["gpt-5"] <= before["gpt-5"], "{:?}", proposal.weights);
    let gpt = proposal.evidence.arms.iter().find(|it| it.arm == "gpt-5").unwrap();
    assert_eq!((gpt.n, gpt.rejected, gpt.beaten_by.len()), (1_102, 765, 0));
    let check = &proposal.evidence.checks[2];
    assert_eq!((check.name.as_str(), check.passed), ("rejectedShare", Some(false)));
    assert!(proposal.notes.contains("the check rejectedShare failed: gpt-5 has 765 of"));
    let mut raised = before;
    (*raised.get_mut("gpt-5").unwrap(), *raised.get_mut("claude").unwrap()) = (0.55, 0.25);
    assert!(!within_bounds(&input, &raised), "a draft from before raises the arm");
    // It can still be proven to be worse itself.
    input.arms.insert("claude".to_owned(), arm(900, 0.8));
    input.arms.insert("gpt-5".to_owned(), arm(900, 0.3));
    input.arms.get_mut("gpt-5").unwrap().samples.rejected = 765;
    assert!(proposal_of(&named(input), "gpt-5") < 0.5);
}

fn proposal_of(input: &TuningInput, arm: &str) -> f64 {
    proposal(input).weights[arm]
}

#[test]
fn an_arm_with_almost_only_rejected_documents_is_named() {
    let mut input = case(&[("a", 0.5, 20, 1.0), ("b", 0.5, 50, 0.5)]);
    assert_eq!(reason(&input).code(), "too-few-samples");
    input.arms.get_mut("a").unwrap().samples.rejected = 400;
    assert!(reason(&input).to_string().starts_with("a has 400 of 420 documents rejected"));
}

/// Bytes that the version before wrote.
#[test]
fn an_input_of_the_version_before_is_read_and_decides_the_same() {
    let bytes = include_bytes!("../../tests/fixtures/rejected/tuning-input.3");
    let input = TuningInput::decode(bytes).unwrap();
    assert_eq!(input.config, case(&[]).config);
    assert_eq!(proposal(&input).weights["a"], 614.0 / 1024.0);
    let written = input.encode();
    assert_eq!(written[..bytes.len()], *bytes, "earlier versions ignore the rest");
    assert_eq!(TuningInput::decode(&written).unwrap(), input);
    let mut rejecting = rejecting_gpt();
    rejecting.config.max_rejected_share = 0.2;
    assert_eq!(TuningInput::decode(&rejecting.encode()).unwrap(), rejecting);
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

/// The "no" of ada to this proposal, at this time, with what was known of each arm.
fn refusal(input: &TuningInput, proposal: &Proposal, at: i64) -> Refusal {
    let measured = arm_evidence(input);
    let known =
        measured.into_iter().filter_map(|it| Some((it.arm, Known { n: it.n, reward: it.reward? })));
    Refusal {
        version: Version::new(1, 0, 1),
        from: input.weights.clone(),
        to: proposal.weights.clone(),
        at,
        by: "ada".to_owned(),
        how: Refused::RolledBack,
        known: known.collect(),
    }
}

fn after(input: &TuningInput, past: &Past) -> Decision {
    assess(input.clone()).decide_after(past)
}

#[test]
fn a_refused_direction_is_proposed_again_after_the_stated_time() {
    let input = case(&[("a", 0.5, 500, 0.8), ("b", 0.5, 500, 0.5)]);
    let proposal = proposal(&input);
    let refused = |hours: i64| {
        let at = input.as_of - hours * crate::time::HOUR_MS;
        Past { refusals: vec![refusal(&input, &proposal, at)], ..Past::default() }
    };
    let Decision::None(reason) = after(&input, &refused(23)) else { panic!("it was refused") };
    assert_eq!(reason.code(), "vetoed");
    assert!(reason.to_string().starts_with("ada rolled back 1.0.1 at 2024-12-11 "), "{reason}");
    assert_eq!(after(&input, &refused(24)), Decision::Propose(Box::new(proposal.clone())));
}

#[test]
fn a_refused_direction_is_proposed_again_when_the_evidence_changes_materially() {
    let input = case(&[("a", 0.5, 500, 0.8), ("b", 0.5, 500, 0.5)]);
    let refusal = refusal(&input, &proposal(&input), input.as_of);
    let past = Past { refusals: vec![refusal], ..Past::default() };
    let more = case(&[("a", 0.5, 520, 0.8), ("b", 0.5, 520, 0.5)]);
    assert!(after(&more, &past).proposal().is_none(), "more of the same is not a change");
    let changed = case(&[("a", 0.5, 520, 0.8), ("b", 0.5, 900, 0.2)]);
    assert!(after(&changed, &past).proposal().is_some());
}

#[test]
fn the_opposite_of_a_refused_direction_is_proposed() {
    let input = case(&[("a", 0.5, 500, 0.5), ("b", 0.5, 500, 0.8)]);
    let other = case(&[("a", 0.5, 500, 0.8), ("b", 0.5, 500, 0.5)]);
    let refusal = refusal(&input, &proposal(&other), input.as_of);
    let past = Past { refusals: vec![refusal], ..Past::default() };
    assert!(after(&input, &past).proposal().is_some());
}

#[test]
fn a_step_without_feedback_is_not_followed_by_another() {
    let input = case(&[("a", 0.5, 500, 0.8), ("b", 0.5, 500, 0.5)]);
    let step = |named| {
        let (version, active_since) = (Version::new(1, 0, 1), input.as_of);
        Past { step: Some(Step { version, active_since, named }), ..Past::default() }
    };
    let Decision::None(reason) = after(&input, &step(99)) else { panic!("it has to wait") };
    assert_eq!(reason.code(), "awaiting-feedback");
    assert!(after(&input, &step(100)).proposal().is_some());
}

#[test]
fn an_open_draft_is_renewed_only_if_its_evidence_moved() {
    let input = case(&[("a", 0.5, 500, 0.8), ("b", 0.5, 500, 0.5)]);
    let before = proposal(&input);
    let past = |is_tested, status| Past {
        draft: Some(PastDraft {
            last: LastDraft {
                version: Version::new(1, 0, 1),
                weights: before.weights.clone(),
                status,
            },
            evidence: Some(before.evidence.clone()),
            expected_gain: Some(before.expected_gain),
            is_tested,
        }),
        ..Past::default()
    };
    let open = past(false, PolicyStatus::Draft);
    let Decision::None(reason) = after(&input, &open) else { panic!("it is the same") };
    assert_eq!(reason.code(), "already-proposed");
    let moved = case(&[("a", 0.5, 600, 0.8), ("b", 0.5, 900, 0.6)]);
    let mut assessment = assess(moved.clone());
    let Decision::Propose(renewed) = assessment.decide_after(&open) else { panic!("it moved") };
    assert_eq!(renewed.renews, Some(Version::new(1, 0, 1)));
    // The stored input leads to the renewed evidence.
    let stored = TuningInput::decode(&assessment.input().encode()).unwrap();
    let replayed = proposal(&stored);
    assert_eq!((replayed.evidence, replayed.notes), (renewed.evidence, renewed.notes));
    assert!(after(&moved, &past(true, PolicyStatus::Draft)).proposal().is_none());
    assert!(after(&moved, &past(false, PolicyStatus::Rejected)).proposal().is_none());
}

#[test]
fn the_pace_of_tuning_takes_no_bytes_in_a_stored_decision() {
    let mut input = case(&[("a", 0.5, 1, 0.8)]);
    let before = input.encode();
    input.config.veto_hours = 1;
    input.config.min_hours_between_steps = 2;
    assert_eq!(input.encode(), before);
    assert_eq!(TuningInput::decode(&before).unwrap().config.veto_hours, 24);
    let json = serde_json::to_value(&input.config).unwrap();
    assert_eq!((&json["vetoHours"], &json["minHoursBetweenSteps"]), (&1.into(), &2.into()));
}

#[test]
fn a_restarted_arm_is_named_with_the_time_of_its_restart() {
    let mut input = case(&[("a", 0.5, 99, 0.1), ("b", 0.5, 0, 0.9)]);
    let memory = memory::ArmMemory { since: 1_734_000_000_000, restarts: 1 };
    input.arms.get_mut("b").unwrap().memory = memory;
    let text = reason(&input).to_string();
    let expected = "a has 99, b has 0 (restarted at 2024-12-12 10:40 UTC: its rewards changed";
    assert!(text.contains(expected), "{text}");
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
    let input = case(&[("a", 0.89, 500, 0.6), ("b", 0.1, 500, 0.6), ("c", 0.01, 0, 0.0)]);
    let weights = proposal(&input).weights;
    assert!(weights["c"] >= 0.05, "{weights:?}");
}

#[test]
fn arms_that_cannot_all_reach_the_floor_move_towards_it() {
    let arms =
        [("a", 0.997, 500, 0.45), ("b", 0.001, 0, 0.0), ("c", 0.001, 0, 0.0), ("d", 0.001, 0, 0.0)];
    let weights = proposal(&case(&arms)).weights;
    assert_eq!(weights["a"], 919.0 / 1024.0);
    assert!(["b", "c", "d"].iter().all(|arm| weights[*arm] >= 33.0 / 1024.0), "{weights:?}");
}

#[test]
fn an_arm_at_0_neither_gains_nor_is_a_reason_to_move_weight() {
    // The best arm was set to 0 by hand, and the others earn the same.
    let input = case(&[("a", 0.6, 900, 0.6), ("b", 0.4, 900, 0.6), ("c", 0.0, 900, 0.95)]);
    assert_eq!(reason(&input).code(), "nothing-proven");
    // One of the others is proven to be worse.
    let input = case(&[("a", 0.6, 900, 0.8), ("b", 0.4, 900, 0.5), ("c", 0.0, 900, 0.95)]);
    let weights = proposal(&input).weights;
    assert_eq!(weights["c"], 0.0);
    assert!(weights["a"] > 0.6 && weights["b"] < 0.4, "{weights:?}");
    // An arm at 0 that fails does not make the steps larger.
    let input = case(&[("a", 0.5, 900, 0.8), ("b", 0.5, 900, 0.48), ("c", 0.0, 900, 0.0)]);
    assert_eq!(proposal(&input).weights["b"], 410.0 / 1024.0);
    // The floor of 0.05 leaves room for 20 arms; arms at 0 need none.
    let names: Vec<String> = (0..40).map(|n| format!("z{n:02}")).collect();
    let zeros = names.iter().map(|name| (name.as_str(), 0.0, 0, 0.0));
    let arms: Vec<_> =
        [("a", 0.5, 900, 0.8), ("b", 0.5, 900, 0.5)].into_iter().chain(zeros).collect();
    assert!(proposal(&case(&arms)).weights["b"] < 0.5);
}

#[test]
fn a_single_arm_above_0_is_not_tuned() {
    let input = case(&[("a", 1.0, 500, 0.1), ("b", 0.0, 500, 0.9)]);
    assert_eq!(reason(&input).code(), "single-arm");
    let text = reason(&input).to_string();
    assert!(text.starts_with("a is the only arm with a weight above 0; b is at 0"), "{text}");
}

#[test]
fn an_arm_at_0_that_is_not_used_follows_the_weights() {
    let mut input = case(&[("a", 0.5, 500, 0.8), ("b", 0.5, 500, 0.5), ("c", 0.0, 0, 0.0)]);
    let used = |n| {
        logs(&[
            ("a", log(&[(None, 500, 0.8)])),
            ("b", log(&[(None, 500, 0.5)])),
            ("c", log(&[(None, n, 0.5)])),
        ])
    };
    input.routed = used(0);
    let found = proposal(&input);
    assert_eq!(found.evidence.checks[0].passed, Some(true), "{}", found.evidence.checks[0].detail);
    assert!(found.evidence.off_policy.is_some());
    input.routed = used(200);
    assert_eq!(reason(&input).code(), "sample-ratio");
}

#[test]
fn an_input_of_format_3_is_still_read() {
    let mut input = TuningInput { blocks: None, ..failing_gpt() };
    input.routed = logs(&[("gpt-5", log(&[(None, 5, 0.2)]))]);
    // Format 3 had no `confirmedScales` and no signals.
    let mut bytes = vec![3];
    bytes.extend(
        postcard::to_allocvec(&(
            &input.policy_id,
            &input.parent,
            &input.weights,
            &input.arms,
            input.max_weight,
            &input.routed,
            &input.rewards,
        ))
        .unwrap(),
    );
    let it = &input.config;
    bytes.extend(
        postcard::to_allocvec(&(
            &it.component,
            it.alpha,
            it.min_samples,
            it.min_sample_rate,
            it.min_propensity,
            it.step_bound,
            it.retrain_step_bound,
            it.exploration_floor,
            it.min_change,
            it.min_gain,
            it.sample_ratio_check,
            it.max_auto_activations_per_day,
        ))
        .unwrap(),
    );
    bytes.extend(
        postcard::to_allocvec(&(&input.tuning_version, &input.last_draft, input.as_of)).unwrap(),
    );
    assert_eq!(TuningInput::decode(&bytes).unwrap(), input);
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

#[test]
fn an_input_without_blocks_is_decided_by_the_rule_of_its_time() {
    let input = TuningInput { blocks: None, ..case(&[("a", 0.5, 500, 0.8), ("b", 0.5, 500, 0.5)]) };
    let stored = input.encode();
    assert_eq!(stored[0], 3);
    let read = TuningInput::decode(&stored).unwrap();
    assert_eq!(read, input);
    let found = proposal(&read);
    assert_eq!(found.evidence.rule, "elimination-5");
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
        rewards_since: None,
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
        versions([[(0.6, 300, 0.8), (0.4, 200, 0.65)], [(0.4, 200, 0.6), (0.6, 300, 0.45)]]);
    let proposal = proposal(&input);
    let difference = &proposal.evidence.differences[0];
    assert!((difference.estimate - 0.15).abs() < 1e-9 && difference.low > 0.0, "{difference:?}");
    assert!(
        proposal
            .notes
            .contains("Arms are compared within versions, by 1,000 observations that name one."),
        "{}",
        proposal.notes
    );
    assert_eq!(proposal.evidence.rule, "elimination-7");
}

#[test]
fn observations_that_name_no_version_are_not_compared_and_the_reason_counts_them() {
    let mut input = case(&[("a", 0.5, 600, 0.9), ("b", 0.5, 600, 0.3)]);
    input.rewards.thresholds.retrain = 0.1;
    input.blocks = Some(Blocks::default());
    let text = reason(&input).to_string();
    assert!(text.contains("1,200 observations name no policyVersion"), "{text}");
}

/// The memory after the first observations, and the block after more.
fn piloted(first: &[(&str, f64, u64, f64)], more: &[(&str, f64, u64, f64)]) -> TuningInput {
    let names: Vec<String> = first.iter().map(|it| it.0.to_owned()).collect();
    let counted = |block: Block| [(VERSION.to_owned(), block)].into();
    let look = |memory: &memory::Memory, block: &Block, now: i64| {
        memory.advanced(&Default::default(), &counted(block.clone()), 1.0, now)
    };
    let early = block(first);
    let memory = look(&memory::Memory::default(), &early, 7);
    assert_eq!((memory.pilot, memory.marks.len()), (Some(7), 1));
    let mut all = early;
    for (arm, log) in block(more).logs {
        all.logs.entry(arm).or_default().merge(&log);
    }
    assert_eq!(look(&memory, &all, 9), memory, "there is one pilot");
    let sum: Vec<(&str, f64, u64, f64)> = first
        .iter()
        .zip(more)
        .map(|(a, b)| {
            let n = a.2 + b.2;
            (a.0, a.1, n, (a.2.to_f64() * a.3 + b.2.to_f64() * b.3) / n.to_f64())
        })
        .collect();
    let blocks = memory.blocks(&names, counted(all));
    TuningInput { blocks: Some(blocks), ..case(&sum) }
}

fn three(n: u64) -> Vec<(&'static str, f64, u64, f64)> {
    let arm = |name, mean| (name, 1.0 / 3.0, n, mean);
    vec![arm("a", 0.9), arm("b", 0.8), arm("c", 0.5)]
}

#[test]
fn bets_follow_the_first_observations_and_a_stored_input_replays_by_its_rule() {
    let input = piloted(&three(20), &three(680));
    let read = TuningInput::decode(&input.encode()).unwrap();
    assert_eq!(read, input);
    assert_eq!(rule(&read), "elimination-7");
    assert_eq!(proofs(&input), [["a", "b"], ["a", "c"]].map(|it| it.map(str::to_owned)));
    // The rule before made a claim for each pair.
    let mut before = input.clone();
    before.blocks.as_mut().unwrap().claims = blocks::Claims::Pairs;
    let read = TuningInput::decode(&before.encode()).unwrap();
    assert_eq!((rule(&read), &read), ("elimination-6", &before));
    let pairs = [["a", "b"], ["a", "c"], ["b", "c"]];
    assert_eq!(proofs(&before), pairs.map(|it| it.map(str::to_owned)));
}

#[test]
fn no_arm_is_ruled_out_by_observations_of_equal_arms() {
    let equal = |n| ["a", "b", "c", "d"].map(|arm| (arm, 0.25, n, 0.8));
    assert_eq!(proofs(&piloted(&equal(20), &equal(2_000))), Vec::<[String; 2]>::new());
}

/// The same with what is believed, for `goal: identify`.
fn identifying(mut input: TuningInput) -> TuningInput {
    let bucket = |arm: &ArmInput| {
        let cells = crate::estimate::Cells::of(&arm.samples.reward);
        let (n, sum) = (arm.n().to_f64(), arm.n().to_f64() * cells.mean());
        let sums = crate::belief::Sums { n, sum, squares: sum };
        vec![crate::belief::Bucket { from: 0, to: crate::time::HOUR_MS, sums }]
    };
    let buckets = input.arms.iter().map(|(arm, it)| (arm.clone(), bucket(it))).collect();
    input.belief = Some(Basis { buckets, ..Basis::default() });
    let floor = 0.0;
    input.config = PolicyTuning {
        allocation: Allocation::Belief,
        goal: Goal::Identify,
        step_bound: 1.0,
        retrain_step_bound: 1.0,
        exploration_floor: floor,
        ..input.config
    };
    input
}

#[test]
fn a_search_for_the_best_arm_gives_the_leader_and_its_last_rival_equal_shares() {
    // c is ruled out, b is not.
    let near =
        |n| vec![("a", 1.0 / 3.0, n, 0.9), ("b", 1.0 / 3.0, n, 0.875), ("c", 1.0 / 3.0, n, 0.5)];
    let input = identifying(piloted(&near(40), &near(160)));
    let read = TuningInput::decode(&input.encode()).unwrap();
    assert_eq!(read, input, "the goal is stored");
    let found = proposal(&read);
    assert_eq!(found.evidence.rule, "identify-3");
    let weight = |arm: &str| found.weights[arm];
    assert!((weight("a") - 0.5).abs() < 0.01 && (weight("b") - 0.5).abs() < 0.01, "{found:?}");
    assert!(found.notes.contains("to prove which arm is the best"), "{}", found.notes);
    // The goal is to earn: the leader gets more.
    let mut earning = read.clone();
    earning.config.goal = Goal::Reward;
    assert!(proposal(&earning).weights["a"] > 0.6);
    assert_eq!(rule(&earning), "belief-5");
    // Once b is ruled out, too, the weights follow the belief.
    let input = identifying(piloted(&three(40), &three(400)));
    assert!(proposal(&input).weights["a"] > 0.9);
}

#[test]
fn a_search_for_the_best_arm_keeps_floor_and_step() {
    let near =
        |n| vec![("a", 1.0 / 3.0, n, 0.9), ("b", 1.0 / 3.0, n, 0.875), ("c", 1.0 / 3.0, n, 0.5)];
    let mut input = identifying(piloted(&near(40), &near(160)));
    (input.config.step_bound, input.config.exploration_floor) = (0.1, 0.28);
    let found = proposal(&input);
    assert!(found.weights.values().all(|it| *it >= 0.28 && *it <= 0.434), "{:?}", found.weights);
    assert!(within_bounds(&input, &found.weights));
}

#[test]
fn a_search_for_the_best_arm_needs_allocation_by_belief() {
    let json = serde_json::json!({ "goal": "identify" });
    let config: PolicyTuning = serde_json::from_value(json).unwrap();
    assert_eq!((config.goal, config.validate()), (Goal::Identify, Ok(())));
    let config = PolicyTuning { allocation: Allocation::Proof, ..config };
    assert_eq!(config.validate(), Err(TuningConfigError::IdentifiesByProof));
    assert_eq!(PolicyTuning::default().goal, Goal::Reward);
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
    assert_eq!(error(|it| it.min_samples = 0), "minSamples is 0, must be at least 1");
    assert_eq!(
        error(|it| it.exploration_floor = -0.1),
        "explorationFloor is -0.1, must be between 0 and 0.5"
    );
    assert_eq!(error(|it| it.alpha = 0.0), "alpha is 0, must be between 0.000001 and 0.5");
    assert_eq!(
        error(|it| it.retrain_step_bound = 0.05),
        "retrainStepBound is 0.05, must be at least stepBound, 0.1"
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
        rejected in prop::collection::vec(prop_oneof![3 => Just(0), 1 => 0..200_u64], weights.len()),
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
        for (arm, rejected) in input.arms.values_mut().zip(rejected) {
            arm.samples.rejected = rejected;
        }
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
            if from == 0.0 {
                prop_assert_eq!(*to, 0.0, "{}", arm);
            } else if from >= floor {
                prop_assert!(*to >= floor, "{arm}: {from} → {to}, floor {floor}");
            } else {
                prop_assert!(*to >= from, "{arm}: {from} → {to}, floor {floor}");
            }
            let share = input.arms.get(arm).map_or(0.0, |it| it.samples.rejected_share());
            if share > config.max_rejected_share {
                let most = from.max(floor) + 1.0 / 1024.0;
                prop_assert!(*to < most, "{arm} has {share} rejected: {from} → {to}");
            }
            largest_change = largest_change.max((to - from).abs());
        }
        prop_assert!(largest_change > 0.0 && largest_change >= config.min_change);
        prop_assert!(within_bounds(&input, after));
    }

    /// Whatever is observed, and however often its proposals are activated.
    #[test]
    fn the_tuner_never_moves_an_arm_off_0(mut input in any_case(), zeros in 1_usize..4) {
        // The weights of the first arms go to the last.
        let names: Vec<String> = input.weights.keys().cloned().collect();
        let (zeros, rest) = names.split_at(zeros.min(names.len() - 1));
        let moved: f64 = zeros.iter().filter_map(|arm| input.weights.insert(arm.clone(), 0.0)).sum();
        *input.weights.get_mut(&rest[rest.len() - 1]).unwrap() += moved;
        for _ in 0..3 {
            let Decision::Propose(proposal) = decide(&input) else { return Ok(()) };
            for arm in zeros {
                prop_assert_eq!(proposal.weights[arm], 0.0);
            }
            prop_assert!(within_bounds(&input, &proposal.weights));
            let mut off = proposal.weights.clone();
            let (from, step) = (&rest[rest.len() - 1], 1.0 / 1024.0);
            off.insert(zeros[0].clone(), step);
            *off.get_mut(from).unwrap() -= step;
            prop_assert!(!within_bounds(&input, &off));
            input.weights = proposal.weights;
        }
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

#[test]
fn the_expected_mean_reward_is_that_of_the_arms_as_they_are_believed() {
    let near =
        |n| vec![("a", 1.0 / 3.0, n, 0.9), ("b", 1.0 / 3.0, n, 0.875), ("c", 1.0 / 3.0, n, 0.5)];
    let mut input = identifying(piloted(&near(40), &near(160)));
    // Too few observations to judge an arm: its mean reward would be an assumed one.
    (input.config.goal, input.config.min_samples) = (Goal::Reward, 300);
    let found = proposal(&input);
    assert!(found.evidence.arms.iter().all(|it| !it.judged), "{:?}", found.evidence.arms);
    let belief = found.evidence.belief.as_ref().unwrap();
    let now: f64 = found.evidence.arms.iter().map(|it| it.weight * belief.arms[&it.arm].mean).sum();
    let gain = found.evidence.gain.expected;
    let expected = format!("Expected mean reward {now:.3} → {:.3}", now + gain);
    assert!(found.notes.contains(&expected), "{expected} in {}", found.notes);
}
