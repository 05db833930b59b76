"""The examples that the packages of all languages pass."""

import json
from pathlib import Path

import f0_learning as f0

VECTORS = json.loads((Path(__file__).parents[2] / "vectors.json").read_text())


def name(arm):
    return arm.name if arm else None


def test_units_get_the_arms_of_the_vectors():
    assert VECTORS["units"]
    for it in VECTORS["units"]:
        assert name(f0.draw_arm_of_unit(it["weights"], it["unit"])) == it["arm"], it


def test_draws_select_the_arms_of_the_vectors():
    for it in VECTORS["draws"]:
        assert name(f0.draw_arm(it["weights"], it["u"])) == it["arm"], it


def test_experiments_take_the_units_of_the_vectors():
    for it in VECTORS["shares"]:
        assert f0.takes_candidate(it["experiment"], it["unit"], it["share"]) == it["taken"], it


def test_the_holdback_comes_before_the_candidate_and_the_candidate_before_the_active_version():
    policy, cases = VECTORS["choices"]["policy"], VECTORS["choices"]["cases"]
    assert len({it["policyVersion"] for it in cases}) == 3
    for it in cases:
        choice = f0.choose(policy, it["unit"])
        assert choice.policy_version == it["policyVersion"]
        assert choice.is_candidate == it["isCandidate"]


def test_sampling_keeps_what_the_vectors_keep():
    for it in VECTORS["sampling"]:
        found = f0.sample_rate_of(it["outcome"], it["successRate"], it["u"])
        assert found == it["sampleRate"], it


def test_ids_belong_to_the_shards_of_the_vectors():
    for it in VECTORS["shards"]:
        assert f0.shard_of(it["id"], it["shards"]) == it["shard"], it


def test_arms_cool_down_as_in_the_vectors():
    weights = VECTORS["cooldowns"]["weights"]
    cooldowns = f0.Cooldowns()
    for step in VECTORS["cooldowns"]["steps"]:
        if "succeeded" in step:
            cooldowns.succeeded(step["succeeded"])
            continue
        if "failed" in step:
            after = step["cooldownAfter"]
            cooldowns.failed(step["failed"], step["cooldownMs"], after, step["now"])
            continue
        drawn = cooldowns.draw(weights, step["now"], **step["draw"], without=step["without"])
        found = (drawn.name, drawn.by_weights) if drawn else (None, None)
        assert found == (step["arm"], step["byWeights"]), step
