//! What `doctor` tries: each kind of query that the service makes, and a document that is written, read in
//! a transaction and deleted again.

use crate::store::collection::{
    AUDIT, CONFIG, ENVELOPES, EXPERIMENTS, OBSERVATIONS, POLICIES, QUARANTINE, REWARDS, STATE,
    STATS,
};
use crate::store::{Result, Store, StoreError};
use f0_learning_core::sharding::Layout;
use firestore_kit::tonic::Status;
use firestore_kit::{Query, Repeat, value, write};

/// The document that is written. No job reads it.
const SCRATCH: &str = "doctor";

/// A text that is no id: a probe needs no result.
const NOTHING: &str = "-";

/// A query to try.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The collection and the fields, in the order of the index that it needs.
    pub label: String,
    collection: &'static str,
    query: Query,
}

impl Probe {
    /// Equality of the first fields, in the order of the last.
    fn of(collection: &'static str, equal: &[&str], order: Option<(&str, bool)>) -> Self {
        let mut query = Query::of(collection);
        for field in equal {
            query = query.equal(field, value::string(NOTHING));
        }
        let mut fields: Vec<&str> = equal.to_vec();
        if let Some((field, is_ascending)) = order {
            fields.push(field);
            query = if is_ascending { query.ascending(field) } else { query.descending(field) };
        }
        let label = match fields.as_slice() {
            [] => collection.to_owned(),
            fields => format!("{collection} by {}", fields.join(", ")),
        };
        Self { label, collection, query: query.limit(1) }
    }
}

impl Store {
    /// The names of the collections, each with the query of any document of it.
    pub fn probes_of_collections(&self) -> Vec<Probe> {
        let all = [
            OBSERVATIONS,
            REWARDS,
            STATS,
            POLICIES,
            AUDIT,
            EXPERIMENTS,
            ENVELOPES,
            QUARANTINE,
            STATE,
            CONFIG,
        ];
        all.into_iter().map(|collection| Probe::of(collection, &[], None)).collect()
    }

    /// The kinds of queries that need an index, with this layout of shards.
    pub fn probes_of_indexes(&self, layout: Layout) -> Vec<Probe> {
        let (up, down) = (|field| Some((field, true)), |field| Some((field, false)));
        let mut probes = vec![
            Probe::of(STATS, &["component"], up("window")),
            Probe::of(POLICIES, &["id", "status"], None),
            Probe::of(POLICIES, &["id"], down("createdAt")),
            Probe::of(EXPERIMENTS, &["policy"], down("startedAt")),
            Probe::of(AUDIT, &["id"], down("ts")),
            Probe::of(AUDIT, &["action"], down("ts")),
            Probe::of(AUDIT, &["actor"], down("ts")),
            Probe::of(STATE, &[], up("nextChange")),
            Probe::of(STATE, &[], up("workerUntil")),
        ];
        probes.extend(match layout.shards {
            0 => vec![
                Probe::of(OBSERVATIONS, &[], up("ts")),
                Probe::of(OBSERVATIONS, &["component"], down("ts")),
                Probe::of(REWARDS, &[], up("ts")),
                Probe::of(REWARDS, &["component"], down("ts")),
                Probe::of(QUARANTINE, &[], up("obsTs")),
            ],
            _ => vec![
                Probe::of(OBSERVATIONS, &["shard"], up("ts")),
                Probe::of(OBSERVATIONS, &["shard"], down("ts")),
                Probe::of(OBSERVATIONS, &["component", "shard"], down("ts")),
                Probe::of(REWARDS, &["shard"], up("ts")),
                Probe::of(REWARDS, &["shard"], down("ts")),
                Probe::of(QUARANTINE, &["shard"], up("obsTs")),
            ],
        });
        probes
    }

    /// Runs a query of at most one document.
    pub async fn run_probe(&self, probe: &Probe) -> Result<()> {
        self.db.query_all(probe.collection, probe.query.clone().build()).await?;
        Ok(())
    }

    /// Writes a scratch document; gives the time of the commit, in epoch milliseconds.
    pub async fn probe_write(&self) -> Result<i64> {
        let target = format!("{STATE}/{SCRATCH}");
        let write = write::set(self.db.name(STATE, SCRATCH), scratch(1));
        let response = self.db.commit(&target, vec![write]).await?;
        let time = response.commit_time.as_ref().map(value::epoch_millis);
        let missing = || Status::internal("the answer has no commit time");
        time.ok_or_else(|| StoreError::rpc("take the time from a commit of", target, missing()))
    }

    /// Reads the scratch document and writes it again, in one transaction.
    pub async fn probe_transaction(&self) -> Result<()> {
        let target = format!("{STATE}/{SCRATCH}");
        self.db
            .in_transaction(&target, Repeat::Idempotent, |transaction| async move {
                self.db.get_in(STATE, SCRATCH, &transaction).await?;
                Ok((vec![write::set(self.db.name(STATE, SCRATCH), scratch(2))], ()))
            })
            .await
    }

    /// Deletes the scratch document.
    pub async fn probe_delete(&self) -> Result<()> {
        let delete = write::delete(self.db.name(STATE, SCRATCH));
        self.db.commit(&format!("{STATE}/{SCRATCH}"), vec![delete]).await?;
        Ok(())
    }

    /// Whether `config/scoring` can be read.
    pub async fn check_scoring_config(&self) -> Result<()> {
        self.asked_layout().await.map(drop)
    }
}

fn scratch(step: i64) -> value::Fields {
    value::fields([("scratch", value::int(step))])
}
