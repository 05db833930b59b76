//! The buffered recorder: a bounded queue in front of one task that writes batches.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use f0_learning_core::Clock;
use f0_learning_core::sampling::SamplingPolicy;
use f0_learning_core::sharding::shard_of;
use firestore_kit::{Db, MAX_BATCH};
use serde_json::{Map, Value as Json};
use tokio::sync::mpsc::{self, Receiver, Sender, error::TrySendError};
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;

use crate::observation::{NewObservation, RecordError, create_observations};
use crate::random;

/// What to do with an observation when the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// `record` waits for room: no observation is lost, and the component slows down.
    Wait,
    /// The observation is dropped and counted: the component never waits.
    Drop,
}

#[derive(Clone, Debug)]
pub struct RecorderOptions {
    /// By default, a tenth of the successes. A component whose policy is tuned or tested should keep
    /// all ([`SamplingPolicy::KEEP_ALL`]): `minSampleRate` in `config/tuning` is 1 by default.
    pub sampling: SamplingPolicy,
    /// The most observations in memory, without the batch that is being written.
    pub queue: usize,
    /// The most observations in one write.
    pub batch: usize,
    /// The longest time that an observation waits for its batch to fill.
    pub linger: Duration,
    pub when_full: WhenFull,
    /// The `shards` of `config/scoring`, by which each observation gets the shard of its id; 0 if
    /// sharding is off.
    pub shards: u32,
}

impl Default for RecorderOptions {
    fn default() -> Self {
        Self {
            sampling: SamplingPolicy::default(),
            queue: 10_000,
            batch: MAX_BATCH,
            linger: Duration::from_millis(500),
            when_full: WhenFull::Wait,
            shards: 0,
        }
    }
}

/// The outcomes of the observations that were passed to a recorder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecorderReport {
    /// Documents written, or already stored under the same id.
    pub written: u64,
    /// Left out by sampling; the sample rate of the written ones accounts for them.
    pub sampled_out: u64,
    /// Dropped because the queue was full.
    pub dropped: u64,
    /// Lost because Firestore refused the write or could not be reached.
    pub failed: u64,
}

#[derive(Debug, Default)]
struct Counters {
    written: AtomicU64,
    sampled_out: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

impl Counters {
    fn report(&self) -> RecorderReport {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RecorderReport {
            written: read(&self.written),
            sampled_out: read(&self.sampled_out),
            dropped: read(&self.dropped),
            failed: read(&self.failed),
        }
    }
}

type Document = Map<String, Json>;

/// Records observations from any number of tasks and writes them in batches; share it in an [`Arc`].
/// Call [`close`](Self::close) before the process ends, to write the observations that are queued.
#[derive(Debug)]
pub struct Recorder {
    queue: Sender<Document>,
    closing: Arc<Notify>,
    writer: Mutex<Option<JoinHandle<()>>>,
    counters: Arc<Counters>,
    options: RecorderOptions,
    clock: Clock,
}

impl Recorder {
    /// Starts the task that writes; requires a Tokio runtime.
    pub fn start(db: Db, options: RecorderOptions, clock: Clock) -> Self {
        let (queue, documents) = mpsc::channel(options.queue.max(1));
        let counters = Arc::new(Counters::default());
        let closing = Arc::new(Notify::new());
        let writer = Writer {
            db,
            documents,
            closing: closing.clone(),
            counters: counters.clone(),
            batch: options.batch.clamp(1, MAX_BATCH),
            linger: options.linger,
        };
        let writer = Mutex::new(Some(tokio::spawn(writer.run())));
        Self { queue, closing, writer, counters, options, clock }
    }

    /// Samples the observation and queues it. Returns whether it was queued: `false` if sampling left
    /// it out or a full queue dropped it.
    ///
    /// # Errors
    /// [`RecordError::Invalid`] if scoring would reject it; [`RecordError::Id`] if Firestore does not
    /// accept its id; [`RecordError::Closed`] after [`close`](Self::close).
    pub async fn record(&self, observation: NewObservation) -> Result<bool, RecordError> {
        let Some(document) = self.prepare(observation)? else { return Ok(false) };
        match self.options.when_full {
            WhenFull::Wait => {
                self.queue.send(document).await.map_err(|_| RecordError::Closed)?;
            }
            WhenFull::Drop => match self.queue.try_send(document) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => {
                    self.counters.dropped.fetch_add(1, Ordering::Relaxed);
                    return Ok(false);
                }
                Err(TrySendError::Closed(_)) => return Err(RecordError::Closed),
            },
        }
        Ok(true)
    }

    fn prepare(&self, mut observation: NewObservation) -> Result<Option<Document>, RecordError> {
        // A component that samples by itself sets the rate; sampling twice would multiply the rates.
        if observation.sample_rate.is_none() {
            let sampling = &self.options.sampling;
            match sampling.decide(observation.outcome, random::uniform()) {
                Some(rate) => observation.sample_rate = (rate < 1.0).then_some(rate),
                None => {
                    self.counters.sampled_out.fetch_add(1, Ordering::Relaxed);
                    return Ok(None);
                }
            }
        }
        if observation.shard.is_none() && self.options.shards > 0 {
            let id = observation.id.get_or_insert_with(random::id);
            observation.shard = shard_of(id, self.options.shards);
        }
        Ok(Some(observation.document(self.clock.now())?))
    }

    /// The outcomes so far.
    pub fn report(&self) -> RecorderReport {
        self.counters.report()
    }

    /// Accepts no more observations, writes the queued ones and returns the outcomes of all.
    pub async fn close(&self) -> RecorderReport {
        self.closing.notify_one();
        let mut writer = self.writer.lock().await;
        if let Some(task) = writer.take()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the recorder's task ended early");
        }
        self.counters.report()
    }
}

struct Writer {
    db: Db,
    documents: Receiver<Document>,
    closing: Arc<Notify>,
    counters: Arc<Counters>,
    batch: usize,
    linger: Duration,
}

impl Writer {
    async fn run(mut self) {
        while let Some(first) = self.next().await {
            let mut batch = vec![first];
            let linger = tokio::time::sleep(self.linger);
            tokio::pin!(linger);
            while batch.len() < self.batch {
                tokio::select! {
                    next = self.next() => match next {
                        Some(document) => batch.push(document),
                        None => break,
                    },
                    () = &mut linger => break,
                }
            }
            self.write(batch).await;
        }
    }

    /// The next observation; `None` once the recorder is closed and the queue is empty.
    async fn next(&mut self) -> Option<Document> {
        loop {
            tokio::select! {
                biased;
                () = self.closing.notified() => self.documents.close(),
                document = self.documents.recv() => return document,
            }
        }
    }

    async fn write(&self, mut batch: Vec<Document>) {
        let count = batch.len() as u64;
        // Firestore refuses a whole batch in which an id occurs twice; the first one counts.
        let mut ids = HashSet::new();
        batch.retain(|document| ids.insert(document.get("id").cloned()));
        match create_observations(&self.db, &batch).await {
            Ok(created) => {
                let refused = created.refused.len() as u64;
                self.counters.written.fetch_add(count - refused, Ordering::Relaxed);
                self.counters.failed.fetch_add(refused, Ordering::Relaxed);
                if let Some((_, status)) = created.refused.first() {
                    tracing::error!(refused, %status, "Firestore refused observations; they are lost");
                }
            }
            Err(error) => {
                self.counters.failed.fetch_add(count, Ordering::Relaxed);
                tracing::error!(count, %error, "cannot write observations; they are lost");
            }
        }
    }
}
