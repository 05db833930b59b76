//! What the observations leave out must not look like an advantage, and is named.

use super::super::tests::{arm, case, named, proposal, reason};
use super::super::{ArmInput, Decision, TuningInput, decide};
use super::*;
use crate::observation::{Observation, Outcome, Weight};
use crate::reward::{RewardConfig, score};
use crate::stats::{Samples, Series};
use crate::time::HOUR_MS;

/// `n` successes of an arm, as they are scored by default.
fn successes(n: u64, duration_ms: f64, cost_usd: impl Fn(u64) -> Option<f64>) -> ArmInput {
    let mut samples = Samples::default();
    for index in 0..n {
        let observation = Observation {
            duration_ms: Some(duration_ms),
            cost_usd: cost_usd(index),
            ..Observation::at(0, Outcome::Success)
        };
        samples.add(&observation, &score(&RewardConfig::default(), &observation));
    }
    ArmInput { samples, ..arm(0, 0.0) }
}

fn with(arms: [(&str, ArmInput); 3]) -> TuningInput {
    let mut input = case(&[]);
    input.weights = arms.iter().zip([0.4, 0.3, 0.3]).map(|(it, w)| (it.0.to_owned(), w)).collect();
    input.arms = arms.map(|(name, it)| (name.to_owned(), it)).into();
    named(input)
}

fn check(input: &TuningInput, name: &str) -> Check {
    of_observations(input).into_iter().find(|it| it.name == name).unwrap()
}

/// All three arms are equal, but `free` does not record its costs.
fn missing(share_with_cost: u64) -> TuningInput {
    let costs = |_| Some(0.08);
    with([
        ("free", successes(900, 200.0, move |n| (n % 100 < share_with_cost).then_some(0.08))),
        ("gpt-5", successes(900, 200.0, costs)),
        ("gemini", successes(900, 200.0, costs)),
    ])
}

#[test]
fn an_arm_gains_nothing_by_leaving_out_its_costs() {
    for share in [0, 50, 94] {
        let input = missing(share);
        let text = reason(&input).to_string();
        assert!(text.contains(&format!("free states a cost for {share}%")), "{text}");
        assert!(text.contains("100%"), "{text}");
        assert_eq!(check(&input, "costs").passed, Some(false));
    }
    assert_eq!(check(&missing(96), "costs").passed, Some(true));
    // An arm that states that it is free is compared.
    let mut input = missing(100);
    input.arms.insert("free".to_owned(), successes(900, 200.0, |_| Some(0.0)));
    assert!(proposal(&named(input)).weights["free"] > 0.4);
    // Without a weight for cost, a missing cost is not an advantage.
    let mut input = missing(0);
    input.rewards.weights.cost = 0.0;
    assert_eq!(holds(&input), []);
}

#[test]
fn an_arm_without_costs_can_still_lose_weight() {
    let mut input = missing(0);
    input.arms.insert("free".to_owned(), arm(900, 0.1));
    input.arms.get_mut("free").unwrap().samples.cost = Default::default();
    assert!(proposal(&named(input)).weights["free"] < 0.4);
}

#[test]
fn no_weight_moves_to_an_arm_with_another_scale_until_it_is_confirmed() {
    // `fast` records seconds. Its successes are otherwise the same.
    let input = |confirmed: &[&str]| {
        let mut input = with([
            ("fast", successes(900, 3.0, |_| None)),
            ("gpt-5", successes(900, 3_000.0, |_| None)),
            ("gemini", successes(900, 2_500.0, |_| None)),
        ]);
        input.config.confirmed_scales = confirmed.iter().map(ToString::to_string).collect();
        input
    };
    let text = match decide(&input(&[])) {
        Decision::None(reason) => reason.to_string(),
        // The two others may be compared with each other.
        Decision::Propose(proposal) => {
            assert!(proposal.weights["fast"] <= 0.4);
            check(&input(&[]), "scales").detail
        }
    };
    assert!(text.contains("for fast") && text.contains("confirmedScales"), "{text}");
    assert_eq!(holds(&input(&[])).len(), 1, "only the odd arm is held");
    assert!(proposal(&input(&["fast"])).weights["fast"] > 0.4);
    assert_eq!(check(&input(&["fast"]), "scales").passed, Some(true));
}

