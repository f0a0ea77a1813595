"""Notebooks as GitHub shows them: outputs are PNG and text only; what `setup` prints first says where they come from."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path
from typing import Any

import nbformat

from pilab import notebook
from pilab.contracts import PilabError
from pilab.engine import provenance
from pilab.figures.theme import chromium

KEPT = ("image/png", "text/plain")
LIMIT = 1_000_000  # bytes of one picture


def publish(name: str, out: Path, parameters: dict[str, Any] | None = None) -> Path:
    """Execute a notebook at laptop scale and write its outputs into the repository's own copy; returns that copy.

    Raises `PilabError` without chromium (plotly figures need it to become PNG), or for a picture over 1 MB.
    """
    if chromium() is None:
        raise PilabError("publishing needs Chrome or Chromium to draw plotly figures as PNG; `apt install chromium`")
    source = notebook.find_notebook(name)
    parameters, folder = {"SCALE": "laptop"} | (parameters or {}), out / source.stem
    executed, _, _ = notebook.run(name, folder, parameters)
    done, kept = nbformat.read(executed, as_version=4), nbformat.read(source, as_version=4)
    outputs = [
        c for c in done.cells if c.cell_type == "code" and "injected-parameters" not in c.metadata.get("tags", [])
    ]
    cells = [c for c in kept.cells if c.cell_type == "code"]
    for number, (cell, run) in enumerate(zip(cells, outputs, strict=True), start=1):
        cell.outputs = [
            _plain(o, source, folder) for o in run.outputs if o.output_type != "stream" or o.name == "stdout"
        ]
        cell.execution_count = number
        for o in cell.outputs:
            if o.output_type == "execute_result":
                o.execution_count = number
    origin = provenance()
    scale = f"{parameters['SCALE']} scale, commit {origin['commit']}"
    kept.metadata["pilab"] = {"outputs": scale, "versions": origin["versions"]}
    kept.metadata.pop("papermill", None)
    nbformat.write(kept, source)
    figures = source.parent / "figures"
    figures.mkdir(exist_ok=True)
    for picture in executed.parent.glob("*.png"):  # what the notebook saved, for the README
        shutil.copyfile(picture, figures / f"{source.stem[:2]}_{picture.name}")
    return source


def _plain(output: Any, source: Path, folder: Path) -> Any:
    """An output with nothing but PNG and text, and `runs/…` in place of the folder where it was made."""
    if "text" in output:
        output.text = output.text.replace(str(folder), f"runs/{source.stem}")
    if "data" in output:
        data = {mime: body for mime, body in output.data.items() if mime in KEPT}
        if "image/png" in data:
            size = len(base64.b64decode(data["image/png"]))
            if size > LIMIT:
                raise PilabError(f"{source.name}: a picture of {size} bytes; expected at most {LIMIT}")
            data["text/plain"] = "a picture"
        output.data, output.metadata = data, {}
    return output
