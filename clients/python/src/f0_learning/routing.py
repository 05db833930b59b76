"""What a routed request records, and what follows from an error. No input, no output."""

from __future__ import annotations

import random
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .cooldown import Cooldowns, Drawn
from .policy import Choice
from .schema import Outcome

Facts = Mapping[str, Any]
_TIMEOUT = re.compile(r"time.?d?.?out|^(408|504|DEADLINE_EXCEEDED|DeadlineExceeded)$", re.IGNORECASE)
_RATE_LIMIT = re.compile(
    r"^(429|rate.?limit.*|RESOURCE_EXHAUSTED|ResourceExhausted|TooManyRequests)$", re.IGNORECASE
)


def describe_error(error: BaseException) -> tuple[Outcome, str]:
    """The outcome and the code of an error.

    The code is ``timeout`` for time-outs, ``rate_limit`` for HTTP 429 and its relatives, and otherwise the
    error's own code or the name of its class.
    """
    code = getattr(error, "code", None)
    known = [code() if callable(code) else code, getattr(error, "status_code", None)]
    texts = [str(getattr(it, "value", it)) for it in known if it is not None]
    texts += [kind.__name__ for kind in type(error).__mro__[:-3]]
    if any(_TIMEOUT.search(text) for text in texts):
        return "timeout", "timeout"
    if any(_RATE_LIMIT.search(text) for text in texts):
        return "failure", "rate_limit"
    return "failure", (texts or ["error"])[0][:200]


@dataclass
class Routing:
    """One request: which arm comes next, and what to record of each try."""

    choice: Choice
    component: str
    unit: str
    sticky: bool
    max_tries: int
    cooldowns: Cooldowns
    tried: list[str] = field(default_factory=list)
    drawn: Drawn | None = None
    begun: float = 0.0

    @staticmethod
    def unit_or_new(unit: str | None) -> str:
        return str(uuid.uuid4()) if unit is None else unit

    def next_arm(self) -> str | None:
        """The arm to call now; ``None`` if no more is to be tried."""
        if len(self.tried) >= self.max_tries:
            return None
        by: dict[str, Any] = {"unit": self.unit} if self.sticky else {"u": random.random()}
        now = time.time() * 1000
        self.drawn = self.cooldowns.draw(self.choice.weights, now, without=self.tried, **by)
        self.begun = time.monotonic()
        return self.drawn.name if self.drawn else None

    def succeeded(self, facts: Callable[[Any], Facts] | None, result: Any) -> dict[str, Any]:
        if self.drawn:
            self.cooldowns.succeeded(self.drawn.name)
        try:
            found = dict(facts(result)) if facts else {}
        except Exception:  # what is known of a result must not fail the request
            found = {}
        return self._observation({"outcome": "success", **found})

    def failed(self, error: BaseException) -> tuple[dict[str, Any], bool]:
        """The observation, and whether another arm may be tried."""
        outcome, code = describe_error(error)
        observation = self._observation({"outcome": outcome, "errorCode": code})
        listed = self.choice.params.get("fallbackOn") or ()
        falls_back = code in listed or outcome in listed
        if self.drawn and falls_back:
            self.tried.append(self.drawn.name)
            params = self.choice.params
            cooldown_ms, after = params.get("cooldownMs") or 0, params.get("cooldownAfter") or 1
            self.cooldowns.failed(self.drawn.name, cooldown_ms, after, time.time() * 1000)
        elif self.drawn:
            self.cooldowns.succeeded(self.drawn.name)
        return observation, falls_back

    def _observation(self, fields: dict[str, Any]) -> dict[str, Any]:
        arm = self.drawn
        assert arm is not None
        # What was not drawn by the weights must not be compared as if it had been.
        by_weights = arm.by_weights and not self.tried
        return {
            **fields,
            "component": f"{self.component}:{arm.name}",
            "durationMs": (time.monotonic() - self.begun) * 1000,
            "policyVersion": self.choice.policy_version if by_weights else None,
        }


class NoArm(LookupError):
    """The policy has no arm with a weight above 0."""
