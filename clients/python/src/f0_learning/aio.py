"""The same for programs with asyncio, on ``firestore.AsyncClient``.

``AsyncClient`` has no listeners, so a policy is read again every ``refresh`` seconds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar, Unpack

from google.api_core.exceptions import AlreadyExists
from google.cloud import firestore

from .cooldown import Cooldowns
from .learning import active_versions
from .observation import OBSERVATIONS
from .policy import Choice, Params, Versions
from .recorder import BATCH, BATCH_BYTES, Document, Preparation, RecorderOptions, Report
from .routing import Facts, NoArm, Routing
from .schema import ObservationFields, Outcome, Policy

logger = logging.getLogger("f0_learning")
T = TypeVar("T")

#: Seconds between two reads of a policy. A rollback takes effect within this time.
REFRESH = 60.0


class AsyncActivePolicy:
    """The active version of one policy. Reading it never waits."""

    def __init__(self, db: firestore.AsyncClient, policy_id: str, fallback: Params | None) -> None:
        self._query = active_versions(db, policy_id)
        self._id = policy_id
        self._versions = Versions(fallback or {})
        self._task: asyncio.Task[None] | None = None

    @property
    def current(self) -> Policy | None:
        """The version that was active when it was last read; ``None`` if there was none."""
        return self._versions.current

    def choose(self, unit: str) -> Choice:
        """The version and params for a unit; the fallback while no version is known."""
        return self._versions.choose(unit)

    async def refresh(self, timeout: float = 10.0) -> None:
        """Reads the policy now. It never raises: the last known version stays."""
        try:
            found = await self._query.get(timeout=timeout)
            self._versions.replace((it.id, it.to_dict()) for it in found)
        except Exception as error:
            logger.warning("cannot read policy %s: %s; the last version stays", self._id, error)

    def start(self, refresh: float) -> None:
        async def follow() -> None:
            while True:
                await asyncio.sleep(refresh)
                await self.refresh()

        self._task = asyncio.create_task(follow())

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()


class AsyncLearning:
    """Records observations and routes requests, for programs with asyncio. Use it in one event loop."""

    def __init__(self, db: firestore.AsyncClient, options: RecorderOptions | None = None) -> None:
        self._db = db
        self._shared = Preparation(options or RecorderOptions())
        self._cooldowns = Cooldowns()
        self._policies: list[AsyncActivePolicy] = []
        self._waiting: list[Document] = []
        self._writer: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    @property
    def report(self) -> Report:
        return self._shared.report

    def record_observation(
        self,
        component: str,
        outcome: Outcome,
        durationMs: float,
        **fields: Unpack[ObservationFields],
    ) -> None:
        """Queues an observation. It never raises and never waits."""
        observation = {"component": component, "outcome": outcome, "durationMs": durationMs}
        self._record({**fields, **observation})

    async def follow(
        self, policy_id: str, *, fallback: Params | None = None, refresh: float = REFRESH
    ) -> AsyncActivePolicy:
        """Reads the active version of a policy, and again every ``refresh`` seconds until ``close``."""
        policy = AsyncActivePolicy(self._db, policy_id, fallback)
        await policy.refresh()
        policy.start(refresh)
        self._policies.append(policy)
        return policy

    async def route(
        self,
        policy: AsyncActivePolicy,
        component: str,
        call: Callable[[str, Params], Awaitable[T]],
        *,
        unit: str | None = None,
        sticky: bool = False,
        facts: Callable[[T], Facts] | None = None,
        max_tries: int = 2,
    ) -> T:
        """Serves a request, as ``Learning.route`` does."""
        unit = Routing.unit_or_new(unit)
        choice = policy.choose(unit)
        routing = Routing(choice, component, unit, sticky, max_tries, self._cooldowns)
        failure: Exception | None = None
        while (arm := routing.next_arm()) is not None:
            try:
                result = await call(arm, choice.params)
            except Exception as error:
                failure = error
                observation, falls_back = routing.failed(error)
                self._record(observation)
                if not falls_back:
                    break
            else:
                self._record(routing.succeeded(facts, result))
                return result
        raise failure or NoArm("cannot route: the policy has no arm with a weight above 0")

    async def close(self) -> Report:
        """Stops following, and writes what is queued."""
        self._shared.closed = True
        for policy in self._policies:
            policy.close()
        while self._writer is not None and not self._writer.done():
            self._wake.set()
            await self._writer
        return self.report

    async def __aenter__(self) -> AsyncLearning:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _record(self, observation: Mapping[str, Any]) -> None:
        document = self._shared.prepare(observation)
        if document is None:
            return
        self._waiting.append(document)
        if len(self._waiting) >= BATCH:
            self._wake.set()
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write_all())

    async def _write_all(self) -> None:
        while self._waiting:
            if not self._shared.closed and len(self._waiting) < BATCH:
                try:
                    linger = self._shared.options.linger_seconds
                    await asyncio.wait_for(self._wake.wait(), linger)
                except TimeoutError:
                    pass
            self._wake.clear()
            batch: list[Document] = []
            size = 0
            while self._waiting and len(batch) < BATCH and size < BATCH_BYTES:
                batch.append(self._waiting.pop(0))
                size += batch[-1][1]
            await self._write(batch)

    async def _write(self, batch: list[Document]) -> None:
        try:
            await self._commit(batch)
            self._shared.done(batch, len(batch), None)
        except Exception:  # one document may be the reason; the others must be stored
            written, last = 0, None
            for document in batch:
                try:
                    await self._commit([document])
                    written += 1
                except AlreadyExists:
                    written += 1  # an answer was lost, or the id was recorded twice
                except Exception as error:
                    last = error
            self._shared.done(batch, written, last)

    async def _commit(self, batch: list[Document]) -> None:
        writes = self._db.batch()
        collection = self._db.collection(OBSERVATIONS)
        for document, _ in batch:
            writes.create(collection.document(document["id"]), document)
        await writes.commit(timeout=self._shared.options.timeout_seconds)
