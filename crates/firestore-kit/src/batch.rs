//! Batches of writes that Firestore applies one by one. A batch may be sent again: a create leaves
//! an existing document as it is, and a delete of a missing document does nothing.

use firestore::gcloud_sdk::google::firestore::v1::{Write, write::Operation};
use firestore::gcloud_sdk::tonic::{Code, Status};

use crate::Db;
use crate::error::{Error, Result, is_transient};
use crate::retry::Retry;

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

impl Db {
    /// Applies each write on its own, and says how each went, in their order. `writes` are at most
    /// [`MAX_BATCH`]; the ones that fail transiently are tried again by themselves.
    pub async fn write_each(&self, target: &str, writes: &[Write]) -> Result<Vec<Status>> {
        settle(&self.retry, writes, |open| self.batch_write(target, open)).await
    }

    /// Creates each document that does not exist yet, as [`write_each`](Self::write_each) does.
    pub async fn create_batch(&self, target: &str, writes: &[Write]) -> Result<Created> {
        let mut outcome = Created::default();
        let statuses = self.write_each(target, writes).await?;
        for (index, (status, write)) in statuses.into_iter().zip(writes).enumerate() {
            match status.code() {
                Code::Ok => outcome.created += 1,
                Code::AlreadyExists => outcome.existing += 1,
                code if is_transient(code) => {
                    return Err(Error::rpc("creating", name_of(write), status));
                }
                _ => outcome.refused.push((index, status)),
            }
        }
        Ok(outcome)
    }

    /// Deletes each document whose precondition holds, as [`write_each`](Self::write_each) does,
    /// and says how many those were.
    pub async fn delete_batch(&self, target: &str, writes: &[Write]) -> Result<u64> {
        let mut deleted = 0;
        for status in self.write_each(target, writes).await? {
            match status.code() {
                Code::Ok => deleted += 1,
                Code::NotFound | Code::FailedPrecondition => {}
                _ => return Err(Error::rpc("deleting from", target, status)),
            }
        }
        Ok(deleted)
    }
}

/// Sends writes until each has a status that lasts, or attempts are used up. Each time only those
/// are sent that failed for the moment.
async fn settle<'a, W, F>(
    retry: &Retry,
    writes: &'a [W],
    send: impl Fn(Vec<&'a W>) -> F,
) -> Result<Vec<Status>>
where
    F: Future<Output = Result<Vec<Status>>>,
{
    if writes.is_empty() {
        return Ok(Vec::new());
    }
    let mut statuses = send(writes.iter().collect()).await?;
    for round in 1..MAX_ROUNDS {
        let (open, again): (Vec<_>, Vec<_>) = statuses
            .iter_mut()
            .zip(writes)
            .filter(|(status, _)| is_transient(status.code()))
            .unzip();
        if open.is_empty() {
            break;
        }
        retry.wait(round).await;
        for (status, now) in open.into_iter().zip(send(again).await?) {
            *status = now;
        }
    }
    Ok(statuses)
}

fn name_of(write: &Write) -> &str {
    match &write.operation {
        Some(Operation::Update(document)) => &document.name,
        _ => "a document",
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::ready;

    use super::*;

    /// How writes 0 to 5 end if `status` tells for each attempt what becomes of a write, and what
    /// was sent at each attempt.
    async fn sent(status: impl Fn(usize, u8) -> Status) -> (Vec<Code>, Vec<Vec<u8>>) {
        let attempts = RefCell::new(Vec::new());
        let send = |open: Vec<&u8>| {
            let open: Vec<u8> = open.into_iter().copied().collect();
            attempts.borrow_mut().push(open.clone());
            let attempt = attempts.borrow().len();
            ready(Ok(open.into_iter().map(|write| status(attempt, write)).collect()))
        };
        let statuses = settle(&Retry::default(), &[0, 1, 2, 3, 4, 5], send).await.unwrap();
        (statuses.iter().map(Status::code).collect(), attempts.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_failed_for_the_moment_is_sent_again() {
        let (codes, attempts) = sent(|attempt, write| match (attempt, write) {
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
    async fn what_goes_on_failing_is_told_after_the_last_attempt() {
        let (codes, attempts) = sent(|_, write| match write {
            4 => Status::unavailable("no"),
            _ => Status::new(Code::Ok, ""),
        })
        .await;
        assert_eq!(attempts.len(), MAX_ROUNDS as usize);
        assert_eq!((codes[3], codes[4]), (Code::Ok, Code::Unavailable));
    }
}
