//! Steps in which documents arrive that no component should write: observations with malformed and huge
//! fields, alien documents in every collection, and a flood by one component. None of them may keep other
//! documents from being counted.

use f0_learning_core::time::MINUTE_MS;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::collection;
use crate::documents::FIELDS;
use crate::world::World;

/// Almost as large as a document may be.
const HUGE_BYTES: usize = 900_000;

/// The observations of a flood, and how many of them one commit has.
const FLOOD: usize = 2_000;
const COMMIT: usize = 400;

/// The other observations that are written after a flood.
const OTHERS: usize = 5;

/// A value that hardly any field allows.
fn malformed(rng: &mut StdRng) -> Value {
    match rng.random_range(0..11) {
        0 => Value::Null,
        1 => json!(rng.random::<bool>()),
        2 => json!(i64::MIN),
        3 => json!(-0.5),
        4 => json!(1e300),
        5 => json!(""),
        6 => json!("\u{0}|%2F/..\u{202e}"),
        7 => json!([1, "two", { "three": null }]),
        8 => json!({ "a": { "b": { "c": [] } } }),
        9 => json!("__name__"),
        _ => json!("x".repeat(2_000)),
    }
}

impl World {
    pub async fn hostile_documents_are_written(&mut self) -> String {
        let described = match self.rng.random_range(0..3) {
            0 => self.alien_documents().await,
            _ => self.hostile_observations().await,
        };
        self.advance(MINUTE_MS);
        described
    }

    async fn hostile_observations(&mut self) -> String {
        self.read_policy().await;
        let count = self.rng.random_range(1..10);
        for _ in 0..count {
            let id = format!("o{:05}-h", self.truth.observations.len());
            let mut observation = self.observation(&id);
            for _ in 0..self.rng.random_range(1..4) {
                let field = FIELDS[self.rng.random_range(0..FIELDS.len())];
                observation[field] = malformed(&mut self.rng);
            }
            if self.rng.random_range(0..20) == 0 {
                let field = ["component", "policyVersion", "errorCode", "unknown"];
                let field = field[self.rng.random_range(0..field.len())];
                observation[field] = json!("x".repeat(HUGE_BYTES));
            }
            self.remember(&id, &observation);
            self.put(collection::OBSERVATIONS, &id, &observation).await;
        }
        self.tally.hostile += count;
        format!("{count} hostile observations are written")
    }

    /// A document in each collection that is not what the collection should hold. Some match the queries
    /// by which workers find their work.
    async fn alien_documents(&mut self) -> String {
        let number = self.truth.aliens.len();
        let huge = match self.rng.random_range(0..4) {
            0 => json!("x".repeat(HUGE_BYTES)),
            _ => Value::Null,
        };
        let any = malformed(&mut self.rng);
        let aliens = [
            (collection::REWARDS, json!({ "score": any, "huge": huge })),
            (collection::QUARANTINE, json!({ "reason": any, "huge": huge })),
            (collection::STATS, json!({ "component": any, "window": 7, "huge": huge })),
            (collection::STATE, json!({ "nextChange": 1, "workerUntil": any, "huge": huge })),
            (collection::CONFIG, json!({ "shards": any, "huge": huge })),
            (collection::POLICIES, json!({ "id": "alien", "status": "active", "params": any })),
            (collection::EXPERIMENTS, json!({ "open": true, "policy": "alien", "share": any })),
            (collection::AUDIT, json!({ "id": "router-core", "ts": "soon", "action": any })),
        ];
        for (place, fields) in &aliens {
            let id = format!("alien-{number}");
            self.put(place, &id, fields).await;
            self.truth.aliens.insert((*place, id));
        }
        self.tally.hostile += aliens.len() as u64;
        format!("alien documents are written, with {any}")
    }

    /// A component writes thousands of observations at once. What others write after them is counted by
    /// the next pass nevertheless.
    pub async fn a_component_floods(&mut self) -> String {
        if self.flooded {
            return "there was a flood before".to_owned();
        }
        self.flooded = true;
        self.read_policy().await;
        let mut left = FLOOD;
        while left > 0 {
            let mut writes = Vec::new();
            for _ in 0..COMMIT.min(left) {
                let id = format!("o{:05}-f", self.truth.observations.len());
                let mut observation = self.observation(&id);
                observation["component"] = json!("router:flood");
                self.remember(&id, &observation);
                writes.push((id, observation));
            }
            left -= writes.len();
            self.put_all(writes).await;
        }
        let mut others = Vec::new();
        for _ in 0..OTHERS {
            let id = format!("o{:05}-a", self.truth.observations.len());
            let observation = json!({
                "ts": self.now() + 1, "component": "router:gpt-5", "outcome": "success",
                "durationMs": 5, "shard": self.rng.random_range(0..2),
            });
            self.remember(&id, &observation);
            others.push((id, observation));
        }
        let ids: Vec<String> = others.iter().map(|(id, _)| id.clone()).collect();
        self.put_all(others).await;
        self.advance(MINUTE_MS);
        self.tally.floods += 1;
        let described = format!("a component writes {FLOOD} observations at once");
        match self.others_are_counted(&ids).await {
            Ok(()) => described,
            Err(error) => {
                self.truth.false_answer = Some(format!("after a flood, {error}"));
                described
            }
        }
    }

    /// One pass of a new worker, which need not wait for a lease.
    async fn others_are_counted(&mut self, ids: &[String]) -> Result<(), String> {
        let mut worker = self.worker().await;
        let now = worker.time.begin_pass().await.map_err(|error| error.to_string())?;
        let stop = CancellationToken::new();
        worker.score = self.unleased();
        worker.score.pass(now, &stop, &|_| ()).await.map_err(|error| error.to_string())?;
        let rewards = self.all(collection::REWARDS).await;
        match ids.iter().find(|id| !rewards.contains_key(*id)) {
            Some(id) => Err(format!("one pass of scoring gives {id} no reward")),
            None => Ok(()),
        }
    }
}
