"""Rates of success along a number: demonstrations, work, steps between two looks. A line for each group of rows.

A mark with its interval is the rate of all its trials, Wilson's; a ring is one training seed. Lines join what belongs
together and claim nothing about what lies between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import cycle

import plotly.graph_objects as go

from pilab.contracts import PilabError, Row
from pilab.evaluation.statistics import wilson
from pilab.figures.rates import by_seed
from pilab.figures.theme import PALETTE, template

MARKS = ("circle", "diamond", "square", "triangle-up", "cross", "x", "star")  # colours are not the only difference


def curves(
    rows: Iterable[Row], x: Callable[[Row], float], about: str, line: Callable[[Row], str] = lambda row: row.arm,
    log: bool = False,
) -> go.Figure:  # fmt: skip
    """Success over `x(row)`, which is `about` something ("demonstrations"); rows of one `line(row)` are joined.

    log: x on a logarithmic axis. Raises `PilabError` for no rows, for pooled controls or suites, and for x not above 0
    on a logarithmic axis.
    """
    rows = list(rows)
    if not rows:
        raise PilabError("no rows to draw; expected at least one trial")
    for name in ("suite", "control"):
        if len(found := sorted({getattr(row, name) for row in rows})) > 1:
            raise PilabError(f"rows of the {name}s {found} would be pooled; draw one of them")
    lines: dict[str, dict[float, list[Row]]] = {}
    for row in rows:
        lines.setdefault(line(row), {}).setdefault(float(x(row)), []).append(row)
    if log and (low := min(at for marks in lines.values() for at in marks)) <= 0:
        raise PilabError(f"{about}: {low:g} has no place on a logarithmic axis")
    figure = go.Figure(layout={"template": template()})
    for (name, marks), colour, symbol in zip(lines.items(), cycle(PALETTE), cycle(MARKS), strict=False):
        places = sorted(marks)
        rates = [wilson(sum(r.success for r in marks[at]), len(marks[at])) for at in places]
        seeds = [(at, rate) for at in places for rate in by_seed(marks[at])]
        figure.add_scatter(
            x=[at for at, _ in seeds], y=[rate for _, rate in seeds], mode="markers", showlegend=False, hoverinfo="skip",
            marker={"size": 8, "color": colour, "symbol": "circle-open", "line_width": 1.5},
        )  # fmt: skip
        figure.add_scatter(
            name=name, x=places, y=[rate.rate for rate in rates], mode="lines+markers",
            line={"color": colour, "width": 1.5}, marker={"size": 10, "color": colour, "symbol": symbol},
            error_y={
                "array": [rate.high - rate.rate for rate in rates], "arrayminus": [rate.rate - rate.low for rate in rates],
                "color": colour, "thickness": 1.5, "width": 4,
            },
            hovertext=[rate.text() for rate in rates], hoverinfo="x+name+text",
        )  # fmt: skip
    figure.update_xaxes(title=about)
    if log:  # at what was tried: plotly's own ticks leave the powers of ten to be guessed
        tried = sorted({at for marks in lines.values() for at in marks})
        figure.update_xaxes(type="log", tickvals=tried, ticktext=[f"{at:g}" for at in tried])
    figure.update_yaxes(range=[0, 1.04], dtick=0.2, tickformat=".0%", title="success, Wilson 95 % interval")
    counts = [len(found) for marks in lines.values() for found in marks.values()]
    trials = str(max(counts)) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    title = f"Success over {about} ({trials} trials a mark)"
    return figure.update_layout(title=title, showlegend=len(lines) > 1, margin_t=84 if len(lines) > 1 else 56)
