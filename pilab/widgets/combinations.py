"""A dashboard of combinations: tick verbs, things, places and manners, see which of them a policy can do.

Design choices
--------------
* **The map and the table are functions of rows**, which are there for whoever wants them (`rows`).
* **What was tried is kept**: another tick tries what is new; the map shows what is ticked.
* A thread tries a thing after the other and may be stopped between two; the cell stays free.
"""

from __future__ import annotations

import html
import threading
from collections.abc import Collection, Iterable
from typing import Any

import ipywidgets as ipw
import plotly.graph_objects as go

from pilab.contracts import PilabError, Policy, Row
from pilab.evaluation.probe import SEEN, by_step, cell_of, gap, probe
from pilab.evaluation.rollout import make_policy
from pilab.figures.combinations import combinations, named
from pilab.world.combinations import USUAL, Combination, grid
from pilab.world.demonstrators.script import MANNERS
from pilab.world.objects import HANDLED
from pilab.world.places import PLACES
from pilab.world.scenes import find_body


class Combinations(ipw.VBox):
    """Probe a policy. held_out: patterns of what it never saw; by default what all of pilab's data leave out.

    `Combinations("default", verbs=("put", "push"))`
    """

    def __init__(
        self, policy: Policy | str, *, verbs: Iterable[str] = ("put", "push"), things: Iterable[str] = HANDLED,
        held_out: Iterable[Combination] | None = None, body: str = "duo", **options: Any,
    ) -> None:  # fmt: skip
        self.policy = make_policy(policy, find_body(body)) if isinstance(policy, str) else policy
        every = grid(verbs, things, reserved=True)
        self.held_out = [cell for cell in every if cell.reserved] if held_out is None else list(held_out)
        self.options = {"body": body, "progress": False, **options}
        self.rows: list[Row] = []
        self._stopped, self._thread = threading.Event(), None
        there = {
            axis: list(dict.fromkeys(cell.part((axis,))[0] for cell in every)) for axis in ("verb", "object", "place")
        }
        self.verbs = _choice("verbs", there["verb"], there["verb"][:1])
        self.things = _choice("things", [(named(look), look) for look in there["object"]], there["object"][:4])
        self.spots = _choice("places", [spot for spot in there["place"] if spot in PLACES], there["place"])
        self.manners = _choice("manners", list(MANNERS), [USUAL])
        self.episodes = ipw.BoundedIntText(value=1, min=1, max=50, description="episodes", layout={"width": "160px"})
        self.metric = ipw.Dropdown(
            options=["success", "reached", "grasped_right", "obeyed", "done_so"],
            description="show",
            layout={"width": "220px"},
        )
        self.start = ipw.Button(description="probe", button_style="primary", icon="play")
        self.stop = ipw.Button(description="stop", icon="stop", disabled=True)
        self.bar = ipw.IntProgress(value=0, max=1, layout={"width": "220px"})
        self.told, self.table, self.picture = ipw.HTML(), ipw.HTML(), ipw.VBox()
        self.start.on_click(lambda _: self.begin())
        self.stop.on_click(lambda _: self._stopped.set())
        self.metric.observe(lambda _: self._show(), "value")
        hands = ipw.VBox([self.episodes, self.metric, ipw.HBox([self.start, self.stop]), self.bar, self.told])
        choices = ipw.HBox([self.verbs, self.things, self.spots, self.manners, hands])
        super().__init__([choices, self.picture, self.table])

    @property
    def ticked(self) -> list[Combination]:
        """What the choices ask for, as far as it makes sense."""
        chosen = [list(box.value) for box in (self.verbs, self.things, self.spots, self.manners)]
        try:
            return grid(*chosen, reserved=True)
        except PilabError:  # nothing chosen, or nothing that goes together
            return []

    @property
    def wanted(self) -> list[Combination]:
        """Of those ticked, what has not been tried so often."""
        tried: dict[Combination, int] = {}
        for row in self.rows:
            tried[cell_of(row)] = tried.get(cell_of(row), 0) + 1
        return [cell for cell in self.ticked if tried.get(cell, 0) < self.episodes.value]

    def begin(self) -> None:
        """Try what is wanted, in the background."""
        if self._thread and self._thread.is_alive():
            return
        todo = self.wanted
        if not todo:
            self.told.value = "nothing new to try: tick more, or ask for more episodes"
            return
        self._stopped.clear()
        self.start.disabled, self.stop.disabled = True, False
        self.bar.value, self.bar.max = 0, len(todo)
        self._thread = threading.Thread(target=self._work, args=(todo,), name="pilab-probe", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until everything that was begun is tried: for scripts."""
        if self._thread:
            self._thread.join()

    def _work(self, todo: Collection[Combination]) -> None:
        try:
            groups: dict[tuple[str, ...], list[Combination]] = {}
            for cell in todo:
                groups.setdefault(cell.part(("verb", "object")), []).append(cell)
            for (verb, look), cells in groups.items():
                if self._stopped.is_set():
                    break
                self.told.value = html.escape(f"trying: {verb} the {named(look)}")
                new = probe(self.policy, cells, self.episodes.value, held_out=self.held_out, **self.options)
                again = {cell_of(row) for row in new}
                self.rows = [row for row in self.rows if cell_of(row) not in again] + new
                self.bar.value += len(cells)
                self._show()
            self.told.value = "stopped" if self._stopped.is_set() else "done"
        except Exception as error:  # noqa: BLE001 (a policy may be anyone's: who asked reads what went wrong)
            self.told.value = f"<span style='color:#B00020'>{html.escape(f'{type(error).__name__}: {error}')}</span>"
        finally:
            self.start.disabled, self.stop.disabled = False, True

    def _show(self) -> None:
        """Map and table of what is ticked and was tried."""
        ticked = set(self.ticked)
        rows = [row for row in self.rows if cell_of(row) in ticked]
        told = [row for row in rows if self.metric.value == "success" or row.metrics.get(self.metric.value) is not None]
        panel = "manner" if len(self.manners.value) > 1 else "verb"
        if told:
            with_panel = {row.clusters["verb"] for row in told} if panel == "manner" else {""}
            shown = [row for row in told if panel == "verb" or row.clusters["verb"] == min(with_panel)]
            self.picture.children = [go.FigureWidget(combinations(shown, panel=panel, metric=self.metric.value))]
        found = by_step(rows)
        lines = [
            f"<tr><td>{step.replace('_', ' ')}</td>"
            + "".join(f"<td>{found[step, seen].text() if (step, seen) in found else ''}</td>" for seen in (1, 0))
            + "</tr>"
            for step in dict.fromkeys(step for step, _ in found)
        ]
        both = {row.clusters[SEEN] for row in told} == {0, 1}
        lost = html.escape(gap(told, self.metric.value).text()) if both else ""
        head = "<tr><th></th><th>shown</th><th>never shown</th></tr>"
        style = "<style>.pilab-probe :is(th, td) { padding-right: 1.5em; text-align: left }</style>"
        self.table.value = f"{style}<p>{lost}</p><table class='pilab-probe'>{head}{''.join(lines)}</table>"


def _choice(name: str, options: list, value: list) -> ipw.SelectMultiple:
    """A list of which several can be ticked."""
    return ipw.SelectMultiple(
        options=options, value=value, description=name, rows=9, layout={"width": "210px"},
        style={"description_width": "60px"},
    )  # fmt: skip
