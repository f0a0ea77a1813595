"""JupyterLab in a real browser: a reader opens a working copy of notebook 00, runs cells and sees what the cameras see.

Outputs are read from the notebook's model, not from pixels; a screenshot is kept for people. Everything runs in process
groups and folders of its own, on loopback.
"""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path

import pytest

from pilab import notebook
from pilab.world.bodies.duo import BODY
from tests.browser.desk import MARKS, RUN, browsing, open_notebook, serving

pytestmark = MARKS


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """Working copies; notebook 00 at smoke scale."""
    folder = tmp_path / "lab"
    notebook.working_copies(folder)
    (path,) = folder.glob("00_*.ipynb")
    book = json.loads(path.read_text(encoding="utf-8"))
    (cell,) = [c for c in book["cells"] if "parameters" in c["metadata"].get("tags", [])]
    cell["source"] = f'SCALE = "smoke"\nSEED = 0\nOUT = {str(tmp_path / "out")!r}'
    for c in book["cells"]:
        if c["cell_type"] == "code":
            c["outputs"], c["execution_count"] = [], None
    path.write_text(json.dumps(book), encoding="utf-8")
    return folder


def size_of(png: str) -> tuple[int, int]:
    """Width and height of a base64 PNG."""
    data = base64.b64decode(png)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", data[16:24])


def test_reader_sees_what_the_cameras_see(copies, tmp_path):
    (path,) = copies.glob("00_*.ipynb")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [i for i, cell in enumerate(cells) if cell["cell_type"] == "code"]
    views = next(i for i in code if "draw_thought(seen, BODY, Thought.nothing())" in "".join(cells[i]["source"]))

    with serving(copies, tmp_path) as address, browsing() as page:
        open_notebook(page, address, path.name)
        assert page.evaluate("() => jupyterapp.shell.currentWidget.content.model.cells.length") == len(cells)

        results = [page.evaluate(RUN, index) for index in code if index <= views]
        for number, result in enumerate(results, start=1):
            assert result["count"] == number
            assert [o for o in result["outputs"] if o["output_type"] == "error"] == []
        said = "".join(o.get("text", "") for o in results[-1]["outputs"])
        assert "words heard in training" in said
        (picture,) = [o["data"]["image/png"] for o in results[-1]["outputs"] if "image/png" in o.get("data", {})]
        width, height = size_of(picture)
        tall = max(camera.height for camera in BODY.cameras)
        assert height >= tall and width >= sum(c.width * (tall // c.height) for c in BODY.cameras)

        # It is not only in the model: the browser has decoded a picture of that size.
        shown = "() => [...document.querySelectorAll('.jp-OutputArea img')].map(i => [i.naturalWidth, i.naturalHeight])"
        page.wait_for_function(f"() => ({shown})().some(([w, h]) => w === {width} && h === {height})")
        page.locator(".jp-OutputArea img").last.scroll_into_view_if_needed()
        page.screenshot(path=tmp_path / "lab.png")
        assert size_of(base64.b64encode((tmp_path / "lab.png").read_bytes()).decode()) == (1500, 1000)
