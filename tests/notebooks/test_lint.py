"""The notebook contract: what a reader finds in the same place in every notebook, and what GitHub can show.

`complaints` lists what is wrong with a notebook; the second test breaks a good one in every way and expects to hear of it.
"""

from __future__ import annotations

import ast
import base64
import copy
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

CELL, BODY, PICTURE = 40, 15, 1_000_000  # lines, lines, bytes
PATHS = re.compile(r"(?<![\w.])/(?:work|home|tmp|root|Users|private|var)/|(?<!\w)[A-Za-z]:\\")
NOT_OURS = ("widgets", "papermill")  # what tools leave in the metadata


def complaints(stem: str, book: dict[str, Any]) -> list[str]:
    """What is wrong with a notebook."""
    cells = book["cells"]
    return [
        *_frame(stem, book),
        *_first(stem[:2], cells[0]),
        *_parameters(stem, cells),
        *(f"cell {i}: {c}" for i, cell in enumerate(cells) if cell["cell_type"] == "code" for c in _code(cell)),
        *(f"cell {i}: {c}" for i, cell in enumerate(cells) for o in cell.get("outputs", []) for c in _output(o)),
        *_end(stem[:2], cells),
    ]


def _frame(stem: str, book: dict[str, Any]) -> Iterator[str]:
    if not re.fullmatch(r"\d\d_[a-z]+(_[a-z0-9]+)+", stem):
        yield f"{stem} is not NN_verb_noun"
    if (book["nbformat"], book["metadata"].get("kernelspec", {}).get("name")) != (4, "python3"):
        yield "not format 4 with kernel python3"
    ids = [cell.get("id") for cell in book["cells"]]
    if None in ids or len(set(ids)) != len(ids):
        yield "cell ids are missing or not unique"
    if left := [key for key in NOT_OURS if key in book["metadata"]]:
        yield f"metadata of tools: {left}"
    if any(set(cell["metadata"]) - {"tags"} for cell in book["cells"]):
        yield "cell metadata other than tags"
    if any(PATHS.search(_text(cell["source"])) for cell in book["cells"]):
        yield "a path of somebody's machine in a source"
    shown = any(cell.get("outputs") for cell in book["cells"])
    if shown and not book["metadata"].get("pilab", {}).get("outputs"):
        yield "outputs without provenance: make them with `pilab notebooks publish`"


def _first(number: str, cell: dict[str, Any]) -> Iterator[str]:
    text = _text(cell["source"])
    if cell["cell_type"] != "markdown" or not text.startswith(f"# {number} "):
        yield f"the first cell is not Markdown that begins with “# {number} ”"
    if not re.search(r"^\*\*.+\?\*\*$", text, re.MULTILINE):
        yield "no question in bold on a line of its own"
    learn = re.search(r"^\*\*You will learn\*\*\n\n((?:[-*] .+\n(?:  .+\n)*)+)", text, re.MULTILINE)
    if not learn or not 3 <= len(re.findall(r"^[-*] ", learn[1], re.MULTILINE)) <= 5:
        yield "no three to five things under “You will learn”"
    if not re.search(r"^\*\*Needs\*\* ", text, re.MULTILINE):
        yield "no “Needs”"
    head, row = (re.search(rf"^\| *{word} *\|.+\|$", text, re.MULTILINE) for word in ("", "time"))
    if not head or not row or not all(word in head[0] for word in ("smoke", "laptop", "gpu")):
        yield "no table of times for smoke, laptop and gpu"
    elif head[0].count("|") != row[0].count("|") or not re.search(r"\d", row[0]):
        yield "the table of times is not filled in"


