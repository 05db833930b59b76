//! An experiment as it is stored in `ops_experiments`.

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::experiment::{Breach, Comparison, GuardConfig, Kind, Metric, STAGES, Setting, Status};
use crate::observation::{MAX_TS, MIN_TS};
use crate::policy::PolicyKey;

/// Two versions that are compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Experiment {
    pub id: String,
    pub policy: String,
    pub kind: Kind,
    pub status: Status,
    /// Whether the experiment has not ended.
    pub open: bool,
    /// The version that was active before.
    pub control: Version,
    pub candidate: Version,
    #[serde(default)]
    pub metric: Metric,
    /// The current stage of an A/B test, from 0.
    #[serde(default)]
    pub stage: usize,
    /// The share of units that use the candidate, 0 to 1.
    pub share: f64,
    /// The limits that apply to it.
    #[serde(default)]
    pub guard: GuardConfig,
    /// Epoch milliseconds, like all times here.
    pub started_at: i64,
    pub started_by: String,
    pub stage_started_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<String>,
    /// Why it ended, in plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breach: Option<Breach>,
    /// The comparison that its last step was based on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
}

impl Experiment {
    pub fn setting(&self) -> Setting {
        Setting {
            kind: self.kind,
            metric: self.metric,
            stage: self.stage,
            started_at: self.started_at,
            stage_started_at: self.stage_started_at,
        }
    }

    /// What the activation of a version means for this test, in a sentence; `None` if it is none that runs.
    pub fn on_activation_of(&self, version: &Version) -> Option<String> {
        if !self.open || self.kind != Kind::Ab {
            return None;
        }
        let Self { candidate, status, .. } = self;
        Some(match (candidate == version, status) {
            (true, Status::Succeeded) => {
                format!("{version} is proven to be better in its A/B test, which ends as passed")
            }
            (true, _) => format!(
                "{version} is the candidate of an A/B test that still runs (stage {} of {}, {:.0}% of the \
                 units): activating it stops the test without a result",
                self.stage + 1,
                STAGES.len(),
                self.share * 100.0
            ),
            (false, _) => format!(
                "an A/B test of {candidate} runs: it ends as superseded, and {candidate} stays a draft"
            ),
        })
    }

    /// The probability of error of each claim.
    pub fn tail(&self) -> f64 {
        self.guard.tail(self.kind)
    }

    /// Whether the service could have written this document.
    ///
    /// # Errors
    /// The first field that is invalid.
    pub fn check(&self) -> Result<(), String> {
        PolicyKey::check_id(&self.policy).map_err(|error| format!("policy: {error}"))?;
        self.guard.validate().map_err(|error| error.to_string())?;
        if !self.status.is_open() {
            return Err(format!("open is true, but the status is {}", self.status.as_str()));
        }
        if self.stage >= STAGES.len() {
            return Err(format!("stage is {}, must be below {}", self.stage, STAGES.len()));
        }
        if !(0.0..=1.0).contains(&self.share) {
            return Err(format!("share is {}, must be between 0 and 1", self.share));
        }
        for ts in [self.started_at, self.stage_started_at] {
            if !(MIN_TS..=MAX_TS).contains(&ts) {
                return Err(format!("the start is {ts}, must be between {MIN_TS} and {MAX_TS}"));
            }
        }
        Ok(())
    }
}
