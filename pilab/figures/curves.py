"""Rates of success, or the mean of a share, along a number: demonstrations, work, things to do. A line for each group of rows.

A mark with its interval is the rate of all its trials, Wilson's, or their mean, with a bootstrap over scenes; a ring is one
training seed. Lines join what belongs together and claim nothing about what lies between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import cycle

import numpy as np
import plotly.graph_objects as go

from pilab.contracts import PilabError, Row
from pilab.evaluation.resampling import cluster_bootstrap
from pilab.evaluation.statistics import wilson
from pilab.evaluation.verdict import SEED
from pilab.figures.rates import by_seed
from pilab.figures.theme import PALETTE, template

MARKS = ("circle", "diamond", "square", "triangle-up", "cross", "x", "star")  # colours are not the only difference


def curves(
    rows: Iterable[Row], x: Callable[[Row], float], about: str, line: Callable[[Row], str] = lambda row: row.arm,
    log: bool = False, metric: str = "success",
) -> go.Figure:  # fmt: skip
    """`metric` over `x(row)`, which is `about` something ("demonstrations"); rows of one `line(row)` are joined.

    log: x on a logarithmic axis. metric: "success", or a key of `Row.metrics` with shares from 0 to 1; rows where it is None
    do not count. Raises `PilabError` for no rows, for pooled controls or suites, and for x not above 0
    on a logarithmic axis.
    """
    rows = [row for row in rows if metric == "success" or row.metrics[metric] is not None]
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
        means = [_mean(marks[at], metric) for at in places]
        seeds = [(at, mean) for at in places for mean in _by_seed(marks[at], metric)]
        figure.add_scatter(
            x=[at for at, _ in seeds], y=[mean for _, mean in seeds], mode="markers", showlegend=False, hoverinfo="skip",
            marker={"size": 8, "color": colour, "symbol": "circle-open", "line_width": 1.5},
        )  # fmt: skip
        figure.add_scatter(
            name=name, x=places, y=[mean for mean, _, _ in means], mode="lines+markers",
            line={"color": colour, "width": 1.5}, marker={"size": 10, "color": colour, "symbol": symbol},
            error_y={
                "array": [high - mean for mean, _, high in means], "arrayminus": [mean - low for mean, low, _ in means],
                "color": colour, "thickness": 1.5, "width": 4,
            },
            hovertext=[f"{100 * mean:.1f} % [{100 * low:.1f}, {100 * high:.1f}]" for mean, low, high in means],
            hoverinfo="x+name+text",
        )  # fmt: skip
    figure.update_xaxes(title=about)
    if log:  # at what was tried: plotly's own ticks leave the powers of ten to be guessed
        tried = sorted({at for marks in lines.values() for at in marks})
        figure.update_xaxes(type="log", tickvals=tried, ticktext=[f"{at:g}" for at in tried])
    name = metric.replace("_", " ")
    figure.update_yaxes(range=[0, 1.04], dtick=0.2, tickformat=".0%", title=f"{name}, 95 % interval")
    counts = [len(found) for marks in lines.values() for found in marks.values()]
    trials = str(max(counts)) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    title = f"{name.capitalize()} over {about} ({trials} trials a mark)"
    return figure.update_layout(title=title, showlegend=len(lines) > 1, margin_t=84 if len(lines) > 1 else 56)


def _mean(rows: list[Row], metric: str) -> tuple[float, float, float]:
    """The mean, and its interval."""
    if metric == "success":
        rate = wilson(sum(row.success for row in rows), len(rows))
        return rate.rate, rate.low, rate.high
    scenes: dict[str, list[float]] = {}
    for row in rows:
        scenes.setdefault(row.scene, []).append(float(row.metrics[metric]))
    if len(scenes) < 2:
        mean = float(np.mean(next(iter(scenes.values()))))
        return mean, mean, mean
    found = cluster_bootstrap(scenes, samples=1999)
    return found.estimate, found.low, found.high


def _by_seed(rows: list[Row], metric: str) -> list[float]:
    """The mean of each training seed; nothing where there was one training."""
    if metric == "success":
        return by_seed(rows)
    seeds: dict[object, list[float]] = {}
    for row in rows:
        seeds.setdefault(row.clusters.get(SEED), []).append(float(row.metrics[metric]))
    return [float(np.mean(values)) for values in seeds.values()] if len(seeds) > 1 else []
