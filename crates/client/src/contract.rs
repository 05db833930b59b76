//! The collections that components share with the service. The fields are those of
//! [`NewObservation`](crate::NewObservation) and [`Policy`](f0_learning_core::document::Policy).

/// Components create observations here; nothing ever changes them.
pub const OBSERVATIONS: &str = "ops_observations";

/// Components read the active version of their policy here.
pub const POLICIES: &str = "ops_policies";
