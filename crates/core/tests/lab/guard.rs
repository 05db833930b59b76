//! The guard against versions whose truth is known: a regression that was activated, an
//! improvement and a null that are tested. How often each is taken back or promoted, and after how
//! many observations.

use std::process::ExitCode;

use f0_learning_core::experiment::{
    Baseline, GuardConfig, Judgement, Kind, Metric, STAGES, Setting, compare, judge,
};
use f0_learning_core::reward::{RewardConfig, score};
use f0_learning_core::simulation::Truth;
use f0_learning_core::stats::Samples;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// Actions between two passes of the guard, and how long that is.
const A_PASS: usize = 50;
const PASS_MS: i64 = 10 * 60_000;

const USUAL: Truth = Truth::USUAL;

struct Case {
    name: &'static str,
    kind: Kind,
    candidate: Truth,
    /// What is to become of at least 95 of 100.
    wanted: fn(&Judgement) -> bool,
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
        "of the candidate", "as wanted", "breaches", "successes", "median observations"
    );
    let mut kept = true;
    for (name, kind, candidate, wanted) in cases {
        kept &= Case { name, kind, candidate, wanted }.tell(runs);
    }
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Case {
    fn tell(&self, runs: u64) -> bool {
        let mut ends: Vec<(Judgement, u64)> =
            (0..runs).map(|seed| simulate(self.kind, self.candidate, seed)).collect();
        let count = |holds: &dyn Fn(&Judgement) -> bool| {
            ends.iter().filter(|(end, _)| holds(end)).count() as u64
        };
        let (wanted, breaches) = (count(&self.wanted), count(&rolled_back));
        let successes = count(&|end| *end == Judgement::Success);
        ends.sort_by_key(|(_, seen)| *seen);
        println!(
            "{:<34} {:>10} {breaches:>10} {successes:>12} {:>22}",
            self.name,
            format!("{wanted}/{runs}"),
            ends[ends.len() / 2].1
        );
        // One more than the share allows in a small number of runs is bad luck.
        wanted as f64 >= 0.95 * runs as f64 - 1.0
    }
}

/// What became of a candidate, and after how many of its observations.
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
        let taken = (A_PASS as f64 * share).round() as usize;
        observe(&mut a, USUAL, A_PASS - taken, &mut random);
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
            Judgement::GoOn => {}
            Judgement::NextStage => {
                setting.stage += 1;
                setting.stage_started_at = now;
                base = Baseline { control: a.clone(), candidate: b.clone() };
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
