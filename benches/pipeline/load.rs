//! The observations of the benchmarks: numbered, and the same on every run.

use std::ops::Range;

use f0_learning::store::Store;
use f0_learning_core::sharding::shard_of;
use f0_learning_core::time::HOUR_MS;
use firestore::gcloud_sdk::google::firestore::v1::Document;
use firestore_kit::{MAX_BATCH, value};
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use crate::Result;

/// The end of the times of observations, in epoch milliseconds: long before the clock of any store,
/// so that no observation is written before its `ts`.
pub const DAY_END: i64 = 1_780_000_000_000;
pub const COMPONENTS: usize = 10;

/// Batches in flight at the same time.
const IN_FLIGHT: usize = 8;

/// The arms of the seeded policy.
const ARMS: [&str; 3] = ["gpt-5", "gemini", "claude"];

/// Observations with these numbers, spread evenly over these times.
#[derive(Clone, Debug)]
pub struct Load {
    pub numbers: Range<usize>,
    /// Epoch milliseconds.
    pub times: Range<i64>,
    pub components: usize,
    /// The number of shards of which each observation has one; with 0 observations have no shard.
    pub shards: u32,
}

impl Load {
    /// Over the last hour, and over ten components.
    pub fn last_hour(total: usize) -> Self {
        let times = DAY_END - HOUR_MS..DAY_END;
        Self { numbers: 0..total, times, components: COMPONENTS, shards: 0 }
    }

    pub fn id(n: usize) -> String {
        format!("{n:08x}-bench")
    }

    fn observation(&self, n: usize) -> Map<String, Value> {
        let id = Self::id(n);
        let span = self.times.end - self.times.start;
        let place = (n - self.numbers.start) as i64;
        let which = n % self.components;
        // Failures have another period than components, so that each component has some.
        let failed = (n / self.components).is_multiple_of(20);
        let mut document = json!({
            "id": id,
            "ts": self.times.start + span * place / self.numbers.len() as i64,
            "component": match ARMS.get(which) {
                Some(arm) => format!("router:{arm}"),
                None => format!("component-{which}"),
            },
            "outcome": if failed { "failure" } else { "success" },
            "durationMs": 100 + (n * 7919) % 3_000,
            "tokensIn": 150,
            "tokensOut": 500,
            "costUsd": 0.001 * ((n % 31) as f64),
            "policyVersion": "router-core@1.0.0",
        });
        if let Some(shard) = shard_of(&id, self.shards) {
            document["shard"] = json!(shard);
        }
        match document {
            Value::Object(object) => object,
            _ => Map::new(),
        }
    }

    pub async fn write(&self, store: &Store) -> Result<()> {
        let mut in_flight = JoinSet::new();
        for first in self.numbers.clone().step_by(MAX_BATCH) {
            if in_flight.len() >= IN_FLIGHT {
                in_flight.join_next().await.ok_or("no batch in flight")???;
            }
            let (store, load) = (store.clone(), self.clone());
            in_flight.spawn(async move {
                let last = (first + MAX_BATCH).min(load.numbers.end);
                let batch: Vec<_> = (first..last).map(|n| load.observation(n)).collect();
                f0_learning_client::create_all_observations(store.db(), &batch)
                    .await
                    .map_err(|error| error.to_string())
            });
        }
        while let Some(outcome) = in_flight.join_next().await {
            outcome??;
        }
        Ok(())
    }
}

/// Sets the number of shards in `config/scoring`.
pub async fn configure_shards(store: &Store, shards: u32) -> Result<()> {
    let db = store.db().clone().into_inner();
    let name = format!("{}/{}/scoring", db.get_documents_path(), "config");
    let fields = value::fields([("shards", value::int(i64::from(shards)))]);
    let document = Document { name, fields, ..Document::default() };
    db.fluent().update().in_col("config").document(document).execute().await?;
    Ok(())
}
