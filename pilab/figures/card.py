"""Evaluation cards side by side: what each change leaves of success, a line for each exam, a colour for each policy.

A filled mark is an exam at its highest severity, an open one at a lower; the stroke is Wilson's 95 % interval. What is no
axis (as it was, other scenes, controls) has one mark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from pilab.contracts import PilabError
from pilab.evaluation.card import Line
from pilab.figures.theme import INK, PALETTE, template

MARKS = ("diamond", "circle", "square", "triangle-up")


def cards(found: Mapping[str, Sequence[Line]], title: str = "What is left when one thing is changed") -> go.Figure:
    """found: policy → its lines (of `evaluation.card.lines`), exams from the top down. Raises `PilabError` for no lines."""
    exams = list(dict.fromkeys(line.exam for lines in found.values() for line in lines))
    if not exams:
        raise PilabError("no lines to draw; expected those of at least one card")
    figure = go.Figure(layout={"template": template()})
    for k, (policy, lines) in enumerate(found.items()):
        highest = {exam: max(line.severity for line in lines if line.exam == exam) for exam in {m.exam for m in lines}}
        for top in (False, True):
            some = [line for line in lines if (line.severity == highest[line.exam]) == top]
            figure.add_scatter(
                name=policy if top else f"{policy}, half as much", mode="markers", cliponaxis=False,
                x=[line.rate.rate for line in some], y=[_place(line.exam, exams, k, len(found)) for line in some],
                marker={
                    "size": 10 if top else 7, "color": PALETTE[k % len(PALETTE)],
                    "symbol": MARKS[k % len(MARKS)] + ("" if top else "-open"), "line_width": 1.5,
                },
                error_x={
                    "array": [line.rate.high - line.rate.rate for line in some],
                    "arrayminus": [line.rate.rate - line.rate.low for line in some],
                    "color": INK, "thickness": 1.2, "width": 3,
                } if top else None,
                hovertext=[f"{line.exam} {line.severity or ''}<br>{line.rate.text()}" for line in some], hoverinfo="name+text",
            )  # fmt: skip
    figure.update_yaxes(
        tickvals=list(range(len(exams))), ticktext=exams, range=[len(exams) - 0.4, -0.6], showgrid=True, ticks=""
    )
    figure.update_xaxes(range=[-0.02, 1.02], tickformat=".0%", title="success, Wilson 95 % interval", showgrid=True)
    height = 190 + 27 * len(exams)
    # Below the title, however high the figure is: of the plot, y is bounded.
    legend = {"yref": "container", "y": 1 - 54 / height, "yanchor": "top"}
    return figure.update_layout(title={"text": title, "y": 1 - 26 / height}, height=height, legend=legend, margin_t=110)


def _place(exam: str, exams: Sequence[str], k: int, policies: int) -> float:
    """Policies lie a little above one another."""
    return exams.index(exam) + (0.0 if policies == 1 else 0.36 * (k / (policies - 1) - 0.5))
