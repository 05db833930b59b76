//! Experiments on versions whose truth is known.

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::estimate::{Interval, Measured};
use crate::number::{Lossy, whole_u64};
use crate::observation::{Observation, Outcome};
use crate::reward::{RewardConfig, ScoredUnder, score};
use crate::stats::Samples;
use crate::time::HOUR_MS;

/// What a version does: how often it succeeds, how long it takes, what it costs.
#[derive(Clone, Copy)]
struct Truth {
    success: f64,
    latency_ms: f64,
    cost_usd: f64,
}

const USUAL: Truth = Truth { success: 0.9, latency_ms: 800.0, cost_usd: 0.01 };

fn observe(samples: &mut Samples, truth: Truth, n: u64, random: &mut StdRng) {
    for _ in 0..n {
        let spread = random.random_range(0.5..1.5);
        let success = random.random_bool(truth.success);
        let observation = Observation {
            component: "router:a".to_owned(),
            duration_ms: Some(truth.latency_ms * spread),
            cost_usd: Some(truth.cost_usd * spread),
            ..Observation::at(0, if success { Outcome::Success } else { Outcome::Failure })
        };
        samples.add(&observation, &score(&RewardConfig::default(), &observation));
    }
}

/// Runs an experiment that is judged each hour until it ends. Returns its end, and the number of
/// observations of the candidate until then.
fn run(kind: Kind, candidate: Truth, per_hour: u64, seed: u64) -> (Judgement, u64) {
    let config = GuardConfig { max_days: 3, ..GuardConfig::default() };
    let mut random = StdRng::seed_from_u64(seed);
    let mut setting =
        Setting { kind, metric: Metric::Reward, stage: 0, started_at: 0, stage_started_at: 0 };
    let (mut a, mut b) = (Samples::default(), Samples::default());
    let mut base = Baseline::default();
    if kind == Kind::Watch {
        observe(&mut a, USUAL, 20 * per_hour, &mut random);
    }
    let mut seen = 0;
    for hour in 1.. {
        let share = if kind == Kind::Ab { STAGES[setting.stage] } else { 1.0 };
        let n = whole_u64(per_hour.to_f64() * share);
        observe(&mut a, USUAL, per_hour - n, &mut random);
        observe(&mut b, candidate, n, &mut random);
        seen += n;
        let (control, candidate) = (a.since(&base.control), b.since(&base.candidate));
        let comparison = compare(&control, &candidate, 0.1, 1.0, config.tail(kind));
        match judge(&setting, &config, &comparison, hour * HOUR_MS) {
            Judgement::Continue => {}
            Judgement::NextStage => {
                setting.stage += 1;
                setting.stage_started_at = hour * HOUR_MS;
                base = Baseline { control: a.clone(), candidate: b.clone(), ..Baseline::default() };
            }
            end => return (end, seen),
        }
    }
    unreachable!("an experiment ends after maxDays")
}

#[test]
fn a_regression_is_rolled_back_and_an_improvement_succeeds() {
    let worse = Truth { success: 0.7, ..USUAL };
    let better = Truth { success: 0.97, ..USUAL };
    for seed in 0..3 {
        for kind in [Kind::Ab, Kind::Watch] {
            let (end, seen) = run(kind, worse, 500, seed);
            // "No gain" may be proven before the loss is proven to exceed the guardrail.
            let rolled_back = match kind {
                Kind::Ab => matches!(end, Judgement::Breach(_) | Judgement::NoGain),
                Kind::Watch => matches!(end, Judgement::Breach(_)),
            };
            assert!(rolled_back, "{kind:?} {end:?} after {seen}");
        }
        assert_eq!(run(Kind::Ab, better, 1_000, seed).0, Judgement::Success);
    }
}

#[test]
fn each_guardrail_is_named_by_its_breach() {
    let of = |truth| match run(Kind::Watch, truth, 500, 7).0 {
        Judgement::Breach(breach) => breach.guardrail,
        end => panic!("{end:?}"),
    };
    assert_eq!(of(Truth { cost_usd: 0.014, ..USUAL }), Guardrail::CostUsd);
    assert_eq!(of(Truth { latency_ms: 1_300.0, ..USUAL }), Guardrail::P95Latency);
    // The reward reacts strongly to the success rate, so that its guardrail breaks first.
    assert_eq!(of(Truth { success: 0.8, ..USUAL }), Guardrail::Reward);
}