def _parameters(stem: str, cells: list[dict[str, Any]]) -> Iterator[str]:
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    if tagged != code[:1]:
        yield "the first code cell, and no other, has the tag `parameters`"
        return
    try:
        body = ast.parse(_text(tagged[0]["source"])).body
        values = {node.targets[0].id: ast.literal_eval(node.value) for node in body}
    except (SyntaxError, AttributeError, ValueError):
        yield "parameters that are not literals"
        return
    if not {"SCALE", "SEED", "OUT"} <= set(values) or (values["SCALE"], values["OUT"]) != ("laptop", f"runs/{stem}"):
        yield f'parameters without SCALE = "laptop", SEED and OUT = "runs/{stem}"'


def _code(cell: dict[str, Any]) -> Iterator[str]:
    source = _text(cell["source"])
    if len(source.splitlines()) > CELL:
        yield f"{len(source.splitlines())} lines, expected at most {CELL}: anything longer lives in pilab/"
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        yield f"not plain Python ({error.msg})"
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            lines = node.end_lineno - node.lineno + 1
            if lines > BODY:
                yield f"{node.name} has {lines} lines, expected at most {BODY}: it lives in pilab/"


def _output(output: dict[str, Any]) -> Iterator[str]:
    kind, data = output["output_type"], output.get("data", {})
    if kind not in ("stream", "display_data", "execute_result"):
        yield f"an output of type {kind}"
    if kind == "stream" and output["name"] != "stdout":
        yield "output on stderr"
    if more := sorted(set(data) - {"image/png", "text/plain"}):
        yield f"outputs that GitHub does not show: {', '.join(more)}"
    if "image/png" in data:
        picture = base64.b64decode(_text(data["image/png"]))
        if len(picture) > PICTURE or not picture.startswith(b"\x89PNG"):
            yield f"a picture of {len(picture)} bytes, expected a PNG of at most {PICTURE}"
    if PATHS.search(_text(output.get("text", "")) + _text(data.get("text/plain", ""))):
        yield "a path of somebody's machine in an output"


