"""Intervals by betting for fixed inputs: a second implementation, in pure Python.

    python3 crates/core/tests/agreement/intervals.py           # compares with intervals.json
    python3 crates/core/tests/agreement/intervals.py --write   # writes it

The fixed inputs are points of the library's grids, so that samples represent them exactly: a test of
the library (crates/core/src/estimate/agreement.rs) must compute the same bounds. The rule is that of
Waudby-Smith and Ramdas (arXiv 2010.09686) with a mixture of 12 constant bets. Here the bets are made
on one observation after the other, in the order drawn; the library sums over a histogram.
"""

import json
import math
import pathlib
import random
import sys

FILE = pathlib.Path(__file__).with_name("intervals.json")
BETS = [0.96 / 2**power for power in range(12)]


def log_capital(observations, m, above):
    """The logarithm of the capital of a gambler who bet that the mean is not m."""
    largest = max(weight for weight, _ in observations)
    logs = []
    for bet in BETS:
        capital = 0.0
        for weight, value in observations:
            odds = value / m - 1 if above else (1 - value) / (1 - m) - 1
            capital += math.log1p(bet * weight / largest * odds)
        logs.append(capital)
    top = max(logs)
    return top + math.log(math.fsum(math.exp(log - top) for log in logs) / len(logs))


def weighted_mean(observations):
    total = math.fsum(weight for weight, _ in observations)
    return math.fsum(weight * value for weight, value in observations) / total


def bound(observations, alpha, above):
    """The end of the interval, to about 1e-12: between a refuted value and the mean."""
    mean = weighted_mean(observations)
    outer, inner = (0.0, mean) if above else (1.0, mean)
    enough = math.log(1 / alpha)

    def refuted(m):
        if above and m <= 0:
            return any(value > 0 for _, value in observations)
        if not above and m >= 1:
            return any(value < 1 for _, value in observations)
        return log_capital(observations, m, above) >= enough

    if not refuted(outer):
        return outer
    for _ in range(60):
        middle = (outer + inner) / 2
        if refuted(middle):
            outer = middle
        else:
            inner = middle
    return outer


def interval(observations, alpha):
    return [bound(observations, alpha / 2, True), bound(observations, alpha / 2, False)]


def inputs():
    """(name, observations as (weight, value), alpha); from a fixed seed, on points of the grids."""
    chance = random.Random(2010)
    coin = lambda share, n: [(1.0, float(chance.random() < share)) for _ in range(n)]
    steps = lambda n: [(1.0, chance.randrange(33) / 32) for _ in range(n)]
    sampled = []
    for _ in range(400):
        success = chance.random() < 0.9
        if not success or chance.random() < 0.25:
            # A quarter of the successes is kept; each represents four.
            sampled.append((4.0 if success else 1.0, 0.75 if success else 0.125))
    return [
        ("one success", [(1.0, 1.0)], 0.05),
        ("twenty failures", [(1.0, 0.0)] * 20, 0.05),
        ("a fair coin, 200", coin(0.5, 200), 0.05),
        ("a rare success, 500", coin(0.03, 500), 0.01),
        ("any reward, 300", steps(300), 0.05),
        ("any reward, 300, strictly", steps(300), 0.0005),
        ("sampled", sampled, 0.05),
    ]


def cases():
    for name, observations, alpha in inputs():
        low, high = interval(observations, alpha)
        counts = {}
        for observation in observations:
            counts[observation] = counts.get(observation, 0) + 1
        cells = [[weight, value, n] for (weight, value), n in sorted(counts.items())]
        yield {"name": name, "alpha": alpha, "cells": cells, "low": low, "high": high}


def main():
    found = list(cases())
    if "--write" in sys.argv:
        FILE.write_text(json.dumps(found, indent=1) + "\n")
        return
    stored = json.loads(FILE.read_text())
    for ours, theirs in zip(found, stored, strict=True):
        assert ours["cells"] == theirs["cells"], ours["name"]
        for end in ("low", "high"):
            apart = abs(ours[end] - theirs[end])
            assert apart < 1e-10, f"{ours['name']}: {end} differs by {apart}"
    print(f"{len(found)} intervals are those of {FILE.name}")


main()
