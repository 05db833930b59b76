"""Which arms are left out for some time after an error."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass

from .rules import Arm, Weights, draw_arm, draw_arm_of_unit, used_arms


@dataclass(frozen=True)
class Drawn(Arm):
    """An arm to use, and whether it was drawn by the weights of the policy.

    Only then may the observation name the policy's version: while an arm cools down, the others get
    its share, and their results must not be compared as if they had been drawn by the weights.
    """

    by_weights: bool


class Cooldowns:
    """The arms that cool down. Times are epoch milliseconds, given by the caller."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._lock = threading.Lock()

    def failed(self, arm: str, cooldown_ms: float, after: int, now: float) -> None:
        """Counts an error of ``arm`` that ``fallbackOn`` lists.

        The ``after``-th in a row leaves the arm out until ``now + cooldown_ms``.
        """
        with self._lock:
            failures = self._failures.get(arm, 0) + 1
            cools = failures >= after and cooldown_ms > 0
            self._failures[arm] = 0 if cools else failures
            if cools:
                self._until[arm] = max(self._until.get(arm, 0), now + cooldown_ms)

    def succeeded(self, arm: str) -> None:
        """Counts a call of ``arm`` that had no such error."""
        with self._lock:
            self._failures.pop(arm, None)

    def cools(self, arm: str, now: float) -> bool:
        with self._lock:
            until = self._until.get(arm)
            if until is not None and until <= now:
                del self._until[arm]
                return False
            return until is not None

    def draw(
        self,
        weights: Weights,
        now: float,
        *,
        u: float | None = None,
        unit: str | None = None,
        without: Collection[str] = (),
    ) -> Drawn | None:
        """Draws among the arms that do not cool down and are not in ``without``, by their weights.

        If all cool down, all are drawn from. ``None`` if no arm with a weight above 0 is left. Give
        either ``u``, uniform in [0, 1), or ``unit``.
        """
        used = used_arms(weights)
        left = [arm for arm in used if arm.name not in without]
        chosen = [arm for arm in left if not self.cools(arm.name, now)] or left
        by_weights = len(chosen) == len(used)
        total = sum(arm.weight for arm in chosen)
        shares = {arm.name: arm.weight if by_weights else arm.weight / total for arm in chosen}
        if unit is not None:
            arm = draw_arm_of_unit(shares, unit)
        elif u is not None:
            arm = draw_arm(shares, u)
        else:
            raise TypeError("draw needs u or unit")
        return None if arm is None else Drawn(arm.name, arm.weight, by_weights)
