//! The collections as documented, spelt out again: tests read and write them past the service.

pub const OBSERVATIONS: &str = "ops_observations";
pub const REWARDS: &str = "ops_rewards";
pub const QUARANTINE: &str = "ops_quarantine";
pub const CONFIG: &str = "config";
