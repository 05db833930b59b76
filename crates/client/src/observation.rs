//! Observations, as components write them.

use f0_learning_core::observation::{Observation, Outcome, Rejection};
use firestore_kit::{Created, Db, value, write};
use serde_json::{Map, Value as Json};

use crate::contract::OBSERVATIONS;
use crate::policy::Choice;
use crate::random;

/// An observation to record. Fields that are `None` get their defaults: a random `id`, the present
/// as `ts`, no sampling. Set further fields directly, or with the struct update syntax.
#[derive(Clone, Debug)]
pub struct NewObservation {
    pub component: String,
    pub outcome: Outcome,
    /// Milliseconds.
    pub duration_ms: f64,
    pub id: Option<String>,
    /// Epoch milliseconds.
    pub ts: Option<i64>,
    pub tokens_in: Option<u64>,
    pub tokens_out: Option<u64>,
    pub cost_usd: Option<f64>,
    /// `{id}@{version}` of the policy that the component used (see [`under`](Self::under)).
    pub policy_version: Option<String>,
    pub error_code: Option<String>,
    pub meta: Option<Json>,
    /// The shard of the observation, if observations are sharded; a recorder sets it.
    pub shard: Option<u32>,
    /// The share of such observations that are recorded, above 0 and up to 1; a recorder that
    /// samples sets it.
    pub sample_rate: Option<f64>,
    /// The probability of the arm that was used, from 0.001 to 1, if it is not the arm's weight in the
    /// policy.
    pub propensity: Option<f64>,
}

impl NewObservation {
    pub fn new(component: impl Into<String>, outcome: Outcome, duration_ms: f64) -> Self {
        Self {
            component: component.into(),
            outcome,
            duration_ms,
            id: None,
            ts: None,
            tokens_in: None,
            tokens_out: None,
            cost_usd: None,
            policy_version: None,
            error_code: None,
            meta: None,
            shard: None,
            sample_rate: None,
            propensity: None,
        }
    }

    /// Records that the component used this choice.
    #[must_use]
    pub fn under(mut self, choice: &Choice<'_>) -> Self {
        self.policy_version = Some(choice.policy_version.clone());
        self
    }

    /// The document to store. Scoring would ignore an invalid optional field; here it is an error,
    /// because the caller can correct it.
    pub(crate) fn document(self, now: i64) -> Result<Map<String, Json>, Rejection> {
        let id = self.id.unwrap_or_else(random::id);
        let mut document = Map::new();
        let mut put = |name: &str, value: Json| document.insert(name.to_owned(), value);
        put("id", Json::from(id.as_str()));
        put("ts", Json::from(self.ts.unwrap_or(now)));
        put("component", Json::from(self.component));
        put("outcome", Json::from(self.outcome.as_str()));
        put("durationMs", Json::from(self.duration_ms));
        for (name, value) in [
            ("tokensIn", self.tokens_in.map(Json::from)),
            ("tokensOut", self.tokens_out.map(Json::from)),
            ("costUsd", self.cost_usd.map(Json::from)),
            ("policyVersion", self.policy_version.map(Json::from)),
            ("errorCode", self.error_code.map(Json::from)),
            ("sampleRate", self.sample_rate.map(Json::from)),
            ("propensity", self.propensity.map(Json::from)),
            ("shard", self.shard.map(Json::from)),
            ("meta", self.meta),
        ] {
            if let Some(value) = value {
                put(name, value);
            }
        }
        Observation::parse_strictly(&id, &document)?;
        Ok(document)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("invalid observation: {0}; scoring could not use the field, correct it")]
    Invalid(#[from] Rejection),
    #[error(transparent)]
    Firestore(#[from] firestore_kit::Error),
    #[error("cannot record the observation: the recorder is closed")]
    Closed,
}

/// Writes one observation and returns its id, without sampling and batching: for components with few
/// observations.
///
/// # Errors
/// [`RecordError::Invalid`] names the field that scoring would reject; nothing is written then.
pub async fn record_observation(
    db: &Db,
    observation: NewObservation,
    now: i64,
) -> Result<String, RecordError> {
    let document = observation.document(now)?;
    let id = document.get("id").and_then(Json::as_str).unwrap_or_default().to_owned();
    create_all_observations(db, &[document]).await?;
    Ok(id)
}

/// Creates observations, at most [`MAX_BATCH`](firestore_kit::MAX_BATCH) at a time. An existing
/// observation with the same id is not changed.
pub async fn create_observations(
    db: &Db,
    batch: &[Map<String, Json>],
) -> firestore_kit::Result<Created> {
    let write = |observation: &Map<String, Json>| {
        let id = observation.get("id").and_then(Json::as_str).unwrap_or_default();
        write::create(db.name(OBSERVATIONS, id), value::fields_from_json(observation))
    };
    let writes: Vec<_> = batch.iter().map(write).collect();
    db.create_batch(OBSERVATIONS, &writes).await
}

/// The same for observations that must all be stored.
///
/// # Errors
/// Firestore refused a write; the error is that of the first one.
pub async fn create_all_observations(
    db: &Db,
    batch: &[Map<String, Json>],
) -> firestore_kit::Result<Created> {
    let created = create_observations(db, batch).await?;
    match created.refused.first() {
        Some((_, status)) => {
            Err(firestore_kit::Error::rpc("create an observation in", OBSERVATIONS, status.clone()))
        }
        None => Ok(created),
    }
}
