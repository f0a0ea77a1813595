"""The theme, and where figures go with and without a browser to draw them."""

from itertools import pairwise

import plotly.graph_objects as go
import plotly.io as pio
import pytest
from PIL import Image

from pilab.contracts import PilabError
from pilab.figures import theme


@pytest.fixture
def defaults(monkeypatch):
    """Give plotly its own defaults back."""
    before = pio.templates.default, pio.renderers.default
    yield
    pio.templates.default, pio.renderers.default = before


@pytest.fixture
def no_browser(monkeypatch, tmp_path):
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "none"))
    monkeypatch.setattr("choreographer.browsers.chromium.get_chrome_download_path", lambda mkdir: None)
    monkeypatch.setattr("choreographer.browsers.chromium.get_old_chrome_download_path", lambda: None)


def luminance(colour: str) -> float:
    return sum(w * int(colour[i : i + 2], 16) for w, i in ((0.2126, 1), (0.7152, 3), (0.0722, 5)))


def test_colours_differ_in_grey_too():
    first = sorted(luminance(colour) for colour in theme.PALETTE[:3])
    assert min(b - a for a, b in pairwise(first)) > 15


def test_without_a_browser_figures_show_and_saving_says_what_is_missing(no_browser, defaults, tmp_path):
    theme.setup()
    assert pio.templates.default == "pilab"
    assert pio.renderers.default == "plotly_mimetype"
    with pytest.raises(PilabError, match="none is installed"):
        theme.save(go.Figure(), tmp_path / "figure.png")


@pytest.mark.skipif(theme.chromium() is None, reason="no Chrome or Chromium to draw PNGs with")
def test_with_a_browser_there_is_a_png(defaults, tmp_path):
    theme.setup()
    assert pio.renderers.default == "plotly_mimetype+png"
    path = theme.save(go.Figure(go.Bar(y=[1])), tmp_path / "new" / "figure.png")
    image = Image.open(path).convert("RGB")
    assert image.size == (theme.SCALE * theme.WIDTH, theme.SCALE * theme.HEIGHT)
    assert tuple(int(theme.PALETTE[0][i : i + 2], 16) for i in (1, 3, 5)) in image.get_flattened_data()
