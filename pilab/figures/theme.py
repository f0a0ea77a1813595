"""One look for every figure, and the two places where figures go: a notebook and a PNG file.

* Colours are those of Okabe and Ito (2008), told apart with every kind of colour vision; grey is for axes.
* Sizes suit the column of a README on GitHub (about 880 px wide); PNGs have twice the pixels, for dense screens.
* GitHub runs no JavaScript: it shows a figure only if the notebook holds a PNG beside the interactive form. `setup`
  adds it where a Chrome or Chromium is found, which is what plotly's PNG export (kaleido) draws with.
"""

from __future__ import annotations

from pathlib import Path

import plotly.graph_objects as go
import plotly.io as pio
from choreographer.browsers.chromium import Chromium

from pilab.contracts import PilabError

# M. Okabe, K. Ito, "Color Universal Design" (2008), ordered so that the first few differ most; black is for text.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
INK, GREY, GRID = "#222222", "#8C8C8C", "#E3E3E3"
WIDTH, HEIGHT, SCALE = 880, 420, 2  # px, px, pixels per px in a PNG
FONT = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif"


def template() -> go.layout.Template:
    """The plotly template `pilab`."""
    axis = {"gridcolor": GRID, "linecolor": GREY, "zeroline": False, "ticks": "outside", "tickcolor": GREY}
    axis |= {"title": {"font": {"size": 15}}, "automargin": True}
    layout = go.Layout(
        colorway=PALETTE,
        font={"family": FONT, "size": 15, "color": INK},
        title={"font": {"size": 18}, "x": 0, "xref": "paper", "xanchor": "left", "y": 0.95},
        width=WIDTH,
        height=HEIGHT,
        margin={"l": 70, "r": 20, "t": 84, "b": 50},
        plot_bgcolor="white",
        paper_bgcolor="white",
        xaxis={**axis, "showgrid": False, "showline": True},
        yaxis={**axis, "showgrid": True},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        hoverlabel={"font": {"family": FONT, "size": 14}},
    )
    return go.layout.Template(layout=layout)


def chromium() -> str | None:
    """The path of the Chrome or Chromium that kaleido would draw with, or None."""
    path = Chromium.find_browser(skip_local=False)
    return path if path and Path(path).is_file() else None


def setup() -> None:
    """Make the theme plotly's default, and show figures in notebooks with a PNG beside them where that can be drawn."""
    pio.templates["pilab"] = template()
    pio.templates.default = "pilab"
    png = pio.renderers["png"]
    png.width, png.height, png.scale = None, None, SCALE  # the figure's own size
    pio.renderers.default = "plotly_mimetype+png" if chromium() else "plotly_mimetype"


def save(figure: go.Figure, path: str | Path) -> Path:
    """Write a PNG at twice the figure's size. Raises `PilabError` where no Chrome or Chromium is installed."""
    if chromium() is None:
        raise PilabError(
            f"cannot write {path}: plotly draws PNGs with Chrome or Chromium, and none is installed. Get one with "
            "`apt install chromium`, your system's installer or `plotly_get_chrome`; BROWSER_PATH may name another"
        )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.write_image(path, format="png", scale=SCALE)
    return path