def _end(number: str, cells: list[dict[str, Any]]) -> Iterator[str]:
    prose = [_text(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    exercises = [text for text in prose if text.startswith("## Exercises\n")]
    if len(exercises) != 1 or not re.search(r"^1\. ", exercises[0], re.MULTILINE):
        yield "no exercises"
    if f'notebook.exercises("{number}")' not in "".join(_text(cell["source"]) for cell in cells):
        yield "no checks of the exercises"
    if cells[-1]["cell_type"] != "markdown" or not prose[-1].startswith("## Where next\n"):
        yield "the last cell is not “Where next”"
    if "session.report(" not in "".join(_text(c["source"]) for c in cells if c["cell_type"] == "code"):
        yield "no session.report"


def _text(lines: str | list[str]) -> str:
    return lines if isinstance(lines, str) else "".join(lines)


# ---------------------------------------------------------------------------------------------------------------- tests
def test_keeps_the_contract(book):
    assert complaints(book.stem, json.loads(book.read_text(encoding="utf-8"))) == []
    assert book.with_name(f"{book.stem[:2]}_exercises.py").is_file()


PNG = base64.b64encode(b"\x89PNG" + bytes(40)).decode()


def _good() -> dict[str, Any]:
    first = (
        "# 90 Break things\n\n**Does the lint notice?**\n\n**You will learn**\n\n- one;\n- two\n  lines;\n- three.\n\n"
        "**Needs** nothing.\n\n| | smoke | laptop | gpu |\n| --- | --- | --- | --- |\n| time | 1 s | 1 min | 1 min |"
    )
    parameters = 'SCALE = "laptop"\nSEED = 0\nOUT = "runs/90_break_things"'
    shown = [
        {"output_type": "stream", "name": "stdout", "text": "hello at 1/2 of runs/90 and data/tmp/x"},
        {"output_type": "display_data", "data": {"image/png": PNG, "text/plain": "a picture"}, "metadata": {}},
    ]
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": first},
        {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": parameters, "outputs": []},
        {"cell_type": "code", "metadata": {}, "source": "session.report(a=1)", "outputs": shown},
        {"cell_type": "markdown", "metadata": {}, "source": "## Exercises\n\n1. Do."},
        {"cell_type": "code", "metadata": {}, "source": 'notebook.exercises("90")', "outputs": []},
        {"cell_type": "markdown", "metadata": {}, "source": "## Where next\n\nHome."},
    ]
    for i, cell in enumerate(cells):
        cell["id"] = f"cell-{i}"
    about = {"kernelspec": {"name": "python3"}, "pilab": {"outputs": "laptop scale, commit 1234567"}}
    return {"nbformat": 4, "metadata": about, "cells": cells}


def _change(index: int, before: str, after: str) -> Callable[[dict[str, Any]], None]:
    def change(book: dict[str, Any]) -> None:
        assert before in book["cells"][index]["source"]
        book["cells"][index]["source"] = book["cells"][index]["source"].replace(before, after)

    return change


def _set(value: Any, *way: Any) -> Callable[[dict[str, Any]], None]:
    def change(book: dict[str, Any]) -> None:
        at: Any = book
        for key in way[:-1]:
            at = at[key]
        at[way[-1]] = value

    return change


LONG = "\n".join(["def f():", *["    pass"] * BODY])
BIG = base64.b64encode(b"\x89PNG" + bytes(PICTURE)).decode()
BROKEN = {
    "# 90": _change(0, "# 90", "# 91"),
    "question": _change(0, "?**", ".**"),
    "You will learn": _change(0, "- three.\n", ""),
    "Needs": _change(0, "**Needs** nothing.", ""),
    "table of times for": _change(0, "| gpu ", ""),
    "not filled": _change(0, "1 s | 1 min | 1 min", "… | … | …"),
    "not literals": _change(1, "SEED = 0", "SEED = int(0)"),
    'SCALE = "laptop"': _change(1, '"laptop"', '"smoke"'),
    "OUT": _change(1, "90_break_things", "00_hello_robot"),
    "tag": _set({}, "cells", 1, "metadata"),
    "ids": _set("cell-1", "cells", 2, "id"),
    "kernel": _set("pilab-venv", "metadata", "kernelspec", "name"),
    "provenance": _set({}, "metadata", "pilab"),
    "tools": _set({}, "metadata", "widgets"),
    "metadata other": _set({"collapsed": True}, "cells", 2, "metadata"),
    "somebody's machine in a source": _change(2, "a=1", 'a="/home/me/x"'),
    "lines, expected at most 40": _change(2, "session", "\n" * CELL + "session"),
    "f has": _change(2, "session", LONG + "\nsession"),
    "plain Python": _change(2, "session", "%matplotlib inline\nsession"),
    "type error": _set("error", "cells", 2, "outputs", 0, "output_type"),
    "stderr": _set("stderr", "cells", 2, "outputs", 0, "name"),
    "does not show": _set({"text/html": "<b>"}, "cells", 2, "outputs", 1, "data"),
    "a picture of": _set(BIG, "cells", 2, "outputs", 1, "data", "image/png"),
    "expected a PNG": _set("R0lGODlh", "cells", 2, "outputs", 1, "data", "image/png"),
    "somebody's machine in an output": _set("in C:\\Users\\me", "cells", 2, "outputs", 0, "text"),
    "a path": _set(["saved to\n", "/tmp/x.png"], "cells", 2, "outputs", 1, "data", "text/plain"),
    "no exercises": _change(3, "1. Do.", "None."),
    "no checks": _change(4, "90", "00"),
    "Where next": _change(5, "next", "now"),
    "session.report": _change(2, "session.report(a=1)", "pass"),
}


def test_good_notebook_passes():
    assert complaints("90_break_things", _good()) == []


@pytest.mark.parametrize("about", BROKEN)
def test_lint_notices(about):
    book = copy.deepcopy(_good())
    BROKEN[about](book)
    (found,) = complaints("90_break_things", book)
    assert about in found


def test_lint_notices_a_name_that_is_none():
    assert any("NN_verb_noun" in c for c in complaints("90_things", _good()))
