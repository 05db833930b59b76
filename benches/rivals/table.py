"""Reads the lines of all learners and prints a table for each world and bounds, by regret."""

import sys
from collections import defaultdict

OURS, ORACLE = "f0-learning", "an oracle"

worlds = defaultdict(list)
for line in sys.stdin:
    world, bounds, policy, mean, error, after = line.rstrip("\n").split("\t")
    worlds[world, bounds].append((float(mean), float(error), float(after), policy))
for (world, bounds), rows in sorted(worlds.items()):
    changes = any(after for _, _, after, _ in rows)
    print(f"\n{world}, {'floor and step bound' if bounds == 'bounds' else 'free'}")
    for mean, error, after, policy in sorted(rows):
        since = f"{after:10.0f} after the change" if changes else ""
        print(f"  {policy:<30} {mean:8.0f} ± {error:<5.0f}{since}")
    rivals = [row for row in rows if row[3] not in (OURS, ORACLE)]
    ours = next(row for row in rows if row[3] == OURS)
    best = min(rivals)
    print(f"  f0-learning / the best other learner: {ours[0] / best[0]:.2f}", end="")
    if changes:
        least = min(row[2] for row in rivals)
        print(f"; after the change: {ours[2] / least:.2f}", end="")
    print()
