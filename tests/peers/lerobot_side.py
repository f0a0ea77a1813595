"""What the real library does, in its own Python: `python lerobot_side.py read|write ROOT ARRAYS`. Knows nothing of pilab.

read:  every frame of every episode of ROOT, as the library gives it → ARRAYS (npz)
write: a dataset of three episodes in ROOT, and what the library reads back from it → ARRAYS
"""

import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset


def read(root: str, path: str) -> None:
    dataset = LeRobotDataset("peer/read", root=root)
    columns: dict[str, list] = {}
    for i in range(len(dataset)):
        for key, value in dataset[i].items():
            columns.setdefault(key, []).append(value if isinstance(value, str) else value.numpy())
    stats = {f"stats/{key}/{name}": v for key, entry in dataset.meta.stats.items() for name, v in entry.items()}
    episodes = {"lengths": dataset.meta.episodes["length"], "episodes": dataset.num_episodes}
    window = LeRobotDataset("peer/read", root=root, delta_timestamps={"action": [-0.1, 0.0, 0.2]})[1]
    extra = {"window": window["action"].numpy(), "window_pad": window["action_is_pad"].numpy()}
    np.savez(path, **{key: np.array(values) for key, values in columns.items()}, **stats, **episodes, **extra)


def write(root: str, path: str) -> None:
    vector = {"dtype": "float32", "shape": (3,), "names": ["a", "b", "c"]}
    image = ["height", "width", "channels"]
    features = {
        "observation.state": vector,
        "action": vector,
        "observation.images.film": {"dtype": "video", "shape": (64, 96, 3), "names": image},
        "observation.images.still": {"dtype": "image", "shape": (24, 32, 3), "names": image},
        "grid": {"dtype": "float32", "shape": (2, 3), "names": None},
        "next.done": {"dtype": "bool", "shape": (1,), "names": None},
        "note": {"dtype": "string", "shape": (1,), "names": None},
    }
    dataset = LeRobotDataset.create("peer/write", fps=10, features=features, root=root, robot_type="peer")
    rng = np.random.default_rng(0)
    for e in range(3):
        for t in range(9 + e):
            film = np.full((64, 96, 3), (40 + 80 * e, 90, 200 - 60 * e), np.uint8)
            film[20:40, 4 * t : 4 * t + 20] = (230, 220, 30)
            frame = {"observation.images.film": film, "observation.images.still": film[::2, ::3][:24]}
            frame |= {key: rng.random(3, np.float32) for key in ("observation.state", "action")}
            frame |= {"grid": rng.random((2, 3), np.float32), "next.done": np.array([t == 8 + e]), "note": f"{e}/{t}"}
            dataset.add_frame({**frame, "task": f"task {e % 2}"})
        dataset.save_episode()
    dataset.finalize()
    read(root, path)


if __name__ == "__main__":
    {"read": read, "write": write}[sys.argv[1]](*sys.argv[2:])
