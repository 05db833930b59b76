"""One object for a component: record observations, follow policies, route requests."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, Unpack

from google.cloud import firestore

from .cooldown import Cooldowns
from .policy import POLICIES, Choice, Params, Versions
from .recorder import Recorder, RecorderOptions, Report
from .routing import Facts, NoArm, Routing
from .schema import ObservationFields, Outcome, Policy
from .span import observation_of_span

logger = logging.getLogger("f0_learning")
T = TypeVar("T")


def active_versions(db: Any, policy_id: str) -> Any:
    """The query for the active versions of a policy."""
    return (
        db.collection(POLICIES)
        .where(filter=firestore.FieldFilter("id", "==", policy_id))
        .where(filter=firestore.FieldFilter("status", "==", "active"))
    )


class ActivePolicy:
    """The active version of one policy, kept up to date by a listener. Reading it never waits."""

    def __init__(
        self,
        db: firestore.Client,
        policy_id: str,
        *,
        fallback: Params | None = None,
        timeout: float = 10.0,
    ) -> None:
        """Waits up to ``timeout`` seconds for the first answer; until then ``fallback`` is used."""
        self._versions = Versions(fallback or {})
        self._answered = threading.Event()
        try:
            self._watch = active_versions(db, policy_id).on_snapshot(self._changed)
            if not self._answered.wait(timeout):
                logger.warning("no answer about policy %s within %s s", policy_id, timeout)
        except Exception as error:
            self._watch = None
            logger.error("cannot follow policy %s: %s", policy_id, error)

    @property
    def current(self) -> Policy | None:
        """The version that was active when Firestore last answered; ``None`` if there was none."""
        return self._versions.current

    def choose(self, unit: str) -> Choice:
        """The version and params for a unit; the fallback while no version is known."""
        return self._versions.choose(unit)

    def close(self) -> None:
        """Stops listening. The last known version stays."""
        if self._watch is not None:
            self._watch.unsubscribe()

    def _changed(self, documents: Any, _changes: Any, _time: Any) -> None:
        try:
            self._versions.replace((it.id, it.to_dict()) for it in documents)
        except Exception:
            logger.exception("cannot use the answer about a policy; the last version stays")
        self._answered.set()


class Learning:
    """Records observations and routes requests, for programs with threads."""

    def __init__(self, db: firestore.Client, options: RecorderOptions | None = None) -> None:
        self._db = db
        self._recorder = Recorder(db, options)
        self._cooldowns = Cooldowns()
        self._policies: list[ActivePolicy] = []

    @property
    def report(self) -> Report:
        return self._recorder.report

    def record_observation(
        self,
        component: str,
        outcome: Outcome,
        durationMs: float,
        **fields: Unpack[ObservationFields],
    ) -> None:
        """Queues an observation. It never raises and never waits.

        Further fields have the names of the stored document, such as ``costUsd``.
        """
        observation = {"component": component, "outcome": outcome, "durationMs": durationMs}
        self._recorder.record({**fields, **observation})

    def follow(
        self, policy_id: str, *, fallback: Params | None = None, timeout: float = 10.0
    ) -> ActivePolicy:
        """Follows the active version of a policy until ``close``."""
        policy = ActivePolicy(self._db, policy_id, fallback=fallback, timeout=timeout)
        self._policies.append(policy)
        return policy

    def route(
        self,
        policy: ActivePolicy,
        component: str,
        call: Callable[[str, Params], T],
        *,
        unit: str | None = None,
        sticky: bool = False,
        facts: Callable[[T], Facts] | None = None,
        max_tries: int = 2,
    ) -> T:
        """Serves a request: draws an arm by the policy, calls it and records what happened.

        Tries another arm if ``params["fallbackOn"]`` lists the error. ``params["cooldownAfter"]`` such
        errors in a row (1 by default) leave the arm out for ``params["cooldownMs"]``. Raises what the last
        call raised, or :class:`NoArm`.
        """
        unit = Routing.unit_or_new(unit)
        choice = policy.choose(unit)
        routing = Routing(choice, component, unit, sticky, max_tries, self._cooldowns)
        failure: Exception | None = None
        while (arm := routing.next_arm()) is not None:
            try:
                result = call(arm, choice.params)
            except Exception as error:
                failure = error
                observation, falls_back = routing.failed(error)
                self._recorder.record(observation)
                if not falls_back:
                    break
            else:
                self._recorder.record(routing.succeeded(facts, result))
                return result
        raise failure or NoArm("cannot route: the policy has no arm with a weight above 0")

    def span_processor(self, prefix: str = "router") -> Any:
        """A span processor for the OpenTelemetry SDK: each call of a model becomes an observation."""
        return SpanProcessor(self._recorder, prefix)

    def flush(self, timeout: float | None = None) -> bool:
        """Writes what is queued. Returns whether that ended within ``timeout`` seconds."""
        return self._recorder.flush(timeout)

    def close(self, timeout: float | None = 60.0) -> Report:
        """Stops following, and writes what is queued."""
        for policy in self._policies:
            policy.close()
        return self._recorder.close(timeout)

    def __enter__(self) -> Learning:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SpanProcessor:
    """Has the methods of ``opentelemetry.sdk.trace.SpanProcessor``, without needing that package."""

    def __init__(self, recorder: Recorder, prefix: str) -> None:
        self._recorder, self._prefix = recorder, prefix

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        pass

    def _on_ending(self, span: Any) -> None:
        pass

    def on_end(self, span: Any) -> None:
        observation = observation_of_span(span, self._prefix)
        if observation is not None:
            self._recorder.record(observation)

    def shutdown(self) -> None:
        self._recorder.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._recorder.flush(timeout_millis / 1000)
