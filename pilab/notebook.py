"""What every notebook needs: set-up, films, a place for its numbers; and running notebooks from the command line."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from pilab import __version__
from pilab.contracts import PilabError, Row, Scale
from pilab.engine import provenance
from pilab.evaluation.rows import read_rows

FOLDER = Path(__file__).parent.parent / "notebooks"
SAMPLES = FOLDER.parent / "data_samples" / "demonstrations"  # 54 episodes of the script, over six verbs
ROWS = FOLDER.parent / "data_samples" / "rows"  # NN.jsonl.gz: what the results of notebook NN are computed from


@dataclass(frozen=True)
class Session:
    """One run of a notebook."""

    scale: Scale
    seed: int
    out: Path

    def pick(self, **values: Any) -> Any:
        """The value for this scale: `session.pick(smoke=2, laptop=40, gpu=400)`."""
        if self.scale.value not in values:
            raise PilabError(
                f"no value for scale {self.scale.value!r}; expected one for each of {[s.value for s in Scale]}"
            )
        return values[self.scale.value]

    def report(self, **values: Any) -> None:
        """Write the notebook's numbers to OUT/metrics.json: what `pilab quickstart` and the tests read."""
        path = self.out / "metrics.json"
        path.write_text(
            json.dumps({"scale": self.scale.value, "seed": self.seed, **values}, indent=2), encoding="utf-8"
        )


def setup(scale: str, seed: int, out: str) -> Session:
    """Set the figures' theme and the output folder, print where these results come from, and return the Session.

    Raises `UnknownNameError` for an unknown scale.
    """
    from pilab.figures import theme

    theme.setup()
    session = Session(Scale(scale), int(seed), Path(out))
    session.out.mkdir(parents=True, exist_ok=True)
    origin = provenance()
    versions = ", ".join(f"{name} {version}" for name, version in origin["versions"].items())
    print(f"pilab at {origin['commit'] or __version__} · scale {session.scale.value} · seed {seed}")
    print(f"{versions} · {platform.system()}, {os.cpu_count()} cores · output in {session.out}")
    return session


def show_film(frames: np.ndarray, path: Path, fps: float = 10, max_bytes: int = 1_000_000) -> Any:
    """An animated PNG of (T, H, W, 3) frames, saved at `path` and ready to be displayed."""
    from IPython.display import Image

    from pilab.figures.strips import animate

    return Image(data=animate(frames, path, fps, max_bytes), format="png")


def committed_rows(number: str) -> list[Row]:
    """The rows behind the results of notebook `number`, such as "00". Raises `PilabError` where they are not there."""
    path = ROWS / f"{number}.jsonl.gz"
    if not path.is_file():
        raise PilabError(
            f"the rows of notebook {number} are missing: expected {path}; take it from a checkout of pilab, or write one "
            "with `pilab evaluate default --rows FILE` or `pilab experiment NAME --rows FILE`"
        )
    return read_rows(path)


def exercises(number: str) -> ModuleType:
    """The checks of a notebook's exercises: the file NN_exercises.py beside it."""
    (path,) = FOLDER.glob(f"{number}_exercises.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ------------------------------------------------------------------------------------------------------ from the shell
def find_notebook(name: str) -> Path:
    """`00` or `00_hello_robot` → its file. Raises `PilabError` with the ones there are."""
    found = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
    for path in found:
        if name in (path.stem, path.stem[:2], path.name):
            return path
    listed = (
        ", ".join(p.stem for p in found) or f"none in {FOLDER}: install pilab from a checkout with `pip install -e .`"
    )
    raise PilabError(f"no notebook {name!r}; there are: {listed}")


def run(
    name: str, out: Path, parameters: Mapping[str, Any], progress: bool = True
) -> tuple[Path, Path, dict[str, Any]]:
    """Execute a notebook through papermill; returns the executed copy, its HTML copy and the numbers it reported.

    Raises `PilabError` for a parameter that the notebook does not have, with the first error of a cell, or when the
    notebook reported nothing.
    """
    import papermill

    source, out = find_notebook(name), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    known = papermill.inspect_notebook(str(source))
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise PilabError(f"{source.name} has no parameter {', '.join(unknown)}; it has {', '.join(known)}")
    executed, reported = out / source.name, out / "metrics.json"
    reported.unlink(missing_ok=True)  # of an earlier run
    try:
        papermill.execute_notebook(
            str(source), str(executed), parameters={**parameters, "OUT": str(out)}, cwd=str(out),
            kernel_name="python3", progress_bar=progress, log_output=False,
            extra_arguments=["--log-level=ERROR"],  # the kernel's warnings about local sockets help nobody here
        )  # fmt: skip
    except papermill.PapermillExecutionError as error:
        raise PilabError(
            f"{source.name}, cell {error.exec_count}: {error.ename}: {error.evalue}; see {executed}"
        ) from error
    if not reported.exists():
        raise PilabError(f"{source.name} reported no numbers; end it with session.report(…)")
    numbers = json.loads(reported.read_text(encoding="utf-8"))
    return executed, to_html(executed), numbers


def to_html(notebook: Path) -> Path:
    """An HTML copy that needs no server and no network: interactive figures carry plotly with them."""
    import nbformat
    import plotly.io as pio
    from nbconvert import HTMLExporter

    book = nbformat.read(notebook, as_version=4)
    carried = False
    for cell in book.cells:
        for output in cell.get("outputs", []):
            figure = output.get("data", {}).pop("application/vnd.plotly.v1+json", None)
            if figure is not None and "image/png" not in output["data"]:
                page = pio.to_html(
                    pio.from_json(json.dumps(figure), skip_invalid=True), full_html=False, include_plotlyjs=not carried
                )
                output["data"]["text/html"], carried = page, True
    body, _ = HTMLExporter(template_name="lab").from_notebook_node(book)
    path = notebook.with_suffix(".html")
    path.write_text(body, encoding="utf-8")
    return path


def working_copies(folder: Path) -> list[Path]:
    """Copies of all notebooks in `folder`, for the reader to edit: a copy that was changed is never overwritten."""
    folder.mkdir(parents=True, exist_ok=True)
    pristine = folder / ".pristine"
    pristine.mkdir(exist_ok=True)
    copies = []
    for source in sorted(FOLDER.glob("[0-9][0-9]_*")):
        copy, original = folder / source.name, pristine / source.name
        if not copy.exists() or (original.exists() and copy.read_bytes() == original.read_bytes()):
            shutil.copyfile(source, copy)
            shutil.copyfile(source, original)
        copies.append(copy)
    return copies
