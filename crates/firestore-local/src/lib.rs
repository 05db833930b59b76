//! A local Firestore: the server side of `google.firestore.v1` over gRPC on loopback.

mod model;
pub mod proto;
