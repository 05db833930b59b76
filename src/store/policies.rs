//! `ops_policies`: the versions of each policy. A version's `params` are written once, when the
//! version is created; afterwards only its status and what explains it change.

use firestore::gcloud_sdk::google::firestore::v1::{Document, Write};
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::audit::AuditEntry;
use super::config::{self, FlagsState};
use super::error::{Result, StoreError};
use super::query::Query;
use super::value::{self, Fields};
use super::{Store, collection::CONFIG, collection::POLICIES, write};
use crate::domain::policy::{Params, PolicyKey, PolicyStatus};

/// Who creates the drafts of the tune job.
pub const TUNER: &str = "policy-updater";

/// How many of a policy's latest versions are read where its recent history matters.
const RECENT_VERSIONS: usize = 20;

/// A document of `ops_policies`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    pub id: String,
    pub version: Version,
    pub status: PolicyStatus,
    #[serde(default)]
    pub created_at: i64,
    #[serde(default)]
    pub created_by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    pub params: Params,
    /// The version that was active when this one was proposed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_version: Option<Version>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<Version>,
    /// Expected change of the mean reward of a request, in units of reward (0..1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_gain: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Json>,
    /// Fields that others have added.
    #[serde(flatten)]
    pub other: Map<String, Json>,
}

impl Policy {
    /// `{id}@{version}`, which is the document's id.
    pub fn name(&self) -> String {
        document_id(&self.id, &self.version)
    }
}

