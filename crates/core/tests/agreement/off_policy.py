"""The value of a policy from the log of another, computed by the Open Bandit Pipeline (obp).

    python crates/core/tests/agreement/off_policy.py           # compares with off_policy.json
    python crates/core/tests/agreement/off_policy.py --write   # writes it

The log is the sample of the Open Bandit Dataset that obp contains (Saito, Aihara, Matsutani, Narita,
NeurIPS Datasets and Benchmarks 2021; CC BY 4.0): for each of three campaigns, 10,000 actions of a
policy that chooses at random, and 10,000 of Thompson sampling. An arm is an item at a position, with
the propensity of the log. Two proposals are evaluated from the log of the random policy: Thompson
sampling as obp computes it from its prior, and the shares with which it chose in its own log. Its
mean reward there is the truth that an interval must contain. A test of the library
(crates/core/src/estimate/agreement.rs) must compute the same values.
"""

import csv
import importlib.util
import json
import pathlib
import sys
import types

import numpy as np

FILE = pathlib.Path(__file__).with_name("off_policy.json")
CAMPAIGNS = ("all", "men", "women")
POSITIONS = 3
ALPHA = 0.05
BETS = 0.96 / 2.0 ** np.arange(12)
OBP = pathlib.Path(importlib.util.find_spec("obp").submodule_search_locations[0])


def import_obp():
    """Imports only the estimators and policies: obp as a whole requires torch and more."""
    for name, folder in (("obp", OBP), ("obp.ope", OBP / "ope"), ("obp.policy", OBP / "policy")):
        package = types.ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    torch = types.ModuleType("torch")
    torch.Tensor = type("Tensor", (), {})
    sys.modules["torch"] = torch
    sys.modules["pandas"] = types.ModuleType("pandas")
    sys.modules["pandas"].DataFrame = type("DataFrame", (), {})
    from obp.ope import estimators
    from obp.policy.contextfree import BernoulliTS

    return estimators, BernoulliTS


def read_log(policy, campaign):
    """Item, position (from 0), reward and propensity of each action."""
    with open(OBP / "dataset" / "obd" / policy / campaign / f"{campaign}.csv") as file:
        rows = list(csv.DictReader(file))
    column = lambda name, kind: np.array([kind(row[name]) for row in rows])
    position = column("position", int) - 1
    return column("item_id", int), position, column("click", int), column("propensity_score", float)


def counted(item, position, items, values=1):
    table = np.zeros((items, POSITIONS))
    np.add.at(table, (item, position), values)
    return table


def interval(values, largest):
    """The interval by betting on `values` / `largest`, as in intervals.py, but with whole arrays."""
    x, n = np.unique(values / largest, return_counts=True)
    mean = float(x @ n / n.sum())

    def bound(outer, odds):
        inner = mean
        for _ in range(60):
            middle = (outer + inner) / 2
            logs = np.log1p(np.outer(BETS, odds(middle))) @ n
            capital = np.logaddexp.reduce(logs) - np.log(len(BETS))
            outer, inner = (middle, inner) if capital >= np.log(2 / ALPHA) else (outer, middle)
        return outer * largest

    return bound(0.0, lambda m: x / m - 1), bound(1.0, lambda m: (1 - x) / (1 - m) - 1)


def valued(name, estimators, log, proposal, truth):
    item, position, reward, propensity = log
    items = len(proposal)
    seen, earned = counted(item, position, items), counted(item, position, items, reward)
    assert seen.min() > 0, "an arm without observations has no mean"
    proposals = np.repeat(proposal[None], len(item), axis=0)
    log = dict(
        reward=reward, action=item, position=position, pscore=propensity, action_dist=proposals
    )
    means = np.repeat((earned / seen)[None], len(item), axis=0)
    ips = estimators.InverseProbabilityWeighting().estimate_policy_value(**log)
    snips = estimators.SelfNormalizedInverseProbabilityWeighting().estimate_policy_value(**log)
    dr = estimators.DoublyRobust().estimate_policy_value(
        **log, estimated_rewards_by_reg_model=means
    )
    assert np.ptp(propensity) == 0, "an arm of this log has one propensity"
    shown = seen.sum(axis=0) / len(item)
    ratios = proposal[item, position] / propensity
    low, high = interval(ratios * reward, ratios.max())
    assert 0 < low <= truth <= high, f"{name}: {truth} is not between {low} and {high}"
    arms = zip(
        (shown * propensity[0] * np.ones_like(proposal)).ravel(),
        (shown * proposal).ravel(),
        earned.ravel(),
        (seen - earned).ravel(),
    )
    return {
        "name": name,
        "alpha": ALPHA,
        "ips": float(ips),
        "snips": float(snips),
        "dr": float(dr),
        "effectiveN": float(ratios.sum() ** 2 / (ratios**2).sum()),
        "low": float(low),
        "high": float(high),
        "truth": float(truth),
        "arms": [[float(a), float(b), int(ones), int(zeros)] for a, b, ones, zeros in arms],
    }


def cases():
    estimators, BernoulliTS = import_obp()
    for campaign in CAMPAIGNS:
        log = read_log("random", campaign)
        item, position, reward, _ = read_log("bts", campaign)
        items = int(max(log[0].max(), item.max())) + 1
        prior = BernoulliTS(
            n_actions=items,
            len_list=POSITIONS,
            is_zozotown_prior=True,
            campaign=campaign,
            random_state=12345,
        ).compute_batch_action_dist(n_rounds=1, n_sim=100_000)[0]
        chosen = counted(item, position, items)
        for name, proposal in (("prior", prior), ("as logged", chosen / chosen.sum(axis=0))):
            yield valued(f"{campaign}, {name}", estimators, log, proposal, reward.mean())


def main():
    found = list(cases())
    if "--write" in sys.argv:
        FILE.write_text("[\n" + ",\n".join(json.dumps(case) for case in found) + "\n]\n")
        return
    for ours, theirs in zip(found, json.loads(FILE.read_text()), strict=True):
        assert ours["name"] == theirs["name"]
        for key in ("ips", "snips", "dr", "effectiveN", "low", "high", "truth"):
            apart = abs(ours[key] - theirs[key])
            assert apart < 1e-10 * max(1.0, abs(ours[key])), f"{ours['name']}: {key} by {apart}"
        assert np.allclose(ours["arms"], theirs["arms"], rtol=0, atol=1e-12), ours["name"]
    print(f"{len(found)} values of obp are those of {FILE.name}")


main()
