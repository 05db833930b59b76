//! What `/readyz` shows.

use serde::Serialize;
use utoipa::ToSchema;

use super::same_fields;
use crate::observability::health;

/// The body of `/readyz`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    ready: bool,
    detail: String,
    /// Policies with several active versions, or none. They do not make the service unready:
    /// components use the highest active version.
    policies: Vec<String>,
    /// Documents that cannot be read, and why. They do not make the service unready: the work that
    /// needs them is left out.
    damaged: Vec<String>,
}

same_fields!(health::Readiness => Readiness { ready, detail, policies, damaged });
