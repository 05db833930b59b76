"""The rules that every language shares.

``clients/vectors.json`` has examples that the packages for Rust, TypeScript and Python all pass.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from .schema import Outcome

Weights = Mapping[str, float]

#: The smallest rate and the smallest propensity that the service accepts.
MIN_SAMPLE_RATE = 1e-6
MIN_PROPENSITY = 1e-3


@dataclass(frozen=True)
class Arm:
    """An arm and the probability with which it was drawn."""

    name: str
    weight: float


def used_arms(weights: Weights) -> list[Arm]:
    """The arms with a weight above 0, in the order of the bytes of their names in UTF-8."""
    used = [Arm(name, weight) for name, weight in weights.items() if weight > 0]
    return sorted(used, key=lambda arm: arm.name.encode())


def draw_arm(weights: Weights, u: float) -> Arm | None:
    """The arm that ``u``, uniform in [0, 1), selects; ``None`` if no weight is above 0.

    It is the first arm at which the sum of the weights exceeds ``u``.
    """
    arms = used_arms(weights)
    left = u
    for arm in arms:
        left -= arm.weight
        if left < 0:
            return arm
    return arms[-1] if arms else None


def draw_arm_of_unit(weights: Weights, unit: str) -> Arm | None:
    """The arm of a unit (a user, a session), which it keeps as long as the weights allow.

    Weighted rendezvous hashing over the SHA-256 of ``{unit}:{arm}``.
    """

    def score(arm: Arm) -> float:
        digest = hashlib.sha256(f"{unit}:{arm.name}".encode()).digest()
        number = int.from_bytes(digest[:8], "big") >> 11
        return -math.log((number + 0.5) / 2**53) / arm.weight

    return min(used_arms(weights), key=score, default=None)


def takes_candidate(experiment: str, unit: str, share: float) -> bool:
    """Whether a unit belongs to the ``share`` (0 to 1) of an experiment or a holdback."""
    digest = hashlib.sha256(f"{experiment}:{unit}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 < share


def sample_rate_of(outcome: Outcome, success_rate: float, u: float) -> float | None:
    """The sample rate to record with an observation, or ``None`` to leave the observation out.

    Failures and timeouts are always kept. ``u`` is uniform in [0, 1).
    """
    if outcome != "success" or success_rate >= 1:
        return 1.0
    if not success_rate > 0:
        return None
    rate = max(success_rate, MIN_SAMPLE_RATE)
    return rate if u < rate else None


def shard_of(observation_id: str, shards: int) -> int | None:
    """The shard of an observation: the FNV-1a hash of its id, modulo the number of shards."""
    if shards <= 0:
        return None
    value = 0x811C9DC5
    for byte in observation_id.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value % shards


def version_key(version: str) -> tuple[int, ...]:
    """A key that sorts versions by their three numbers, such as ``1.2.9`` before ``1.2.10``."""
    parts = version.split(".", 2)
    numbers = [int(found[0]) if (found := re.match(r"\d+", part)) else 0 for part in parts]
    return tuple((numbers + [0, 0, 0])[:3])
