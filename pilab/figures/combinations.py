"""Combinations as a map: a square for each, its colour the rate, a frame around what was never shown.

One look says whether what was never shown is paler than its neighbours, and whether the fault is a row's (an object that is
hard to grasp), a column's or the combination's own.
"""

from __future__ import annotations

from collections.abc import Iterable

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pilab.contracts import PilabError, Row
from pilab.evaluation.probe import SEEN, Gap
from pilab.figures.theme import GREY, INK, PALETTE, template
from pilab.world.objects import LOOKS, household

SCALE = ((0.0, "#F7F7F7"), (1.0, PALETTE[0]))  # pale is failure


def combinations(
    rows: Iterable[Row], down: str = "object", across: str = "place", panel: str = "verb", metric: str = "success"
) -> go.Figure:
    """A panel for each `panel`, in each the rate of `metric` for every (down, across), clusters of the rows of a probe.

    metric: "success" or a key of `Row.metrics`; rows where it is None do not count. In a square stands how often it went well,
    of how many. Raises `PilabError` for no rows, or a square of which some rows were shown and others not.
    """
    cells: dict[tuple[str, str, str], list[bool]] = {}
    seen: dict[tuple[str, str, str], set[int]] = {}
    for row in rows:
        value = row.success if metric == "success" else row.metrics.get(metric)
        key = tuple(named(str(row.clusters[axis])) for axis in (panel, down, across))
        if value is not None:
            cells.setdefault(key, []).append(bool(value))
            seen.setdefault(key, set()).add(int(row.clusters[SEEN]))
    if not cells:
        raise PilabError(f"no row of a probe says anything of {metric!r}; expected at least one")
    if mixed := [key for key, found in seen.items() if len(found) > 1]:
        raise PilabError(
            f"{len(mixed)} squares hold both what was shown and what was not, such as {' · '.join(mixed[0])}: draw one "
            f"training, or other axes than {down} and {across}"
        )
    panels, lines, columns = (list(dict.fromkeys(key[i] for key in cells)) for i in range(3))
    figure = make_subplots(1, len(panels), shared_yaxes=True, subplot_titles=panels, horizontal_spacing=0.03)
    for column, name in enumerate(panels, 1):
        rates, texts = [], []
        for line in lines:
            found = [cells.get((name, line, spot)) for spot in columns]
            rates.append([sum(f) / len(f) if f else None for f in found])
            texts.append([f"{sum(f)}/{len(f)}" if f else "" for f in found])
        figure.add_heatmap(
            row=1, col=column, x=columns, y=lines, z=rates, text=texts, texttemplate="%{text}", zmin=0, zmax=1,
            colorscale=SCALE, xgap=3, ygap=3, showscale=column == len(panels), hoverongaps=False, name=name,
            hovertemplate="%{y}, %{x}: %{text}<extra></extra>",
            colorbar={"title": "", "tickformat": ".0%", "thickness": 14, "outlinewidth": 0},
        )  # fmt: skip
        for line, spot in [(line, spot) for of, line, spot in cells if of == name and not min(seen[of, line, spot])]:
            x, y = columns.index(spot), lines.index(line)
            figure.add_shape(
                row=1, col=column, type="rect", x0=x - 0.47, x1=x + 0.47, y0=y - 0.45, y1=y + 0.45,
                line={"color": PALETTE[5], "width": 2.5},
            )  # fmt: skip
    figure.update_xaxes(side="bottom", showgrid=False, showline=False, ticks="", type="category")
    figure.update_yaxes(showgrid=False, ticks="", type="category", autorange="reversed")
    height = 190 + 27 * len(lines)
    if figure.layout.shapes:
        figure.add_annotation(
            text="framed: never shown", xref="paper", yref="paper", x=1, y=1, yshift=44, xanchor="right", showarrow=False,
            font={"size": 13, "color": PALETTE[5]},
        )  # fmt: skip
    title = f"{metric.replace('_', ' ').capitalize()} of combinations"
    return figure.update_layout(template=template(), title=title, height=height, margin={"t": 96})


def gaps(found: dict[str, Gap], title: str = "Combinations that were shown, and that never were") -> go.Figure:
    """What was shown and what was not, for each arm by name: two points on a line, with 95 % intervals of the means."""
    if not found:
        raise PilabError("no gap to draw; expected at least one")
    figure = go.Figure()
    names = list(found)
    for label, colour, shift in (("seen", PALETTE[0], -0.12), ("unseen", PALETTE[5], 0.12)):
        about = [getattr(found[name], label) for name in names]
        ends = [population.interval() for population in about]
        figure.add_scatter(
            name={"seen": "shown", "unseen": "never shown"}[label], mode="markers", marker={"size": 11, "color": colour},
            x=[population.mean for population in about], y=[i + shift for i in range(len(names))],
            error_x={
                "array": [high - p.mean for p, (_, high) in zip(about, ends, strict=True)],
                "arrayminus": [p.mean - low for p, (low, _) in zip(about, ends, strict=True)],
                "color": INK, "thickness": 1.5, "width": 4,
            },
            hovertext=[f"{name}: {population.text()}" for name, population in zip(names, about, strict=True)],
            hoverinfo="text", cliponaxis=False,
        )  # fmt: skip
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=names, range=[len(names) - 0.5, -0.5], showgrid=False
    )
    figure.update_xaxes(range=[-0.02, 1.02], tickformat=".0%", showgrid=True)
    for i in range(len(names) - 1):
        figure.add_hline(y=i + 0.5, line_color=GREY, line_width=0.5)
    return figure.update_layout(template=template(), title=title, height=170 + 46 * len(names))


def named(value: str) -> str:
    """What people call it: the noun of a look."""
    return household().noun(value) if value in LOOKS else value or "–"
