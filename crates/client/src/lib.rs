//! What a component of the fleet needs: record observations, follow the active policy, draw an arm
//! and use the candidate of an experiment.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use f0_learning_client::{
//!     ActivePolicy, Clock, DEFAULT_REFRESH, Db, NewObservation, Outcome, Recorder,
//!     RecorderOptions, SamplingPolicy, choose, connection_from_env,
//! };
//!
//! # #[expect(clippy::disallowed_methods, reason = "an example of a program")]
//! let connection = connection_from_env(|name| std::env::var(name).ok())?;
//! let db = Db::connect(&connection).await?;
//! let policy = ActivePolicy::follow(db.clone(), "router-core", DEFAULT_REFRESH).await?;
//! let options = RecorderOptions { sampling: SamplingPolicy::KEEP_ALL, ..Default::default() };
//! let recorder = Recorder::start(db, options, Clock::system());
//!
//! // For each request:
//! if let Some(active) = policy.current() {
//!     let choice = choose(&active, "session-42");
//!     if let Some(arm) = choice.draw_random() {
//!         let observation =
//!             NewObservation::new(format!("router:{}", arm.name), Outcome::Success, 234.0)
//!                 .under(&choice);
//!         recorder.record(observation).await?;
//!     }
//! }
//! recorder.close().await;
//! # Ok(())
//! # }
//! ```

pub mod contract;
mod cooldown;
mod observation;
mod policy;
mod random;
mod recorder;

pub use f0_learning_core::Clock;
pub use f0_learning_core::document::{Candidate, Policy};
pub use f0_learning_core::observation::Outcome;
pub use f0_learning_core::policy::{Arm, Params};
pub use f0_learning_core::sampling::SamplingPolicy;
pub use firestore_kit::{Connection, Db};

pub use contract::{LOCAL_PROJECT, connection_from_env};
pub use cooldown::{Cooldowns, DrawBy, Drawn};
pub use observation::{
    NewObservation, RecordError, create_all_observations, create_observations, record_observation,
};
pub use policy::{ActivePolicy, Choice, DEFAULT_REFRESH, choose, decode_policy};
pub use recorder::{Recorder, RecorderOptions, RecorderReport, WhenFull};
