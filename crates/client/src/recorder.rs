//! The buffered recorder: a bounded queue in front of one task that writes batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use f0_learning_core::Clock;
use f0_learning_core::sampling::SamplingPolicy;
use f0_learning_core::sharding::shard_of;
use firestore_kit::{Db, MAX_BATCH};
use serde_json::{Map, Value as Json};
use tokio::sync::mpsc::{self, Receiver, Sender, error::TrySendError};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::observation::{NewObservation, RecordError, create_observations};

/// What to do with an observation when the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// `record` waits for room: nothing is lost, and the component slows down.
    Wait,
    /// The observation is dropped and counted: the component never waits.
    Drop,
}

#[derive(Clone, Debug)]
pub struct RecorderOptions {
    pub sampling: SamplingPolicy,
    /// Observations held in memory at most, besides the batch being written.
    pub queue: usize,
    /// Observations in one write.
    pub batch: usize,
    /// Longest time an observation waits for its batch to fill.
    pub linger: Duration,
    pub when_full: WhenFull,
    /// How many shards `config/scoring` asks for; 0 where sharding is off. Each observation then
    /// carries the shard of its id.
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

/// What became of the observations given to a recorder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecorderReport {
    /// Documents written.
    pub written: u64,
    /// Left out by sampling; the weights of those written stand for them.
    pub sampled_out: u64,
    /// Dropped because the queue was full.
    pub dropped: u64,
    /// Lost because Firestore refused the write or stayed out of reach.
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

/// Takes observations from any number of tasks and writes them in batches. Call
/// [`close`](Self::close) before the process ends: it writes what is still queued.
#[derive(Debug)]
pub struct Recorder {
    queue: Sender<Document>,
    writer: JoinHandle<()>,
    counters: Arc<Counters>,
    options: RecorderOptions,
    clock: Clock,
}

impl Recorder {
    pub fn start(db: Db, options: RecorderOptions, clock: Clock) -> Self {
        let (queue, documents) = mpsc::channel(options.queue.max(1));
        let counters = Arc::new(Counters::default());
        let writer = Writer {
            db,
            documents,
            counters: counters.clone(),
            batch: options.batch.clamp(1, MAX_BATCH),
            linger: options.linger,
        };
        let writer = tokio::spawn(writer.run());
        Self { queue, writer, counters, options, clock }
    }

    /// Samples the observation and queues it. Returns whether it was taken: `false` where
    /// sampling left it out or a full queue dropped it.
    ///
    /// # Errors
    /// [`RecordError::Invalid`] where scoring would refuse it; [`RecordError::Closed`] after
    /// [`close`](Self::close).
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
        // A component that samples by itself has said so; sampling twice would need both rates.
        if observation.sample_rate.is_none() {
            let sampling = &self.options.sampling;
            match sampling.decide(observation.outcome, rand::random::<f64>()) {
                Some(rate) => observation.sample_rate = (rate < 1.0).then_some(rate),
                None => {
                    self.counters.sampled_out.fetch_add(1, Ordering::Relaxed);
                    return Ok(None);
                }
            }
        }
        if observation.shard.is_none() && self.options.shards > 0 {
            let id = observation.id.get_or_insert_with(|| Uuid::new_v4().to_string());
            observation.shard = shard_of(id, self.options.shards);
        }
        Ok(Some(observation.document(self.clock.now())?))
    }

    pub fn report(&self) -> RecorderReport {
        self.counters.report()
    }

    /// Takes no more, writes what is queued, and says what became of everything.
    pub async fn close(self) -> RecorderReport {
        drop(self.queue);
        if let Err(error) = self.writer.await {
            tracing::error!(%error, "the recorder's writer ended early");
        }
        self.counters.report()
    }
}

struct Writer {
    db: Db,
    documents: Receiver<Document>,
    counters: Arc<Counters>,
    batch: usize,
    linger: Duration,
}

impl Writer {
    async fn run(mut self) {
        while let Some(first) = self.documents.recv().await {
            let mut batch = vec![first];
            let full = tokio::time::sleep(self.linger);
            tokio::pin!(full);
            while batch.len() < self.batch {
                tokio::select! {
                    next = self.documents.recv() => match next {
                        Some(document) => batch.push(document),
                        None => break,
                    },
                    () = &mut full => break,
                }
            }
            self.write(&batch).await;
        }
    }

    async fn write(&self, batch: &[Document]) {
        let count = batch.len() as u64;
        match create_observations(&self.db, batch).await {
            Ok(outcome) => {
                let refused = outcome.refused.len() as u64;
                self.counters.written.fetch_add(count - refused, Ordering::Relaxed);
                self.counters.failed.fetch_add(refused, Ordering::Relaxed);
                if let Some((_, status)) = outcome.refused.first() {
                    tracing::error!(refused, %status, "Firestore refused observations");
                }
            }
            Err(error) => {
                self.counters.failed.fetch_add(count, Ordering::Relaxed);
                tracing::error!(count, %error, "observations were lost");
            }
        }
    }
}
