"""Every notebook runs at smoke scale, reports its numbers and leaves copies to read; what goes wrong is said in words."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import nbformat
import papermill
import pytest

from pilab import notebook, publish
from pilab.contracts import PilabError
from pilab.figures.theme import chromium


@pytest.fixture
def tiny(tmp_path, monkeypatch, kernel_finds_pilab):
    """A folder of one notebook, 90_do_little, with the cells given."""

    def make(*sources: str) -> Path:
        cells = [nbformat.v4.new_code_cell('SCALE = "smoke"\nSEED = 0\nOUT = "runs/90_do_little"')]
        cells[0].metadata["tags"] = ["parameters"]
        cells += [nbformat.v4.new_code_cell(source) for source in sources]
        folder = tmp_path / "notebooks"
        folder.mkdir(exist_ok=True)
        about = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=about), folder / "90_do_little.ipynb")
        monkeypatch.setattr(notebook, "FOLDER", folder)
        return tmp_path / "out"

    return make


def pictures(book: nbformat.NotebookNode) -> list[str]:
    outputs = [o for cell in book.cells for o in cell.get("outputs", [])]
    return [o.data["image/png"] for o in outputs if "image/png" in o.get("data", {})]


@pytest.mark.notebook
def test_runs_at_smoke_scale(book, tmp_path, kernel_finds_pilab):
    executed, page, numbers = notebook.run(book.stem, tmp_path, {"SCALE": "smoke", "SEED": 0}, progress=False)
    assert json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8")) == numbers
    assert (numbers["scale"], numbers["seed"]) == ("smoke", 0) and len(numbers) > 2
    done = nbformat.read(executed, as_version=4)
    injected = [c.source for c in done.cells if "injected-parameters" in c.metadata.get("tags", [])]
    assert len(injected) == 1 and 'SCALE = "smoke"' in injected[0]
    shown, html = pictures(done), "".join(page.read_text(encoding="utf-8").split())
    assert shown and all("".join(picture.split()) in html for picture in shown)
    assert {p.name for p in tmp_path.iterdir()} >= {book.name, book.with_suffix(".html").name, "metrics.json"}


def test_parameters_are_literals(book):
    known = papermill.inspect_notebook(str(book))
    assert {"SCALE", "SEED", "OUT"} <= set(known)
    values = {name: ast.literal_eval(p["default"]) for name, p in known.items()}
    assert (values["SCALE"], values["OUT"]) == ("laptop", f"runs/{book.stem}") and isinstance(values["SEED"], int)


def test_unknown_parameter_is_refused_before_anything_runs(book, tmp_path):
    with pytest.raises(PilabError, match=r"no parameter SCALES; it has .*SCALE"):
        notebook.run(book.stem, tmp_path, {"SCALES": "smoke"})
    assert list(tmp_path.iterdir()) == []


def test_unknown_notebook_lists_the_ones_there_are(book):
    with pytest.raises(PilabError, match=book.stem):
        notebook.find_notebook("99")
    assert notebook.find_notebook(book.stem[:2]) == notebook.find_notebook(book.name)


@pytest.mark.notebook
def test_failing_cell_is_named_and_the_copy_is_kept(tiny):
    out = tiny("x = 1", "raise ValueError(f'x is {x}')", "y = 2")
    with pytest.raises(PilabError, match=r"90_do_little\.ipynb, cell 4: ValueError: x is 1") as caught:
        notebook.run("90", out, {}, progress=False)
    kept = nbformat.read(out / "90_do_little.ipynb", as_version=4)
    assert str(out / "90_do_little.ipynb") in str(caught.value)
    # the number in the message is the one in the brackets of the executed copy
    (failed,) = [c for c in kept.cells if c.cell_type == "code" and any(o.output_type == "error" for o in c.outputs)]
    assert failed.execution_count == 4 and "raise ValueError" in failed.source


@pytest.mark.notebook
def test_numbers_of_an_earlier_run_are_not_taken_for_new_ones(tiny):
    out = tiny("from pilab import notebook\nsession = notebook.setup(SCALE, SEED, OUT)", "session.report(answer=42)")
    *_, numbers = notebook.run("90", out, {"SEED": 7}, progress=False)
    assert numbers == {"scale": "smoke", "seed": 7, "answer": 42}
    tiny("pass")
    with pytest.raises(PilabError, match=r"reported no numbers; end it with session\.report"):
        notebook.run("90", out, {}, progress=False)


@pytest.mark.notebook
@pytest.mark.skipif(chromium() is None, reason="publishing draws figures with Chromium, and there is none")
def test_published_outputs_are_png_and_text_without_paths(tiny):
    cells = (
        "import sys\nfrom pilab import notebook\nsession = notebook.setup(SCALE, SEED, OUT)\nprint('no!', file=sys.stderr)",
        "import plotly.graph_objects as go\ngo.Figure(go.Bar(y=[3, 1, 2]))",
        "session.report(answer=42)",
    )
    out = tiny(*cells)
    book = nbformat.read(publish.publish("90", out, {"SCALE": "smoke"}), as_version=4)
    assert [c.source for c in book.cells][1:] == list(cells)  # and no injected parameters
    printed, drawn = book.cells[1].outputs, book.cells[2].outputs
    assert [o.name for o in printed] == ["stdout"] and "output in runs/90_do_little" in printed[0].text
    assert [set(o.data) for o in drawn] == [{"image/png", "text/plain"}]
    assert str(out) not in json.dumps(book)
    assert book.metadata["pilab"]["outputs"].startswith("smoke scale, commit ")
    assert [c.execution_count for c in book.cells] == [1, 2, 3, 4]
