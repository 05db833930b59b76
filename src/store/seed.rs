//! The documents that a new project begins with. What exists is never overwritten.

use serde_json::{Map, Value as Json};

use super::config::{FLAGS, REWARD_CONFIG, TUNING};
use super::error::{Result, StoreError};
use super::{Store, collection::CONFIG, collection::POLICIES, value, write};

/// Collection, document id, and content as it stands in the repository's `config` folder.
const SEEDS: [(&str, &str, &str); 4] = [
    (CONFIG, FLAGS, include_str!("../../config/flags.json")),
    (CONFIG, REWARD_CONFIG, include_str!("../../config/reward_config.json")),
    (CONFIG, TUNING, include_str!("../../config/tuning.json")),
    (POLICIES, "router-core@1.0.0", include_str!("../../config/router-core@1.0.0.json")),
];

/// Which documents seeding wrote, and which were there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeedReport {
    pub created: Vec<String>,
    pub existing: Vec<String>,
}

impl Store {
    /// Creates the seed documents that do not exist.
    pub async fn seed(&self, now: i64) -> Result<SeedReport> {
        let mut report = SeedReport::default();
        for (collection, id, text) in SEEDS {
            let path = format!("{collection}/{id}");
            let mut seed: Map<String, Json> = serde_json::from_str(text)
                .map_err(|error| StoreError::decode(path.as_str(), "a seed document", error))?;
            if collection == POLICIES {
                seed.insert("createdAt".to_owned(), Json::from(now));
            }
            let write = write::create(self.name(collection, id), value::fields_from_json(&seed));
            let outcome = self.create_batch(collection, vec![write]).await?;
            if let Some((_, status)) = outcome.refused.into_iter().next() {
                return Err(StoreError::rpc("seeding", path, status));
            }
            if outcome.created > 0 { &mut report.created } else { &mut report.existing }.push(path);
        }
        Ok(report)
    }
}
