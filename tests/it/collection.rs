//! The documented names of the collections. They are repeated here because tests read and write
//! collections without the service, and must notice if the service renames one.

pub const OBSERVATIONS: &str = "ops_observations";
pub const REWARDS: &str = "ops_rewards";
pub const STATS: &str = "ops_stats";
pub const POLICIES: &str = "ops_policies";
pub const AUDIT: &str = "ops_audit";
pub const EXPERIMENTS: &str = "ops_experiments";
pub const NOTICES: &str = "ops_notices";
pub const QUARANTINE: &str = "ops_quarantine";
pub const STATE: &str = "ops_state";
pub const CONFIG: &str = "config";
