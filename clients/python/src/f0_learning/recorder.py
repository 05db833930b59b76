"""Records observations without ever holding up or failing the request that they are about."""

from __future__ import annotations

import atexit
import logging
import queue
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from google.api_core.exceptions import AlreadyExists, GoogleAPICallError
from google.cloud import firestore

from .observation import OBSERVATIONS, document_of, problems_of
from .rules import sample_rate_of, shard_of

logger = logging.getLogger("f0_learning")

#: The most documents in one commit.
BATCH = 500
#: The most bytes of observations in one commit, as JSON; Firestore accepts requests of 10 MiB.
BATCH_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class RecorderOptions:
    """How a recorder works.

    ``success_rate``: the share of successes that is kept, 0 to 1. Below 1, also set ``minSampleRate`` in
    ``config/tuning``. Failures and timeouts are always kept.
    ``max_queued``, ``max_queued_bytes``: the most observations and bytes in memory; further ones are
    dropped and counted.
    ``linger_seconds``: how long an observation waits for others of its batch.
    ``shards``: ``shards`` of ``config/scoring``, if observations are sharded.
    ``timeout_seconds``: how long a commit is repeated while Firestore cannot be reached.
    """

    success_rate: float = 1.0
    max_queued: int = 10_000
    max_queued_bytes: int = 16 * 1024 * 1024
    linger_seconds: float = 1.0
    shards: int = 0
    timeout_seconds: float = 60.0


@dataclass(frozen=True)
class Report:
    """How many observations had which outcome.

    ``dropped``: the queue was full, or the recorder was closed. ``invalid``: a field that the service
    cannot do without is invalid. ``failed``: Firestore refused them, or could not be reached.
    """

    written: int = 0
    sampled_out: int = 0
    dropped: int = 0
    invalid: int = 0
    failed: int = 0


Document = tuple[dict[str, Any], int]


class Preparation:
    """What recorders share: checks, sampling, counters. Safe to use from several threads."""

    def __init__(self, options: RecorderOptions) -> None:
        self.options = options
        self.report = Report()
        self.queued = 0
        self.queued_bytes = 0
        self.closed = False
        self._lock = threading.Lock()

    def count(self, name: str, number: int = 1) -> None:
        with self._lock:
            self.report = replace(self.report, **{name: getattr(self.report, name) + number})

    def prepare(self, observation: Mapping[str, Any]) -> Document | None:
        """The document to write, or ``None`` if there is none. It never raises."""
        try:
            return self._prepare(observation)
        except Exception as error:  # a request must not fail because of its observation
            self.count("invalid")
            logger.warning("cannot record the observation: %s", error)
            return None

    def _prepare(self, observation: Mapping[str, Any]) -> Document | None:
        if self.closed:
            self.count("dropped")
            logger.warning("cannot record the observation: the recorder is closed; it is lost")
            return None
        problems = problems_of(observation)
        for problem in problems:
            logger.warning("%s", problem.message)
        if any(problem.rejects for problem in problems):
            self.count("invalid")
            return None
        fields = dict(observation)
        if fields.get("sampleRate") is None:
            rate = sample_rate_of(fields["outcome"], self.options.success_rate, random.random())
            if rate is None:
                self.count("sampled_out")
                return None
            fields["sampleRate"] = rate if rate < 1 else None
        document, size = document_of(fields)
        if "shard" not in document:
            shard = shard_of(document["id"], self.options.shards)
            if shard is not None:
                document["shard"] = shard
        with self._lock:
            is_full = (
                self.queued >= self.options.max_queued
                or self.queued_bytes + size > self.options.max_queued_bytes
            )
            if not is_full:
                self.queued += 1
                self.queued_bytes += size
        if is_full:
            self.count("dropped")
            logger.warning("cannot record the observation: the queue is full; it is lost")
            return None
        return document, size

    def done(self, batch: list[Document], written: int, error: Exception | None) -> None:
        """Counts a batch of which ``written`` were stored and the rest failed with ``error``."""
        with self._lock:
            self.queued -= len(batch)
            self.queued_bytes -= sum(size for _, size in batch)
        self.count("written", written)
        if written < len(batch):
            self.count("failed", len(batch) - written)
            logger.error("cannot write %d observations: %s", len(batch) - written, error)


class Recorder:
    """A bounded queue in front of one thread that writes batches."""

    def __init__(self, db: firestore.Client, options: RecorderOptions | None = None) -> None:
        self._db = db
        self._shared = Preparation(options or RecorderOptions())
        self._queue: queue.SimpleQueue[Document | threading.Event] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="f0-learning", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    @property
    def report(self) -> Report:
        """The outcomes up to now. Observations that are still queued have none."""
        return self._shared.report

    def record(self, observation: Mapping[str, Any]) -> bool:
        """Queues an observation and returns whether it was queued. It never raises and never waits."""
        document = self._shared.prepare(observation)
        if document is not None:
            self._queue.put(document)
        return document is not None

    def flush(self, timeout: float | None = None) -> bool:
        """Writes what is queued. Returns whether that ended within ``timeout`` seconds."""
        written = threading.Event()
        self._queue.put(written)
        return written.wait(timeout)

    def close(self, timeout: float | None = 60.0) -> Report:
        """Accepts no more observations, and writes the queued ones."""
        if not self._shared.closed:
            self._shared.closed = True
            atexit.unregister(self.close)
            self.flush(timeout)
        return self.report

    def _run(self) -> None:
        while True:
            item = self._queue.get()
            batch: list[Document] = []
            size, until = 0, time.monotonic() + self._shared.options.linger_seconds
            while not isinstance(item, threading.Event):
                batch.append(item)
                size += item[1]
                left = until - time.monotonic()
                if len(batch) >= BATCH or size >= BATCH_BYTES or left <= 0:
                    break
                try:
                    item = self._queue.get(timeout=left)
                except queue.Empty:
                    break
            if batch:
                self._write(batch)
            if isinstance(item, threading.Event):
                item.set()

    def _write(self, batch: list[Document]) -> None:
        try:
            self._commit(batch)
            self._shared.done(batch, len(batch), None)
        except Exception:  # one document may be the reason; the others must be stored
            written, last = 0, None
            for document in batch:
                try:
                    self._commit([document])
                    written += 1
                except AlreadyExists:
                    written += 1  # an answer was lost, or the id was recorded twice
                except Exception as error:
                    last = error
                    if not isinstance(error, GoogleAPICallError):
                        logger.exception("cannot write an observation")
            self._shared.done(batch, written, last)

    def _commit(self, batch: list[Document]) -> None:
        writes = self._db.batch()
        collection = self._db.collection(OBSERVATIONS)
        for document, _ in batch:
            writes.create(collection.document(document["id"]), document)
        writes.commit(timeout=self._shared.options.timeout_seconds)
