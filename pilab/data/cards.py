"""What a dataset holds, in numbers and in words: `describe`, the card on disk, the text of `pilab dataset info`.

Design choices
--------------
* One dictionary (`describe`) is the source of every rendering, so that card, command line and notebook agree.
* The card says what the data is NOT good for; nobody reads limits that are written elsewhere.
* A foreign dataset has no verbs, no sources and no recipe: what is not recorded is left out, never guessed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pilab.contracts import DatasetError
from pilab.data.lerobot.reader import LeRobotDataset

SOURCE = "simulated"
COUNTED = {"verb": "verbs", "object": "objects", "place": "places", "arm": "arms", "operator": "operators"}
_LIMITS = """\
- Simulated: drawn by a ray caster and moved by a rigid-body simulator. No real robot was involved, and success on it
  says nothing about one.
- Small: the counts above are all there is. Objects, places and verbs that are not counted were never seen.
- Frames are stored as video; the colour error above (where it was measured) is what the codec cost.
- Combinations that the project reserves for testing are left out of collected data on purpose; a person's own
  recordings may contain them."""


def describe(dataset: LeRobotDataset) -> dict[str, Any]:
    """Counts and properties of a dataset as JSON values; keys that do not apply are absent.

    Success is the share of episodes whose last frame has `next.success`; sources are shares of frames.
    """
    rows, meta, frames = dataset.episodes, dataset.pilab.get("meta", {}), len(dataset)
    out: dict[str, Any] = {
        "path": str(dataset.root),
        "id": dataset.id,
        "format": f"LeRobotDataset {dataset.info.codebase_version}",
        "robot": dataset.info.robot_type or "unknown",
        "source": meta.get("source", SOURCE) if dataset.pilab else "unknown",
        "episodes": len(rows),
        "frames": frames,
        "minutes": round(frames / dataset.fps / 60, 2),
        "fps": dataset.fps,
        "tasks": len(dataset.tasks),
    }
    for column, name in COUNTED.items():
        if counts := Counter(str(row[column]) for row in rows if row.get(column)):
            out[name] = dict(counts.most_common())
    if "next.success" in dataset.columns and frames:
        ends = np.cumsum(dataset.lengths) - 1
        out["success"] = round(float(dataset.columns["next.success"][ends].mean()), 4)
    if "source" in dataset.columns and frames:
        out["sources"] = {k: round(n / frames, 4) for k, n in Counter(dataset.columns["source"].tolist()).most_common()}
    out["cameras"] = {}
    for key in dataset.cameras:
        feature = dataset.features[key]
        info = {name: feature.info.get(f"video.{name}") for name in ("codec", "pix_fmt", "crf", "g", "preset")}
        known = {name: value for name, value in info.items() if value is not None}
        out["cameras"][key] = {"height": feature.shape[0], "width": feature.shape[1], "dtype": feature.dtype, **known}
    files = [path for path in dataset.root.rglob("*") if path.is_file()]
    out["megabytes"] = round(sum(path.stat().st_size for path in files) / 1e6, 2)
    for name in ("colour_error", "commit", "recipe"):
        if name in meta:
            out[name] = meta[name]
    return out


def format_info(description: Mapping[str, Any]) -> str:
    """A description as aligned lines for a terminal."""
    lines = []
    for name, value in description.items():
        if isinstance(value, Mapping):
            items = [f"{key} {_words(entry)}" for key, entry in value.items()]
            text = ("\n" + " " * 14).join(items) if name == "cameras" else ", ".join(items)
        else:
            text = f"{value:.0%}" if name == "success" else str(value)
        lines.append(f"{name:<13} {text}")
    return "\n".join(lines)


def write_card(root: str | Path) -> Path:
    """Write `<root>/README.md`, the dataset card that the Hub shows, over any older one; returns its path."""
    dataset = LeRobotDataset(root)
    description = describe(dataset)
    body = {name: value for name, value in description.items() if name != "path"}
    # The front matter is what the Hub reads: licence, tags and where the viewer finds the rows.
    front = {
        "license": "apache-2.0",
        "task_categories": ["robotics"],
        "tags": ["LeRobot", "pilab", body["source"]],
        "configs": [{"config_name": "default", "data_files": "data/*/*.parquet"}],
    }
    header = "\n".join(f"{key}: {json.dumps(value)}" for key, value in front.items())
    table = "\n".join(
        f"| {name} | {_cell(value)} |" for name, value in body.items() if name not in ("recipe", "cameras")
    )
    cameras = "\n".join(f"| `{key}` | {_words(value)} |" for key, value in body["cameras"].items())
    features = "\n".join(
        f"| `{key}` | {feature.dtype} | {'×'.join(map(str, feature.shape))} |"
        for key, feature in dataset.features.items()
    )
    sections = [
        f"---\n{header}\n---\n# {Path(root).resolve().name}",
        f"A {body['source']} robot dataset in the LeRobotDataset v3.0 format, written by pilab. Licence: Apache-2.0.",
        f"## Counts\n\n| what | value |\n| --- | --- |\n{table}",
        f"## Cameras\n\n| key | stored as |\n| --- | --- |\n{cameras}" if cameras else "",
        f"## Columns\n\n| key | dtype | shape |\n| --- | --- | --- |\n{features}",
        f"## Recipe\n\n```json\n{json.dumps(body['recipe'], indent=1)}\n```" if "recipe" in body else "",
        f"## Limits\n\n{_LIMITS}" if body["source"] == SOURCE else "",
    ]
    path = Path(root) / "README.md"
    try:
        path.write_text("\n\n".join(filter(None, sections)) + "\n", encoding="utf-8")
    except OSError as error:
        raise DatasetError(f"cannot write {path}: {error.strerror}") from error
    return path


def _words(value: Any) -> str:
    return " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, Mapping) else str(value)


def _cell(value: Any) -> str:
    text = ", ".join(f"{k} {_words(v)}" for k, v in value.items()) if isinstance(value, Mapping) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