#[test]
fn equal_versions_lead_to_no_claim() {
    for seed in 0..2 {
        for kind in [Kind::Ab, Kind::Watch] {
            let (end, seen) = run(kind, USUAL, 200, seed);
            let quiet =
                matches!(end, Judgement::Passed | Judgement::Inconclusive | Judgement::NoGain);
            assert!(quiet, "{kind:?} {end:?} after {seen}");
        }
    }
}

#[test]
fn a_stage_lasts_until_both_its_minutes_and_its_samples_are_reached() {
    let config = GuardConfig::default();
    let setting = Setting {
        kind: Kind::Ab,
        metric: Metric::Reward,
        stage: 0,
        started_at: 0,
        stage_started_at: 0,
    };
    let mut random = StdRng::seed_from_u64(1);
    let (mut a, mut b) = (Samples::default(), Samples::default());
    observe(&mut a, USUAL, 100, &mut random);
    observe(&mut b, USUAL, 99, &mut random);
    let at = |b: &Samples, now| {
        judge(&setting, &config, &compare(&a, b, 0.1, 1.0, config.tail(Kind::Ab)), now)
    };
    assert_eq!(at(&b, HOUR_MS), Judgement::Continue, "99 observations are too few");
    observe(&mut b, USUAL, 1, &mut random);
    assert_eq!(at(&b, HOUR_MS - 1), Judgement::Continue, "the hour is not over");
    assert_eq!(at(&b, HOUR_MS), Judgement::NextStage);
}

#[test]
fn the_time_limit_applies_even_if_the_next_stage_is_due() {
    let config = GuardConfig::default();
    let mut setting = Setting {
        kind: Kind::Ab,
        metric: Metric::Reward,
        stage: 0,
        started_at: 0,
        stage_started_at: 0,
    };
    let known = neutral();
    let end = 14 * 24 * HOUR_MS;
    assert_eq!(judge(&setting, &config, &known, end - 1), Judgement::NextStage);
    assert_eq!(judge(&setting, &config, &known, end), Judgement::Inconclusive);
    // A clock that goes backwards, and times far out of range.
    assert_eq!(judge(&setting, &config, &known, -1), Judgement::Continue);
    (setting.started_at, setting.stage_started_at) = (i64::MIN, i64::MIN);
    assert_eq!(judge(&setting, &config, &known, end), Judgement::Inconclusive);
}

/// A comparison that supports no claim.
fn neutral() -> Comparison {
    let wide = Measured { estimate: 0.02, low: -0.5, high: 0.5 };
    let compared = Some(Compared { control: wide, candidate: wide, change: wide });
    let less = Some(Compared {
        control: Measured { estimate: 1.0, low: 0.5, high: 1.5 },
        candidate: Measured { estimate: 1.0, low: 0.5, high: 1.5 },
        change: Measured { estimate: -0.02, ..wide },
    });
    let range = Interval { low: 1.0, high: 1_000.0 };
    Comparison {
        control_n: 1_000,
        candidate_n: 1_000,
        tail: 0.01,
        reward: compared,
        success_rate: compared,
        p95_latency: Some(Ranges { control: range, candidate: range }),
        cost_usd: less,
        rejected_share: Some(RejectedShare {
            control: Some(Measured { estimate: 0.001, low: 0.0, high: 0.5 }),
            candidate: Measured { estimate: 0.001, low: 0.0, high: 0.5 },
            change: Some(Measured { estimate: 0.0, low: -0.5, high: 0.5 }),
        }),
        controls: None,
        missing_costs: None,
    }
}

