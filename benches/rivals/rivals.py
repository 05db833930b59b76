"""The regret of other learners in the worlds that `lab -- worlds` prints.

Prints, separated by tabs: the world, whether floor and step bound apply, the policy, its mean
regret, the standard error, and the regret after the world's change. All choices of an hour are made
before the policy learns any of their outcomes.
"""

import json
import random
import sys

import numpy
import vowpalwabbit
from mabwiser.mab import MAB, LearningPolicy
from river import bandit, proba

FLOOR, STEP = 0.05, 0.1
# The number of draws that estimate the share of each arm under a policy.
DRAWS = 500


class MabWiser:
    def __init__(self, arms, seed):
        self.arms = list(range(arms))
        self.mab = MAB(self.arms, LearningPolicy.ThompsonSampling(), seed=seed)
        self.begun = False

    def choose(self, n):
        if not self.begun:
            return [random.choice(self.arms) for _ in range(n)]
        return [self.mab.predict() for _ in range(n)]

    def learn(self, chosen, rewards, _shares):
        if self.begun:
            self.mab.partial_fit(chosen, rewards)
        else:
            self.mab.fit(chosen, rewards)
            self.begun = True


class River:
    def __init__(self, make, arms, seed):
        self.policy, self.arms = make(seed), list(range(arms))

    def choose(self, n):
        return [self.policy.pull(self.arms) for _ in range(n)]

    def learn(self, chosen, rewards, _shares):
        for arm, reward in zip(chosen, rewards):
            self.policy.update(arm, reward)


class VowpalWabbit:
    def __init__(self, options, arms, seed):
        self.vw = vowpalwabbit.Workspace(
            f"--cb_explore {arms} {options} --random_seed {seed} --quiet"
        )

    def shares(self):
        shares = numpy.array(self.vw.predict("| a"), dtype=float)
        return shares / shares.sum()

    def choose(self, n):
        return list(numpy.random.choice(len(self.shares()), n, p=self.shares()))

    def learn(self, chosen, rewards, shares):
        for arm, reward in zip(chosen, rewards):
            self.vw.learn(f"{arm + 1}:{1 - reward}:{max(shares[arm], 1e-3)} | a")


POLICIES = {
    "MABWiser Thompson": lambda arms, seed: MabWiser(arms, seed),
    "river Thompson": lambda arms, seed: River(
        lambda seed: bandit.ThompsonSampling(reward_obj=proba.Beta(), seed=seed), arms, seed
    ),
    "river UCB": lambda arms, seed: River(
        lambda seed: bandit.UCB(delta=1, burn_in=1, seed=seed), arms, seed
    ),
    "river epsilon-greedy": lambda arms, seed: River(
        lambda seed: bandit.EpsilonGreedy(epsilon=0.1, burn_in=1, seed=seed), arms, seed
    ),
    "river Bayes-UCB": lambda arms, seed: River(
        lambda seed: bandit.BayesUCB(seed=seed), arms, seed
    ),
    "VW bag 5": lambda arms, seed: VowpalWabbit("--bag 5", arms, seed),
    "VW squarecb": lambda arms, seed: VowpalWabbit("--squarecb", arms, seed),
    "VW epsilon 0.1": lambda arms, seed: VowpalWabbit("--epsilon 0.1", arms, seed),
}


def within_bounds(wanted, before):
    """The shares nearest to `wanted` that keep the floor and the step bound from `before`."""
    low = numpy.maximum(FLOOR, before - STEP)
    high = numpy.maximum(low, before + STEP)
    least, most = -2.0, 2.0
    for _ in range(60):
        middle = (least + most) / 2
        if numpy.clip(wanted + middle, low, high).sum() < 1:
            least = middle
        else:
            most = middle
    shares = numpy.clip(wanted + most, low, high)
    return shares / shares.sum()


def regret(make, world, change, batch, bounded, seed):
    """The total regret, and the regret after the change."""
    random.seed(seed)
    numpy.random.seed(seed)
    arms = len(world[0])
    policy, shares, lost = make(arms, seed), numpy.full(arms, 1 / arms), [0.0, 0.0]
    for hour, success in enumerate(world):
        if bounded:
            if hour > 0:
                drawn = policy.choose(DRAWS)
                shares = within_bounds(numpy.bincount(drawn, minlength=arms) / DRAWS, shares)
            chosen = list(numpy.random.choice(arms, batch, p=shares))
        else:
            chosen = policy.choose(batch)
            shares = numpy.bincount(chosen, minlength=arms) / batch
        chosen = [int(arm) for arm in chosen]
        missed = sum(max(success) - success[arm] for arm in chosen)
        lost[0] += missed
        lost[1] += missed if hour >= change else 0.0
        rewards = [int(random.random() < success[arm]) for arm in chosen]
        policy.learn(chosen, rewards, shares)
    return lost


def main():
    with open(sys.argv[1]) as file:
        found = json.load(file)
    runs = int(sys.argv[2])
    for name, world in found["worlds"].items():
        change = found["changes"].get(name, len(world))
        for bounded in (True, False):
            for policy, make in POLICIES.items():
                lost = numpy.array(
                    [regret(make, world, change, found["batch"], bounded, seed)
                     for seed in range(runs)]
                )
                mean, after = lost.mean(axis=0)
                error = lost[:, 0].std(ddof=1) / runs**0.5 if runs > 1 else 0.0
                bounds = "bounds" if bounded else "free"
                print(name, bounds, policy, f"{mean:.1f}", f"{error:.1f}", f"{after:.1f}",
                      sep="\t", flush=True)


main()
