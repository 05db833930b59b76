//! A version of a policy as it is stored in `ops_policies`.

use std::borrow::Borrow;

use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::experiment::{Verdict, takes_candidate};
use crate::policy::lifecycle::VersionFacts;
#[cfg(feature = "schema")]
use crate::policy::{
    MAX_ID_BYTES,
    schema::{VersionText, id_pattern},
};
use crate::policy::{Params, PolicyKey, PolicyStatus};
use crate::tuning::MoveCause;

/// A version of a policy.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// It must not have the form `__x__`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = MAX_ID_BYTES), pattern(id_pattern())))]
    pub id: String,
    #[cfg_attr(feature = "schema", schemars(with = "VersionText"))]
    pub version: Version,
    pub status: PolicyStatus,
    /// Epoch milliseconds, like all times here.
    #[serde(default)]
    pub created_at: i64,
    #[serde(default)]
    pub created_by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// Written when the version is created, and never changed.
    pub params: Params,
    /// The version that was active when this one was proposed or written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<VersionText>"))]
    pub parent_version: Option<Version>,
    /// The version that this one replaced when it last became active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<VersionText>"))]
    pub previous_version: Option<Version>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<VersionText>"))]
    pub superseded_by: Option<Version>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activated_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activated_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected_by: Option<String>,
    /// The tuner does not change the policy. The flag is stored in the active version, and moves to
    /// the next active version.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    #[serde(flatten)]
    pub pin: Pin,
    /// Expected change of the mean reward of a request, in units of reward (0 to 1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_gain: Option<f64>,
    /// The evidence for the tuner's decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Json>,
    /// In an active version: the draft that a share of the units uses instead.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Candidate>,
    /// The version that a share of the units stays on, while jobs publish versions by themselves.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub holdback: Option<Holdback>,
    /// The effect of the version since it became active, once that is known.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Json>"))]
    pub verdict: Option<Verdict>,
    /// When it was rolled back because it was proven to be worse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back_at: Option<i64>,
    /// Fields that other programs added.
    #[serde(flatten)]
    pub other: Map<String, Json>,
}

/// A draft that a share of the units uses instead of the active version, with everything that a
/// component needs to use it, so that the component reads only one document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// The experiment's id, which determines the units that use the candidate.
    pub experiment: String,
    #[cfg_attr(feature = "schema", schemars(with = "VersionText"))]
    pub version: Version,
    /// The share of units that use it, 0 to 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub share: f64,
    pub params: Params,
}

/// The version that a fixed share of the units uses whatever jobs publish, so that its effect can be
/// compared with theirs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Holdback {
    /// It determines the units, in the same way as an experiment's id.
    pub id: String,
    #[cfg_attr(feature = "schema", schemars(with = "VersionText"))]
    pub version: Version,
    /// The share of units, 0 to 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub share: f64,
    pub params: Params,
}

/// `None` if the field does not decode: a malformed explanation must not hide the version itself.
fn lenient<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: serde::de::DeserializeOwned,
    D: serde::Deserializer<'de>,
{
    Ok(serde_json::from_value(Json::deserialize(deserializer)?).ok())
}

/// Why and by whom a policy is pinned, if known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Pin {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin_reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_at: Option<i64>,
}

impl Policy {
    /// `{id}@{version}`, the id of the document.
    pub fn name(&self) -> String {
        format!("{}@{}", self.id, self.version)
    }

    /// The key of the version; `None` if the id is invalid.
    pub fn key(&self) -> Option<PolicyKey> {
        PolicyKey::new(&self.id, self.version.clone()).ok()
    }

    /// The version and the params that a unit (a user, a session, a request) uses: the holdback's if
    /// the unit belongs to its share, or the candidate's if the unit belongs to that share, otherwise
    /// this version's. [`takes_candidate`] defines both.
    pub fn choose(&self, unit: &str) -> (&Version, &Params) {
        if let Some(it) = &self.holdback
            && takes_candidate(&it.id, unit, it.share)
        {
            return (&it.version, &it.params);
        }
        match &self.candidate {
            Some(it) if takes_candidate(&it.experiment, unit, it.share) => {
                (&it.version, &it.params)
            }
            _ => (&self.version, &self.params),
        }
    }

    /// The digest of the evidence that a draft is based on.
    pub fn evidence_digest(&self) -> Option<&str> {
        self.evidence.as_ref()?.get("digest")?.as_str()
    }

    /// Why the tuner moved the weights, as its evidence states; `None` for a version that a person wrote,
    /// or that was decided by proof.
    pub fn cause(&self) -> Option<MoveCause> {
        let cause = self.evidence.as_ref()?.get("belief")?.get("cause")?;
        MoveCause::deserialize(cause).ok()
    }

    /// The facts that transitions of the life cycle depend on.
    pub fn facts(&self) -> VersionFacts {
        VersionFacts {
            version: self.version.clone(),
            status: self.status,
            parent: self.parent_version.clone(),
            params: self.params.model_weights().map(|_| ()),
        }
    }

    /// Its status for people. A draft that a newer one replaced is `superseded by 1.0.3`.
    pub fn status_in_words(&self) -> String {
        match (self.status, &self.superseded_by) {
            (PolicyStatus::Rejected, Some(by)) => format!("superseded by {by}"),
            (status, _) => status.to_string(),
        }
    }

    /// The version with the highest number: the one that components use if several are active. See
    /// also [`serving`](crate::policy::lifecycle::serving).
    pub fn highest<T: Borrow<Self>>(versions: impl IntoIterator<Item = T>) -> Option<T> {
        versions.into_iter().max_by(|a, b| a.borrow().version.cmp(&b.borrow().version))
    }

    /// Why the policy is pinned, in plain text; `None` if it is not pinned.
    pub fn pin_reason_text(&self) -> Option<&str> {
        self.pinned.then(|| self.pin.pin_reason.as_deref().unwrap_or("no reason was given"))
    }
}
