//! The laboratory of evidence: the tuner against arms whose truth is known, in virtual time.
//!
//!     cargo test --test lab                            # a few histories
//!     cargo test --release --test lab -- null 10000 [FIRST]
//!     cargo test --release --test lab -- guard [RUNS]
//!     cargo test --release --test lab -- samples [RUNS]
//!     cargo test --release --test lab -- regret [RUNS]
//!
//! `null`: arms that do not differ, looked at each hour for 30 days. Told are the histories that
//! saw any proposal, those in which any interval left the truth at any look, and, for what
//! looking costs, those in which a rule that was not made for it called any arm different: the
//! Mann-Whitney test at 98%, which Kayenta judges metrics by.
//!
//! `guard`: versions that are worse, better or the same, activated or tested: what becomes of them,
//! and after how many observations.
//!
//! `samples`: how many observations it takes to prove which arm is the best, beside A/B tests of
//! equal error.
//!
//! `regret`: the reward lost while learning. `benches/rivals/run` puts other learners beside it.

#![expect(clippy::unwrap_used, reason = "a laboratory that cannot go on fails")]

mod guard;
mod kayenta;
mod null;
mod regret;
mod samples;
mod worlds;

use std::process::ExitCode;

/// Histories of each run of the tests: enough to notice a rule that is wrong by a factor of a few.
const HISTORIES: u64 = 12;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| arguments.get(index).and_then(|text| text.parse::<u64>().ok());
    match arguments.first().map(String::as_str) {
        Some("guard") => guard::run(number(1).unwrap_or(100)),
        Some("null") => null::run(number(1).unwrap_or(10_000), number(2).unwrap_or(0)),
        Some("samples") => samples::run(number(1).unwrap_or(20)),
        Some("regret") => regret::run(number(1).unwrap_or(20)),
        Some("worlds") => regret::print_truths(),
        // The test runner passes filters and flags of its own; they mean nothing here.
        _ => null::run(HISTORIES, 0),
    }
}
