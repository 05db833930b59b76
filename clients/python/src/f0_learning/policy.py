"""The active version of a policy, and what a unit uses."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from .rules import Arm, draw_arm, draw_arm_of_unit, takes_candidate, version_key
from .schema import Policy

logger = logging.getLogger("f0_learning")

POLICIES = "ops_policies"
#: The parameters of a version. Components define them; :class:`f0_learning.schema.Params` has those with
#: a meaning here.
Params = Mapping[str, Any]


@dataclass(frozen=True)
class Choice:
    """What to serve a unit with.

    ``policy_version`` is ``{id}@{version}`` for the observation, or ``None`` while no version is known.
    """

    policy_version: str | None
    params: Params
    is_candidate: bool = False

    @property
    def weights(self) -> Mapping[str, float]:
        weights = self.params.get("modelWeights")
        return weights if isinstance(weights, Mapping) else {}

    def draw(self, u: float | None = None) -> Arm | None:
        """Draws an arm by ``params["modelWeights"]``."""
        return draw_arm(self.weights, random.random() if u is None else u)

    def draw_for(self, unit: str) -> Arm | None:
        """The arm of a unit, which keeps it as long as the weights allow."""
        return draw_arm_of_unit(self.weights, unit)


def choose(policy: Policy, unit: str) -> Choice:
    """The version and params for a unit: the holdback's, the candidate's, or the active version's."""
    name = policy["id"]
    holdback, candidate = policy.get("holdback"), policy.get("candidate")
    if holdback and takes_candidate(holdback["id"], unit, holdback["share"]):
        return Choice(f"{name}@{holdback['version']}", holdback["params"])
    if candidate and takes_candidate(candidate["experiment"], unit, candidate["share"]):
        return Choice(f"{name}@{candidate['version']}", candidate["params"], is_candidate=True)
    return Choice(f"{name}@{policy['version']}", policy["params"])


@dataclass
class Versions:
    """What the last answers of Firestore said about one policy."""

    fallback: Params = field(default_factory=dict)
    current: Policy | None = None

    def choose(self, unit: str) -> Choice:
        """The version and params for a unit; the fallback without a version while none is known."""
        current = self.current
        return Choice(None, self.fallback) if current is None else choose(current, unit)

    def replace(self, documents: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Takes the documents of an answer, as pairs of their ids and fields."""
        versions: list[Policy] = []
        damaged = 0
        for document_id, policy in documents:
            named = f"{policy.get('id')}@{policy.get('version')}" == document_id
            if named and isinstance(policy.get("params"), Mapping):
                versions.append(cast(Policy, policy))
            else:
                damaged += 1
                logger.error(
                    "cannot use %s/%s: it has no params, or other names", POLICIES, document_id
                )
        # If every document is damaged, the last known version is better than none.
        if versions or not damaged:
            self.current = max(versions, key=lambda it: version_key(it["version"]), default=None)
