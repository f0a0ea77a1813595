"""A dashboard of sensors: tick what shall be taken, see what is left. Each set is tried once, in the background.

Design choices
--------------
* **The table and the figure are functions of rows** (`losses`, `figures.lattice`), which are there for whoever wants them.
* **What was tried is kept**: another tick tries what is new. More episodes go on from those that there are.
* A thread tries sets one after the other and may be stopped between two; the cell stays free.
"""

from __future__ import annotations

import html
import threading
from collections.abc import Sequence
from typing import Any

import ipywidgets as ipw
import plotly.graph_objects as go

from pilab.contracts import Embodiment, Policy, Row
from pilab.evaluation.ablation import WAYS, WHOLE, Run, Taken, ablate, lattice, losses, sensors_of
from pilab.evaluation.rollout import make_policy
from pilab.evaluation.statistics import p_text
from pilab.figures.lattice import lattice as drawn
from pilab.world.scenes import find_body


class Sensors(ipw.VBox):
    """Try a policy without sensors. What it takes is what `ablate` takes; `rows` holds what was seen.

    `Sensors("default", suite="put", episodes=20)`
    """

    def __init__(
        self, policy: Policy | str | None = None, *, body: str | Embodiment = "duo", run: Run | None = None, **episodes: Any
    ) -> None:  # fmt: skip
        robot = find_body(body) if isinstance(body, str) else body
        self.policy = make_policy(policy, robot) if isinstance(policy, str) else policy
        self.body, self.world, self.episodes = body, run, {"progress": False, **episodes}
        self.known = sensors_of(robot)
        self.rows: list[Row] = []
        self._stopped, self._thread = threading.Event(), None
        self.boxes = {name: ipw.Checkbox(value=False, description=name, indent=False) for name in self.known}
        self.way = ipw.Dropdown(options=list(WAYS), value="black", description="way")
        self.all_sets = ipw.Checkbox(value=False, description="every set of them", indent=False)
        self.start = ipw.Button(description="try", button_style="primary", icon="play")
        self.stop = ipw.Button(description="stop", icon="stop", disabled=True)
        self.bar = ipw.IntProgress(value=0, max=1, layout={"width": "220px"})
        self.told = ipw.HTML()
        self.table = ipw.HTML()
        self.picture = ipw.VBox()
        self.start.on_click(lambda _: self.begin())
        self.stop.on_click(lambda _: self._stopped.set())
        ticks = ipw.VBox([ipw.HTML("<b>take away</b>"), *self.boxes.values()])
        hands = ipw.VBox([self.way, self.all_sets, ipw.HBox([self.start, self.stop]), self.bar, self.told])
        super().__init__([ipw.HBox([ticks, hands]), self.picture, self.table])

    @property
    def wanted(self) -> list[Taken]:
        """What the ticks ask for and nobody has tried: all sensors, the sets in question, and everything."""
        ticked = {name: self.known[name] for name, box in self.boxes.items() if box.value}
        tried = {row.arm for row in self.rows}
        if not ticked:
            return []
        sets = lattice(ticked, self.known, [self.way.value], most=len(ticked))
        if not self.all_sets.value:  # each alone, and all that are ticked together
            sets = [t for t in sets if len(t.sensors) in (0, 1, len(ticked)) or t.everything]
        if not any(taken.sensors for taken in sets):  # no sensor can be taken in this way
            return []
        return [taken for taken in sets if taken.name not in tried]

    def begin(self) -> None:
        """Try what is wanted, in the background."""
        if self._thread and self._thread.is_alive():
            return
        todo = self.wanted
        if not todo:
            self.told.value = "nothing new to try: tick a sensor, or choose another way"
            return
        self._stopped.clear()
        self.start.disabled, self.stop.disabled = True, False
        self.bar.value, self.bar.max = 0, len(todo)
        self._thread = threading.Thread(target=self._work, args=(todo,), name="pilab-sensors", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until everything that was begun is tried: for scripts."""
        if self._thread:
            self._thread.join()

    def _work(self, todo: Sequence[Taken]) -> None:
        try:
            for taken in todo:
                if self._stopped.is_set():
                    break
                self.told.value = f"trying: {html.escape(taken.name)}"
                self.rows += self._tried(taken)
                self.bar.value += 1
                self._show()
            self.told.value = "stopped" if self._stopped.is_set() else "done"
        except Exception as error:  # noqa: BLE001 (a policy may be anyone's: who asked reads what went wrong)
            self.told.value = f"<span style='color:#B00020'>{html.escape(f'{type(error).__name__}: {error}')}</span>"
        finally:
            self.start.disabled, self.stop.disabled = False, True

    def _tried(self, taken: Taken) -> list[Row]:
        return ablate(self.policy, body=self.body, run=self.world, sets=[taken], **self.episodes)

    def _show(self) -> None:
        """The table of all rows, and the figure of the way that is chosen."""
        found = losses(self.rows)
        some = [loss for loss in found if loss.arm == WHOLE or loss.way == self.way.value]
        if len(some) > 1:
            self.picture.children = [go.FigureWidget(drawn(some, self.known))]
        lines = [
            f"<tr><td>{html.escape(loss.arm)}</td><td>{html.escape(loss.rate.text())}</td>"
            f"<td>{html.escape(loss.difference.text()) if loss.difference else ''}</td>"
            f"<td>{p_text(loss.p) if loss.p is not None else ''}</td></tr>"
            for loss in found
        ]
        head = "<tr><th>without</th><th>success</th><th>difference to all sensors</th><th>Holm</th></tr>"
        style = "<style>.pilab-sensors :is(th, td) { padding-right: 1.5em; text-align: left }</style>"
        self.table.value = f"{style}<table class='pilab-sensors'>{head}{''.join(lines)}</table>"
