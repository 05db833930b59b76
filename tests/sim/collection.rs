//! The documented names of the collections. They are repeated here because tests read and write
//! collections without the service, and must notice if the service renames one.

pub const OBSERVATIONS: &str = "ops_observations";
pub const REWARDS: &str = "ops_rewards";
pub const QUARANTINE: &str = "ops_quarantine";
pub const CONFIG: &str = "config";
pub const STATE: &str = "ops_state";
pub const STATS: &str = "ops_stats";
pub const POLICIES: &str = "ops_policies";
pub const EXPERIMENTS: &str = "ops_experiments";
pub const AUDIT: &str = "ops_audit";
