"""Against the local Firestore that FIRESTORE_EMULATOR_HOST names."""

import asyncio
import os
import time
import uuid
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from google.cloud import firestore

import f0_learning as f0

assert os.environ.get("FIRESTORE_EMULATOR_HOST"), "FIRESTORE_EMULATOR_HOST must name a local Firestore"

ARMS = {"gpt-5": 0.5, "gemini": 0.5}
PARAMS = {"modelWeights": ARMS, "fallbackOn": ["timeout", "rate_limit"], "cooldownMs": 60_000}


@pytest.fixture
def project():
    return f"test-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def db(project):
    with_client = firestore.Client(project=project)
    yield with_client
    with_client.close()


def stored(db):
    return [it.to_dict() for it in db.collection("ops_observations").stream()]


def version(number, **more):
    return {"id": "router-core", "version": number, "status": "active", "params": PARAMS, **more}


def until(condition):
    for _ in range(200):
        if condition():
            return
        time.sleep(0.025)
    pytest.fail("not within five seconds")


class RateLimited(Exception):
    status_code = 429


def call(arm, _params):
    if arm == "gpt-5":
        raise RateLimited("too many requests")
    return {"arm": arm, "cost": 0.01}


def test_an_observation_is_stored_with_id_and_time_and_without_none(db):
    with f0.Learning(db) as learning:
        meta = {"from": 1, "at": datetime(2026, 1, 1, tzinfo=UTC)}
        learning.record_observation("AutoScaler", "success", 12, costUsd=None, meta=meta)
    assert learning.report == f0.Report(written=1)
    [document] = stored(db)
    assert abs(document["ts"] - time.time() * 1000) < 60_000
    assert document["meta"] == {"from": 1, "at": "2026-01-01 00:00:00+00:00"}
    assert "costUsd" not in document and "sampleRate" not in document


def test_nothing_that_a_caller_passes_makes_recording_raise(db):
    circular: dict = {}
    circular["self"] = circular
    hostile = [
        ((None, None, None), {}),
        (("a\u0007", "success", 1), {}),
        (("a", "ok", 1), {}),
        (("a", "success", 1), {"meta": circular}),
        (("a", "success", 1), {"sampleRate": 0}),
        (("a", "success", 1), {"sampleRate": float("nan")}),
        (("a", "success", 1), {"ts": 1.5}),
        (("a", "success", 1), {"ts": float("inf")}),
        (("a", "success", 1), {"id": "a/b"}),
    ]
    with f0.Learning(db) as learning:
        for positional, named in hostile:
            learning.record_observation(*positional, **named)
    assert learning.report.written == 0
    assert learning.report.invalid + learning.report.failed == len(hostile)


def test_an_invalid_optional_field_does_not_cost_the_observation(db, caplog):
    with f0.Learning(db) as learning:
        learning.record_observation("AutoScaler", "success", 12, tokensIn=-1)
    assert learning.report.written == 1
    assert "invalid tokensIn: expected a whole number from 0" in caplog.text


def test_an_id_that_is_recorded_twice_is_stored_once_and_counts_as_written(db):
    with f0.Learning(db) as learning:
        for duration in (1, 2):
            learning.record_observation("AutoScaler", "success", duration, id="same")
        learning.record_observation("AutoScaler", "success", 3)
    assert learning.report.written == 3
    assert sorted(it["durationMs"] for it in stored(db)) == [1, 3]


def test_a_full_queue_drops_and_counts_and_successes_are_sampled_with_their_rate(db):
    options = f0.RecorderOptions(max_queued=2, linger_seconds=30)
    with f0.Learning(db, options) as learning:
        for _ in range(5):
            learning.record_observation("AutoScaler", "success", 1)
        started = time.monotonic()
    assert time.monotonic() - started < 10, "close does not wait for the linger"
    assert (learning.report.written, learning.report.dropped) == (2, 3)

    with f0.Learning(db, f0.RecorderOptions(success_rate=0.25)) as learning:
        for _ in range(400):
            learning.record_observation("AutoScaler", "success", 1)
        learning.record_observation("AutoScaler", "timeout", 1)
    report = learning.report
    assert report.written + report.sampled_out == 401
    assert 50 < report.written < 150
    assert sum(it.get("sampleRate") == 0.25 for it in stored(db)) == report.written - 1


