//! Worlds whose truth is known, to hold the tuner against: what each arm is like at any hour, and
//! what it is worth. Pure, as the domain is: chance comes in as an argument.

mod scenario;
mod truth;

pub use scenario::{SCENARIOS, Scenario};
pub use truth::{Action, Truth};
