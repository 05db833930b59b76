//! Simulated worlds to test the tuner: the true success rate, duration and cost of each arm are
//! known at every hour, and therefore the best arm. Randomness is an argument.

mod scenario;
mod truth;

pub use scenario::{SCENARIOS, Scenario};
pub use truth::{Action, Truth};
