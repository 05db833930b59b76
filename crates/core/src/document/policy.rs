//! A version of a policy as it is stored in `ops_policies`.

use std::borrow::Borrow;

use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::experiment::{Verdict, takes_candidate};
use crate::policy::lifecycle::VersionFacts;
use crate::policy::{Params, PolicyStatus};

/// A version of a policy.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    pub id: String,
    pub version: Version,
    pub status: PolicyStatus,
    /// Epoch milliseconds, as all times.
    #[serde(default)]
    pub created_at: i64,
    #[serde(default)]
    pub created_by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// Written once, when the version is created.
    pub params: Params,
    /// The version that was active when this one was proposed or written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_version: Option<Version>,
    /// The version that this one took the place of when it last became active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_version: Option<Version>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
    /// The tuner leaves the policy alone. Stands on the active version, and moves with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    #[serde(flatten)]
    pub pin: Pin,
    /// Expected change of the mean reward of a request, in units of reward (0..1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_gain: Option<f64>,
    /// What the tuner's decision rested on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Json>,
    /// Of an active version: the draft that some units have instead.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Candidate>,
    /// What it did since it became active, once that is known.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// When it was taken back because it was proven to be worse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back_at: Option<i64>,
    /// Fields that others have added.
    #[serde(flatten)]
    pub other: Map<String, Json>,
}

/// A draft that some units have instead of the active version, with all that a component needs to
/// act by it, so that it reads one document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// The experiment's id, by which units are told apart.
    pub experiment: String,
    pub version: Version,
    /// The share of units that have it, 0 to 1.
    pub share: f64,
    pub params: Params,
}

/// What explains a version must not, where somebody spoilt it, hide the version itself.
fn lenient<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: serde::de::DeserializeOwned,
    D: serde::Deserializer<'de>,
{
    Ok(serde_json::from_value(Json::deserialize(deserializer)?).ok())
}

/// Why and by whom a policy is pinned, where somebody said so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// `{id}@{version}`, which is the document's id.
    pub fn name(&self) -> String {
        format!("{}@{}", self.id, self.version)
    }

    /// The version and the params that a unit (a user, a session, a request) is to have: the
    /// candidate's where there is one and the unit is among its share, else this version's. See
    /// [`takes_candidate`] for the rule.
    pub fn choose(&self, unit: &str) -> (&Version, &Params) {
        match &self.candidate {
            Some(it) if takes_candidate(&it.experiment, unit, it.share) => {
                (&it.version, &it.params)
            }
            _ => (&self.version, &self.params),
        }
    }

    pub fn facts(&self) -> VersionFacts {
        VersionFacts {
            version: self.version.clone(),
            status: self.status,
            parent: self.parent_version.clone(),
            params: self.params.model_weights().map(|_| ()),
        }
    }

    /// The version with the highest number: of several active versions, the one to act by.
    pub fn highest<T: Borrow<Self>>(versions: impl IntoIterator<Item = T>) -> Option<T> {
        versions.into_iter().max_by(|a, b| a.borrow().version.cmp(&b.borrow().version))
    }

    /// Why it is pinned, in words; `None` where it is not.
    pub fn pinned_because(&self) -> Option<&str> {
        self.pinned.then(|| self.pin.pin_reason.as_deref().unwrap_or("no reason was given"))
    }
}
