"""Sets of sensors and what is left without them: a dot for each set, and below it which sensors it has.

The picture of UpSet (Lex et al. 2014, doi:10.1109/TVCG.2014.2346248): sets as columns of a matrix instead of circles that
overlap, so that many of them can be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pilab.contracts import PilabError
from pilab.evaluation.ablation import WHOLE, Loss
from pilab.figures.theme import GREY, GRID, INK, PALETTE, template


def lattice(found: Sequence[Loss], sensors: Iterable[str], title: str = "What is left without sensors") -> go.Figure:
    """found: of `ablation.losses`, of one way and WHOLE. sensors: all of them, from the top down.

    A line stands at what all sensors bring; suites have a colour each. Raises `PilabError` for no sets or several ways.
    """
    ways = {loss.way for loss in found if loss.arm != WHOLE}
    if len(ways) != 1:
        raise PilabError(f"sets taken in the ways {sorted(ways)}; draw one way at a time")
    sensors, arms = list(sensors), list(dict.fromkeys(loss.arm for loss in found))
    suites = list(dict.fromkeys(loss.suite for loss in found))
    figure = make_subplots(2, 1, shared_xaxes=True, vertical_spacing=0.04, row_heights=[0.6, 0.4])
    for colour, suite in zip(PALETTE * 9, suites, strict=False):
        some = [loss for loss in found if loss.suite == suite]
        figure.add_scatter(
            row=1, col=1, name=suite, mode="markers", marker={"size": 11, "color": colour},
            x=[arms.index(loss.arm) + _aside(suite, suites) for loss in some], y=[loss.rate.rate for loss in some],
            error_y={
                "array": [loss.rate.high - loss.rate.rate for loss in some],
                "arrayminus": [loss.rate.rate - loss.rate.low for loss in some], "color": INK, "thickness": 1.5, "width": 4,
            },
            hovertext=[f"{loss.arm}<br>{_told(loss)}" for loss in some], hoverinfo="text", cliponaxis=False,
        )  # fmt: skip
        for whole in (loss for loss in some if loss.arm == WHOLE):
            figure.add_hline(y=whole.rate.rate, line_dash="dot", line_color=colour, row=1, col=1)
    taken = {loss.arm: _taken(loss, sensors) for loss in found}
    for has, colour in ((False, GRID), (True, INK)):
        cells = [(x, name) for x, arm in enumerate(arms) for name in sensors if (name not in taken[arm]) == has]
        figure.add_scatter(
            row=2, col=1, x=[x for x, _ in cells], y=[name for _, name in cells], mode="markers", hoverinfo="skip",
            marker={"size": 13, "color": colour}, showlegend=False,
        )  # fmt: skip
    figure.update_yaxes(range=[-0.03, 1.03], tickformat=".0%", title="success, 95 % interval", row=1, col=1)
    figure.update_yaxes(categoryorder="array", categoryarray=sensors[::-1], showgrid=False, row=2, col=1)
    figure.update_xaxes(showticklabels=False, ticks="", showline=False, range=[-0.6, len(arms) - 0.4])
    figure.update_xaxes(title=f"black: there, pale: taken ({ways.pop()})", title_font_color=GREY, row=2, col=1)
    height = 330 + 28 * len(sensors)
    return figure.update_layout(template=template(), title=title, height=height, showlegend=len(suites) > 1)


def _aside(suite: str, suites: Sequence[str]) -> float:
    """Suites stand beside one another."""
    return 0.0 if len(suites) == 1 else 0.5 * (suites.index(suite) / (len(suites) - 1) - 0.5)


def _taken(loss: Loss, sensors: Sequence[str]) -> Sequence[str]:
    return sensors if loss.taken == ("everything",) else loss.taken


def _told(loss: Loss) -> str:
    return loss.rate.text() + (f"<br>{loss.difference.text()}" if loss.difference else "")