/// A draft that the tune job wants to write.
#[derive(Clone, Debug)]
pub struct NewDraft {
    pub key: PolicyKey,
    pub parent: Version,
    pub params: Params,
    pub notes: String,
    pub expected_gain: f64,
    pub evidence: Json,
    /// The tuner's open draft that this one takes the place of.
    pub supersedes: Option<Version>,
    pub now: i64,
}

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProposeOutcome {
    Proposed,
    /// The flags forbid it, as read in the transaction that would have written the draft.
    SwitchedOff(FlagsState),
    /// The policy changed since the evidence was weighed; the next pass decides anew.
    Overtaken(&'static str),
}

impl Store {
    /// The active versions of all policies, in the order of id and version.
    pub async fn active_policies(&self) -> Result<Vec<Policy>> {
        let query =
            Query::of(POLICIES).equal("status", value::string(PolicyStatus::Active.as_str()));
        let documents = self.query_all(POLICIES, query.build()).await?;
        let mut policies = self.decode_all(&documents)?;
        policies.sort_by(|a, b| (&a.id, &a.version).cmp(&(&b.id, &b.version)));
        Ok(policies)
    }

    /// Every version of every policy, or of one, in the order of id and version.
    pub async fn policies(&self, id: Option<&str>) -> Result<Vec<Policy>> {
        let mut query = Query::of(POLICIES);
        if let Some(id) = id {
            query = query.equal("id", value::string(id));
        }
        let mut policies = self.decode_all(&self.query_all(POLICIES, query.build()).await?)?;
        policies.sort_by(|a, b| (&a.id, &a.version).cmp(&(&b.id, &b.version)));
        Ok(policies)
    }

    pub async fn policy(&self, key: &PolicyKey) -> Result<Option<Policy>> {
        let document = self.get(POLICIES, &key.to_string()).await?;
        document.map(|document| self.decode_policy(&document)).transpose()
    }

    /// A policy's latest versions, newest first.
    pub async fn recent_versions(&self, id: &str) -> Result<Vec<Policy>> {
        let query = Query::of(POLICIES)
            .equal("id", value::string(id))
            .descending("createdAt")
            .limit(RECENT_VERSIONS);
        self.decode_all(&self.query_all(POLICIES, query.build()).await?)
    }

    /// Writes a draft with its audit entry, and retires the draft it supersedes, in one
    /// transaction that reads the flags and the parent again.
    pub async fn propose(&self, draft: &NewDraft) -> Result<ProposeOutcome> {
        self.in_transaction("a proposal in ops_policies", |transaction| async move {
            let flags_name = self.name(CONFIG, config::FLAGS);
            let parent_name = self.version_name(draft, &draft.parent);
            let draft_name = self.name(POLICIES, &draft.key.to_string());
            let superseded_name =
                draft.supersedes.as_ref().map(|version| self.version_name(draft, version));
            let mut names = vec![flags_name.clone(), parent_name.clone(), draft_name.clone()];
            names.extend(superseded_name.clone());
            let found = self.get_many(names, Some(&transaction)).await?;

            let flags = FlagsState::of(found.get(&flags_name));
            if !flags.tuning_enabled() {
                return Ok((Vec::new(), ProposeOutcome::SwitchedOff(flags)));
            }
            if !has_status(found.get(&parent_name), PolicyStatus::Active) {
                let outcome = ProposeOutcome::Overtaken("another version became active");
                return Ok((Vec::new(), outcome));
            }
            if found.contains_key(&draft_name) {
                let outcome = ProposeOutcome::Overtaken("the version number was taken");
                return Ok((Vec::new(), outcome));
            }
            let mut writes = vec![
                write::create(draft_name, draft_fields(draft)),
                self.audit_write(&proposal_entry(draft)),
            ];
            if let Some(name) = superseded_name {
                let superseded = found.get(&name);
                if !has_status(superseded, PolicyStatus::Draft) {
                    let outcome = ProposeOutcome::Overtaken("the open draft was decided on");
                    return Ok((Vec::new(), outcome));
                }
                let seen = superseded.and_then(|document| document.update_time);
                writes.push(superseding(name, draft, seen.unwrap_or_default()));
                writes.push(self.audit_write(&superseding_entry(draft)));
            }
            Ok((writes, ProposeOutcome::Proposed))
        })
        .await
    }

    fn version_name(&self, draft: &NewDraft, version: &Version) -> String {
        self.name(POLICIES, &document_id(&draft.key.id, version))
    }

    fn decode_all(&self, documents: &[Document]) -> Result<Vec<Policy>> {
        documents.iter().map(|document| self.decode_policy(document)).collect()
    }

    fn decode_policy(&self, document: &Document) -> Result<Policy> {
        let name = self.short_name(&document.name);
        let json = Json::Object(value::fields_to_json(&document.fields));
        let policy: Policy = serde_json::from_value(json)
            .map_err(|error| StoreError::decode(name, "a policy version", error))?;
        let id = value::document_id(document);
        if policy.name() != id {
            let detail = format!("its fields say {}", policy.name());
            return Err(StoreError::decode(name, "a policy version", detail));
        }
        Ok(policy)
    }
}

fn document_id(id: &str, version: &Version) -> String {
    format!("{id}@{version}")
}

fn has_status(document: Option<&Document>, status: PolicyStatus) -> bool {
    document
        .and_then(|document| value::as_str(&document.fields, "status"))
        .is_some_and(|found| found == status.as_str())
}

fn draft_fields(draft: &NewDraft) -> Fields {
    value::fields([
        ("id", value::string(draft.key.id.as_str())),
        ("version", value::string(draft.key.version.to_string())),
        ("status", value::string(PolicyStatus::Draft.as_str())),
        ("createdAt", value::int(draft.now)),
        ("createdBy", value::string(TUNER)),
        ("notes", value::string(draft.notes.as_str())),
        ("parentVersion", value::string(draft.parent.to_string())),
        ("expectedGain", value::double(draft.expected_gain)),
        ("evidence", value::from_json(&draft.evidence)),
        ("params", value::map(value::fields_from_json(&draft.params.0))),
    ])
}

fn superseding(name: String, draft: &NewDraft, seen: prost_types::Timestamp) -> Write {
    let fields = value::fields([
        ("status", value::string(PolicyStatus::Rejected.as_str())),
        ("supersededBy", value::string(draft.key.version.to_string())),
    ]);
    write::patch_if_unchanged(name, fields, seen)
}

fn proposal_entry(draft: &NewDraft) -> AuditEntry {
    AuditEntry {
        ts: draft.now,
        actor: TUNER.to_owned(),
        action: "propose".to_owned(),
        id: draft.key.id.clone(),
        from: Some(draft.parent.to_string()),
        to: Some(draft.key.version.to_string()),
        reason: Some(draft.notes.clone()),
        evidence: Some(draft.evidence.clone()),
    }
}

fn superseding_entry(draft: &NewDraft) -> AuditEntry {
    AuditEntry {
        ts: draft.now,
        actor: TUNER.to_owned(),
        action: "supersede".to_owned(),
        id: draft.key.id.clone(),
        from: draft.supersedes.as_ref().map(ToString::to_string),
        to: Some(draft.key.version.to_string()),
        reason: Some("newer evidence points elsewhere".to_owned()),
        evidence: None,
    }
}
