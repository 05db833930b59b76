//! A document of `ops_policies`: reading it, and the fields that changes write to it.

use f0_learning_client::decode_policy;
use f0_learning_core::document::Policy;
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::{EditError, Params, PolicyKey, PolicyStatus};
use firestore_kit::proto::{Document, Write};
use firestore_kit::value::{self, Fields};
use firestore_kit::{Unreadable, write};
use semver::Version;
use serde_json::Value as Json;

use crate::store::change::{ChangeError, ChangeResult};
use crate::store::collection::POLICIES;
use crate::store::remedy;
use crate::store::{Result, Store, StoreError};

/// The fields of a pin.
pub(in crate::store) const PIN_FIELDS: [&str; 4] = ["pinned", "pinReason", "pinnedBy", "pinnedAt"];

/// The field of a version with the time of its rollback.
pub(in crate::store) const ROLLED_BACK_AT: &str = "rolledBackAt";

/// The field of an active version with the candidate of its A/B test.
pub(in crate::store) const CANDIDATE: &str = "candidate";

/// The field of an active version with the version that a share of the units stays on.
pub(in crate::store) const HOLDBACK: &str = "holdback";

/// The field of a version with its params.
pub(in crate::store) const PARAMS: &str = "params";

pub(in crate::store) fn document_id(id: &str, version: &Version) -> String {
    format!("{id}@{version}")
}

pub(in crate::store) fn has_status(document: Option<&Document>, status: PolicyStatus) -> bool {
    document
        .and_then(|document| value::as_str(&document.fields, "status"))
        .is_some_and(|found| found == status.as_str())
}

/// A version whose document cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableVersion {
    /// The policy's id.
    pub policy: String,
    /// The document's id.
    pub name: String,
    /// The document's status, if that can be read.
    pub status: Option<PolicyStatus>,
    pub version: Option<Version>,
    pub why: String,
}

impl std::fmt::Display for UnreadableVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, why, .. } = self;
        match self.status {
            Some(status) => write!(f, "{name} is {status} but cannot be read: {why}"),
            None => write!(f, "{name} cannot be read: {why}"),
        }
    }
}

impl From<UnreadableVersion> for Unreadable {
    fn from(version: UnreadableVersion) -> Self {
        Self { document: format!("{POLICIES}/{}", version.name), why: version.why }
    }
}

impl UnreadableVersion {
    /// What a person can do about it.
    pub fn remedy(&self) -> String {
        remedy(&format!("{POLICIES}/{}", self.name))
    }

    fn of(document: &Document, error: StoreError) -> Self {
        let name = value::document_id(document).to_owned();
        let text = |field| value::as_str(&document.fields, field);
        let (id, version) = name.split_once('@').unwrap_or((&name, ""));
        let why = match error {
            StoreError::Decode { detail, .. } => detail,
            other => other.to_string(),
        };
        Self {
            policy: text("id").unwrap_or_else(|| id.to_owned()),
            status: text("status").and_then(|status| status.parse().ok()),
            version: text("version")
                .and_then(|version| version.parse().ok())
                .or_else(|| version.parse().ok()),
            name,
            why,
        }
    }
}

impl Store {
    pub(in crate::store) fn decode_policy(&self, document: &Document) -> Result<Policy> {
        decode_policy(document)
    }

    /// Decodes the documents that can be decoded and logs the others: one that was corrupted by hand
    /// must not hide the rest. Reading it by name returns its error.
    pub(in crate::store) fn decode_readable_policies(&self, documents: &[Document]) -> Vec<Policy> {
        let (readable, unreadable) = self.decode_policies(documents);
        log_skipped(&unreadable);
        readable
    }

    /// The versions that can be read, and those that cannot.
    pub(in crate::store) fn decode_policies(
        &self,
        documents: &[Document],
    ) -> (Vec<Policy>, Vec<UnreadableVersion>) {
        let (mut readable, mut unreadable) = (Vec::new(), Vec::new());
        for document in documents {
            match self.decode_policy(document) {
                Ok(policy) => readable.push(policy),
                Err(error) => unreadable.push(UnreadableVersion::of(document, error)),
            }
        }
        (readable, unreadable)
    }
}

/// Logs the versions that are passed over because they cannot be read.
pub(in crate::store) fn log_skipped(unreadable: &[UnreadableVersion]) {
    for version in unreadable {
        tracing::error!(policy = version.policy, "skipping a policy version: {version}");
    }
}

/// The pin among these fields, to move it to another version; empty if there is none.
pub(in crate::store) fn pin_of(fields: &Fields) -> Fields {
    if fields.get("pinned").map(value::to_json) != Some(Json::Bool(true)) {
        return Fields::default();
    }
    let pin = PIN_FIELDS.into_iter().filter_map(|name| {
        let value = fields.get(name)?;
        Some((name.to_owned(), value.clone()))
    });
    pin.collect()
}

/// The holdback among these fields, to move it to another version; empty if there is none.
pub(in crate::store) fn holdback_of(fields: &Fields) -> Fields {
    let found = fields.get(HOLDBACK).map(|value| (HOLDBACK.to_owned(), value.clone()));
    found.into_iter().collect()
}

/// The params of a new version of a parent. Those that are as in the parent keep their type, also where
/// JSON lacks it.
pub(in crate::store) fn params_over(
    parent: &Document,
    params: &Params,
) -> Result<Fields, EditError> {
    let before = value::as_map(&parent.fields, PARAMS).cloned().unwrap_or_default();
    value::over(&before, &params.0).map_err(|error| EditError::NotJson {
        path: error.path,
        kind: error.kind,
        reference: value::document_id(parent).to_owned(),
    })
}

/// The fields that reject a draft.
pub(in crate::store) fn rejected_fields(intent: &Intent) -> Fields {
    value::fields([
        ("status", value::string(PolicyStatus::Rejected.as_str())),
        ("rejectedAt", value::int(intent.now)),
        ("rejectedBy", value::string(intent.actor.as_str())),
    ])
}

/// Sets `fields` and removes those in `cleared`, if the document is unchanged since it was read.
pub(in crate::store) fn patch(document: &Document, fields: Fields, cleared: &[&str]) -> Write {
    let update_time = document.update_time.unwrap_or_default();
    write::patch_and_clear_if_unchanged(document.name.clone(), fields, cleared, update_time)
}

pub(in crate::store) fn check_policy_id(id: &str) -> ChangeResult<()> {
    PolicyKey::check_id(id).map_err(|error| ChangeError::PolicyId(id.to_owned(), error))
}

pub(in crate::store) fn policy_key(id: &str, version: &Version) -> ChangeResult<PolicyKey> {
    PolicyKey::new(id, version.clone()).map_err(|error| ChangeError::PolicyId(id.to_owned(), error))
}
