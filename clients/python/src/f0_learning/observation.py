"""Observations as components write them, and the checks of their fields."""

from __future__ import annotations

import json
import re
import time
import unicodedata
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .rules import MIN_PROPENSITY, MIN_SAMPLE_RATE

OBSERVATIONS = "ops_observations"
MIN_TS, MAX_TS = 946_684_800_000, 4_102_444_800_000
MAX_DURATION_MS = 604_800_000
MAX_COST_USD = 1_000_000
MAX_TOKENS = 10**12
MAX_COMPONENT_BYTES = 400
MAX_ERROR_CODE_BYTES = 1_500
POLICY_VERSION = re.compile(r"[^@/]+@\d+\.\d+\.\d+")


@dataclass(frozen=True)
class Problem:
    """What is wrong with a field.

    ``rejects`` says whether the service would put the observation into quarantine.
    """

    field: str
    message: str
    rejects: bool


def problems_of(observation: Mapping[str, Any]) -> list[Problem]:
    """The fields that the service could not use."""
    problems = []

    def add(name: str, expected: str, rejects: bool) -> None:
        got = repr(observation.get(name))[:100]
        problems.append(Problem(name, f"invalid {name}: expected {expected}, got {got}", rejects))

    def number(name: str, low: float, high: float, rejects: bool, whole: bool = False) -> None:
        value = observation.get(name)
        if value is None:
            return
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not low <= value <= high or (whole and value != int(value)):
            kind = "a whole number" if whole else "a number"
            add(name, f"{kind} from {low:g} to {high:g}", rejects)

    component = observation.get("component")
    is_text = isinstance(component, str) and 1 <= len(component.encode()) <= MAX_COMPONENT_BYTES
    if not is_text or any(unicodedata.category(char) == "Cc" for char in str(component)):
        expected = f"text of 1 to {MAX_COMPONENT_BYTES} bytes without control characters"
        add("component", expected, True)
    if observation.get("outcome") not in ("success", "failure", "timeout"):
        add("outcome", "success, failure or timeout", True)
    if observation.get("durationMs") is None:
        add("durationMs", "a number", False)
    number("durationMs", 0, MAX_DURATION_MS, False)
    number("ts", MIN_TS, MAX_TS, True, whole=True)
    number("tokensIn", 0, MAX_TOKENS, False, whole=True)
    number("tokensOut", 0, MAX_TOKENS, False, whole=True)
    number("costUsd", 0, MAX_COST_USD, False)
    number("sampleRate", MIN_SAMPLE_RATE, 1, True)
    number("propensity", MIN_PROPENSITY, 1, True)
    number("shard", 0, 999, False, whole=True)
    code = observation.get("errorCode")
    if isinstance(code, bool) or not isinstance(code, (str, int, float, type(None))):
        add("errorCode", "text or a number", False)
    elif isinstance(code, str) and len(code.encode()) > MAX_ERROR_CODE_BYTES:
        add("errorCode", f"text of at most {MAX_ERROR_CODE_BYTES} bytes", False)
    version = observation.get("policyVersion")
    if version is not None and not (isinstance(version, str) and POLICY_VERSION.match(version)):
        add("policyVersion", "{id}@{version}, such as router-core@1.0.0", False)
    return problems


def document_of(observation: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """The document to store, without fields that are ``None``, and its size as JSON in bytes."""
    present = {name: value for name, value in observation.items() if value is not None}
    present.setdefault("id", str(uuid.uuid4()))
    present.setdefault("ts", int(time.time() * 1000))
    # JSON turns what Firestore refuses (the classes of other libraries) into text.
    text = json.dumps(present, default=str)
    return json.loads(text), len(text)
