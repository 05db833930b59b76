//! What the changes of policies and of experiments share: their documents, the snapshot that a
//! transaction reads of one policy, and the writes that make a version active and end the
//! experiments that this concludes. `policies` and `experiments` are both built on it; neither uses
//! the other.

mod activation;
mod envelope;
mod experiment;
mod policy;
mod snapshot;

pub(in crate::store) use activation::clear_candidate;
pub(in crate::store) use activation::{activation_fields, archive_writes, transition_entry};
pub(in crate::store) use envelope::frozen;
pub(in crate::store) use experiment::{OpenExperiment, ended_fields, new_experiment};
pub use policy::UnreadableVersion;
pub(in crate::store) use policy::{
    CANDIDATE, HOLDBACK, PARAMS, PIN_FIELDS, ROLLED_BACK_AT, check_policy_id, document_id,
    has_status, log_skipped, params_over, patch, pin_of, policy_key, rejected_fields,
};
pub(in crate::store) use snapshot::PolicySnapshot;

pub use f0_learning_core::intent::{GUARD, TUNER};
