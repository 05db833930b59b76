"""Observations from OpenTelemetry spans that follow the conventions for GenAI clients."""

from __future__ import annotations

import re
from typing import Any

#: Attributes of our own, which a router may set on its span.
POLICY_VERSION_ATTRIBUTE = "f0.policy_version"
PROPENSITY_ATTRIBUTE = "f0.propensity"
COST_ATTRIBUTE = "f0.cost_usd"

_TIMEOUT = re.compile(r"time.?out|deadline|^(408|504)$", re.IGNORECASE)


def observation_of_span(span: Any, prefix: str = "router") -> dict[str, Any] | None:
    """The observation of a finished span, or ``None`` if the span is not a call of a model.

    ``span`` is a ``ReadableSpan`` of the OpenTelemetry SDK. ``gen_ai.request.model`` names the arm,
    ``gen_ai.usage.input_tokens`` and ``gen_ai.usage.output_tokens`` the tokens, ``error.type`` the error.
    """
    attributes = span.attributes or {}
    model = attributes.get("gen_ai.request.model") or attributes.get("gen_ai.response.model")
    if not model or span.start_time is None or span.end_time is None:
        return None
    error = attributes.get("error.type")
    failed = error is not None or span.status.status_code.name == "ERROR"
    outcome = "success" if not failed else "timeout" if _TIMEOUT.search(error or "") else "failure"
    found = {
        "component": f"{prefix}:{model}",
        "outcome": outcome,
        "durationMs": (span.end_time - span.start_time) / 1e6,
        "ts": span.end_time // 1_000_000,
        "tokensIn": attributes.get("gen_ai.usage.input_tokens"),
        "tokensOut": attributes.get("gen_ai.usage.output_tokens"),
        "costUsd": attributes.get(COST_ATTRIBUTE),
        "policyVersion": attributes.get(POLICY_VERSION_ATTRIBUTE),
        "propensity": attributes.get(PROPENSITY_ATTRIBUTE),
        "errorCode": error,
    }
    return {name: value for name, value in found.items() if value is not None}
