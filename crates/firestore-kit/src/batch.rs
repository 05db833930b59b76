//! Batches of writes that Firestore applies independently. A batch may be sent again: a create does
//! not change an existing document, and a delete of a missing document does nothing.

use std::collections::HashMap;

use firestore::gcloud_sdk::google::firestore::v1::{Write, write::Operation};
use firestore::gcloud_sdk::tonic::{Code, Status};

use crate::Db;
use crate::bounded::fitting;
use crate::error::{Error, Result, is_transient};
use crate::retry::Retry;
use crate::write;

/// Writes in one BatchWrite request (Firestore accepts at most 500).
pub const MAX_BATCH: usize = 500;

/// The most bytes of the writes in one request, except for a single larger write. Firestore takes
/// 10 MiB; a request is in memory several times while it is sent.
const REQUEST_BYTES: usize = 4 << 20;

/// Attempts for each write of a batch.
const MAX_ROUNDS: u32 = 5;

/// The outcome of a batch of create-only writes.
#[derive(Debug, Default)]
pub struct Created {
    /// Documents that this batch created.
    pub created: usize,
    /// Documents that existed before.
    pub existing: usize,
    /// The indexes into the batch of those that existed before.
    pub existing_at: Vec<usize>,
    /// Writes that Firestore refused permanently: the index into the batch, and the reason.
    pub refused: Vec<(usize, Status)>,
}

impl Db {
    /// Applies each write independently and returns their statuses in the same order. There may be
    /// at most [`MAX_BATCH`] writes; those that fail transiently are retried separately. Firestore
    /// refuses a whole request with two writes of one document, so that the second one of a document
    /// is sent after the first has been answered. Writes that are too large for one request are sent
    /// in several.
    pub async fn write_each(&self, target: &str, writes: &[Write]) -> Result<Vec<Status>> {
        let mut statuses = vec![Status::new(Code::Ok, ""); writes.len()];
        for indexes in without_repetition(writes.iter().map(name_of)) {
            for indexes in by_size(&indexes, |index| write::encoded_write_len(&writes[index])) {
                let batch: Vec<_> = indexes.iter().map(|index| &writes[*index]).collect();
                let send = |batch| self.batch_write(target, batch);
                let answers = send_until_settled(&self.retry, &batch, send).await?;
                for (index, status) in indexes.iter().zip(answers) {
                    statuses[*index] = status;
                }
            }
        }
        Ok(statuses)
    }

    /// Creates each document that does not exist yet, by [`write_each`](Self::write_each).
    pub async fn create_batch(&self, target: &str, writes: &[Write]) -> Result<Created> {
        let mut outcome = Created::default();
        let statuses = self.write_each(target, writes).await?;
        for (index, (status, write)) in statuses.into_iter().zip(writes).enumerate() {
            match status.code() {
                Code::Ok => outcome.created += 1,
                Code::AlreadyExists => {
                    outcome.existing += 1;
                    outcome.existing_at.push(index);
                }
                code if is_transient(code) => {
                    return Err(Error::rpc("create", name_of(write), status));
                }
                _ => outcome.refused.push((index, status)),
            }
        }
        Ok(outcome)
    }

    /// Deletes each document whose precondition holds, by [`write_each`](Self::write_each), and
    /// returns how many those were.
    pub async fn delete_batch(&self, target: &str, writes: &[Write]) -> Result<u64> {
        let mut deleted = 0;
        for status in self.write_each(target, writes).await? {
            match status.code() {
                Code::Ok => deleted += 1,
                Code::NotFound | Code::FailedPrecondition => {}
                _ => return Err(Error::rpc("delete from", target, status)),
            }
        }
        Ok(deleted)
    }
}

/// Sends writes until each has succeeded or failed permanently, or the attempts are used up. Each
/// retry sends only the writes that failed transiently.
async fn send_until_settled<W: Copy, F>(
    retry: &Retry,
    writes: &[W],
    send: impl Fn(Vec<W>) -> F,
) -> Result<Vec<Status>>
where
    F: Future<Output = Result<Vec<Status>>>,
{
    if writes.is_empty() {
        return Ok(Vec::new());
    }
    let mut statuses = send(writes.to_vec()).await?;
    for round in 1..MAX_ROUNDS {
        let (open, retried): (Vec<_>, Vec<_>) = statuses
            .iter_mut()
            .zip(writes.iter().copied())
            .filter(|(status, _)| is_transient(status.code()))
            .unzip();
        if open.is_empty() {
            break;
        }
        retry.wait(round).await;
        for (status, new_status) in open.into_iter().zip(send(retried).await?) {
            *status = new_status;
        }
    }
    Ok(statuses)
}

