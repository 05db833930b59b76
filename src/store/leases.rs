//! `ops_state/lease|{work}`: who does a piece of work for now, so that replicas do not do it
//! twice; and `ops_state/worker|{name}`: which replicas there are, so that they can share.
//!
//! Nothing that is counted or decided depends on a lease being right: a worker that believes in
//! one that has run out only works in vain, because whatever it commits carries the
//! preconditions of the state that it read.

use firestore_kit::Timestamp;
use firestore_kit::proto::Document;
use firestore_kit::tonic::Code;

use crate::store::{Result, StoreError};
use crate::store::{Store, collection::STATE};
use firestore_kit::Query;
use firestore_kit::value;
use firestore_kit::{MAX_BATCH, write};

/// A stored lease.
#[derive(Clone, Debug, PartialEq)]
pub struct Lease {
    pub holder: String,
    /// When it runs out, in epoch milliseconds.
    pub until: i64,
    /// Rises with every change of hands: of two that both believe to hold it, the higher does.
    pub fence: i64,
    seen: Option<Timestamp>,
}

/// A worker that has said that it is there.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerAnnouncement {
    pub worker: String,
    /// Until when, in epoch milliseconds.
    pub until: i64,
    seen: Option<Timestamp>,
}

fn lease_id(work: &str) -> String {
    format!("lease|{work}")
}

fn worker_id(worker: &str) -> String {
    format!("worker|{worker}")
}

impl Store {
    /// Who holds the lease of `work`; nobody where it was never taken.
    pub async fn lease(&self, work: &str) -> Result<Option<Lease>> {
        let document = self.db.get(STATE, &lease_id(work)).await?;
        document.as_ref().map(decode).transpose()
    }

    /// Takes or renews a lease that was read as `current`.
    ///
    /// # Errors
    /// A conflict where somebody else was first.
    pub async fn take_lease(
        &self,
        work: &str,
        current: Option<&Lease>,
        holder: &str,
        until: i64,
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
        ]);
        let id = lease_id(work);
        let seen = current.and_then(|lease| lease.seen);
        let writes = vec![write::set_if_unchanged(self.db.name(STATE, &id), fields, seen)];
        let answer = self.db.commit(&format!("{STATE}/{id}"), writes, None).await?;
        let seen = write::update_time(&answer, 0);
        Ok(Lease { holder: holder.to_owned(), until, fence, seen })
    }

    /// Says that this worker is there until `until`.
    pub async fn announce_worker(&self, worker: &str, until: i64) -> Result<()> {
        let name = self.db.name(STATE, &worker_id(worker));
        let fields =
            value::fields([("worker", value::string(worker)), ("workerUntil", value::int(until))]);
        let target = format!("{STATE}/worker");
        let statuses = self.db.write_each(&target, &[write::set(name, fields)]).await?;
        match statuses.into_iter().find(|status| status.code() != Code::Ok) {
            Some(status) => Err(StoreError::rpc("writing to", target, status)),
            None => Ok(()),
        }
    }

    /// Takes a worker's announcement back.
    pub async fn forget_worker(&self, worker: &str) -> Result<()> {
        let name = self.db.name(STATE, &worker_id(worker));
        self.db.delete_batch(STATE, &[write::delete(name)]).await?;
        Ok(())
    }

    /// Takes announcements of others back, each only if it is still as it was read.
    pub async fn forget_workers(&self, workers: &[&WorkerAnnouncement]) -> Result<()> {
        for some in workers.chunks(MAX_BATCH) {
            let delete = |announced: &&WorkerAnnouncement| {
                let name = self.db.name(STATE, &worker_id(&announced.worker));
                announced.seen.map(|seen| write::delete_if_unchanged(name, seen))
            };
            let writes: Vec<_> = some.iter().filter_map(delete).collect();
            self.db.delete_batch(STATE, &writes).await?;
        }
        Ok(())
    }

    /// The workers that have announced themselves, those whose announcement ran out included.
    pub async fn workers(&self) -> Result<Vec<WorkerAnnouncement>> {
        let query = Query::of(STATE).ascending("workerUntil").build();
        let documents = self.db.query_all("ops_state by workerUntil", query).await?;
        let announced = |document: &Document| {
            let worker = value::as_str(&document.fields, "worker")?;
            let until = value::as_int(&document.fields, "workerUntil")?;
            Some(WorkerAnnouncement { worker, until, seen: document.update_time })
        };
        Ok(documents.iter().filter_map(announced).collect())
    }
}

fn decode(document: &Document) -> Result<Lease> {
    let fields = &document.fields;
    let holder = value::as_str(fields, "holder");
    let (until, fence) = (value::as_int(fields, "until"), value::as_int(fields, "fence"));
    match (holder, until, fence) {
        (Some(holder), Some(until), Some(fence)) => {
            Ok(Lease { holder, until, fence, seen: document.update_time })
        }
        _ => {
            let path = format!("{STATE}/{}", value::document_id(document));
            Err(StoreError::decode(path, "a lease", "it lacks holder, until or fence"))
        }
    }
}
