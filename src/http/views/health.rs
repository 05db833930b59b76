//! What `/readyz` shows.

use serde::Serialize;
use utoipa::ToSchema;

use crate::observability::health;

/// The body of `/readyz`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Readiness {
    ready: bool,
    /// Which jobs failed; with a credential to read, also why.
    detail: String,
    /// How many policies have several active versions, or none. They do not make the service
    /// unready: components use the highest active version.
    policies_to_repair: usize,
    /// How many documents cannot be read. They do not make the service unready: the work that needs
    /// them is left out.
    damaged_documents: usize,
    /// The policies to repair; only with a credential to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    policies: Option<Vec<String>>,
    /// The documents that cannot be read, and why; only with a credential to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    damaged: Option<Vec<String>>,
}

impl Readiness {
    /// Names and reasons only for a caller who may read the documents themselves.
    pub fn of(readiness: health::Readiness, may_read: bool) -> Self {
        let health::Readiness { ready, detail, summary, policies, damaged } = readiness;
        Self {
            ready,
            detail: if may_read { detail } else { summary },
            policies_to_repair: policies.len(),
            damaged_documents: damaged.len(),
            policies: may_read.then_some(policies),
            damaged: may_read.then_some(damaged),
        }
    }
}
