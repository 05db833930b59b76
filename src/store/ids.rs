//! Random document ids, for audit entries and experiments, and random secrets.

use rand::RngExt as _;
use uuid::Uuid;

#[expect(clippy::disallowed_methods, reason = "the one place of the store that draws ids")]
pub(in crate::store) fn random_id() -> String {
    Uuid::new_v4().to_string()
}

/// Bytes of a generator that is fit for cryptography (ChaCha, seeded by the operating system).
#[expect(clippy::disallowed_methods, reason = "a secret that an argument decides is none")]
pub(in crate::store) fn random_secret() -> [u8; 32] {
    rand::rng().random()
}
