//! A local Firestore in this process, with a clock that the benchmark sets and a meter of the bill.

use f0_learning::store::Store;
use firestore_kit::Connection;
use firestore_local::{Clock, Running};
use tempfile::TempDir;

use crate::Result;
use crate::cost::Cost;
use crate::time::Time;
use crate::worker::{Job, Worker};

pub struct World {
    pub time: Time,
    pub store: Store,
    server: Running,
    archive: TempDir,
}

impl World {
    pub async fn at(ms: i64) -> Result<Self> {
        let time = Time::at(ms);
        let clock = time.clone();
        let clock = Clock::from_micros(move || clock.now() * 1_000);
        let server = firestore_local::Server::builder().clock(clock).start().await?;
        let store = Store::connect(&Connection::local("demo-world", server.addr())).await?;
        store.seed(ms).await?;
        Ok(Self { time, store, server, archive: tempfile::tempdir()? })
    }

    pub fn worker(&self, leased: bool, retention_days: u32) -> Result<Worker> {
        Worker::new(&self.store, &self.time, leased, self.archive.path(), retention_days)
    }

    pub fn billed(&self) -> Cost {
        self.server.meter().total.into()
    }

    /// The bill of the lease of one pass, and of the pass itself.
    pub async fn pass(&self, worker: &mut Worker, job: Job) -> Result<(Cost, Cost)> {
        let before = self.billed();
        worker.hold(job).await?;
        let held = self.billed();
        let report = worker.pass(job).await?;
        let done = self.billed();
        eprintln!("  {}: {report}: {}", job.name(), done - held);
        Ok((held - before, done - held))
    }

    pub async fn end(self) {
        self.server.shutdown().await;
    }
}
