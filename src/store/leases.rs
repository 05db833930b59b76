//! `ops_state/lease|{work}`: which worker does a piece of work, so that replicas do not do it twice;
//! and `ops_state/worker|{name}`: which workers exist, so that they can divide the work.
//!
//! No count and no decision depends on a lease: a worker that relies on an expired one only wastes
//! its work, because its commits carry the preconditions of the state that it read.

use firestore_kit::Timestamp;
use firestore_kit::proto::Document;
use firestore_kit::tonic::Code;

use crate::store::{Result, StoreError};
use crate::store::{Store, collection::STATE};
use firestore_kit::Query;
use firestore_kit::value;
use firestore_kit::{MAX_BATCH, write};

/// The longest that a lease or an announcement lasts, in milliseconds, and how long one lasts that does
/// not say (earlier versions stored no length).
const MAX_LENGTH_MS: i64 = 3_600_000;

/// A stored lease.
#[derive(Clone, Debug, PartialEq)]
pub struct Lease {
    pub holder: String,
    /// When it expires, in epoch milliseconds: at most its length after Firestore stored it.
    pub until: i64,
    /// Rises with every change of the holder: of two workers that believe to hold the lease, the one
    /// with the higher number does.
    pub fence: i64,
    update_time: Option<Timestamp>,
}

/// The announcement of a worker that it is running.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerAnnouncement {
    pub worker: String,
    /// When it expires, in epoch milliseconds: at most its length after Firestore stored it.
    pub until: i64,
    update_time: Option<Timestamp>,
}

fn lease_id(work: &str) -> String {
    format!("lease|{work}")
}

/// The end of a lease that says that it lasts until `until`. Firestore's clock sets the update time, so
/// that no clock of a worker can make a lease last longer than its length.
fn end_of(document: &Document, until: i64) -> i64 {
    let length = value::as_millis(&document.fields, "lengthMs");
    let length = length.filter(|it| (1..=MAX_LENGTH_MS).contains(it)).unwrap_or(MAX_LENGTH_MS);
    let stored = document.update_time.as_ref().map(value::epoch_millis);
    stored.map_or(until, |it| until.min(it.saturating_add(length)))
}

fn worker_id(worker: &str) -> String {
    format!("worker|{worker}")
}

impl Store {
    /// The lease of `work`; `None` if it was never taken.
    pub async fn lease(&self, work: &str) -> Result<Option<Lease>> {
        let document = self.db.get(STATE, &lease_id(work)).await?;
        Ok(document.as_ref().map(decode))
    }

    /// Takes or renews a lease that was read as `current`. It lasts `length_ms` milliseconds.
    ///
    /// # Errors
    /// A conflict if another worker was first.
    pub async fn take_lease(
        &self,
        work: &str,
        current: Option<&Lease>,
        holder: &str,
        until: i64,
        length_ms: i64,
    ) -> Result<Lease> {
        let fence = match current {
            Some(lease) if lease.holder == holder => lease.fence,
            Some(lease) => lease.fence + 1,
            None => 1,
        };
        let fields = value::fields([
            ("holder", value::string(holder)),
            ("until", value::int(until)),
            ("fence", value::int(fence)),
            ("lengthMs", value::int(length_ms)),
        ]);
        let id = lease_id(work);
        let update_time = current.and_then(|lease| lease.update_time);
        let writes = vec![write::set_if_unchanged(self.db.name(STATE, &id), fields, update_time)];
        let response = self.db.commit(&format!("{STATE}/{id}"), writes).await?;
        let update_time = write::update_time(&response, 0);
        Ok(Lease { holder: holder.to_owned(), until, fence, update_time })
    }

    /// Announces that this worker is running until `until`, `length_ms` milliseconds from now.
    pub async fn announce_worker(&self, worker: &str, until: i64, length_ms: i64) -> Result<()> {
        let name = self.db.name(STATE, &worker_id(worker));
        let fields = value::fields([
            ("worker", value::string(worker)),
            ("workerUntil", value::int(until)),
            ("lengthMs", value::int(length_ms)),
        ]);
        let target = format!("{STATE}/worker");
        let statuses = self.db.write_each(&target, &[write::set(name, fields)]).await?;
        match statuses.into_iter().find(|status| status.code() != Code::Ok) {
            Some(status) => Err(StoreError::rpc("write to", target, status)),
            None => Ok(()),
        }
    }

    /// Removes a worker's announcement.
    pub async fn forget_worker(&self, worker: &str) -> Result<()> {
        let name = self.db.name(STATE, &worker_id(worker));
        self.db.delete_batch(STATE, &[write::delete(name)]).await?;
        Ok(())
    }

    /// Removes the announcements of other workers, each only if it is unchanged since it was read.
    pub async fn forget_workers(&self, workers: &[&WorkerAnnouncement]) -> Result<()> {
        for batch in workers.chunks(MAX_BATCH) {
            let delete = |announced: &&WorkerAnnouncement| {
                let name = self.db.name(STATE, &worker_id(&announced.worker));
                announced.update_time.map(|time| write::delete_if_unchanged(name, time))
            };
            let writes: Vec<_> = batch.iter().filter_map(delete).collect();
            self.db.delete_batch(STATE, &writes).await?;
        }
        Ok(())
    }

    /// All announcements of workers, including those that have expired.
    pub async fn workers(&self) -> Result<Vec<WorkerAnnouncement>> {
        let query = Query::of(STATE).ascending("workerUntil").build();
        let documents = self.db.query_all("ops_state by workerUntil", query).await?;
        let announced = |document: &Document| {
            let worker = value::as_str(&document.fields, "worker")?;
            let until = end_of(document, value::as_millis(&document.fields, "workerUntil")?);
            Some(WorkerAnnouncement { worker, until, update_time: document.update_time })
        };
        Ok(documents.iter().filter_map(announced).collect())
    }
}

/// A lease that cannot be read has expired: nothing depends on a lease, and refusing it would stop the
/// work for ever.
fn decode(document: &Document) -> Lease {
    let fields = &document.fields;
    let holder = value::as_str(fields, "holder");
    let (until, fence) = (value::as_millis(fields, "until"), value::as_whole(fields, "fence"));
    let update_time = document.update_time;
    match (holder, until, fence) {
        (Some(holder), Some(until), Some(fence)) => {
            Lease { holder, until: end_of(document, until), fence, update_time }
        }
        (_, _, fence) => {
            let lease = value::document_id(document);
            tracing::warn!(lease, "holder, until or fence cannot be read: the lease has expired");
            Lease { holder: String::new(), until: 0, fence: fence.unwrap_or(0), update_time }
        }
    }
}
