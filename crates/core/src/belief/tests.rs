//! The laws of the rule.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{
    Allocation, ArmInput, BeliefInput, BeliefState, Bucket, Cause, Settings, StateError, Sums,
    allocate, allocate_with,
};
use crate::time::HOUR_MS;

/// A number of observations an hour with a mean reward.
type Hour = (f64, f64);

fn bucket(from: i64, hours: i64, (n, mean): Hour) -> Bucket {
    let sums = Sums { n, sum: n * mean, squares: n * mean };
    Bucket { from: from * HOUR_MS, to: (from + hours) * HOUR_MS, sums }
}

fn arm(held: f64, hours: &[Hour]) -> ArmInput {
    let buckets = (0..).zip(hours).map(|(hour, it)| bucket(hour, 1, *it)).collect();
    ArmInput { buckets, held, min: 0.0, max: 1.0 }
}

fn input(arms: Vec<ArmInput>) -> BeliefInput {
    let hours = arms.iter().map(|it| it.buckets.len()).max().unwrap_or(0);
    let arms = arms.into_iter().enumerate().map(|(at, arm)| (name(at), arm)).collect();
    let now = i64::try_from(hours).unwrap() * HOUR_MS;
    BeliefInput { arms, floor: 0.0, step: 1.0, now }
}

fn name(arm: usize) -> String {
    format!("arm-{arm:02}")
}

/// A pass over data that was not seen before.
fn pass(input: &BeliefInput) -> Allocation {
    allocate(input, &BeliefState::default())
}

fn total(weights: &BTreeMap<String, f64>) -> f64 {
    weights.values().sum()
}

/// Runs passes hour by hour with the weights that each publishes.
fn live(
    hours: usize,
    rates: impl Fn(usize) -> Vec<f64>,
) -> (Allocation, Vec<BTreeMap<String, f64>>) {
    let mut random = StdRng::seed_from_u64(3);
    let count = rates(0).len();
    let mut all = input(vec![arm(1.0 / f64::from(u32::try_from(count).unwrap()), &[]); count]);
    let (mut state, mut weights, mut last) = (BeliefState::default(), Vec::new(), None);
    for hour in 0..hours {
        for (arm, rate) in all.arms.values_mut().zip(rates(hour)) {
            let n = (200.0 * arm.held).round();
            let successes =
                (0..crate::number::whole_u64(n)).filter(|_| random.random_bool(rate)).count();
            let sum = f64::from(u32::try_from(successes).unwrap());
            let from = i64::try_from(hour).unwrap() * HOUR_MS;
            let sums = Sums { n, sum, squares: sum };
            arm.buckets.push(Bucket { from, to: from + HOUR_MS, sums });
        }
        all.now += HOUR_MS;
        let found = allocate(&all, &state);
        for (arm, weight) in all.arms.values_mut().zip(found.weights.values()) {
            arm.held = *weight;
        }
        state = BeliefState::decode(&found.state.encode()).unwrap();
        weights.push(found.weights.clone());
        last = Some(found);
    }
    (last.unwrap(), weights)
}

fn hours() -> impl Strategy<Value = Vec<Hour>> {
    let hour = prop_oneof![Just((0.0, 0.0)), ((1.0..150.0_f64), (0.0..1.0_f64))];
    proptest::collection::vec(hour, 0..60)
}

