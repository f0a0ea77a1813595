"""Where the hands went: their paths over the table, seen from above, among the things that stood there.

* The axes are those of the table in centimetres, one scale for both, the robot at the lower edge: as the base camera sees.
* A hand that hardly moved is left out. A ring marks where one started, a cross where the run came lowest, which is where a
  hand takes hold or comes down beside a thing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import plotly.graph_objects as go

from pilab.contracts import Embodiment, PilabError
from pilab.figures.theme import GREY, INK, PALETTE, template
from pilab.world.kinematics import tips

CM = 100.0  # per m
STILL = 0.06  # m: what an idle hand travels while it settles


def paths(
    states: Mapping[str, Sequence[np.ndarray]], body: Embodiment, things: Mapping[str, Sequence[float]]
) -> go.Figure:
    """One colour for each run; `states` maps its name to the measured joints of every step, (T, A).

    `things` maps what is written to a position (x, y, …) in m. Raises `PilabError` for no runs, or for states that are
    not those of `body`.
    """
    if not states:
        raise PilabError("no paths to draw; expected at least one run with its measured joints (T, A)")
    figure = go.Figure(layout={"template": template()})
    where = CM * np.array([spot[:2] for spot in things.values()]).reshape(-1, 2)
    figure.add_scatter(
        x=where[:, 0], y=where[:, 1], text=list(things), mode="markers+text", textposition="bottom center",
        marker={"symbol": "square", "size": 13, "color": GREY}, textfont={"size": 13}, showlegend=False,
    )  # fmt: skip
    for (name, run), colour in zip(states.items(), cycle(PALETTE), strict=False):
        hands = [CM * hand for hand in _moving(name, run, body)]
        for i, hand in enumerate(hands):
            figure.add_scatter(
                x=hand[:, 0], y=hand[:, 1], mode="lines", name=name, legendgroup=name, showlegend=i == 0, opacity=0.85,
                line={"color": colour, "width": 3},
            )  # fmt: skip
        every = np.concatenate(hands)
        marked = np.stack([*(hand[0] for hand in hands), every[every[:, 2].argmin()]])
        figure.add_scatter(
            x=marked[:, 0], y=marked[:, 1], mode="markers", legendgroup=name, showlegend=False, hoverinfo="skip",
            marker={
                "symbol": [*["circle-open"] * len(hands), "x"], "size": 12, "color": colour, "line": {"color": INK, "width": 1},
            },
        )  # fmt: skip
    figure.update_xaxes(title="cm, left to right")
    figure.update_yaxes(title="cm, away from the robot", scaleanchor="x", scaleratio=1)
    return figure.update_layout(title="Where the hands went, from above", height=480)


def _moving(name: str, run: Sequence[np.ndarray], body: Embodiment) -> list[np.ndarray]:
    """(T, 3) m each: the tool tips that travelled, at least the one that travelled most."""
    state = np.asarray(run, float)
    if state.ndim != 2 or not len(state) or state.shape[1] != body.size:
        raise PilabError(f"the states of {name!r} have shape {state.shape}; expected (T, {body.size}) with T > 0")
    hands = tips(body, state)  # (T, arms, 3)
    travelled = np.linalg.norm(np.diff(hands, axis=0), axis=-1).sum(0)
    return [hands[:, i] for i in np.flatnonzero(travelled >= min(STILL, travelled.max()))]
