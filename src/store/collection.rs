//! The collections. Those that components share with the service are defined by the client library.

pub use f0_learning_client::contract::{OBSERVATIONS, POLICIES};

pub const REWARDS: &str = "ops_rewards";
pub const STATS: &str = "ops_stats";
pub const AUDIT: &str = "ops_audit";
pub const EXPERIMENTS: &str = "ops_experiments";
pub const ENVELOPES: &str = "ops_envelopes";
pub const QUARANTINE: &str = "ops_quarantine";
pub const STATE: &str = "ops_state";
pub const CONFIG: &str = "config";

/// What a person can do about a document that cannot be read.
pub fn remedy(document: &str) -> &'static str {
    match document.split('/').next().unwrap_or_default() {
        POLICIES => {
            "correct the document; if the version is active, a rollback, an activation or an override \
             replaces it"
        }
        EXPERIMENTS => "correct the document, or stop the experiment by its id",
        STATS => "delete the document: scoring writes it again",
        _ => "correct the document",
    }
}
