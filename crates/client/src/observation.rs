//! Observations, as components write them.

use f0_learning_core::names::{NameError, check_document_id};
use f0_learning_core::observation::{Observation, Outcome, Rejection};
use firestore_kit::tonic::Status;
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

    /// The document to store, its id checked by the rules of Firestore. Scoring would ignore an invalid
    /// optional field; here it is an error, because the caller can correct it.
    pub(crate) fn document(self, now: i64) -> Result<Map<String, Json>, RecordError> {
        let id = self.id.unwrap_or_else(random::id);
        // An id with a slash would be the path of a document in another collection.
        check_document_id(&id).map_err(|detail| RecordError::Id { id: id.clone(), detail })?;
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
    #[error("invalid id {id:?}: the id {detail}; nothing was written")]
    Id { id: String, detail: NameError },
    #[error(transparent)]
    Firestore(#[from] firestore_kit::Error),
    #[error("cannot record the observation: the recorder is closed")]
    Closed,
}

/// Writes one observation and returns its id, without sampling and batching: for components with few
/// observations.
///
/// # Errors
/// [`RecordError::Invalid`] names the field that scoring would reject, and [`RecordError::Id`] an id
/// that Firestore does not accept; nothing is written then.
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
/// observation with the same id is not changed, and of two in the batch with the same id the first one
/// is stored. One whose id Firestore does not accept as the id of a document is refused.
pub async fn create_observations(
    db: &Db,
    batch: &[Map<String, Json>],
) -> firestore_kit::Result<Created> {
    let (mut writes, mut sent, mut refused) =
        (Vec::with_capacity(batch.len()), Vec::new(), Vec::new());
    for (index, observation) in batch.iter().enumerate() {
        let id = observation.get("id").and_then(Json::as_str).unwrap_or_default();
        match check_document_id(id) {
            Ok(()) => {
                let fields = value::fields_from_json(observation);
                writes.push(write::create(db.name(OBSERVATIONS, id), fields));
                sent.push(index);
            }
            Err(detail) => {
                let message = format!("invalid id {id:?}: the id {detail}");
                refused.push((index, Status::invalid_argument(message)));
            }
        }
    }
    let mut created = db.create_batch(OBSERVATIONS, &writes).await?;
    // The answers are those to the writes that were sent.
    created.existing_at.iter_mut().for_each(|index| *index = sent[*index]);
    refused.extend(created.refused.into_iter().map(|(index, status)| (sent[index], status)));
    refused.sort_by_key(|(index, _)| *index);
    Ok(Created { refused, ..created })
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
