//! The other documents of `ops_state`: what each is, and how it begins again.

use firestore_kit::{value, write};

use super::Statistic;
use crate::store::audit_key::AUDIT_KEY;
use crate::store::clock::CLOCK;
use crate::store::collection::STATE;
use crate::store::{Result, Store, StoreError};

/// What a document of `ops_state` is, by its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateKind {
    /// Statistics, or what is parked of them.
    Statistic(Statistic),
    /// A cursor, the layout of shards, or the state of reconciliation.
    Counting,
    /// The state of retention.
    Retention,
    /// The memory of the tuner, by policy. Without it all evidence counts.
    Tuner(String),
    /// The input of a decision, which only shows how it was made.
    Decision,
    /// A lease, the announcement of a worker, or the time of the last pass.
    Lease,
    /// The secret of audit ids.
    AuditKey,
    /// What an experiment has counted, by experiment.
    Experiment(String),
    /// Not a document of the service.
    Unknown,
}

impl StateKind {
    pub fn of_id(id: &str) -> Self {
        if let Some(statistic) = Statistic::of_state_id(id) {
            return Self::Statistic(statistic);
        }
        match id.split_once('|') {
            None if ["cursor", "layout", "reconcile"].contains(&id) => Self::Counting,
            None if id == "retention" => Self::Retention,
            None if id == AUDIT_KEY => Self::AuditKey,
            None if id == CLOCK => Self::Lease,
            Some(("cursor", number)) if number.parse::<u32>().is_ok() => Self::Counting,
            Some(("tuner", policy)) => Self::Tuner(policy.to_owned()),
            Some(("decision", _)) => Self::Decision,
            Some(("lease" | "worker", _)) => Self::Lease,
            Some(("experiment", id)) => Self::Experiment(id.to_owned()),
            _ => Self::Unknown,
        }
    }
}

impl Store {
    /// Why a document of `ops_state` cannot be read; `None` if it can, or is absent. For statistics and
    /// what counting depends on, only [`Store::stored_statistic`] and the cursors say it.
    pub async fn state_damage(&self, id: &str) -> Result<Option<String>> {
        let found = match StateKind::of_id(id) {
            StateKind::Tuner(policy) => self.tuner_memory(&policy).await.map(|_| ()),
            StateKind::Decision => match id.split_once('|').and_then(|(_, key)| key.parse().ok()) {
                Some(key) => self.decision(&key).await.map(|_| ()),
                None => Ok(()),
            },
            StateKind::AuditKey => self.check_audit_key().await,
            StateKind::Retention => self.retention_state().await.map(|_| ()),
            _ => Ok(()),
        };
        match found {
            Ok(()) => Ok(None),
            Err(StoreError::Decode { detail, .. }) => Ok(Some(detail)),
            Err(error) => Err(error),
        }
    }

    /// Deletes a document of `ops_state`, if it is as it was read: what it held begins again. `false`
    /// if there is none.
    pub async fn restart_state(&self, id: &str) -> Result<bool> {
        let Some(document) = self.db.get(STATE, id).await? else { return Ok(false) };
        let Some(update_time) = document.update_time else { return Ok(false) };
        let delete = write::delete_if_unchanged(document.name.clone(), update_time);
        self.db.commit(&format!("{STATE}/{}", value::document_id(&document)), vec![delete]).await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_document_is_known_by_its_id() {
        for id in ["cursor", "cursor|7", "layout", "reconcile"] {
            assert_eq!(StateKind::of_id(id), StateKind::Counting, "{id}");
        }
        assert_eq!(StateKind::of_id("tuner|p"), StateKind::Tuner("p".to_owned()));
        assert_eq!(StateKind::of_id("audit_key"), StateKind::AuditKey);
        assert_eq!(StateKind::of_id("lease|score|1"), StateKind::Lease);
        assert_eq!(StateKind::of_id("clock"), StateKind::Lease);
        for id in ["notes", "cursor|x", "series", "something|else"] {
            assert_eq!(StateKind::of_id(id), StateKind::Unknown, "{id}");
        }
    }
}
