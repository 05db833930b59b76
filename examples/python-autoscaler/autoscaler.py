"""An autoscaler that follows the load of a day, and records each scaling.

Start ``f0-learning dev``, set the two variables that it prints, and run
``examples/python-autoscaler/run``.
"""

import math
import random
import time

from google.cloud import firestore

from f0_learning import Learning

FALLBACK = {"target": 0.7, "minReplicas": 2, "maxReplicas": 40}


def scale_to(replicas: int) -> bool:
    """What the platform's API would do; one scaling in fifty fails."""
    time.sleep(0.001)
    return random.random() > 0.02


def main() -> None:
    with Learning(firestore.Client()) as learning:
        policy = learning.follow("autoscaler-core", fallback=FALLBACK)
        replicas = 2
        for minute in range(0, 1440, 10):
            choice = policy.choose("checkout")
            load = 12 + 10 * math.sin(minute / 1440 * 2 * math.pi) + random.random()
            wanted = math.ceil(load / choice.params["target"])
            wanted = min(max(wanted, choice.params["minReplicas"]), choice.params["maxReplicas"])
            if wanted == replicas:
                continue
            begun = time.monotonic()
            success = scale_to(wanted)
            learning.record_observation(
                "AutoScaler",
                "success" if success else "failure",
                (time.monotonic() - begun) * 1000,
                costUsd=abs(wanted - replicas) * 0.002,
                policyVersion=choice.policy_version,
                meta={"from": replicas, "to": wanted, "reason": "load"},
            )
            replicas = wanted if success else replicas
    report = learning.report
    print(f"{report.written} observations written, {report.failed} failed")


if __name__ == "__main__":
    main()
