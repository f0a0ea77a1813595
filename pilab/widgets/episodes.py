"""A browser of episodes: what was recorded, played back in a cell, with its words, its sources and what the joints did.

The page asks for a frame, the kernel decodes it; nothing is loaded that nobody looks at, so a dataset may be of any size.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets

from pilab.contracts import ACTION, PilabError
from pilab.data.lerobot import LeRobotDataset
from pilab.data.schema import INTERVENTION, SOURCE, SUBTASK, SUCCESS
from pilab.widgets.page import HERE, jpeg, runs, script

# Columns of the list, where there are any.
SHOWN = ("task", "verb", "object", "place", "operator", "success", "gaps", "manner")
POINTS = 200  # of a curve


class Episodes(anywidget.AnyWidget):
    """Look through a LeRobot dataset, ours or anybody's. dataset: a folder, or one that is open."""

    _esm = script("episodes.js")
    _css = HERE / "episodes.css"

    rows = traitlets.List().tag(sync=True)  # one per episode: {episode, length, seconds, …}
    about = traitlets.Dict().tag(sync=True)  # cameras, fps, columns
    error = traitlets.Unicode("").tag(sync=True)

    def __init__(self, dataset: LeRobotDataset | str | Path) -> None:
        self.dataset = d = dataset if isinstance(dataset, LeRobotDataset) else LeRobotDataset(dataset)
        columns = [
            name for name in SHOWN if name == "task" or any(row.get(name) not in (None, "") for row in d.episodes)
        ]
        rows = []
        for e, row in enumerate(d.episodes):
            known = {**row, "task": ", ".join(row.get("tasks") or [])}
            cells = {name: known.get(name) for name in columns}
            rows.append({"episode": e, "length": int(row["length"]), "seconds": row["length"] / d.fps, **cells})
        about = {"cameras": d.cameras, "fps": d.fps, "columns": columns, "name": d.root.name}
        super().__init__(rows=rows, about=about)
        self.on_msg(lambda _, content, buffers: self.receive(content))

    def receive(self, message: Any) -> None:
        """{do: "episode", episode} → its curves and words; {do: "frame", episode, frame} → its pictures."""
        try:
            if not isinstance(message, Mapping):
                return
            e = self._index(message.get("episode"), len(self.rows), "episode")
            if message.get("do") == "episode":
                self.send({"do": "episode", "episode": e, **self.story(e)})
            elif message.get("do") == "frame":
                k = self._index(message.get("frame"), self.rows[e]["length"], "frame")
                pictures = [jpeg(self.dataset.frames(camera, e, [k])[0]) for camera in self.dataset.cameras]
                self.send({"do": "frame", "episode": e, "frame": k}, pictures)
            self.error = ""
        except PilabError as error:
            self.error = str(error)

    def story(self, e: int) -> dict[str, Any]:
        """What happened in an episode: spans of subtasks and sources, and a curve of every action, 0 … 1."""
        d, length = self.dataset, self.rows[e]["length"]
        have = [key for key in (SUBTASK, SOURCE, INTERVENTION, SUCCESS, ACTION) if key in d.columns]
        values = d.episode(e, have)
        spans = {key: runs([str(v) for v in np.ravel(values[key])]) for key in (SUBTASK, SOURCE) if key in values}
        story: dict[str, Any] = {"spans": spans}
        if ACTION in values:
            action = np.asarray(values[ACTION], float).reshape(length, -1)[:: max(1, length // POINTS)]
            span = np.ptp(action, axis=0)
            story["curves"] = ((action - action.min(0)) / np.where(span > 0, span, 1)).T.round(3).tolist()
            story["names"] = list(d.features[ACTION].names or range(action.shape[1]))
        if SUCCESS in values:
            story["success"] = bool(np.ravel(values[SUCCESS])[-1])
        return story

    @staticmethod
    def _index(value: Any, count: int, what: str) -> int:
        if type(value) is not int or not 0 <= value < count:
            raise PilabError(f"{what} {value!r}; there are 0 … {count - 1}")
        return value
