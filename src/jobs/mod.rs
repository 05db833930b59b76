//! The jobs: each is a pass over stored state, run by a timer, from the CLI or by a test.
//!
//! A pass takes nothing but what is stored and the time. It may be repeated, interrupted at any
//! point, and run in several processes at once.
//!
//! A new job needs:
//!
//! 1. a module here, with a type that implements [`Job`] and a report that implements
//!    [`JobReport`];
//! 2. a variant of [`JobName`], with its schedule, its purpose and its [`LeaseScope`];
//! 3. a line where the jobs are built: `worker.add(..)` in `cli::serve`, and in `cli::dev` if it
//!    runs there.
//!
//! The rest follows from the name: the flag and the environment variable of its schedule, its
//! lease, its field in the log and its label in the metrics.

pub mod check;
mod commit;
pub mod guard;
pub mod leases;
mod limits;
pub mod measure;
mod name;
pub mod notify;
pub mod preview;
pub mod rebuild;
pub mod reconcile;
pub mod rejected;
pub mod retain;
pub mod scheduler;
pub mod score;
mod time;
pub mod tune;

use std::fmt::Display;

use tokio_util::sync::CancellationToken;
use tracing::Level;

use crate::observability::health::Health;
use crate::store::StoreError;
use leases::Leases;
pub use name::{JobName, LeaseScope};
pub use time::{Implausible, Time, TimeError};

/// A job that the [scheduler](scheduler::Worker) can run.
pub trait Job: Send + 'static {
    const NAME: JobName;
    type Report: JobReport;
    type Error: JobError;

    /// Runs one pass, as deep as is due.
    fn run(
        &mut self,
        context: &PassContext,
    ) -> impl Future<Output = Result<Self::Report, Self::Error>> + Send;

    /// Hands over the leases of a job whose scope is [`LeaseScope::Shards`].
    fn use_leases(&mut self, _leases: Leases) {}

    /// Releases what other workers wait for. No pass follows.
    fn end(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// What every pass gets.
#[derive(Clone, Debug)]
pub struct PassContext {
    /// When the pass begins, in epoch milliseconds, by Firestore's clock (see [`Time`]).
    pub now: i64,
    /// Cancelled at shutdown. A pass then ends at the next point from which another can continue.
    pub stop: CancellationToken,
}

/// What a pass did. Its `Display` is what the CLI prints.
pub trait JobReport: Display + Send {
    /// What the pass did, in one line.
    fn summary(&self) -> String {
        self.to_string().lines().next().unwrap_or_default().to_owned()
    }

    /// What a person should know beyond the summary.
    fn log_lines(&self) -> Vec<LogLine>;

    /// Adds what the report counts to the metrics, and to what `/readyz` shows.
    fn observe(&self, _health: &Health) {}

    /// Another worker runs the job: what this process last observed is out of date.
    fn forget(_health: &Health) {}
}

/// A line in the log of a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    pub level: Level,
    /// The policy that the line is about; a field of its own in the log.
    pub policy: Option<String>,
    pub text: String,
}

impl LogLine {
    pub fn new(level: Level, text: &dyn Display) -> Self {
        Self { level, policy: None, text: text.to_string() }
    }
}

/// Why a pass failed.
pub trait JobError: Display + From<StoreError> + Send {
    /// Whether the service is unready until a pass succeeds.
    fn makes_unready(&self) -> bool {
        true
    }
}

impl JobError for StoreError {}

/// The failure of a job that only reports. It is counted and logged, and the service stays ready.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ReportingError(#[from] StoreError);

impl JobError for ReportingError {
    fn makes_unready(&self) -> bool {
        false
    }
}
