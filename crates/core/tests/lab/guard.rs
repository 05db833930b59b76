//! The guard with versions whose truth is known: activated regressions, and tested improvements and
//! equal versions. How often each is rolled back or promoted, and after how many observations.

use std::process::ExitCode;

use f0_learning_core::experiment::{
    Baseline, GuardConfig, Judgement, Kind, Metric, STAGES, Setting, compare, judge,
};
use f0_learning_core::reward::{RewardConfig, score};
use f0_learning_core::simulation::Truth;
use f0_learning_core::stats::Samples;
use f0_learning_core::time::MINUTE_MS;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// Actions between two passes of the guard.
const PASS_ACTIONS: usize = 50;
/// The time between two passes.
const PASS_MS: i64 = 10 * MINUTE_MS;

const USUAL: Truth = Truth::USUAL;

struct Case {
    name: &'static str,
    kind: Kind,
    candidate: Truth,
    /// The expected end of at least 95 of 100 runs.
    expected: fn(&Judgement) -> bool,
}

fn succeeding(success: f64) -> Truth {
    Truth { success, ..USUAL }
}

fn rolled_back(end: &Judgement) -> bool {
    matches!(end, Judgement::Breach(_))
}

fn rejected(end: &Judgement) -> bool {
    matches!(end, Judgement::Breach(_) | Judgement::NoGain)
}

fn neither(end: &Judgement) -> bool {
    !matches!(end, Judgement::Breach(_) | Judgement::Success)
}

pub fn run(runs: u64) -> ExitCode {
    let cases = [
        (
            "activated, success 0.90 to 0.60",
            Kind::Watch,
            succeeding(0.60),
            rolled_back as fn(&_) -> _,
        ),
        ("activated, success 0.90 to 0.80", Kind::Watch, succeeding(0.80), rolled_back),
        ("activated, cost x1.5", Kind::Watch, Truth { cost_usd: 0.015, ..USUAL }, rolled_back),
        ("activated, duration x2", Kind::Watch, Truth { median_ms: 1_600.0, ..USUAL }, rolled_back),
        ("activated, no difference", Kind::Watch, USUAL, neither),
        ("tested, success 0.90 to 0.80", Kind::Ab, succeeding(0.80), rejected),
        ("tested, success 0.90 to 0.96", Kind::Ab, succeeding(0.96), |end| {
            *end == Judgement::Success
        }),
        ("tested, no difference", Kind::Ab, USUAL, neither),
    ];
    println!(
        "{:<34} {:>10} {:>10} {:>12} {:>22}",
        "candidate", "as expected", "breaches", "successes", "median observations"
    );
    let mut kept = true;
    for (name, kind, candidate, expected) in cases {
        kept &= Case { name, kind, candidate, expected }.run(runs);
    }
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Case {
    fn run(&self, runs: u64) -> bool {
        let mut ends: Vec<(Judgement, u64)> =
            (0..runs).map(|seed| simulate(self.kind, self.candidate, seed)).collect();
        let count = |holds: &dyn Fn(&Judgement) -> bool| {
            ends.iter().filter(|(end, _)| holds(end)).count() as u64
        };
        let (expected, breaches) = (count(&self.expected), count(&rolled_back));
        let successes = count(&|end| *end == Judgement::Success);
        ends.sort_by_key(|(_, seen)| *seen);
        println!(
            "{:<34} {:>10} {breaches:>10} {successes:>12} {:>22}",
            self.name,
            format!("{expected}/{runs}"),
            ends[ends.len() / 2].1
        );
        // In a small number of runs, one more failure may be chance.
        expected as f64 >= 0.95 * runs as f64 - 1.0
    }
}

/// How the experiment ended, and after how many observations of the candidate.
fn simulate(kind: Kind, candidate: Truth, seed: u64) -> (Judgement, u64) {
    let config = GuardConfig::default();
    let mut random = StdRng::seed_from_u64(seed);
    let mut setting =
        Setting { kind, metric: Metric::Reward, stage: 0, started_at: 0, stage_started_at: 0 };
    let (mut a, mut b) = (Samples::default(), Samples::default());
    let mut base = Baseline::default();
    if kind == Kind::Watch {
        observe(&mut a, USUAL, 5_000, &mut random);
    }
    let mut seen = 0;
    for pass in 1.. {
        let share = if kind == Kind::Ab { STAGES[setting.stage] } else { 1.0 };
        let taken = (PASS_ACTIONS as f64 * share).round() as usize;
        observe(&mut a, USUAL, PASS_ACTIONS - taken, &mut random);
        observe(&mut b, candidate, taken, &mut random);
        seen += taken as u64;
        let now = pass * PASS_MS;
        let (control, tested) = (a.since(&base.control), b.since(&base.candidate));
        let most = RewardConfig::default().bounds.max_cost_usd;
        match judge(
            &setting,
            &config,
            &compare(&control, &tested, most, 1.0, config.tail(kind)),
            now,
        ) {
            Judgement::Continue => {}
            Judgement::NextStage => {
                setting.stage += 1;
                setting.stage_started_at = now;
                base = Baseline { control: a.clone(), candidate: b.clone(), ..Baseline::default() };
            }
            end => return (end, seen),
        }
    }
    unreachable!("an experiment ends after maxDays")
}

fn observe(samples: &mut Samples, truth: Truth, n: usize, random: &mut StdRng) {
    let config = RewardConfig::default();
    for _ in 0..n {
        let observation = truth.act(random).observation("router:a", 0, 1.0);
        samples.add(&observation, &score(&config, &observation));
    }
}
