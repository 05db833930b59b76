//! A Firestore for each test, and documents written to it directly.

use f0_learning_client::contract::{OBSERVATIONS, POLICIES};
use f0_learning_client::{Connection, Db};
use firestore_kit::{Query, value, write};
use firestore_local::{Running, Server};
use serde_json::{Map, Value as Json, json};

/// The present in all tests, in epoch milliseconds.
pub const NOW: i64 = 1_780_000_000_000;

pub struct Local {
    pub server: Running,
    pub db: Db,
}

impl Local {
    pub async fn start() -> Self {
        let server = Server::builder().start().await.unwrap();
        let db = Db::connect(&Connection::local("demo-client", server.addr())).await.unwrap();
        Self { server, db }
    }

    pub async fn put_policy(&self, version: &str, status: &str, more: Json) {
        let mut document = json!({
            "id": "router-core",
            "version": version,
            "status": status,
            "params": { "modelWeights": { "a": 0.75, "b": 0.25 } },
        });
        let fields = document.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        let name = self.db.name(POLICIES, &format!("router-core@{version}"));
        let write = write::set(name, value::fields_from_json(fields));
        self.db.commit("a policy", vec![write]).await.unwrap();
    }

    /// All stored observations, in the order of their ids.
    pub async fn observations(&self) -> Vec<Map<String, Json>> {
        let query = Query::of(OBSERVATIONS).ascending("__name__").build();
        let documents = self.db.query_all(OBSERVATIONS, query).await.unwrap();
        documents.iter().map(|document| value::fields_to_json(&document.fields)).collect()
    }
}
