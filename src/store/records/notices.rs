//! `ops_notices`: what people are to be told, until it is delivered, and the document `state`, which says
//! how far the audit trail was followed.
//!
//! One commit adds notices and moves `state`, under the precondition that `state` is as it was read. So
//! of two workers one adds, and none is lost or added twice.

use std::collections::BTreeMap;

use firestore_kit::proto::{Document, Write};
use firestore_kit::tonic::Code;
use firestore_kit::{Query, Timestamp, value, write};
use serde::{Deserialize, Serialize};

use crate::store::collection::NOTICES;
use crate::store::{Result, Store, StoreError};
use f0_learning_core::document::Notice;

const STATE: &str = "state";

/// What the last pass knew.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotifyState {
    /// The `ts` of the audit trail up to which entries were read.
    pub cursor: i64,
    /// Entries that were read and are less old than the trail is read again: their `ts` by id.
    #[serde(default)]
    pub seen: BTreeMap<String, i64>,
    /// Whether tuning was enabled.
    #[serde(default)]
    pub learning_enabled: Option<bool>,
    /// When people were last told that quarantine grows, and that the backlog does not shrink.
    #[serde(default)]
    pub quarantine_told_at: Option<i64>,
    #[serde(default)]
    pub backlog_told_at: Option<i64>,
    #[serde(skip)]
    update_time: Option<Timestamp>,
}

impl NotifyState {
    /// The state of a project whose trail is followed from `cursor` on.
    pub fn from(cursor: i64) -> Self {
        Self { cursor, ..Self::default() }
    }
}

/// A notice that is not delivered everywhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingNotice {
    pub notice: Notice,
    /// When it was added, in epoch milliseconds.
    pub added_at: i64,
    /// When the next attempt is due.
    pub next_at: i64,
    #[serde(default)]
    pub attempts: u32,
    /// The sinks that have it.
    #[serde(default)]
    pub delivered: Vec<String>,
}

impl PendingNotice {
    /// A notice that is sent as soon as possible.
    pub fn new(notice: Notice, now: i64) -> Self {
        Self { notice, added_at: now, next_at: now, attempts: 0, delivered: Vec::new() }
    }
}

impl Store {
    /// The state of the notifications; `None` if no pass has stored any.
    ///
    /// # Errors
    /// Firestore did not answer, or the document cannot be read.
    pub async fn notify_state(&self) -> Result<Option<NotifyState>> {
        let Some(document) = self.db.get(NOTICES, STATE).await? else { return Ok(None) };
        let state: NotifyState = value::from_fields(&document.fields).map_err(|error| {
            StoreError::decode(format!("{NOTICES}/{STATE}"), "the state of notifications", error)
        })?;
        Ok(Some(NotifyState { update_time: document.update_time, ..state }))
    }

    /// Removes a state that cannot be read.
    pub async fn forget_notify_state(&self) -> Result<()> {
        self.settle_notice(write::delete(self.db.name(NOTICES, STATE))).await
    }

    /// Stores the state and adds notices, if the state is as it was read.
    ///
    /// # Errors
    /// Another worker was first, or what Firestore refused.
    pub async fn add_notices(&self, state: &NotifyState, added: &[PendingNotice]) -> Result<()> {
        let name = self.db.name(NOTICES, STATE);
        let mut writes: Vec<Write> = Vec::with_capacity(added.len() + 1);
        writes.push(write::set_if_unchanged(name, value::to_fields(state)?, state.update_time));
        for pending in added {
            let name = self.db.name(NOTICES, &pending.notice.id);
            writes.push(write::create(name, value::to_fields(pending)?));
        }
        self.db.commit(NOTICES, writes).await?;
        Ok(())
    }

    /// The notices whose next attempt is due, at most `limit`, those that have waited longest first.
    /// One that cannot be read is logged and passed over.
    pub async fn due_notices(&self, now: i64, limit: usize) -> Result<Vec<PendingNotice>> {
        let query = Query::of(NOTICES).at_most("nextAt", value::int(now));
        let query = query.ascending("nextAt").limit(limit).build();
        let decode = |document: Document| {
            let found = value::from_fields(&document.fields).map_err(|error| {
                let name = self.db.short_name(&document.name);
                StoreError::decode(name, "a notice", error)
            });
            found.inspect_err(|error| tracing::error!(%error, "a notice is passed over")).ok()
        };
        self.db.query_map(NOTICES, query, decode).await
    }

    /// Stores what became of an attempt.
    pub async fn put_notice(&self, pending: &PendingNotice) -> Result<()> {
        let name = self.db.name(NOTICES, &pending.notice.id);
        let write = write::set(name, value::to_fields(pending)?);
        self.settle_notice(write).await
    }

    /// Removes a notice that is delivered, or given up.
    pub async fn remove_notice(&self, id: &str) -> Result<()> {
        self.settle_notice(write::delete(self.db.name(NOTICES, id))).await
    }

    async fn settle_notice(&self, write: Write) -> Result<()> {
        let statuses = self.db.write_each(NOTICES, &[write]).await?;
        match statuses.into_iter().find(|status| status.code() != Code::Ok) {
            Some(status) => Err(StoreError::rpc("write to", NOTICES, status)),
            None => Ok(()),
        }
    }
}
