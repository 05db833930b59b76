//! The retain job: writes old documents to the archive, and only then deletes them from Firestore.
//!
//! A file is written in steps, each of which may be repeated:
//!
//! 1. the documents are written to a staged file with a name of its own, which is read back;
//! 2. the staged file is committed to `ops_state/retention`;
//! 3. the file is put in its place, with its manifest, and read back from there;
//! 4. its documents are deleted, each only if it is still as it is in the file.
//!
//! A worker that finds a file in `ops_state/retention` continues with step 3. Of two workers at
//! once, one is refused at the commit, and discards its staged file.
//!
//! Statistics need no retention: a series drops observations that have left the longest window.

mod table;

use f0_learning_core::plural::count;
use f0_learning_core::time::DAY_MS;
use std::fmt;

use chrono::DateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use table::{archive_table, archived_documents};

use super::commit::{Commit, MAX_ATTEMPTS, commit_or_reread};
use super::reconcile::{ReconcileJob, ReconcileOptions};
use super::{Job, JobError, JobName, JobReport, LogLine, PassContext};
use crate::archive::{Archive, ArchiveError, File};
use crate::store::{Archived, OldDocuments, Part, PendingFile, RetentionState, Store, StoreError};

/// How the job works.
#[derive(Clone, Copy, Debug)]
pub struct RetainOptions {
    /// Days that documents are kept in Firestore, by their `ts`. At least 8: the longest window
    /// of the statistics must be over.
    pub days: u32,
    /// The most documents in a file, and the bytes of a file after which it gets no further part. A
    /// file is in memory as a whole while it is written and verified.
    pub file_documents: usize,
    pub file_bytes: usize,
}

impl Default for RetainOptions {
    fn default() -> Self {
        Self { days: 30, file_documents: 50_000, file_bytes: 12 << 20 }
    }
}

/// The bytes of memory after which the documents that were read become a part of the file.
const PART_BYTES: usize = 8 << 20;

/// The most bytes of the ids of a file's documents, which are in memory as a whole.
const ID_BYTES: usize = 8 << 20;

/// The fewest days that documents are kept.
pub use crate::store::MIN_KEPT_DAYS as MIN_DAYS;

/// Documents read at a time.
const PAGE: usize = 1_000;

#[derive(Debug, thiserror::Error)]
pub enum RetainError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

impl JobError for RetainError {
    /// A failing archive does not affect the other jobs.
    fn makes_unready(&self) -> bool {
        matches!(self, Self::Store(_))
    }
}

/// What a pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetainReport {
    pub files: u64,
    pub archived: u64,
    pub deleted: u64,
    /// Scoring has not reached the cutoff; nothing was archived.
    pub waiting: bool,
    pub interrupted: bool,
}

impl JobReport for RetainReport {
    fn log_lines(&self) -> Vec<LogLine> {
        Vec::new()
    }
}

impl fmt::Display for RetainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.waiting {
            return f.write_str("nothing archived: scoring has not reached the cutoff");
        }
        let Self { files, archived, deleted, .. } = self;
        let (archived, files) = (count(archived, "document"), count(files, "file"));
        write!(f, "{archived} archived in {files}, {deleted} deleted")?;
        if self.interrupted {
            f.write_str("; interrupted, the next pass continues")
        } else {
            Ok(())
        }
    }
}

#[derive(Debug)]
pub struct RetainJob {
    store: Store,
    archive: Archive,
    options: RetainOptions,
    reconcile: ReconcileJob,
}

impl Job for RetainJob {
    const NAME: JobName = JobName::Retain;
    type Report = RetainReport;
    type Error = RetainError;

    async fn run(&mut self, context: &PassContext) -> Result<RetainReport, RetainError> {
        self.pass(context.now, &context.stop).await
    }
}

impl RetainJob {
    pub fn new(store: Store, archive: Archive, options: RetainOptions) -> Self {
        let reconcile = ReconcileJob::new(store.clone(), ReconcileOptions::default());
        Self { store, archive, options, reconcile }
    }

    /// Archives and deletes documents that are older than the days to keep, in whole days (UTC).
    ///
    /// # Errors
    /// What Firestore or the archive refused. The next pass continues from the stored state.
    pub async fn pass(
        &mut self,
        now: i64,
        stop: &CancellationToken,
    ) -> Result<RetainReport, RetainError> {
        let mut report = RetainReport::default();
        let kept = i64::from(self.options.days.max(MIN_DAYS)) * DAY_MS;
        let before = (now - kept).div_euclid(DAY_MS) * DAY_MS;
        let mut state = self.store.retention_state().await?;
        if let Some(pending) = state.pending.clone() {
            state = self.finish(&state, &pending, &mut report).await?;
        }
        // Every observation must have its reward before it is archived, even a late one.
        if !self.reconcile.settle_before(before, now, stop).await? {
            report.waiting = true;
            return Ok(report);
        }
        for archived in Archived::ALL {
            for part in self.store.parts(archived).await? {
                loop {
                    if stop.is_cancelled() {
                        report.interrupted = true;
                        return Ok(report);
                    }
                    let (file, first) = self.read(archived, part, before).await?;
                    let Some(first) = first else { break };
                    state = match self.archive_before(state, before).await? {
                        Some(state) => state,
                        None => return Ok(report),
                    };
                    let pending = self.stage(archived, file, first, state.sequence).await?;
                    state = match self.announce(&state, &pending).await? {
                        Some(state) => state,
                        None => return Ok(report),
                    };
                    report.archived += pending.manifest.count;
                    state = self.finish(&state, &pending, &mut report).await?;
                }
            }
        }
        Ok(report)
    }

