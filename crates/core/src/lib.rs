//! The rules of learning: what an observation is, what it is worth, what many of them say, and
//! what policy follows from them.
//!
//! Nothing here reads or writes, awaits, asks for the time or draws a random number: the clock
//! and randomness come in as arguments, so that a day of load can be simulated in a second and
//! any decision replayed from what it rested on. Nothing here knows of Firestore either; a
//! document comes in through [`observation::Fields`].

pub mod audit;
pub(crate) mod bins;
mod clock;
pub mod digest;
pub mod document;
pub mod effectiveness;
pub mod estimate;
pub mod experiment;
pub mod intent;
pub mod observation;
pub mod policy;
pub mod reward;
pub mod sampling;
pub mod sharding;
pub mod simulation;
pub mod stats;
pub mod tuning;

pub use clock::Clock;