def test_a_policy_is_followed_live_and_starts_with_the_fallback(db):
    policies = db.collection("ops_policies")
    with f0.Learning(db) as learning:
        policy = learning.follow("router-core", fallback={"modelWeights": {"claude": 1.0}})
        assert policy.choose("u").draw() == f0.Arm("claude", 1.0)
        assert policy.choose("u").policy_version is None

        policies.document("router-core@1.0.9").set(version("1.0.9"))
        until(lambda: (policy.current or {}).get("version") == "1.0.9")
        # Two active versions, as after an edit by hand: the highest by number is used.
        policies.document("router-core@1.0.10").set(version("1.0.10"))
        until(lambda: policy.current["version"] == "1.0.10")
        candidate = {"experiment": "e", "version": "1.0.11", "share": 1, "params": PARAMS}
        policies.document("router-core@1.0.10").update({"candidate": candidate})
        until(lambda: policy.choose("u").is_candidate)
        assert policy.choose("u").policy_version == "router-core@1.0.11"


def check_routed(report, all_observations):
    failed = [it for it in all_observations if it["component"] == "router:gpt-5"]
    # With a cooldown of a minute, the failing arm is called once.
    assert [(it["outcome"], it["errorCode"], it["policyVersion"]) for it in failed] == [
        ("failure", "rate_limit", "router-core@1.0.0")
    ]
    served = [it for it in all_observations if it["component"] == "router:gemini"]
    assert len(served) == 60 and all(it["costUsd"] == 0.01 for it in served)
    # Until gpt-5 failed, gemini was drawn by the weights; after that it got the share of gpt-5, too.
    assert sum("policyVersion" in it for it in served) < 60
    assert report == f0.Report(written=61)


def test_a_request_falls_back_and_the_failed_arm_cools_down(db):
    db.collection("ops_policies").document("router-core@1.0.0").set(version("1.0.0"))
    with f0.Learning(db) as learning:
        policy = learning.follow("router-core")
        for number in range(60):
            answer = learning.route(
                policy, "router", call, unit=f"u{number}", facts=lambda it: {"costUsd": it["cost"]}
            )
            assert answer["arm"] == "gemini"
    check_routed(learning.report, stored(db))


def test_asyncio_routes_in_the_same_way(db, project):
    db.collection("ops_policies").document("router-core@1.0.0").set(version("1.0.0"))

    async def call_later(arm, params):
        await asyncio.sleep(0)
        return call(arm, params)

    async def run():
        client = firestore.AsyncClient(project=project)
        async with f0.AsyncLearning(client) as learning:
            policy = await learning.follow("router-core", refresh=0.05)
            for number in range(60):
                answer = await learning.route(
                    policy,
                    "router",
                    call_later,
                    unit=f"u{number}",
                    facts=lambda it: {"costUsd": it["cost"]},
                )
                assert answer["arm"] == "gemini"
            change = {"params": {"modelWeights": {"claude": 1.0}}}
            await client.collection("ops_policies").document("router-core@1.0.0").update(change)
            await asyncio.sleep(0.5)
            assert policy.choose("u").draw() == f0.Arm("claude", 1.0)
        return learning.report

    report = asyncio.run(run())
    check_routed(report, stored(db))


def test_an_error_that_the_policy_does_not_list_is_raised_at_once(db):
    db.collection("ops_policies").document("router-core@1.0.0").set(version("1.0.0"))
    calls = []

    def fail(arm, _params):
        calls.append(arm)
        raise TypeError("bad prompt")

    with f0.Learning(db) as learning:
        policy = learning.follow("router-core")
        with pytest.raises(TypeError):
            learning.route(policy, "router", fail)
        assert len(calls) == 1
        with pytest.raises(f0.NoArm):
            learning.route(learning.follow("missing"), "router", fail)


def test_errors_get_the_codes_that_policies_list():
    from google.api_core import exceptions

    for error in (TimeoutError(), exceptions.DeadlineExceeded("late")):
        assert f0.describe_error(error) == ("timeout", "timeout")
    for error in (RateLimited(), exceptions.ResourceExhausted("full")):
        assert f0.describe_error(error) == ("failure", "rate_limit")
    assert f0.describe_error(ConnectionRefusedError()) == ("failure", "ConnectionRefusedError")
    assert f0.describe_error(Exception()) == ("failure", "error")


def test_a_span_of_a_genai_client_becomes_an_observation():
    span = SimpleNamespace(
        attributes={
            "gen_ai.request.model": "gpt-5",
            "gen_ai.usage.input_tokens": 150,
            "gen_ai.usage.output_tokens": 500,
            "f0.policy_version": "router-core@1.0.0",
        },
        start_time=1_764_000_000_000_000_000,
        end_time=1_764_000_000_234_000_000,
        status=SimpleNamespace(status_code=SimpleNamespace(name="UNSET")),
    )
    found = f0.observation_of_span(span)
    assert f0.problems_of(found) == []
    assert found["component"] == "router:gpt-5" and found["durationMs"] == 234
    span.attributes["error.type"] = "timeout"
    assert f0.observation_of_span(span)["outcome"] == "timeout"
    span.attributes = {}
    assert f0.observation_of_span(span) is None
