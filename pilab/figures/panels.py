"""Rates of many arms in many exams: a panel for each exam, a line for each arm, a circle for each training seed.

For arms with long names and several trainings, where bars would be a forest. The interval is that of all episodes together,
Wilson's: it says how well these trainings were measured; how far others would lie from them, the circles say.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pilab.contracts import PilabError, Row
from pilab.evaluation.statistics import wilson
from pilab.figures.rates import by_seed
from pilab.figures.theme import FONT, INK, PALETTE, template


def panels(rows: Iterable[Row]) -> go.Figure:
    """Success of every `arm` (down) in every `suite` (across), in the order of the rows.

    An arm without rows in a suite leaves its place empty. Raises `PilabError` for no rows, or pooled controls in a suite.
    """
    cells: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        cells.setdefault((row.arm, row.suite), []).append(row)
    if not cells:
        raise PilabError("no rows to draw; expected at least one trial")
    for (arm, suite), found in cells.items():
        if len(controls := {row.control for row in found}) > 1:
            raise PilabError(
                f"rows of {arm!r} in {suite!r} stand under the controls {sorted(controls)}; draw one of them"
            )
    arms, suites = (list(dict.fromkeys(key[i] for key in cells)) for i in (0, 1))
    titles = ["<br>".join(textwrap.wrap(suite.replace("_", " "), 10)) for suite in suites]
    more = 18 * max(title.count("<br>") for title in titles)  # pixels for further lines of the titles
    figure = make_subplots(1, len(suites), shared_yaxes=True, subplot_titles=titles, horizontal_spacing=0.035)
    for column, suite in enumerate(suites, 1):
        present = [arm for arm in arms if (arm, suite) in cells]
        rates = [wilson(sum(r.success for r in cells[arm, suite]), len(cells[arm, suite])) for arm in present]
        seeds = [(arm, rate) for arm in present for rate in by_seed(cells[arm, suite])]
        figure.add_scatter(
            row=1, col=column, name="one training seed", showlegend=column == 1, legendgroup="seed",
            x=[rate for _, rate in seeds], y=[arm for arm, _ in seeds], mode="markers", hoverinfo="x+y", cliponaxis=False,
            marker={"size": 8, "color": PALETTE[4], "symbol": "circle-open", "line_width": 2},
        )  # fmt: skip
        figure.add_scatter(
            row=1, col=column, name="all trials, Wilson 95 % interval", showlegend=column == 1, legendgroup="all",
            x=[rate.rate for rate in rates], y=present, mode="markers", cliponaxis=False,
            marker={"size": 10, "color": PALETTE[0], "symbol": "diamond"},
            error_x={
                "array": [rate.high - rate.rate for rate in rates], "arrayminus": [rate.rate - rate.low for rate in rates],
                "color": INK, "thickness": 1.5, "width": 4,
            },
            hovertext=[rate.text() for rate in rates], hoverinfo="y+text",
        )  # fmt: skip
    figure.update_xaxes(range=[-0.04, 1.04], tickvals=[0, 0.5, 1], ticktext=["0", "50", "100"], showgrid=True)
    figure.update_yaxes(categoryorder="array", categoryarray=arms[::-1], showgrid=True)
    figure.update_annotations(font={"family": FONT, "size": 14}, yshift=4)
    counts = {len(found) for found in cells.values()}
    trials = str(max(counts)) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    height = 190 + more + 34 * len(arms)
    return figure.update_layout(
        template=template(), title=f"Success in per cent ({trials} trials a diamond)", height=height,
        # Below the figure's title, however low the panels are: of them, y is bounded.
        legend={"yref": "container", "y": 1 - 58 / height, "yanchor": "top"}, margin={"t": 120 + more},
    )  # fmt: skip
