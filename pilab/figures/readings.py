"""How much can be read from each view: a panel for each quantity, a line for each view, a colour for each arm.

A filled mark is the mean over folds and seeds, a ring one seed; crosses are shuffled targets, which nobody can read. The dotted
line is who knows nothing: 0 for R², one half for the area under the curve.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pilab.contracts import PilabError, Row
from pilab.evaluation.information import NUMBERS, OTHERWISE
from pilab.evaluation.verdict import SEED
from pilab.figures.theme import FONT, GREY, PALETTE, template

MEASURES = {
    "contact": ("AUROC", OTHERWISE),
    "force": ("R²", NUMBERS),
}  # quantity → its score, and that of who knows nothing
MARKS = ("diamond", "square", "circle", "triangle-up")


def readings(rows: Iterable[Row], title: str) -> go.Figure:
    """Rows of `experiments.disguise`, of one suite. Raises `PilabError` for no rows, or rows of several suites."""
    cells: dict[tuple[str, str, str, str], dict[object, list[float]]] = {}
    rows = list(rows)
    if len(suites := sorted({row.suite for row in rows})) != 1:
        raise PilabError(f"rows of the suites {suites}; draw one at a time")
    for row in rows:
        key = (row.arm, row.control, str(row.clusters["quantity"]), str(row.clusters["view"]))
        cells.setdefault(key, {}).setdefault(row.clusters.get(SEED), []).append(float(row.metrics["score"]))
    arms, quantities, views = (list(dict.fromkeys(key[i] for key in cells)) for i in (0, 2, 3))
    titles = [f"{quantity}, {MEASURES[quantity][0]}" for quantity in quantities]
    figure = make_subplots(1, len(quantities), shared_yaxes=True, subplot_titles=titles, horizontal_spacing=0.05)
    for column, quantity in enumerate(quantities, 1):
        for k, arm in enumerate(arms):
            colour, mark, shift = PALETTE[k % len(PALETTE)], MARKS[k % len(MARKS)], 0.3 * (k - (len(arms) - 1) / 2)
            for control, symbol in (("none", mark), ("shuffled", "x-thin")):
                found = {v: cells[arm, control, quantity, v] for v in views if (arm, control, quantity, v) in cells}
                if not found:
                    continue
                about = {"row": 1, "col": column, "mode": "markers", "cliponaxis": False, "legendgroup": arm + control}
                places = [views.index(view) + shift for view in found]
                if control == "none":
                    seeds = [(np.mean(s), y) for by, y in zip(found.values(), places, strict=True) for s in by.values()]
                    figure.add_scatter(
                        x=[score for score, _ in seeds], y=[y for _, y in seeds], showlegend=False, hoverinfo="x",
                        marker={"size": 7, "color": colour, "symbol": "circle-open", "line_width": 1}, **about,
                    )  # fmt: skip
                means = [float(np.mean([np.mean(s) for s in by.values()])) for by in found.values()]
                figure.add_scatter(
                    name=arm if control == "none" else f"{arm}, shuffled", x=means, y=places, showlegend=column == 1,
                    marker={"size": 11, "color": colour, "symbol": symbol, "line": {"color": colour, "width": 1.5}},
                    hovertext=[f"{view}: {mean:.2f}" for view, mean in zip(found, means, strict=True)],
                    hoverinfo="name+text", **about,
                )  # fmt: skip
        figure.add_vline(x=MEASURES[quantity][1], line_dash="dot", line_color=GREY, row=1, col=column)
    figure.update_yaxes(
        tickvals=list(range(len(views))), ticktext=views, range=[len(views) - 0.4, -0.6], showgrid=True, ticks=""
    )
    figure.update_xaxes(showgrid=True, range=[-0.25, 1.05])
    figure.update_annotations(font={"family": FONT, "size": 15}, yshift=2)
    height = 190 + 42 * len(views)
    legend = {"yref": "container", "y": 1 - 54 / height, "yanchor": "top"}
    return figure.update_layout(
        template=template(),
        title={"text": title, "y": 1 - 26 / height},
        height=height,
        legend=legend,
        margin={"t": 128},
    )
