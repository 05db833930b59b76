//! The lab: the tuner and the guard with arms whose truth is known, in virtual time.
//!
//! ```text
//! cargo test -p f0-learning-core --test lab                  # a few histories
//! cargo test -p f0-learning-core --release --test lab -- null 10000 [FIRST]
//! cargo test -p f0-learning-core --release --test lab -- null-worlds 10000 [FIRST]
//! cargo test -p f0-learning-core --release --test lab -- null-belief 10000 [FIRST]
//! cargo test -p f0-learning-core --release --test lab -- guard [RUNS]
//! cargo test -p f0-learning-core --release --test lab -- shocks [RUNS]
//! cargo test -p f0-learning-core --release --test lab -- samples [RUNS]
//! cargo test -p f0-learning-core --release --test lab -- regret [RUNS]
//! cargo test -p f0-learning-core --release --test lab -- allocation [RUNS [WORLDS [LEARNERS [LIMITS]]]]
//! ```
//!
//! `null`: arms that do not differ, evaluated each hour for 30 days. It counts the histories with a
//! proposal, and those in which an interval missed the truth at any look. For comparison it counts
//! the histories in which a rule that does not account for repeated looks called any arm different:
//! the Mann-Whitney test at 98%, which Kayenta uses for metrics.
//!
//! `null-worlds`: equal arms in worlds that swing with the hour or the week, with shocks and with
//! traffic that moves, with weights held and moving: the histories in which a difference was proven.
//!
//! `null-belief`: equal arms in the same worlds, 10,000 histories in all, with weights that follow what
//! is believed: false proofs, intervals that missed the truth at any look, and versions.
//!
//! `guard`: versions that are worse, better or equal, activated or tested: how each experiment ends,
//! and after how many observations.
//!
//! `shocks`: activated versions while everything changes at the same time, watched with other
//! components as controls and without: how many are rolled back, and after how many observations.
//!
//! `samples`: how many observations are needed to prove which arm is the best, compared with A/B tests
//! of the same error.
//!
//! `regret`: the reward lost while learning. `benches/rivals/run` compares it with other learners.

#![expect(clippy::unwrap_used, reason = "a lab that cannot continue must fail")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "counts of a lab are far below 2^31"
)]

mod allocation;
mod believed;
mod guard;
mod kayenta;
mod null;
mod regret;
mod samples;
mod shocks;
mod timed;
mod worlds;

use std::process::ExitCode;

/// Histories of a test run: enough to notice a rule whose error is too large by a small factor.
const HISTORIES: u64 = 12;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| arguments.get(index).and_then(|text| text.parse::<u64>().ok());
    match arguments.first().map(String::as_str) {
        Some("guard") => guard::run(number(1).unwrap_or(100)),
        Some("null") => null::run(number(1).unwrap_or(10_000), number(2).unwrap_or(0)),
        Some("null-worlds") => timed::run(number(1).unwrap_or(10_000), number(2).unwrap_or(0)),
        Some("null-belief") => believed::run(number(1).unwrap_or(10_000), number(2).unwrap_or(0)),
        Some("shocks") => shocks::run(number(1).unwrap_or(100)),
        Some("samples") => samples::run(number(1).unwrap_or(20)),
        Some("allocation") => allocation::run(&arguments[1..]),
        Some("pace") => {
            let usual = |at, usual| number(at).unwrap_or(usual);
            allocation::pace::run(usual(1, 100), usual(2, 50), usual(3, 336))
        }
        Some("regret") => regret::run(number(1).unwrap_or(20)),
        Some("worlds") => regret::print_truths(),
        // The test runner passes filters and flags of its own, which are ignored.
        _ => null::run(HISTORIES, 0),
    }
}