/// Equal outcomes, and the candidate leaves out what it costs.
#[test]
fn a_candidate_that_leaves_out_costs_wins_neither_on_reward_nor_on_cost() {
    let samples = |costs: &dyn Fn(u32) -> Option<f64>| {
        let mut samples = Samples::default();
        for n in 0..4_000 {
            let cost_usd = costs(n);
            let observation = Observation { cost_usd, ..Observation::at(0, Outcome::Success) };
            samples.add(&observation, &score(&RewardConfig::default(), &observation));
        }
        samples
    };
    let control = samples(&|_| Some(0.05));
    let none = samples(&|_| None);
    let cheap_half = samples(&|n| n.is_multiple_of(2).then_some(0.01));
    let all = samples(&|_| Some(0.01));
    for (candidate, wins) in [(&none, false), (&cheap_half, false), (&all, true)] {
        let found = compare(&control, candidate, 0.1, 1.0, 0.001);
        assert!(found.reward.unwrap().change.low > 0.0, "its reward looks better");
        assert_eq!(found.lacks_costs(), !wins);
        let verdict = Verdict::of("1.0.0", Kind::Watch, found.clone(), 1.0, Some(0.01), 1).unwrap();
        let effect = if wins { Effect::Better } else { Effect::Unclear };
        assert_eq!(verdict.effect, effect);
        for metric in [Metric::Reward, Metric::CostUsd] {
            assert_eq!(metric.gain(&found).is_some_and(|gain| gain.low > 0.0), wins, "{metric}");
            let setting = Setting {
                kind: Kind::Ab,
                metric,
                stage: STAGES.len() - 1,
                started_at: 0,
                stage_started_at: 0,
            };
            let config = GuardConfig { min_effect: 0.001, ..GuardConfig::default() };
            let judged = judge(&setting, &config, &found, HOUR_MS);
            let expected = if wins { Judgement::Success } else { Judgement::Continue };
            assert_eq!(judged, expected, "{metric}");
        }
        assert!(Metric::SuccessRate.gain(&found).is_some(), "success does not depend on cost");
    }
    // The other way round the guardrails hold as ever.
    assert!(!compare(&none, &control, 0.1, 1.0, 0.001).lacks_costs());
}

/// Every end of an interval of a comparison.
fn ends(it: &mut Comparison) -> Vec<&mut f64> {
    let mut ends = Vec::new();
    for compared in [&mut it.reward, &mut it.success_rate, &mut it.cost_usd] {
        let Compared { control, candidate, change } = compared.as_mut().unwrap();
        for measured in [control, candidate, change] {
            ends.extend([&mut measured.low, &mut measured.high]);
        }
    }
    let Ranges { control, candidate } = it.p95_latency.as_mut().unwrap();
    ends.extend([&mut control.low, &mut control.high, &mut candidate.low, &mut candidate.high]);
    let RejectedShare { control, candidate, change } = it.rejected_share.as_mut().unwrap();
    for measured in [control.as_mut().unwrap(), candidate, change.as_mut().unwrap()] {
        ends.extend([&mut measured.low, &mut measured.high]);
    }
    ends
}

#[test]
fn the_error_budget_covers_every_interval_end_that_a_claim_uses() {
    let config = GuardConfig::default();
    for kind in [Kind::Ab, Kind::Watch] {
        for metric in Metric::ALL {
            let stages = if kind == Kind::Ab { STAGES.len() } else { 1 };
            let setting =
                Setting { kind, metric, stage: stages - 1, started_at: 0, stage_started_at: 0 };
            let claims = |comparison: Comparison| {
                let judged = judge(&setting, &config, &comparison, 2 * HOUR_MS);
                let verdict = Verdict::of("1.0.0", kind, comparison, 0.01, Some(0.1), 0);
                let verdict = verdict.unwrap();
                (judged, verdict.effect, verdict.promise.map(|it| it.kept))
            };
            let none = claims(neutral());
            let matters = |end: &usize| {
                [-1e6, 0.01, 1e6].into_iter().any(|to| {
                    let mut moved = neutral();
                    *ends(&mut moved)[*end] = to;
                    claims(moved) != none
                })
            };
            let count = ends(&mut neutral()).len();
            let used = (0..count).filter(matters).count();
            assert!(used >= 7, "{kind:?} {metric:?}: {used}");
            let spent = (used * stages).to_f64() * config.tail(kind);
            assert!(spent <= config.alpha + 1e-12, "{kind:?} {metric:?}: {spent}");
        }
    }
}

