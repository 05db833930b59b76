//! How long one pass takes over many policies: hourly buckets of two weeks.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use f0_learning_core::belief::{ArmInput, BeliefInput, BeliefState, Bucket, Sums, allocate};
use f0_learning_core::time::HOUR_MS;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// `pace [POLICIES] [ARMS] [HOURS]`
pub fn run(policies: u64, arms: u64, hours: u64) -> ExitCode {
    let inputs: Vec<BeliefInput> =
        (0..policies).map(|policy| input(policy, arms as usize, hours as i64)).collect();
    #[expect(clippy::disallowed_methods, reason = "this lab measures a duration")]
    let start = Instant::now();
    let moved = inputs.iter().filter(|it| allocate(it, &BeliefState::default()).publish).count();
    let took = start.elapsed().as_secs_f64();
    println!("{policies} policies, {arms} arms, {hours} hours: {took:.2} s, {moved} versions");
    ExitCode::SUCCESS
}

fn input(seed: u64, arms: usize, hours: i64) -> BeliefInput {
    let mut random = StdRng::seed_from_u64(seed);
    let mut arm = |_: usize| {
        let (rate, change): (f64, f64) = (random.random(), random.random());
        let bucket = |hour: i64| {
            let n = 40.0;
            let day = 0.05 * (hour as f64 / 24.0 * std::f64::consts::TAU).sin();
            let late = if hour * 2 > hours { 0.2 * change } else { 0.0 };
            let sum = (n * (0.6 + 0.2 * rate + day + late)).round().min(n);
            let from = hour * HOUR_MS;
            Bucket { from, to: from + HOUR_MS, sums: Sums { n, sum, squares: sum } }
        };
        let buckets = (0..hours).map(bucket).collect();
        ArmInput { buckets, held: 1.0 / arms as f64, min: 0.0, max: 1.0 }
    };
    let named: BTreeMap<String, ArmInput> =
        (0..arms).map(|at| (format!("arm-{at:02}"), arm(at))).collect();
    BeliefInput { arms: named, floor: 0.0, step: 1.0, now: hours * HOUR_MS }
}
