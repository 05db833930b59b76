//! The clock and the randomness of the machine: their only home in this crate.

use std::time::{Instant, SystemTime};

use uuid::Uuid;

/// The wall clock, from which commit times are made unless a test sets them.
#[expect(clippy::disallowed_methods, reason = "the home of the wall clock in this crate")]
pub fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// The monotonic clock, for how long things last.
#[expect(clippy::disallowed_methods, reason = "the home of the monotonic clock in this crate")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// An id that nothing else has.
#[expect(clippy::disallowed_methods, reason = "the home of random ids in this crate")]
pub fn random_id() -> Uuid {
    Uuid::new_v4()
}
