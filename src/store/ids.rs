//! Random document ids, for audit entries and experiments.

use uuid::Uuid;

#[expect(clippy::disallowed_methods, reason = "the one place of the store that draws ids")]
pub(in crate::store) fn random_id() -> String {
    Uuid::new_v4().to_string()
}