fn name_of(write: &Write) -> &str {
    match &write.operation {
        Some(Operation::Update(document)) => &document.name,
        Some(Operation::Delete(name)) => name,
        _ => "a document",
    }
}

/// The indexes of these names in groups, in their order: no name occurs twice in a group.
fn without_repetition<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (index, name) in names.enumerate() {
        let before = seen.entry(name).or_default();
        if *before == groups.len() {
            groups.push(Vec::new());
        }
        groups[*before].push(index);
        *before += 1;
    }
    groups
}

/// The indexes in parts, in their order, each of at most [`REQUEST_BYTES`] or a single one.
fn by_size(indexes: &[usize], size: impl Fn(usize) -> usize) -> Vec<&[usize]> {
    let (mut parts, mut rest) = (Vec::new(), indexes);
    while !rest.is_empty() {
        let sizes = rest.iter().map(|index| size(*index));
        let (part, others) = rest.split_at(fitting(REQUEST_BYTES, sizes));
        parts.push(part);
        rest = others;
    }
    parts
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::ready;

    use super::*;

    /// The final codes of writes 0 to 5, and the writes sent at each attempt; `status` is the status
    /// of a write at an attempt.
    async fn send_six(status: impl Fn(usize, u8) -> Status) -> (Vec<Code>, Vec<Vec<u8>>) {
        let attempts = RefCell::new(Vec::new());
        let send = |batch: Vec<u8>| {
            attempts.borrow_mut().push(batch.clone());
            let attempt = attempts.borrow().len();
            ready(Ok(batch.into_iter().map(|write| status(attempt, write)).collect()))
        };
        let statuses =
            send_until_settled(&Retry::default(), &[0, 1, 2, 3, 4, 5], send).await.unwrap();
        (statuses.iter().map(Status::code).collect(), attempts.into_inner())
    }

    #[test]
    fn two_writes_of_one_document_are_never_in_one_request() {
        let groups = |names: &[&str]| without_repetition(names.iter().copied());
        assert_eq!(groups(&["a", "b", "a", "c", "a", "b"]), [vec![0, 1, 3], vec![2, 5], vec![4]]);
        assert_eq!(groups(&["a", "b"]), [vec![0, 1]]);
        assert!(groups(&[]).is_empty());
    }

    #[test]
    fn a_request_is_small_or_holds_a_single_write() {
        let sizes = [REQUEST_BYTES / 2, REQUEST_BYTES / 2, 1, 2 * REQUEST_BYTES, 1, 1];
        let parts = by_size(&[0, 1, 2, 3, 4, 5], |index| sizes[index]);
        assert_eq!(parts, [&[0, 1][..], &[2], &[3], &[4, 5]]);
    }

    #[tokio::test(start_paused = true)]
    async fn only_transiently_failed_writes_are_sent_again() {
        let (codes, attempts) = send_six(|attempt, write| match (attempt, write) {
            (1, 1 | 3) | (2, 3) => Status::unavailable("soon"),
            (1, 2) => Status::already_exists("there"),
            (2, 1) => Status::invalid_argument("no"),
            _ => Status::new(Code::Ok, ""),
        })
        .await;
        assert_eq!(attempts, [vec![0, 1, 2, 3, 4, 5], vec![1, 3], vec![3]]);
        let expected =
            [Code::Ok, Code::InvalidArgument, Code::AlreadyExists, Code::Ok, Code::Ok, Code::Ok];
        assert_eq!(codes, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_keeps_failing_is_reported_after_the_last_attempt() {
        let (codes, attempts) = send_six(|_, write| match write {
            4 => Status::unavailable("no"),
            _ => Status::new(Code::Ok, ""),
        })
        .await;
        assert_eq!(attempts.len(), MAX_ROUNDS as usize);
        assert_eq!((codes[3], codes[4]), (Code::Ok, Code::Unavailable));
    }
}
