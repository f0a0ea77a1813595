"""What is known inside a policy, and where it looks: a map of scores, and the course of an episode.

* **Scores of different kinds share one colour**: how far from chance to perfect. In each square stands the score itself, R² or
  AUROC; what knows less than nothing is as pale as what knows nothing.
* **Controls stand beside**, in panels of their own on the same lines.
* **An episode in phases**: what was to be done is the background, in words; what the policy made of it lies above. A hollow
  mark is a moment at which it says that it does not see the thing, wherever its heat map has its peak.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterable, Iterator

import numpy as np
import plotly.graph_objects as go
from PIL import Image
from plotly.subplots import make_subplots

from pilab.contracts import PilabError, Row, Thought, UnknownNameError, image_key
from pilab.evaluation.information import NUMBERS
from pilab.evaluation.inside import NONE, OWN, PLAN, RANDOM, TRAINED, Gaze
from pilab.figures.combinations import SCALE
from pilab.figures.strips import contact_sheet
from pilab.figures.theme import FONT, GREY, GRID, INK, PALETTE, template
from pilab.figures.thoughts import draw_camera
from pilab.vla.grounding import ROLES
from pilab.world.scenes import find_body
from pilab.world.task import facts_of, name_of

# title → control and weights of the rows in it
PANELS = {
    "as trained": ("none", (NONE, TRAINED)),
    "random weights": ("none", (RANDOM,)),
    "shuffled targets": ("shuffled", (NONE, TRAINED)),
}
COLOURS = dict(zip(ROLES, (PALETTE[0], PALETTE[5]), strict=True))
MARKS = dict(zip(ROLES, ("circle", "diamond"), strict=True))


def scores(rows: Iterable[Row], title: str = "What can be read, and from where") -> go.Figure:
    """The mean score of `inside.questions` over folds and seeds: a line for each feature, a column for each target.

    Panels: the policy, random weights, shuffled targets; those there are rows of. Raises `PilabError` for no rows, or rows of
    several arms.
    """
    rows = list(rows)
    if len(arms := sorted({row.arm for row in rows})) != 1:
        raise PilabError(f"rows of the arms {arms}; draw one at a time")
    cells: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        for panel, (control, weights) in PANELS.items():
            if row.control == control and row.clusters["weights"] in weights:
                cells.setdefault((panel, str(row.clusters["view"]), str(row.clusters["quantity"])), []).append(row)
    views, targets = (list(dict.fromkeys(key[i] for key in cells)) for i in (1, 2))
    panels = [panel for panel in PANELS if any(key[0] == panel for key in cells)]
    measure = {target: _measure(next(rows for key, rows in cells.items() if key[2] == target)) for target in targets}
    columns = [f"{target}, {measure[target]}" for target in targets]
    figure = make_subplots(1, len(panels), shared_yaxes=True, subplot_titles=panels, horizontal_spacing=0.02)
    for column, panel in enumerate(panels, 1):
        found = [[cells.get((panel, view, target)) for target in targets] for view in views]
        figure.add_heatmap(
            row=1, col=column, name=panel, x=columns, y=views, coloraxis="coloraxis", xgap=2, ygap=2, hoverongaps=False,
            z=[[_risen(cell) if cell else None for cell in line] for line in found],
            text=[[_short(_mean(cell)) if cell else "" for cell in line] for line in found],
            texttemplate="%{text}", textfont={"size": 11}, hovertemplate="%{y}, %{x}: %{text}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(
        type="category", showgrid=False, showline=False, ticks="", tickangle=-60, tickfont_size=13, ticklabelstandoff=4
    )
    figure.update_yaxes(
        type="category", showgrid=False, ticks="", autorange="reversed", tickfont_size=14, ticklabelstandoff=4
    )
    figure.update_annotations(font={"family": FONT, "size": 15})
    return figure.update_layout(
        template=template(), title=title, height=230 + 26 * len(views), margin={"t": 84, "r": 90},
        coloraxis={
            "colorscale": SCALE, "cmin": 0, "cmax": 1,
            "colorbar": {
                "tickvals": [0, 1], "ticktext": ["chance:<br>R² 0,<br>AUROC .5", "perfect"], "thickness": 14,
                "outlinewidth": 0, "ticks": "",
            },
        },
    )  # fmt: skip


def _short(score: float) -> str:
    """Two decimals, without the zero that most scores begin with: there is little room."""
    score = round(score, 2) + 0.0  # no −0
    text = f"{score:.1f}" if abs(score) >= 1 else f"{score:.2f}".replace("0.", ".", 1)
    return text.replace("-", "−")


def _measure(rows: list[Row]) -> str:
    return "R²" if rows[0].metrics["chance"] == NUMBERS else "AUROC"


def _mean(rows: list[Row]) -> float:
    return float(np.mean([row.metrics["score"] for row in rows]))


def _risen(rows: list[Row]) -> float:
    """From chance, 0, to perfect, 1."""
    least = float(rows[0].metrics["chance"])
    return max(0.0, (_mean(rows) - least) / (1 - least))


# ------------------------------------------------------------------------------------------------------------ an episode
def distances(gaze: Gaze, camera: str = "base", title: str = "") -> go.Figure:
    """How far from the truth the peaks of the heat maps are, for the object and the place, over time; gaps where it is out of
    sight. The dotted line is one cell of the heat map. Raises `UnknownNameError` for a camera that the policy has not.
    """
    off, visible = gaze.off(_known(gaze, camera)), gaze.points[camera][..., 2] > 0
    figure = go.Figure(layout={"template": template()})
    for r, (role, colour) in enumerate(COLOURS.items()):
        if np.isnan(off[:, r]).all():
            continue  # nothing plays this role, or it never comes into sight
        name = f"{role}: {name_of(getattr(gaze.scene.goal, role), facts_of(gaze.scene))}"
        mark = {"size": 8, "symbol": MARKS[role], "color": colour, "line": {"color": colour, "width": 1.5}}
        figure.add_scatter(
            name=name, x=gaze.seconds, y=off[:, r], mode="lines+markers", line={"color": colour, "width": 1.5}, marker=mark,
            hovertemplate="%{x:.1f} s: %{y:.1f} px<extra>" + name + "</extra>",
        )  # fmt: skip
        if (blind := ~visible[:, r] & np.isfinite(off[:, r])).any():
            figure.add_scatter(
                name=f"{role}: not seen, it says", x=gaze.seconds[blind], y=off[blind, r], mode="markers", hoverinfo="skip",
                marker=mark | {"color": "white"},
            )  # fmt: skip
    cell = gaze.pictures[camera].shape[2] / gaze.heat[camera].shape[3]
    figure.add_hline(
        y=cell, line_dash="dot", line_color=GREY, line_width=1, annotation_text="one cell of the heat map",
        annotation_position="top right", annotation_font={"size": 12, "color": GREY},
    )  # fmt: skip
    height, width = gaze.pictures[camera].shape[1:3]
    most = max([2 * cell, *off[np.isfinite(off)]])
    figure.update_yaxes(range=[-0.02 * most, 1.25 * most], title=f"px of {width} × {height}, {camera}")
    if not figure.data:
        figure.add_annotation(
            text="neither object nor place ever comes into sight",
            xref="paper",
            yref="paper",
            x=0.5,
            y=0.5,
            showarrow=False,
        )
    figure.update_layout(showlegend=True)
    return _phased(figure, gaze, title or f"From the peak to the truth: “{gaze.scene.instruction}”")


def shares(gaze: Gaze, title: str = "What the plan attends to") -> go.Figure:
    """The share of each kind of token in what the expert's plan attends to, stacked over time; behind its name their number."""
    figure = go.Figure(layout={"template": template()})
    own = {f"{OWN}{role}": colour for role, colour in COLOURS.items()} | {PLAN: GRID}
    others = itertools.cycle((PALETTE[2], PALETTE[6], PALETTE[3], PALETTE[1], PALETTE[4]))
    for kind, share in gaze.attention.items():
        colour = own.get(kind, GREY) if kind.startswith(OWN) else next(others)
        figure.add_scatter(
            name=f"{kind} ({gaze.tokens[kind]})", x=gaze.seconds, y=share, stackgroup="all", mode="lines",
            line={"width": 0.5, "color": "white"}, fillcolor=colour, hovertemplate="%{y:.0%}",
        )  # fmt: skip
    figure.update_yaxes(
        range=[0, 1.16], tickvals=np.linspace(0, 1, 6), tickformat=".0%", title="share of the attention"
    )
    figure = _phased(figure, gaze, title)
    legend = {"orientation": "v", "x": 1.01, "y": 0.9, "yanchor": "top", "traceorder": "reversed", "font_size": 13}
    return figure.update_layout(legend=legend, hovermode="x unified", margin={"t": 60})


