"""Rates of success from rows: bars from zero, Wilson 95 % intervals, and the per cent above each.

Bars stand in groups along the x axis, one colour per arm of the experiment (or per control, where one arm stands under
several). Nothing is pooled silently: a rate over `none` and `black` together is the rate of nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import cycle
from typing import Any

import plotly.graph_objects as go

from pilab.contracts import PilabError, Row
from pilab.evaluation.statistics import Rate, wilson
from pilab.evaluation.verdict import SEED
from pilab.figures.theme import INK, PALETTE, template


def rates(rows: Iterable[Row], by: str = "clusters.verb", metric: str = "success", colour: str = "arm") -> go.Figure:
    """Rate of `metric` in each group of `by`, for each `colour`.

    `by` and `colour` are a field of Row or a key below one (`arm`, `control`, `clusters.object`); `metric` is `success`
    or a key of `Row.metrics` with yes-or-no values; rows where it does not apply (None) do not count.
    Raises `PilabError` for no rows, an unknown name, a metric that is no yes or no, or pooled arms or controls.
    """
    rows = _comparable(rows, by, colour)
    groups = list(dict.fromkeys(str(_value(row, by)) for row in rows))
    cells: dict[tuple[str, str], list[bool | None]] = {}
    for row in rows:
        cells.setdefault((str(_value(row, colour)), str(_value(row, by))), []).append(_outcome(row, metric))
    table = {cell: _rate(outcomes) for cell, outcomes in cells.items()}
    title = f"{_plain(metric).capitalize()} by {_plain(by.split('.')[-1])}"
    return _bars(title, groups, table, colours=by != colour)


def metrics(rows: Iterable[Row]) -> go.Figure:
    """The decomposed metrics: how many trials reached, grasped, placed …, and succeeded, for each arm.

    Shows every yes-or-no key of `Row.metrics` in the order of the rows, then `success`. Raises as `rates` does.
    """
    rows = _comparable(rows, "", "arm")
    names = [name for row in rows for name, value in row.metrics.items() if isinstance(value, bool)]
    names = [*dict.fromkeys(names), "success"]
    arms = dict.fromkeys(row.arm for row in rows)
    table = {
        (arm, _plain(name)): _rate([_outcome(row, name) for row in rows if row.arm == arm and _has(row, name)])
        for arm in arms
        for name in names
    }
    return _bars("What happened", [_plain(name) for name in names], table)


def by_seed(rows: list[Row]) -> list[float]:
    """The rate of each training seed; nothing where there was one training."""
    groups: dict[object, list[bool]] = {}
    for row in rows:
        groups.setdefault(row.clusters.get(SEED), []).append(row.success)
    return [sum(won) / len(won) for won in groups.values()] if len(groups) > 1 else []


def _bars(title: str, groups: Sequence[str], table: dict[tuple[str, str], Rate], colours: bool = True) -> go.Figure:
    """Grouped bars of {(arm, group): rate}, one colour per arm (or one in all, where the groups are the arms)."""
    arms = list(dict.fromkeys(arm for arm, _ in table)) if colours else [None]
    figure = go.Figure(layout={"template": template()})
    for colour, arm in zip(cycle(PALETTE), arms, strict=False):
        shown = {g: r for (a, g), r in table.items() if arm in (a, None) and r.n > 0}
        figure.add_bar(
            name=arm,
            x=list(shown),
            y=[r.rate for r in shown.values()],
            error_y={
                "array": [r.high - r.rate for r in shown.values()],
                "arrayminus": [r.rate - r.low for r in shown.values()],
                "color": INK,
                "thickness": 1.5,
            },
            marker_color=colour,
            offsetgroup=arm,
            hovertext=[r.text() for r in shown.values()],
            hoverinfo="x+name+text",
        )
        figure.add_scatter(  # a bar can write at its own end only, where the interval is
            x=list(shown),
            y=[r.high for r in shown.values()],
            text=[f"{100 * r.rate:.0f}" for r in shown.values()],
            mode="text",
            textposition="top center",
            textfont={"size": 12},
            offsetgroup=arm,
            showlegend=False,
            hoverinfo="skip",
        )
    figure.update_xaxes(categoryorder="array", categoryarray=list(groups))
    figure.update_yaxes(range=[0, 1.08], dtick=0.2, tickformat=".0%", title="rate, Wilson 95 % interval")
    figure.update_layout(bargap=0.3, bargroupgap=0.06, scattermode="group", scattergap=0.3, showlegend=len(arms) > 1)
    if len(arms) == 1:
        figure.update_layout(margin_t=56)  # no legend, no room for one
    fewest, most = min(rate.n for rate in table.values()), max(rate.n for rate in table.values())
    trials = str(most) if fewest == most else f"{fewest} to {most}"
    return figure.update_layout(title=f"{title} ({trials} trials a bar)")


def _comparable(rows: Iterable[Row], *shown: str) -> list[Row]:
    rows = list(rows)
    if not rows:
        raise PilabError("no rows to draw; expected at least one trial")
    for name in ("arm", "control"):
        if name not in shown and len(found := sorted({getattr(row, name) for row in rows})) > 1:
            raise PilabError(f"rows of the {name}s {found} would be pooled; keep one of them, or draw by={name!r}")
    return rows


def _value(row: Row, path: str) -> Any:
    value = row
    for name in path.split("."):
        known = value if isinstance(value, dict) else vars(value) if isinstance(value, Row) else {}
        if name not in known:
            raise PilabError(f"rows have no {path!r}: there is no {name!r} among {sorted(known)}")
        value = known[name]
    return value


def _has(row: Row, metric: str) -> bool:
    return metric == "success" or metric in row.metrics


def _outcome(row: Row, metric: str) -> bool | None:
    if not _has(row, metric):
        raise PilabError(f"rows have no metric {metric!r}; they have 'success' and {sorted(row.metrics)}")
    value = row.success if metric == "success" else row.metrics[metric]
    if value is not None and not isinstance(value, bool):
        raise PilabError(
            f"metric {metric!r} is {value!r}; a rate needs yes or no (true, false, or None: not applicable)"
        )
    return value


def _rate(outcomes: list[bool | None]) -> Rate:
    counted = [outcome for outcome in outcomes if outcome is not None]
    return wilson(sum(counted), len(counted))


def _plain(name: str) -> str:
    return name.replace("_", " ")