#[test]
fn a_verdict_compares_the_promise_with_the_outcome() {
    let mut random = StdRng::seed_from_u64(3);
    let (mut a, mut b) = (Samples::default(), Samples::default());
    observe(&mut a, USUAL, 5_000, &mut random);
    observe(&mut b, Truth { success: 0.97, ..USUAL }, 5_000, &mut random);
    let comparison = compare(&a, &b, 0.1, 1.0, 0.01);
    let verdict = |expected| {
        let comparison = comparison.clone();
        let verdict = Verdict::of("1.0.0", Kind::Watch, comparison, 0.01, expected, 1).unwrap();
        (verdict.effect, verdict.promise.map(|it| it.kept))
    };
    assert_eq!(verdict(Some(0.05)), (Effect::Better, Some(Promised::Kept)));
    assert_eq!(verdict(Some(0.5)), (Effect::Better, Some(Promised::Broken)));
    assert_eq!(verdict(None), (Effect::Better, None));
    let none = compare(&a, &Samples::default(), 0.1, 1.0, 0.01);
    assert_eq!(Verdict::of("1.0.0", Kind::Watch, none, 0.01, None, 1), None);
}

/// A version succeeds in 90%; of the other's failures, most are rejected.
fn rejecting(n: u64, rejected: u64) -> (Samples, Samples) {
    let mut random = StdRng::seed_from_u64(5);
    let (mut a, mut b) = (Samples::default(), Samples::default());
    observe(&mut a, USUAL, n, &mut random);
    observe(&mut b, Truth { success: 1.0, ..USUAL }, n - rejected, &mut random);
    (0..rejected).for_each(|_| b.reject());
    (a, b)
}

fn watch() -> Setting {
    Setting {
        kind: Kind::Watch,
        metric: Metric::Reward,
        stage: 0,
        started_at: 0,
        stage_started_at: 0,
    }
}

#[test]
fn a_watched_version_whose_failing_half_is_rejected_is_rolled_back() {
    let (a, b) = rejecting(200, 100);
    let config = GuardConfig::default();
    let comparison = compare(&a, &b, 0.1, 1.0, config.tail(Kind::Watch));
    assert!(comparison.reward.unwrap().change.estimate > 0.0, "what was scored looks better");
    let Judgement::Breach(breach) = judge(&watch(), &config, &comparison, HOUR_MS) else {
        panic!("{comparison:?}")
    };
    assert_eq!(breach.guardrail, Guardrail::RejectedShare);
    assert!(breach.proven > 0.3 && breach.proven < 0.5, "{breach:?}");
    assert!(breach.to_string().contains("rejected share"), "{breach}");
    let verdict = Verdict::of("1.0.0", Kind::Watch, comparison, 0.01, Some(0.01), 0).unwrap();
    assert_eq!(verdict.effect, Effect::Unclear);
}

#[test]
fn a_version_that_rejects_as_much_as_its_control_breaks_no_guardrail() {
    let config = GuardConfig::default();
    let (mut a, mut b) = rejecting(400, 40);
    (0..40).for_each(|_| a.reject());
    let compared = |a: &Samples, b: &Samples| compare(a, b, 0.1, 1.0, config.tail(Kind::Watch));
    let judged = |comparison: &Comparison| judge(&watch(), &config, comparison, HOUR_MS);
    assert_eq!(judged(&compared(&a, &b)), Judgement::Continue);
    // A few rejected documents prove nothing.
    b = rejecting(200, 3).1;
    let few = compared(&rejecting(200, 0).0, &b);
    assert!(few.is_incomplete(0.01));
    assert_eq!(judged(&few), Judgement::Continue);
    // Rejected documents of the control were not counted: there is nothing to compare with.
    a.uncounted = a.n();
    a.rejected = 0;
    let unknown = compared(&a, &rejecting(200, 100).1);
    assert_eq!(unknown.rejected_share.unwrap().change, None);
    assert!(unknown.is_incomplete(0.01));
    assert_eq!(judged(&unknown), Judgement::Continue);
}

