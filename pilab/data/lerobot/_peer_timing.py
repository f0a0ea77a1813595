"""Time the real lerobot library's random access to a dataset: `PEER_PYTHON _peer_timing.py ROOT [SECONDS]` prints JSON.

Run by another Python than pilab's, one that has lerobot (`tests/peers/make_environment.py` makes it). Imports nothing
of pilab.
"""

import json
import os
import random
import sys
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")


def main(root: str, seconds: float = 10.0) -> dict[str, object]:
    """Read random frames for `seconds` after ten to warm up → steps per second, with the library's own defaults."""
    import lerobot
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    dataset = LeRobotDataset("peer/timing", root=root)
    order = random.Random(0)
    for _ in range(10):
        dataset[order.randrange(len(dataset))]
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        dataset[order.randrange(len(dataset))]
        count += 1
    elapsed = time.perf_counter() - start
    return {"steps_per_s": count / elapsed, "steps": count, "lerobot": lerobot.__version__}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], *map(float, sys.argv[2:3]))))