def glances(gaze: Gaze, camera: str = "base", count: int = 8, columns: int = 4, height: int = 192) -> Image.Image:
    """So many moments at equal distances: the picture under heat maps and peaks, and what was to be done.

    A role that the policy says it does not see has heat and no mark. Raises as `distances`.
    """
    chosen = np.unique(np.linspace(0, len(gaze.seconds) - 1, count).round().astype(int))
    body, off, pictures, labels = find_body(gaze.scene.body), gaze.off(_known(gaze, camera)), [], []
    for t in chosen:
        points = {
            role: tuple(map(float, gaze.points[camera][t, r, :2]))
            for r, role in enumerate(ROLES) if gaze.points[camera][t, r, 2] > 0
        }  # fmt: skip
        seen = {image_key(camera): gaze.pictures[camera][t]}
        heat = gaze.heat[camera][t]
        pictures.append(draw_camera(seen, body, camera, Thought(points={camera: points}), heat, height))
        gaps = ", ".join(f"{role} {gap:.0f} px off" for role, gap in zip(ROLES, off[t], strict=True) if gap >= 0)
        labels.append(f"{gaze.seconds[t]:.1f} s: {gaze.subtasks[t]}; {gaps or 'nothing in sight'}")
    return contact_sheet(pictures, labels, columns)


