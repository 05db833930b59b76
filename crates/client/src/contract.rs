//! What components and the service agree on: the collections that both use. The fields are those of
//! [`NewObservation`](crate::NewObservation) and [`Policy`](f0_learning_core::document::Policy).

use firestore_kit::{Connection, Result};

/// Components create observations here; nothing ever changes them.
pub const OBSERVATIONS: &str = "ops_observations";

/// Components read the active version of their policy here.
pub const POLICIES: &str = "ops_policies";

/// The project of local work if GOOGLE_CLOUD_PROJECT is not set. Projects named `demo-` do not exist
/// in Google Cloud, so that a mistake cannot reach real data.
pub const LOCAL_PROJECT: &str = "demo-f0";

/// The connection that GOOGLE_CLOUD_PROJECT, FIRESTORE_DATABASE and FIRESTORE_EMULATOR_HOST name,
/// read through `var`.
///
/// # Errors
/// Neither GOOGLE_CLOUD_PROJECT nor FIRESTORE_EMULATOR_HOST is set.
pub fn connection_from_env(var: impl Fn(&str) -> Option<String>) -> Result<Connection> {
    Connection::from_env(LOCAL_PROJECT, var)
}