#[test]
fn a_candidate_with_too_many_rejected_documents_neither_succeeds_nor_advances() {
    let config = GuardConfig::default();
    for stage in 0..STAGES.len() {
        let setting = Setting { kind: Kind::Ab, stage, ..watch() };
        let judged = |comparison: &Comparison| judge(&setting, &config, comparison, 2 * HOUR_MS);
        let mut comparison = neutral();
        let gain = Measured { estimate: 0.1, low: 0.05, high: 0.2 };
        comparison.reward.as_mut().unwrap().change = gain;
        let last = stage + 1 == STAGES.len();
        let expected = if last { Judgement::Success } else { Judgement::NextStage };
        assert_eq!(judged(&comparison), expected);
        let rejected = comparison.rejected_share.as_mut().unwrap();
        rejected.candidate.estimate = 0.02;
        rejected.change.as_mut().unwrap().estimate = 0.019;
        assert_eq!(judged(&comparison), Judgement::Continue);
    }
}

#[test]
fn a_baseline_of_the_version_before_is_read() {
    let bytes = include_bytes!("../../tests/fixtures/rejected/baseline.1");
    let baseline = Baseline::decode(bytes).unwrap();
    assert_eq!((baseline.control.n(), baseline.control.documents()), (1_200, 0));
    assert_eq!(baseline.encode()[..bytes.len()], *bytes, "earlier versions ignore the rest");
}

/// The rewards of control and candidate belong to one `reward_config`; everything else does not
/// depend on it.
#[test]
fn rewards_of_different_configs_are_not_compared() {
    let mut random = StdRng::seed_from_u64(5);
    let [a, b] =
        [(0, "1.0.0", None), (9, "1.1.0", Some("1.0.0"))].map(|(since, version, replaced)| {
            let replaced = replaced.map(str::to_owned);
            let (version, fingerprint) = (version.to_owned(), version.to_owned());
            ScoredUnder { version, fingerprint, since, replaced }
        });
    let mut counted = Baseline::default();
    observe(&mut counted.control, USUAL, 2_000, &mut random);
    observe(&mut counted.candidate, Truth { success: 0.5, ..USUAL }, 2_000, &mut random);
    let compared = |counted: &Baseline| {
        let it = counted.clone().comparable();
        compare(&it.control, &it.candidate, 0.1, 1.0, 0.01)
    };
    let before = compared(&counted);
    assert!(before.reward.is_some());
    counted.scored_under = [Some(a.clone()), Some(b.clone())];
    let after = compared(&counted);
    assert_eq!(Comparison { reward: before.reward, ..after.clone() }, before);
    assert_eq!(after.reward, None);
    // A restart between two stages leaves out nothing that was counted since.
    let earlier = Baseline { scored_under: [Some(a.clone()), Some(a)], ..counted.clone() };
    counted.scored_under = [Some(b.clone()), Some(b)];
    let since = counted.since(&earlier);
    let rewards = |it: &Baseline| [it.control.reward.clone(), it.candidate.reward.clone()];
    assert_eq!(rewards(&since), rewards(&counted));
    assert!(since.control.success.is_empty() && since.candidate.latency.is_empty());
}

#[test]
fn a_baseline_decodes_from_its_own_bytes_and_rejects_others() {
    let mut random = StdRng::seed_from_u64(4);
    let mut baseline = Baseline::default();
    observe(&mut baseline.control, USUAL, 50, &mut random);
    baseline.candidate.reject();
    assert_eq!(Baseline::decode(&baseline.encode()).unwrap(), baseline);
    assert!(Baseline::decode(&[9, 1, 2]).is_err());
    assert!(Baseline::decode(&[]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Exchanging control and candidate mirrors every change.
    #[test]
    fn a_comparison_treats_both_versions_alike(n in 1..60_u64, m in 1..60_u64, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut a, mut b) = (Samples::default(), Samples::default());
        observe(&mut a, USUAL, n, &mut random);
        observe(&mut b, Truth { success: 0.5, ..USUAL }, m, &mut random);
        let (ab, ba) = (compare(&a, &b, 0.1, 1.0, 0.01), compare(&b, &a, 0.1, 1.0, 0.01));
        let (ab, ba) = (ab.reward.unwrap().change, ba.reward.unwrap().change);
        prop_assert!((ab.estimate + ba.estimate).abs() < 1e-12);
        prop_assert!((ab.low + ba.high).abs() < 1e-9 && (ab.high + ba.low).abs() < 1e-9);
        prop_assert!(ab.low <= ab.estimate && ab.estimate <= ab.high);
    }
}
