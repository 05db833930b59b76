//! Fuzzing from a seed: inputs are made until the time is over, and each must be handled within
//! [`LIMIT`]. Without variables, each target runs for a few inputs, so that it does not rot.
//!
//! `.ci/fuzz` sets `F0_FUZZ_SECONDS` and `F0_FUZZ_SEED`. Every input has a seed of its own, one above
//! that of the input before, and a failure names it: started with that seed, the target makes the
//! failing input first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::ambient::monotonic;

/// The longest that one input may take. The slowest take a few milliseconds in a debug build.
const LIMIT: Duration = Duration::from_secs(10);
/// How many inputs a target runs for if no time is given.
const FEW: u64 = 400;

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).expect("fits")
    }

    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

#[expect(clippy::disallowed_methods, reason = "variables say for how long and from which seed")]
fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("invalid {name}: expected a number, got {text}")))
}

/// Runs a target on one input after another.
pub fn fuzz(target: &'static str, input: fn(&mut Random)) {
    let seconds = variable("F0_FUZZ_SECONDS");
    let first = variable("F0_FUZZ_SEED").unwrap_or(1);
    eprintln!("{target}: from seed {first}");
    // The seed of the running input, and when it began.
    let current = Arc::new(AtomicU64::new(first));
    let (of_worker, begin) = (Arc::clone(&current), monotonic());
    let worker = std::thread::spawn(move || {
        let mut seed = first;
        loop {
            let is_over = match seconds {
                Some(seconds) => begin.elapsed() >= Duration::from_secs(seconds),
                None => seed - first >= FEW,
            };
            if is_over {
                return seed - first;
            }
            // A crash of the process shows no panic: this says where to begin.
            if (seed - first) % 10_000 == 9_999 {
                eprintln!("{target}: reached seed {seed}");
            }
            of_worker.store(seed, Ordering::SeqCst);
            input(&mut Random::seeded(seed));
            seed += 1;
        }
    });
    let (mut seen, mut since) = (first, monotonic());
    while !worker.is_finished() {
        std::thread::sleep(Duration::from_millis(20));
        let now = current.load(Ordering::SeqCst);
        if now != seen {
            (seen, since) = (now, monotonic());
        }
        assert!(
            since.elapsed() < LIMIT,
            "{target}: the input of seed {seen} runs for over {LIMIT:?}; repeat it with \
             `.ci/fuzz 1 {seen} {target}`"
        );
    }
    match worker.join() {
        Ok(inputs) => eprintln!("{target}: {inputs} inputs in {:.0?}", begin.elapsed()),
        Err(_) => {
            let seed = current.load(Ordering::SeqCst);
            panic!(
                "{target}: the input of seed {seed} failed; repeat it with `.ci/fuzz 1 {seed} {target}`"
            );
        }
    }
}
