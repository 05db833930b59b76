//! What crosses modules, through the protocol: every test works on a local Firestore with a
//! project of its own, through the production code path.

mod races;
mod specification;
mod support;
mod trace;
