//! Observations as components write them.

use f0_learning_core::observation::{Observation, Outcome, Rejection};
use firestore_kit::{Created, Db, value, write};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::contract::OBSERVATIONS;

/// An observation as a component gives it. What is left out gets its default: a random `id`,
/// the present as `ts`, no sampling.
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
    /// `{id}@{version}` of the policy that the component acted under.
    pub policy_version: Option<String>,
    pub error_code: Option<String>,
    pub meta: Option<Json>,
    /// Which cursor will come by it, where observations are sharded; a recorder fills it in.
    pub shard: Option<u32>,
    /// The share of such observations that are recorded at all, in 0..=1 without 0. A recorder
    /// that samples fills it in.
    pub sample_rate: Option<f64>,
    /// How probable it was to take the arm that was taken, from 0.001 to 1, where that was not the
    /// weight that the policy gives it.
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

    /// The document to store, checked by the rules that scoring will apply to it.
    pub(crate) fn document(self, now: i64) -> Result<Map<String, Json>, Rejection> {
        let id = self.id.unwrap_or_else(|| Uuid::new_v4().to_string());
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
        Observation::parse(&id, &document)?;
        Ok(document)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("invalid observation, scoring would quarantine it: {0}")]
    Invalid(#[from] Rejection),
    #[error(transparent)]
    Firestore(#[from] firestore_kit::Error),
    #[error("cannot record the observation: the recorder is closed")]
    Closed,
}

/// Writes one observation and returns its id. Nothing is sampled.
///
/// # Errors
/// [`RecordError::Invalid`] names the field that scoring would refuse; nothing is written then.
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

/// Creates observations, at most [`MAX_BATCH`](firestore_kit::MAX_BATCH) at a time. An observation
/// whose id exists already is left as it is.
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

/// Creates observations that must all be stored.
///
/// # Errors
/// The first write that Firestore refused.
pub async fn create_all_observations(
    db: &Db,
    batch: &[Map<String, Json>],
) -> firestore_kit::Result<Created> {
    let outcome = create_observations(db, batch).await?;
    match outcome.refused.first() {
        Some((_, status)) => Err(firestore_kit::Error::rpc(
            "creating an observation in",
            OBSERVATIONS,
            status.clone(),
        )),
        None => Ok(outcome),
    }
}