#[test]
fn of_two_arms_with_different_scales_neither_gains() {
    let mut input = with([
        ("a", successes(900, 200.0, |_| Some(9_000.0))),
        ("b", successes(900, 200.0, |_| Some(0.009))),
        ("c", successes(0, 200.0, |_| None)),
    ]);
    let held: Vec<String> = holds(&input).into_iter().map(|it| it.arm).collect();
    assert_eq!(held, ["a", "b"]);
    assert!(decide(&input).proposal().is_none());
    input.config.confirmed_scales = vec!["b".to_owned()];
    assert_eq!(holds(&input), []);
}

#[test]
fn an_arm_whose_own_scale_changed_is_found() {
    let mut series = Series::default();
    for hour in 0..6 {
        for n in 0..30 {
            let duration_ms = if hour < 4 { 800.0 } else { 0.8 };
            let at = Observation::at(hour * HOUR_MS + n, Outcome::Success);
            let observation = Observation { duration_ms: Some(duration_ms), ..at };
            let reward = score(&RewardConfig::default(), &observation);
            let _ = series.record(&observation, &reward, observation.ts);
        }
    }
    let found = Shift::within(series.timeline(), 0);
    assert_eq!(found.len(), 1);
    assert!(found[0].lowest < 1.0 && found[0].highest > 700.0, "{found:?}");
    assert_eq!(Shift::within(series.timeline(), 4 * HOUR_MS), []);
    let mut input = missing(100);
    input.signals.shifts.insert("gemini".to_owned(), found);
    assert_eq!(holds(&input)[0].arm, "gemini");
    let detail = check(&input, "scales").detail;
    assert!(detail.contains("the median durations of gemini range from 0.8"), "{detail}");
}

#[test]
fn an_arm_without_observations_and_a_component_without_an_arm_are_named() {
    let mut input =
        case(&[("gpt-5", 0.6, 0, 0.0), ("gemini", 0.25, 500, 0.6), ("claude", 0.15, 300, 0.6)]);
    let found = [("router:gpt-5-2025-08-07", 1_200), ("router:gemini", 500)];
    let arms: Vec<String> = input.weights.keys().map(|it| input.config.component_of(it)).collect();
    input.signals.unmatched = Unmatched::of(found, &arms);
    let text = reason(&input).to_string();
    for part in [
        "after 800 observations no arm is proven",
        "1200 observations that name 1.0.0 match no arm: \"router:gpt-5-2025-08-07\" (1200, nearest \
         arm \"router:gpt-5\")",
        "without any observation: gpt-5 (weight 0.600",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(reason(&input).code(), "nothing-proven");
    assert_eq!(check(&input, "components").passed, Some(false));
    assert_eq!(check(&input, "observedArms").passed, Some(false));
    // An arm at 0 needs no observations.
    input.weights = [("gpt-5", 0.0), ("gemini", 0.6), ("claude", 0.4)]
        .map(|(arm, weight)| (arm.to_owned(), weight))
        .into();
    assert_eq!(check(&input, "observedArms").passed, Some(true));
}

#[test]
fn rare_weights_do_not_hide_a_median() {
    let mut it = successes(0, 1.0, |_| None);
    for _ in 0..25 {
        it.samples.latency.add(100.0, Weight::from_sample_rate(0.3));
        it.samples.success.add(1.0, Weight::from_sample_rate(0.3));
    }
    let input = with([("a", it), ("b", successes(30, 2.0, |_| None)), ("c", arm(0, 0.0))]);
    assert_eq!(holds(&input), []);
}
