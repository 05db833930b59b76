//! The pure logic of f0-learning: from what components observe to better policies.
//!
//! A component records an [observation] of each action: which arm it used, how the
//! action ended, how long it took and what it cost. This crate turns many of them into a decision:
//!
//! 1. [`Observation::parse`](observation::Observation::parse) accepts a document, or rejects it with
//!    a reason.
//! 2. [`reward::score`] maps an observation to a reward from 0 to 1.
//! 3. [`stats`] adds up the observations and rewards of a component: a [`Series`](stats::Series)
//!    holds sliding windows and a timeline, a [`Tally`](stats::Tally) everything that one policy
//!    version earned.
//! 4. [`estimate`] computes how certain the figures are. Its intervals hold at every look, so that a
//!    decision may be made at any time.
//! 5. [`tuning::decide`](tuning::decide()) proposes new weights for the arms of a policy, with
//!    [`Evidence`](tuning::Evidence), or returns the [`Reason`](tuning::Reason) not to.
//! 6. [`experiment`] compares two versions in production and decides whether the candidate is
//!    promoted, rejected or rolled back.
//!
//! [`policy`] defines versions and their life cycle, [`audit`] the trail of changes, [`document`] the
//! stored form of both. [`simulation`] provides worlds whose best arm is known, to test decisions
//! against.
//!
//! # What is deliberately absent
//!
//! Nothing here performs IO, awaits, reads the clock or draws a random number. The time and random
//! draws are arguments, so that a day of load can be simulated in a second, and any decision can be
//! replayed from the input that it was made from. The only exception is [`Clock::system`], the
//! source of time that a program passes on. The crate does not depend on Firestore either: documents
//! are read through the trait [`observation::Fields`].
//!
//! # Example
//!
//! ```
//! use f0_learning_core::observation::Observation;
//! use f0_learning_core::reward::{RewardConfig, score};
//! use f0_learning_core::stats::{Series, Window};
//!
//! let document = serde_json::json!({
//!     "ts": 1_734_000_000_000_i64,
//!     "component": "router:gpt-5",
//!     "outcome": "success",
//!     "durationMs": 800,
//!     "costUsd": 0.01,
//! });
//! let fields = document.as_object().expect("a JSON object");
//! let observation = Observation::parse("observation-1", fields)?;
//!
//! let reward = score(&RewardConfig::default(), &observation);
//! assert!((reward.score - 0.78).abs() < 1e-12);
//!
//! let mut series = Series::default();
//! series.record(&observation, &reward, observation.ts);
//! let hour = series.window(Window::OneHour);
//! assert_eq!((hour.n, hour.success_rate), (1, 1.0));
//! # Ok::<(), f0_learning_core::observation::Rejection>(())
//! ```

mod appended;
pub mod audit;
pub mod belief;
pub(crate) mod bins;
mod clock;
pub mod document;
pub mod effectiveness;
pub mod estimate;
pub mod experiment;
pub mod hash;
pub mod intent;
pub mod limits;
pub mod names;
mod number;
pub mod observation;
pub mod plural;
pub mod policy;
pub mod replay;
pub mod reward;
pub mod sampling;
pub mod sharding;
pub mod simulation;
pub mod stats;
pub mod time;
pub mod tuning;
pub mod variants;

pub use clock::Clock;
