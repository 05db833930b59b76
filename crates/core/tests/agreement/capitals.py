"""The capital of gamblers by the package `confseq`, at the bounds of intervals.json.

    python crates/core/tests/agreement/capitals.py FOLDER

FOLDER is the `src` folder of its unpacked source. Its betting module is pure Python; the package as a
whole requires a compiler and Boost.
"""

import json
import pathlib
import sys
import types

import numpy as np

FILE = pathlib.Path(__file__).with_name("intervals.json")
BETS = [0.96 / 2**power for power in range(12)]


def import_betting(folder):
    """The module imports packages for plots and parallel work that are not used here."""
    sys.path.insert(0, folder)
    for name in ("matplotlib", "matplotlib.pyplot", "multiprocess"):
        sys.modules[name] = types.ModuleType(name)
    # Used in its type annotations; removed in NumPy 2.
    np.float_ = np.float64
    from confseq import betting

    return betting


def capital(betting, case, m, above):
    """The final capital of a mixture of constant bets that the mean is above, or below, m."""
    weights, values, counts = (np.array(column) for column in zip(*case["cells"]))
    x = np.repeat(values, counts)
    shares = np.repeat(weights / weights.max(), counts)
    x, m = (x, m) if above else (1 - x, 1 - m)
    bets = [lambda _, m, bet=bet: bet * shares / m for bet in BETS]
    return betting.diversified_betting_mart(x, m, bets, theta=1, trunc_scale=1)[-1]


def main():
    betting, compared, furthest = import_betting(sys.argv[1]), 0, 0.0
    for case in json.loads(FILE.read_text()):
        for end, above in (("low", True), ("high", False)):
            if 0 < case[end] < 1:
                staked = case["alpha"] / 2 * capital(betting, case, case[end], above)
                furthest, compared = max(furthest, abs(staked - 1)), compared + 1
                assert abs(staked - 1) < 1e-9, f"{case['name']}: {end}: {staked}"
    assert compared >= 10, compared
    print(f"confseq has the capitals of {compared} bounds, to {furthest:.1e}")


main()
