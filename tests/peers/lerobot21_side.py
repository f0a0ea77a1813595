"""What an older LeRobot, of the format v2.1, reads: `python lerobot21_side.py PACKAGES ROOT ARRAYS`. Knows nothing of pilab.

PACKAGES is a folder with lerobot 0.3.3 and a `datasets` of its time, put before those of this interpreter. Its film decoder
asks for a class that torchvision has dropped since: the library names the films, PyAV decodes them.
"""

import os
import sys

sys.path.insert(0, sys.argv[1])
os.environ["HF_HUB_OFFLINE"] = "1"

import av
import numpy as np
from lerobot.datasets.lerobot_dataset import CODEBASE_VERSION, LeRobotDataset


def main(root: str, path: str) -> None:
    assert CODEBASE_VERSION == "v2.1"
    dataset = LeRobotDataset("peer/read", root=root)
    columns: dict[str, list] = {}
    for i in range(len(dataset)):
        for key, value in dataset.hf_dataset[i].items():
            columns.setdefault(key, []).append(value if isinstance(value, str) else value.numpy())
    columns["task"] = [dataset.meta.tasks[int(index)] for index in columns["task_index"]]
    for key in dataset.meta.video_keys:
        columns[key] = []
        for e in range(dataset.num_episodes):
            with av.open(dataset.root / dataset.meta.get_video_file_path(e, key)) as film:
                columns[key] += [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    stats = {f"stats/{key}/{name}": v for key, entry in dataset.meta.stats.items() for name, v in entry.items()}
    lengths = [dataset.meta.episodes[e]["length"] for e in range(dataset.num_episodes)]
    np.savez(path, **{key: np.array(values) for key, values in columns.items()}, **stats, lengths=lengths)


if __name__ == "__main__":
    main(*sys.argv[2:])
