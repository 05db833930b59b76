//! Create-only writes in batches: the way observations, rewards and quarantined documents come
//! into being. A batch may be repeated: what exists already is left as it is.

use firestore::gcloud_sdk::google::firestore::v1::{Write, write::Operation};
use firestore::gcloud_sdk::tonic::{Code, Status};

use super::error::{Result, StoreError};
use super::{Store, retry};

/// Writes in one BatchWrite request (Firestore accepts at most 500).
pub const MAX_BATCH: usize = 500;

/// Attempts for the writes of a batch that were refused one by one.
const MAX_ROUNDS: u32 = 5;

/// What became of a batch of create-only writes.
#[derive(Debug, Default)]
pub struct Created {
    /// Documents that this batch created.
    pub created: usize,
    /// Documents that were there before.
    pub existing: usize,
    /// Writes that Firestore refused for good: the index into the batch, and why.
    pub refused: Vec<(usize, Status)>,
}

impl Store {
    /// Creates each document that does not exist yet. `writes` are at most [`MAX_BATCH`]
    /// create-only writes; the ones that fail transiently are tried again by themselves.
    pub(super) async fn create_batch(&self, target: &str, writes: Vec<Write>) -> Result<Created> {
        let mut outcome = Created::default();
        let mut open: Vec<(usize, Write)> = writes.into_iter().enumerate().collect();
        for round in 1..=MAX_ROUNDS {
            let (indexes, batch): (Vec<_>, Vec<_>) = open.into_iter().unzip();
            let statuses = self.batch_write(target, &batch).await?;
            open = Vec::new();
            for ((index, write), status) in indexes.into_iter().zip(batch).zip(statuses) {
                match Code::from(status.code) {
                    Code::Ok => outcome.created += 1,
                    Code::AlreadyExists => outcome.existing += 1,
                    code if retry::is_transient(code) && round < MAX_ROUNDS => {
                        open.push((index, write));
                    }
                    code if retry::is_transient(code) => {
                        let name = name_of(&write).to_owned();
                        let status = Status::new(code, status.message);
                        return Err(StoreError::rpc("creating", name, status));
                    }
                    code => outcome.refused.push((index, Status::new(code, status.message))),
                }
            }
            if open.is_empty() {
                break;
            }
            self.retry.wait(round).await;
        }
        Ok(outcome)
    }
}

fn name_of(write: &Write) -> &str {
    match &write.operation {
        Some(Operation::Update(document)) => &document.name,
        _ => "a document",
    }
}
