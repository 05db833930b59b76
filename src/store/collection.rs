//! The collections. Those that components share with the service are defined by the client library.

pub use f0_learning_client::contract::{OBSERVATIONS, POLICIES};

pub const REWARDS: &str = "ops_rewards";
pub const STATS: &str = "ops_stats";
pub const AUDIT: &str = "ops_audit";
pub const EXPERIMENTS: &str = "ops_experiments";
pub const ENVELOPES: &str = "ops_envelopes";
pub const NOTICES: &str = "ops_notices";
pub const QUARANTINE: &str = "ops_quarantine";
pub const STATE: &str = "ops_state";
pub const CONFIG: &str = "config";
