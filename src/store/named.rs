//! The ids that begin as a person typed them.

use std::collections::BTreeSet;

use crate::store::collection::{EXPERIMENTS, OBSERVATIONS, POLICIES, QUARANTINE};
use crate::store::{Result, Store};
use firestore_kit::{Query, value};

/// Comes after every character that an id may have.
const LAST: char = '\u{10ffff}';

fn starting_with(collection: &str, prefix: &str) -> Query {
    let end = format!("{prefix}{LAST}");
    Query::of(collection)
        .select(&["id"])
        .at_least("id", value::string(prefix))
        .below("id", value::string(end))
        .ascending("id")
}

impl Store {
    /// The ids of policies that begin with this text, at most `most`: a read for each, and two more. Only
    /// the id itself where a policy has exactly this one.
    pub async fn policy_ids_from(&self, prefix: &str, most: usize) -> Result<BTreeSet<String>> {
        // A document whose field `id` is damaged still has its name: the whole id of a damaged policy
        // must not stand for another policy.
        if self.has_version_named(prefix).await? {
            return Ok(BTreeSet::from([prefix.to_owned()]));
        }
        let mut ids = BTreeSet::new();
        while ids.len() < most {
            let mut query = starting_with(POLICIES, prefix).limit(1);
            if let Some(last) = ids.last() {
                let last: &String = last;
                query = query.start_after(vec![value::string(last.as_str())]);
            }
            let documents = self.db.query_all(POLICIES, query.build()).await?;
            let found = documents.first().and_then(|found| value::as_str(&found.fields, "id"));
            let Some(id) = found else { break };
            let is_exact = id == prefix;
            ids.insert(id);
            if is_exact {
                break;
            }
        }
        Ok(ids)
    }

    /// The documents whose names begin with this text.
    fn named_from(&self, collection: &str, prefix: &str) -> Query {
        let name = |id: &str| value::reference(self.db.name(collection, id));
        Query::of(collection)
            .select(&["id"])
            .at_least("__name__", name(prefix))
            .below("__name__", name(&format!("{prefix}{LAST}")))
            .ascending("__name__")
    }

    async fn has_version_named(&self, policy: &str) -> Result<bool> {
        let query = self.named_from(POLICIES, &format!("{policy}@")).limit(1).build();
        Ok(!self.db.query_all(POLICIES, query).await?.is_empty())
    }

    /// The ids of experiments that begin with this text, at most `most`: a read for each.
    pub async fn experiment_ids_from(&self, prefix: &str, most: usize) -> Result<BTreeSet<String>> {
        let query = starting_with(EXPERIMENTS, prefix).limit(most).build();
        let documents = self.db.query_all(EXPERIMENTS, query).await?;
        Ok(documents.iter().filter_map(|found| value::as_str(&found.fields, "id")).collect())
    }

    /// Whether there is an observation with exactly this id.
    pub async fn has_observation(&self, id: &str) -> Result<bool> {
        Ok(!self.db.existing(OBSERVATIONS, &[self.db.name(OBSERVATIONS, id)]).await?.is_empty())
    }

    /// The ids of quarantined observations that begin with this text, at most `most`: a read for each.
    pub async fn quarantined_ids_from(
        &self,
        prefix: &str,
        most: usize,
    ) -> Result<BTreeSet<String>> {
        let query = self.named_from(QUARANTINE, prefix).limit(most).build();
        let documents = self.db.query_all(QUARANTINE, query).await?;
        Ok(documents.iter().map(|found| value::document_id(found).to_owned()).collect())
    }
}
