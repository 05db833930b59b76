"""The documents of Firestore that components write and read.

Generated from docs/schema by clients/generate; do not edit it.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

Outcome: TypeAlias = Literal['success', 'failure', 'timeout']
"""How the action ended."""


class Observation(TypedDict):
    """An observation: what a component records about one action, as a document of `ops_observations`. A field that is null counts as absent, and other fields are ignored. An invalid `id`, `ts`, `component`, `outcome`, `sampleRate` or `propensity` rejects the document; any other invalid field costs only itself."""

    component: str
    """Who acted, such as `AutoScaler`, or `router:gpt-5` for the arm `gpt-5` of a router: text of at most 400 bytes in UTF-8, not only blanks."""
    costUsd: NotRequired[float | None]
    durationMs: float
    """At most seven days."""
    errorCode: NotRequired[str | float | None]
    """Text of at most 1,500 bytes in UTF-8, or a number, such as HTTP's 429."""
    id: NotRequired[str | None]
    """If present, the id of the document."""
    meta: NotRequired[Any]
    """Any value. The service ignores it."""
    outcome: Outcome
    policyVersion: NotRequired[str | None]
    """`{id}@{version}` of the policy that the action used. The id must not have the form `__x__`. The id and the version have at most 200 bytes each."""
    propensity: NotRequired[float | None]
    """The probability of the arm that was used, if it was not drawn by the policy's weights. Its product with `sampleRate` must be at least the smallest sample rate."""
    sampleRate: NotRequired[float | None]
    """The probability with which such an observation is recorded. The default is 1, and `minSampleRate` of `config/scoring` (0.001) is the smallest rate that counts."""
    shard: NotRequired[int | None]
    """Below `shards` of `config/scoring`."""
    tokensIn: NotRequired[int | None]
    tokensOut: NotRequired[int | None]
    ts: int
    """When the action happened, in epoch milliseconds: from 2000 to 2100."""


PolicyStatus: TypeAlias = Literal['draft', 'active', 'archived', 'rejected']
"""The status of a version. At most one version of a policy is active."""


Weights: TypeAlias = dict[str, float]
"""The share of traffic of each arm: numbers from 0 to 1 that add up to 1."""


class ObservationFields(TypedDict):
    """The fields of an observation without component, outcome and duration."""

    costUsd: NotRequired[float | None]
    errorCode: NotRequired[str | float | None]
    """Text of at most 1,500 bytes in UTF-8, or a number, such as HTTP's 429."""
    id: NotRequired[str | None]
    """If present, the id of the document."""
    meta: NotRequired[Any]
    """Any value. The service ignores it."""
    policyVersion: NotRequired[str | None]
    """`{id}@{version}` of the policy that the action used. The id must not have the form `__x__`. The id and the version have at most 200 bytes each."""
    propensity: NotRequired[float | None]
    """The probability of the arm that was used, if it was not drawn by the policy's weights. Its product with `sampleRate` must be at least the smallest sample rate."""
    sampleRate: NotRequired[float | None]
    """The probability with which such an observation is recorded. The default is 1, and `minSampleRate` of `config/scoring` (0.001) is the smallest rate that counts."""
    shard: NotRequired[int | None]
    """Below `shards` of `config/scoring`."""
    tokensIn: NotRequired[int | None]
    tokensOut: NotRequired[int | None]
    ts: NotRequired[int]
    """When the action happened, in epoch milliseconds: from 2000 to 2100."""


class Params(TypedDict):
    """The parameters of a version. Components define them; these have a meaning to the service (`modelWeights`) and to the packages for components (the others)."""

    cooldownAfter: NotRequired[int | None]
    """After how many such errors in a row an arm is left out. The default is 1."""
    cooldownMs: NotRequired[float | None]
    """How long an arm is left out after such errors, in milliseconds."""
    fallbackOn: NotRequired[list[str] | None]
    """The errors after which a request is tried with another arm, such as `timeout`."""
    modelWeights: NotRequired[Weights | None]
    """The service tunes these. Absent in a policy that does not route over arms."""


class Candidate(TypedDict):
    """A draft that a share of the units uses instead of the active version, with everything that a component needs to use it, so that the component reads only one document."""

    experiment: str
    """The experiment's id, which determines the units that use the candidate."""
    params: Params
    share: float
    """The share of units that use it, 0 to 1."""
    version: str
    """A semantic version with numbers of 64 bits, such as `1.0.2`."""


class Holdback(TypedDict):
    """The version that a fixed share of the units uses whatever jobs publish, so that its effect can be compared with theirs."""

    id: str
    """It determines the units, in the same way as an experiment's id."""
    params: Params
    share: float
    """The share of units, 0 to 1."""
    version: str
    """A semantic version with numbers of 64 bits, such as `1.0.2`."""


class Policy(TypedDict):
    """A version of a policy."""

    activatedAt: NotRequired[int | None]
    activatedBy: NotRequired[str | None]
    archivedAt: NotRequired[int | None]
    candidate: NotRequired[Candidate | None]
    """In an active version: the draft that a share of the units uses instead."""
    createdAt: NotRequired[int]
    """Epoch milliseconds, like all times here."""
    createdBy: NotRequired[str]
    evidence: NotRequired[Any]
    """The evidence for the tuner's decision."""
    expectedGain: NotRequired[float | None]
    """Expected change of the mean reward of a request, in units of reward (0 to 1)."""
    holdback: NotRequired[Holdback | None]
    """The version that a share of the units stays on, while jobs publish versions by themselves."""
    id: str
    """It must not have the form `__x__`."""
    notes: NotRequired[str | None]
    params: Params
    parentVersion: NotRequired[str | None]
    """The version that was active when this one was proposed or written."""
    pinReason: NotRequired[str | None]
    pinned: NotRequired[bool]
    """The tuner does not change the policy. The flag is stored in the active version, and moves to the next active version."""
    pinnedAt: NotRequired[int | None]
    pinnedBy: NotRequired[str | None]
    previousVersion: NotRequired[str | None]
    """The version that this one replaced when it last became active."""
    rejectedAt: NotRequired[int | None]
    rejectedBy: NotRequired[str | None]
    rolledBackAt: NotRequired[int | None]
    """When it was rolled back because it was proven to be worse."""
    status: PolicyStatus
    supersededBy: NotRequired[str | None]
    """A semantic version with numbers of 64 bits, such as `1.0.2`."""
    verdict: NotRequired[Any]
    """The effect of the version since it became active, once that is known."""
    version: str
    """A semantic version with numbers of 64 bits, such as `1.0.2`."""
