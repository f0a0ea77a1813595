"""Differences from one arm: a dot for every training seed, their mean, and its Student interval."""

from __future__ import annotations

from collections.abc import Iterable

import plotly.graph_objects as go

from pilab.contracts import PilabError, Row
from pilab.evaluation.statistics import SeedDifferences, seed_differences
from pilab.evaluation.verdict import SEED
from pilab.figures.theme import GREY, INK, PALETTE, template


def changes(rows: Iterable[Row], against: str) -> dict[str, SeedDifferences]:
    """Arm → success less that of the arm `against`, over training seeds, the largest first.

    Seeds that either lacks are left out. Raises `PilabError` where there is no such arm, or an arm shares fewer than two
    seeds with it.
    """
    outcomes: dict[str, dict[str, list[bool]]] = {}
    for row in rows:
        outcomes.setdefault(row.arm, {}).setdefault(str(row.clusters.get(SEED)), []).append(row.success)
    if against not in outcomes:
        raise PilabError(f"no rows of the arm {against!r}; there are {', '.join(sorted(outcomes)) or 'none at all'}")
    base = outcomes.pop(against)
    found = {}
    for arm, by_seed in outcomes.items():
        shared = sorted(by_seed.keys() & base.keys())
        if len(shared) < 2:
            raise PilabError(f"{arm!r} and {against!r} share {len(shared)} training seeds; expected at least two")
        found[arm] = seed_differences({s: by_seed[s] for s in shared}, {s: base[s] for s in shared})
    return dict(sorted(found.items(), key=lambda item: -item[1].estimate))


def differences(rows: Iterable[Row], against: str) -> go.Figure:
    """One line for each arm, in percentage points; the line at 0 is the arm `against`. Raises as `changes` does."""
    found = changes(rows, against)
    arms = list(found)
    figure = go.Figure(layout={"template": template()})
    figure.add_vline(x=0, line_color=GREY, line_dash="dot")
    figure.add_scatter(
        name="one training seed",
        x=[100 * d for change in found.values() for d in change.by_seed.values()],
        y=[arm for arm, change in found.items() for _ in change.by_seed],
        mode="markers", marker={"size": 8, "color": PALETTE[4], "symbol": "circle-open", "line_width": 2},
    )  # fmt: skip
    figure.add_scatter(
        name="mean, 95 % interval over seeds",
        x=[100 * change.estimate for change in found.values()], y=arms, mode="markers",
        marker={"size": 11, "color": PALETTE[0], "symbol": "diamond"},
        error_x={
            "array": [100 * (c.high - c.estimate) for c in found.values()], "color": INK, "thickness": 1.5, "width": 5,
        },
        hovertext=[change.text() for change in found.values()], hoverinfo="y+text",
    )  # fmt: skip
    figure.update_yaxes(categoryorder="array", categoryarray=arms[::-1], showgrid=True)
    figure.update_xaxes(title=f"success, points more than {against}")
    seeds = max(len(change.by_seed) for change in found.values())
    title = f"What each change does to success ({seeds} training seeds)"
    return figure.update_layout(title=title, height=150 + 42 * len(arms), xaxis_showgrid=True)