    /// Stores how far documents are archived, before the first of them is deleted; `None` where another
    /// worker archives.
    async fn archive_before(
        &self,
        state: RetentionState,
        before: i64,
    ) -> Result<Option<RetentionState>, RetainError> {
        let mut attempt = 1;
        loop {
            let commit = self.store.archive_before(&state, before);
            let (stored, error) =
                match commit_or_reread(commit, self.store.retention_state()).await? {
                    Commit::Applied(state) => return Ok(Some(state)),
                    Commit::Unknown { stored, error } => (stored, error),
                };
            if stored.sequence != state.sequence {
                tracing::info!("another worker archives; leaving the work to it");
                return Ok(None);
            }
            // Reconciliation has stored its state meanwhile.
            if attempt == MAX_ATTEMPTS {
                return Err(error.into());
            }
            self.store.pause(attempt).await;
            attempt += 1;
        }
    }

    /// A file with the oldest documents of a part, of one day, and the `ts` of the first one.
    async fn read(
        &self,
        archived: Archived,
        part: Part,
        before: i64,
    ) -> Result<(File, Option<i64>), RetainError> {
        let mut documents = OldDocuments::default();
        let (mut file, mut first) = (File::default(), None);
        let mut end = before;
        loop {
            let more = self.store.read_old(archived, part, end, &mut documents, PAGE).await?;
            if first.is_none() {
                first = documents.first_ts();
                end = first.map_or(end, |first| (first.div_euclid(DAY_MS) + 1) * DAY_MS);
            }
            let cut = documents.cut_at(end);
            let rows = file.keys().len() + documents.len();
            let full = rows >= self.options.file_documents || documents.id_bytes >= ID_BYTES;
            let is_last = !more || cut || full;
            if !documents.is_empty() && (is_last || documents.bytes >= PART_BYTES) {
                let part = file.add(archive_table(archived, &documents));
                part.map_err(|error| ArchiveError::Differs {
                    path: format!("a file of {}", archived.as_str()),
                    detail: error.to_string(),
                })?;
                documents.end_part();
            }
            if is_last || file.bytes() >= self.options.file_bytes {
                return Ok((file, first));
            }
        }
    }

    async fn stage(
        &self,
        archived: Archived,
        file: File,
        first: i64,
        sequence: i64,
    ) -> Result<PendingFile, RetainError> {
        let day = DateTime::from_timestamp_millis(first).unwrap_or_default().format("%Y-%m-%d");
        let collection = archived.as_str();
        let path = format!("{collection}/day={day}/part-{:08}.parquet", sequence + 1);
        #[expect(clippy::disallowed_methods, reason = "the name of a staged file decides nothing")]
        let staging = format!("staging/{}", Uuid::new_v4());
        let manifest = self.archive.stage(file, &staging, &path).await?;
        Ok(PendingFile { archived, staging, manifest })
    }

    /// Commits that a file is staged; `None` where another worker has committed another file.
    async fn announce(
        &self,
        state: &RetentionState,
        pending: &PendingFile,
    ) -> Result<Option<RetentionState>, RetainError> {
        let mut attempt = 1;
        loop {
            let commit = self.store.commit_retention(state, Some(pending.clone()));
            let reread = self.store.retention_state();
            let (stored, error) = match commit_or_reread(commit, reread).await? {
                Commit::Applied(state) => return Ok(Some(state)),
                Commit::Unknown { stored, error } => (stored, error),
            };
            if stored.pending.as_ref() == Some(pending) {
                return Ok(Some(stored));
            }
            if stored.sequence != state.sequence {
                break;
            }
            // The commit may still be on its way, and then needs its staged file. A refused one is not:
            // another worker counted meanwhile.
            if !error.is_conflict() || attempt == MAX_ATTEMPTS {
                return Err(error.into());
            }
            self.store.pause(attempt).await;
            attempt += 1;
        }
        self.archive.discard(&pending.staging).await?;
        tracing::info!("another worker archives; leaving the work to it");
        Ok(None)
    }

    /// Puts a staged file in its place, deletes its documents, and removes it from the stored state.
    async fn finish(
        &self,
        state: &RetentionState,
        pending: &PendingFile,
        report: &mut RetainReport,
    ) -> Result<RetentionState, RetainError> {
        let keys = self.archive.settle(&pending.staging, &pending.manifest).await?;
        if pending.archived == Archived::Quarantine {
            report.deleted += self.store.delete_quarantined(&keys).await?;
        }
        report.deleted += self.store.delete_archived(pending.archived, &keys).await?;
        let commit = self.store.commit_retention(state, None);
        let next = match commit_or_reread(commit, self.store.retention_state()).await? {
            Commit::Applied(next) => next,
            Commit::Unknown { stored, error } if stored.pending.as_ref() == Some(pending) => {
                return Err(error.into());
            }
            Commit::Unknown { stored, .. } => stored,
        };
        self.archive.discard(&pending.staging).await?;
        report.files += 1;
        Ok(next)
    }
}
