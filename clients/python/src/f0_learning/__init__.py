"""The component's side of f0-learning: record observations, follow the active policy, draw arms."""

from .aio import AsyncActivePolicy, AsyncLearning
from .cooldown import Cooldowns, Drawn
from .learning import ActivePolicy, Learning
from .observation import Problem, problems_of
from .policy import Choice, choose
from .recorder import Recorder, RecorderOptions, Report
from .routing import NoArm, describe_error
from .rules import (
    Arm,
    draw_arm,
    draw_arm_of_unit,
    sample_rate_of,
    shard_of,
    takes_candidate,
    version_key,
)
from .schema import (
    Candidate,
    Holdback,
    Observation,
    ObservationFields,
    Outcome,
    Policy,
    PolicyStatus,
)
from .span import (
    COST_ATTRIBUTE,
    POLICY_VERSION_ATTRIBUTE,
    PROPENSITY_ATTRIBUTE,
    observation_of_span,
)

__all__ = [
    "COST_ATTRIBUTE",
    "POLICY_VERSION_ATTRIBUTE",
    "PROPENSITY_ATTRIBUTE",
    "ActivePolicy",
    "Arm",
    "AsyncActivePolicy",
    "AsyncLearning",
    "Candidate",
    "Choice",
    "Cooldowns",
    "Drawn",
    "Holdback",
    "Learning",
    "NoArm",
    "Observation",
    "ObservationFields",
    "Outcome",
    "Policy",
    "PolicyStatus",
    "Problem",
    "Recorder",
    "RecorderOptions",
    "Report",
    "choose",
    "describe_error",
    "draw_arm",
    "draw_arm_of_unit",
    "observation_of_span",
    "problems_of",
    "sample_rate_of",
    "shard_of",
    "takes_candidate",
    "version_key",
]
