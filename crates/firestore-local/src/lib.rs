//! A local Firestore: the server side of `google.firestore.v1` over gRPC on loopback.

pub mod proto;