def _known(gaze: Gaze, camera: str) -> str:
    if camera not in gaze.pictures:
        raise UnknownNameError("camera", camera, list(gaze.pictures))
    return camera


def phases(gaze: Gaze) -> Iterator[tuple[float, float, str]]:
    """From when to when, in s, what was to be done; without a gap between them."""
    starts = [i for i, text in enumerate(gaze.subtasks) if i == 0 or text != gaze.subtasks[i - 1]]
    edges = [float(gaze.seconds[i]) for i in starts]
    for begin, end, i in zip(edges, [*edges[1:], float(gaze.seconds[-1])], starts, strict=True):
        yield begin, end, gaze.subtasks[i]


def _phased(figure: go.Figure, gaze: Gaze, title: str) -> go.Figure:
    """Phases behind the figure, and above each what was to be done, as far as there is room."""
    length = max(float(gaze.seconds[-1] - gaze.seconds[0]), 1e-9)
    for i, (begin, end, text) in enumerate(phases(gaze)):
        figure.add_vrect(x0=begin, x1=end, fillcolor=(GRID, "white")[i % 2], opacity=0.6, layer="below", line_width=0)
        if (letters := int(90 * (end - begin) / length)) >= 8:
            figure.add_annotation(
                x=(begin + end) / 2, y=1, yref="paper", yanchor="top", showarrow=False, font={"size": 12, "color": INK},
                text="<br>".join(textwrap.wrap(text, letters)),
            )  # fmt: skip
    figure.update_xaxes(title="time, s", range=[gaze.seconds[0] - 0.01 * length, gaze.seconds[-1] + 0.01 * length])
    return figure.update_layout(title="<br>".join(textwrap.wrap(title, 80)), yaxis_showgrid=False)