fn arms() -> impl Strategy<Value = Vec<ArmInput>> {
    let arms = proptest::collection::vec((hours(), 1_u16..100), 1..7);
    arms.prop_map(|arms| {
        let all: f64 = arms.iter().map(|it| f64::from(it.1)).sum();
        arms.iter().map(|(hours, share)| arm(f64::from(*share) / all, hours)).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn weights_sum_to_one_and_keep_floor_step_and_range(
        arms in arms(), floor in 0.0..0.12_f64, step in 0.01..1.0_f64, max in 0.5..1.0_f64,
    ) {
        let arms: Vec<ArmInput> = arms.into_iter().map(|it| ArmInput { max, ..it }).collect();
        let is_single = arms.len() == 1;
        let input = BeliefInput { floor, step, ..input(arms) };
        let found = pass(&input);
        prop_assert!((total(&found.weights) - 1.0).abs() < 1e-12);
        if found.publish {
            prop_assert_eq!(total(&found.weights), 1.0);
            for (name, weight) in &found.weights {
                let held = input.arms[name].held;
                // A held weight need not be a whole number of steps.
                prop_assert!((weight - held).abs() <= step + 1.0 / 1024.0, "{} {}", weight, held);
                prop_assert!(*weight >= floor.min(held) - 1.0 / 1024.0 && *weight >= 0.0);
                prop_assert!(*weight <= max.max(held) + 1.0 / 1024.0);
            }
        }
        prop_assert!(!(is_single && found.publish));
        for belief in found.arms.values() {
            prop_assert!(0.0 <= belief.low && belief.low <= belief.mean && belief.mean <= belief.high);
            prop_assert!(belief.high <= 1.0 && (0.0..=1.0).contains(&belief.probability_best));
        }
    }

    #[test]
    fn the_same_input_gives_the_same_bits(arms in arms()) {
        let (a, b) = (pass(&input(arms.clone())), pass(&input(arms)));
        prop_assert_eq!(format!("{a:?}"), format!("{b:?}"));
    }

    #[test]
    fn other_names_permute_the_weights(arms in arms()) {
        let usual = pass(&input(arms.clone()));
        let reversed = pass(&input(arms.into_iter().rev().collect()));
        let reversed: Vec<f64> = reversed.want.into_values().rev().collect();
        for (a, b) in usual.want.values().zip(reversed) {
            // Equal remainders are rounded in the order of the arms.
            prop_assert!((a - b).abs() <= 1.5 / 1024.0, "{} {}", a, b);
        }
    }

    #[test]
    fn an_hour_without_data_changes_nothing(arms in arms()) {
        let before = input(arms);
        let mut after = before.clone();
        for arm in after.arms.values_mut() {
            arm.buckets.push(bucket(70, 1, (0.0, 0.0)));
        }
        prop_assert_eq!(pass(&before), pass(&after));
    }

    #[test]
    fn another_start_of_time_gives_the_same_bits(arms in arms(), days in 0..20_000_i64) {
        let usual = input(arms);
        let mut later = usual.clone();
        let by = days * 24 * HOUR_MS;
        later.now += by;
        for bucket in later.arms.values_mut().flat_map(|it| &mut it.buckets) {
            bucket.from += by;
            bucket.to += by;
        }
        prop_assert_eq!(pass(&usual).want, pass(&later).want);
    }

    #[test]
    fn an_arm_at_zero_stays_at_zero(arms in arms()) {
        let mut input = input(arms);
        let Some(last) = input.arms.len().checked_sub(1).filter(|it| *it > 0) else {
            return Ok(());
        };
        let held = std::mem::take(&mut input.arms.get_mut(&name(last)).unwrap().held);
        input.arms.get_mut(&name(0)).unwrap().held += held;
        input.floor = 0.05;
        let found = pass(&input);
        prop_assert_eq!(found.weights[&name(last)], 0.0);
        prop_assert_eq!(found.arms[&name(last)].probability_best, 0.0);
    }

    #[test]
    fn the_state_survives_its_encoding(arms in arms()) {
        let state = pass(&input(arms)).state;
        prop_assert_eq!(BeliefState::decode(&state.encode()).unwrap(), state);
    }
}

#[test]
fn without_data_the_weights_are_kept() {
    let found = pass(&input(vec![arm(0.7, &[]), arm(0.3, &[])]));
    assert!(!found.publish && found.weights[&name(0)] == 0.7);
    assert!(pass(&input(Vec::new())).weights.is_empty());
}

#[test]
fn the_better_arm_gets_the_traffic_and_more_data_makes_it_surer() {
    let of = |n: f64| pass(&input(vec![arm(0.5, &[(n, 0.8); 5]), arm(0.5, &[(n, 0.9); 5])]));
    let (few, many) = (of(4.0), of(40.0));
    assert!(few.want[&name(1)] > 0.6 && many.want[&name(1)] > few.want[&name(1)]);
    assert!(many.publish && many.cause == Cause::Learn && many.expected_gain > 0.0);
    assert!(many.arms[&name(1)].high - many.arms[&name(1)].low < 0.1);
}

#[test]
fn rewards_that_vary_less_count_for_more() {
    let steady = |mean: f64| {
        let buckets = (0..5).map(|hour| {
            let sums = Sums { n: 4.0, sum: 4.0 * mean, squares: 4.0 * (mean * mean + 0.001) };
            Bucket { from: hour * HOUR_MS, to: (hour + 1) * HOUR_MS, sums }
        });
        ArmInput { buckets: buckets.collect(), ..arm(0.5, &[]) }
    };
    let binary = pass(&input(vec![arm(0.5, &[(4.0, 0.8); 5]), arm(0.5, &[(4.0, 0.9); 5])]));
    let steady = pass(&input(vec![steady(0.8), steady(0.9)]));
    assert!(steady.dispersion < 0.5 && (binary.dispersion - 1.0).abs() < 1e-9);
    assert!(steady.want[&name(1)] > binary.want[&name(1)]);
}

#[test]
fn a_lost_leader_is_noticed_within_hours() {
    let rates = |hour: usize| vec![0.85, if hour < 60 { 0.95 } else { 0.4 }, 0.75];
    let (last, weights) = live(90, rates);
    assert!(weights[55][&name(1)] > 0.9);
    assert!(weights[62][&name(1)] < 0.2, "{:?}", weights[62]);
    assert!(weights[89][&name(0)] > 0.9, "{:?}", weights[89]);
    assert_eq!(last.arms[&name(1)].since, 60 * HOUR_MS);
    assert!((last.state.changes - 1.0).abs() < 1e-12);
    assert!(last.state.encode().len() < 600);
}

/// The other arm was unlucky in its few observations. The leader still has the higher mean after its
/// fall, but the other may well be better.
#[test]
fn a_leader_that_falls_to_what_another_may_reach_makes_the_other_a_suspect() {
    let leader: Vec<Hour> =
        (0..63).map(|hour| (200.0, if hour < 60 { 0.93 } else { 0.80 })).collect();
    let all = input(vec![arm(0.99, &leader), arm(0.01, &[(12.0, 0.75)])]);
    let without = Settings { reach: 0.0, ..Settings::default() };
    let blind = allocate_with(&without, &all, &BeliefState::default());
    assert_eq!(blind.state.arms[&name(0)].since, 0);
    let found = pass(&all);
    assert_eq!(found.state.arms[&name(0)].since, 60 * HOUR_MS);
    assert_eq!(found.state.arms[&name(1)].suspect, Some(60 * HOUR_MS));
    assert!(found.want[&name(1)] > 2.0 * blind.want[&name(1)], "{:?}", found.want);
}

#[test]
fn a_leader_that_slides_is_followed_by_its_trend() {
    let rates = |hour: usize| vec![0.8, 0.95 - 0.002 * f64::from(u32::try_from(hour).unwrap())];
    let (last, _) = live(70, rates);
    let trend = last.arms[&name(1)].trend_per_day;
    assert!((-0.07..-0.02).contains(&trend), "{trend}");
}

#[test]
fn arms_without_a_difference_cause_few_versions() {
    let (last, weights) = live(240, |_| vec![0.9; 3]);
    let moves = weights.windows(2).filter(|it| it[0] != it[1]).count();
    assert!(moves < 40, "{moves}");
    assert!(last.state.changes < 2.0);
}

/// A timeline keeps hours for a day, then six hours; a cut lies within a larger bucket later.
#[test]
fn a_segment_that_starts_within_a_merged_bucket_does_not_mix_with_the_data_before() {
    let rates = |hour: usize| vec![0.8, if hour < 62 { 0.95 } else { 0.5 }];
    let (last, _) = live(72, rates);
    let state = last.state;
    assert_eq!(state.arms[&name(1)].since, 62 * HOUR_MS);
    let hourly: Vec<Hour> =
        (0..72).map(|hour| (100.0, if hour < 62 { 0.95 } else { 0.5 })).collect();
    let merged = |hours: &[Hour]| -> Vec<Bucket> {
        let sums = |it: &[Hour]| {
            it.iter().fold(Sums::default(), |sum, (n, mean)| {
                sum + Sums { n: *n, sum: n * mean, squares: n * mean }
            })
        };
        let parts = (0..).zip(hours.chunks(6));
        parts
            .map(|(at, it)| {
                let from = at * 6 * HOUR_MS;
                Bucket { from, to: from + 6 * HOUR_MS, sums: sums(it) }
            })
            .collect()
    };
    let mut known = state;
    // As the cut would have stored it: two hours at .95 before it in the bucket from hour 60.
    let before = Sums { n: 200.0, sum: 190.0, squares: 190.0 };
    known.arms.get_mut(&name(1)).unwrap().discarded = [(60 * HOUR_MS, before)].into();
    let mut all = input(vec![arm(0.5, &[(100.0, 0.8); 72]), arm(0.5, &hourly)]);
    for arm in all.arms.values_mut() {
        let hours: Vec<Hour> = arm.buckets.iter().map(|it| (it.sums.n, it.sums.mean())).collect();
        arm.buckets = merged(&hours);
    }
    let found = allocate(&all, &known);
    let belief = found.arms[&name(1)];
    assert!((belief.n - 1_000.0).abs() < 1.0 && (belief.mean - 0.5).abs() < 0.01, "{belief:?}");
}

/// Two arms with 400 actions each an hour, whose rates are given by hour.
fn drawn(hours: usize, rates: impl Fn(f64) -> [f64; 2]) -> Allocation {
    let mut all = input(vec![arm(0.5, &[]), arm(0.5, &[])]);
    let mut random = StdRng::seed_from_u64(1);
    for hour in 0..hours {
        let hour = u32::try_from(hour).unwrap();
        for (arm, rate) in all.arms.values_mut().zip(rates(f64::from(hour))) {
            let successes = (0..400).filter(|_| random.random_bool(rate)).count();
            let mean = f64::from(u32::try_from(successes).unwrap()) / 400.0;
            arm.buckets.push(bucket(i64::from(hour), 1, (400.0, mean)));
        }
    }
    all.now = i64::try_from(hours).unwrap() * HOUR_MS;
    pass(&all)
}

fn swing(hour: f64, hours: f64) -> f64 {
    0.08 * (hour / hours * std::f64::consts::TAU).sin()
}

#[test]
fn a_common_swing_is_recognised_and_does_not_change_who_leads() {
    for hours in [24.0, 168.0] {
        let found = drawn(160, |hour| [0.75, 0.88].map(|mean| mean + swing(hour, hours)));
        let common = found.common_deviation;
        assert!((0.03..0.09).contains(&common), "{common} with a period of {hours} hours");
        assert!(found.state.changes < 0.5 && found.want[&name(1)] > 0.95);
    }
}

#[test]
fn a_slow_movement_of_one_arm_is_not_common() {
    let found = drawn(160, |hour| [0.75 + swing(hour, 168.0), 0.88]);
    assert!(found.common_deviation < 0.01, "{}", found.common_deviation);
}

#[test]
fn arms_may_be_added_and_removed() {
    let (last, _) = live(30, |_| vec![0.8, 0.9]);
    let mut all = input(vec![arm(0.1, &[(20.0, 0.8); 30]), arm(0.8, &[(180.0, 0.9); 30])]);
    all.arms.insert("new".to_owned(), arm(0.1, &[]));
    let found = allocate(&all, &last.state);
    assert!(found.state.arms.contains_key("new") && found.want["new"] > 0.01);
    all.arms.remove(&name(0));
    all.arms.get_mut("new").unwrap().held = 0.2;
    let found = allocate(&all, &found.state);
    assert_eq!(found.state.arms.len(), 2);
    assert!((total(&found.weights) - 1.0).abs() < 1e-12);
}

#[test]
fn an_arm_that_the_rule_lowered_to_zero_may_rise_again() {
    let (_, weights) = live(120, |hour| vec![0.8, if hour < 80 { 0.99 } else { 0.2 }, 0.6]);
    assert!(weights[75][&name(0)] < 0.01);
    assert!(weights[119][&name(0)] > 0.8, "{:?}", weights[119]);
}

#[test]
fn fifty_arms_are_compared() {
    let arms: Vec<ArmInput> = (0..50)
        .map(|at| {
            arm(0.02, &[(40.0, if at == 17 { 0.95 } else { 0.7 + 0.002 * f64::from(at) }); 48])
        })
        .collect();
    let found = pass(&input(arms));
    assert!(found.want[&name(17)] > 0.99 && found.publish);
}

#[test]
fn unknown_bytes_are_not_a_state() {
    assert_eq!(BeliefState::decode(&[]), Err(StateError::Empty));
    assert_eq!(BeliefState::decode(&[9, 0]), Err(StateError::Format { found: 9 }));
    assert!(matches!(BeliefState::decode(&[1, 200]), Err(StateError::Encoding(_))));
}
