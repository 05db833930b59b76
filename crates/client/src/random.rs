//! The one place of the client that draws random values. Callers that need reproducible choices pass
//! their own: an id in the observation, `u` to [`Choice::draw`](crate::Choice::draw).

use uuid::Uuid;

/// A value that is uniform in `[0, 1)`.
#[expect(clippy::disallowed_methods, reason = "draws of arms and samples")]
pub fn uniform() -> f64 {
    rand::random()
}

/// A new observation id.
#[expect(clippy::disallowed_methods, reason = "ids of observations")]
pub fn id() -> String {
    Uuid::new_v4().to_string()
}
