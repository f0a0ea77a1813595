"""What README.md promises: the two lines that set everything up, commands that parse, links that lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from pilab import cli
from pilab.contracts import names_in
from pilab.evaluation.controls import CONTROLS
from pilab.evaluation.rollout import POLICIES, suite_tasks

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
SET_UP = (
    "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/pilab quickstart",
    ".venv/bin/pip install -e '.[test]' && .venv/bin/pytest",
)
BOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def commands() -> list[str]:
    """Every `pilab …` in a code block or between backticks; words in capitals are placeholders."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    blocks = "\n".join(block for language, block in fenced if language in ("", "bash", "powershell", "console"))
    prose = re.sub(r"^```.*?^```", "", TEXT, flags=re.MULTILINE | re.DOTALL)
    said = [part.strip() for line in blocks.splitlines() for part in re.split(r"&&|;", line.split(" #")[0])]
    said += re.findall(r"`(pilab [^`]+)`", prose)
    calls = [re.sub(r"^\S*[/\\]pilab ", "pilab ", text) for text in said]
    return sorted({text for text in calls if text.startswith("pilab ") and not re.search(r"\b[A-Z_]{3,}\b(?!:)", text)})


def test_the_two_lines_are_there_and_ci_runs_them():
    blocks = re.findall(r"^```bash\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    for line in SET_UP:
        assert any(line in block.splitlines() for block in blocks)
        assert f"{line} || exit 1" in ci


def test_commands_are_found():
    verbs = {command.split()[1] for command in commands()}
    assert {"quickstart", "lab", "doctor", "evaluate", "collect", "bench", "dataset"} <= verbs


@pytest.mark.parametrize("command", commands())
def test_command_parses_and_names_what_exists(command):
    options = cli.parse(shlex.split(command)[1:])
    if options.verb is cli.evaluate:
        for part in options.policy.split("+"):
            assert part in POLICIES or ":" in part or f"--out {part} " in TEXT
        assert options.control in CONTROLS and suite_tasks(options.suite)
    if options.verb is cli.collect:
        assert set(options.tasks) <= set(names_in("pilab.world.tasks"))
    if options.verb in (cli.dataset_info, cli.dataset_card):
        assert (ROOT / options.folder / "meta" / "info.json").is_file()


def test_links_lead_somewhere():
    links = re.findall(r"\]\(([^)\s#]+)[^)]*\)", TEXT) + re.findall(r"(?:src|href)=\"([^\"#]+)\"", TEXT)
    here = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert here
    assert [link for link in here if not (ROOT / link).exists()] == []


def test_every_number_is_filled_in():
    """No NAME_OF_A_FIGURE is left where a figure belongs."""
    assert sorted(set(re.findall(r"\b[A-Z]+(?:_[A-Z0-9]+)+\b", TEXT)) - {"PILAB_HOME", "MUJOCO_GL"}) == []


def test_table_of_notebooks_agrees_with_the_folder():
    rows = re.findall(r"^\| (\d\d) \| (.+?) \| (.+?) \| (.+?) \|$", TEXT, re.MULTILINE)
    assert [number for number, *_ in rows] == [f"{n:02d}" for n in range(len(rows))]
    there = {path.stem[:2]: path.name for path in BOOKS}
    assert set(there) <= {number for number, *_ in rows}
    for number, title, _, state in rows:
        link = re.fullmatch(r"\[.+\]\(notebooks/(.+\.ipynb)\)", title)
        if number in there:
            assert link and link[1] == there[number] and "planned" not in state
        else:
            assert link is None and state == "planned"


def test_rooms_exist():
    rooms = re.findall(r"^\| `(pilab/[^`]+)` \|", TEXT, re.MULTILINE)
    assert rooms and [room for room in rooms if not (ROOT / room).exists()] == []
