"""The command line: help with an example, one clear line for what a user can mend, one JSON object for programs."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pilab
from pilab import cli, notebook
from pilab.contracts import Row
from pilab.doctor import Finding
from pilab.evaluation import rollout
from pilab.evaluation.perturbations import AXES

KEYS = {"suite", "control", "success", "metrics", "per_verb", "seconds"}
POLICY = """\
import numpy as np
from pilab.contracts import STATE, Policy

class Nod(Policy):
    cameras = ()
    def act(self, observation, thought):
        return observation[STATE][:, None] + np.float32(0.01)

NOTHING = 3
"""


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    """Commands are given in an empty folder, with caches of its own, and leave the import path as it was."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PILAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(Path(pilab.__file__).parents[1]))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def leaves(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every verb and its example."""
    groups = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not groups:
        yield words, parser.epilog or ""
    for group in groups:
        for name, child in group.choices.items():
            yield from leaves(child, (*words, name))


VERBS = dict(leaves(cli.parser()))


def refused(capsys, *arguments: str) -> str:
    """Give a command that cannot be done; returns the one line it answers with."""
    assert cli.main(list(arguments)) == 2
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if not line.startswith("\r") and "it/s]" not in line]
    assert "Traceback" not in said.err
    (line,) = lines
    assert line.startswith("pilab: ")
    return line


# ----------------------------------------------------------------------------------------------------------------- help
def test_there_are_the_verbs_of_the_first_issue():
    assert {" ".join(words) for words in VERBS} >= {
        "quickstart", "lab", "doctor", "collect", "dataset info", "dataset card", "evaluate", "bench",
        "notebooks run", "notebooks publish",
    }  # fmt: skip


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_help_shows_an_example_that_parses(words, capsys):
    with pytest.raises(SystemExit) as done:
        cli.main([*words, "--help"])
    assert done.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    example = VERBS[words].removeprefix("example: ").split(";")[0]
    assert f"example: {example}" in shown
    assert example.startswith(f"pilab {' '.join(words)}")
    assert cli.parse(shlex.split(example)[1:]).verb


def test_help_names_all_axes(capsys):
    with pytest.raises(SystemExit):
        cli.main(["evaluate", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert all(axis in told for axis in AXES)


def test_a_trial_made_harder_stands_under_its_name(capsys):
    command = "evaluate hold --suite put --episodes 1 --threads 1 --perturb light=0.5 dark --json"
    assert cli.main(command.split()) == 0
    assert json.loads(capsys.readouterr().out)["control"] == "light 0.5, dark 1"
    with pytest.raises(SystemExit):
        cli.main("evaluate hold --perturb light=bright".split())
    assert "such as light=0.5" in capsys.readouterr().err


def test_unknown_options_are_refused_except_where_jupyterlab_takes_them(capsys):
    with pytest.raises(SystemExit) as done:
        cli.main(["bench", "--no-browser"])
    assert done.value.code == 2 and "--no-browser" in capsys.readouterr().err
    options = cli.parse(["lab", "--no-browser", "--folder", "mine", "--port=9999"])
    assert (options.folder, options.more) == ("mine", ["--no-browser", "--port=9999"])


@pytest.mark.parametrize("count", ["0", "-3", "1.5", "many"])
@pytest.mark.parametrize("option", ["--episodes", "--batch", "--threads"])
def test_counts_are_whole_numbers_of_at_least_one(option, count, capsys):
    with pytest.raises(SystemExit) as done:
        cli.main(["evaluate", "hold", f"{option}={count}"])
    assert done.value.code == 2 and "at least 1" in capsys.readouterr().err


# --------------------------------------------------------------------------------------------------------------- errors
@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("evaluate nobody", ["'nobody'", "demonstrator, random, hold", "MODULE:OBJECT"]),
        ("evaluate mine:POLICY", ["'mine:POLICY'", "No module named 'mine'"]),
        ("evaluate os:path", ["os:path", "without act"]),
        ("evaluate hold --suite juggle", ["'juggle'", "put", "MODULE:TASK"]),
        ("evaluate hold --control blind", ["'blind'", "none, black, swap, scramble, paraphrase, replay"]),
        ("evaluate hold --body octopus", ["'octopus'", "duo", "solo"]),
        ("evaluate hold --suite handover --body solo", ["handover", "2 arms", "duo"]),
        ("evaluate demonstrator --control black", ["black", "privileged"]),
        ("collect juggle --episodes 1 --out d", ["'juggle'", "handover"]),
        ("collect put --episodes 1 --out d --object chair", ["'chair'", "apple"]),
        ("collect put --episodes 1 --out d --object apple --place moon", ["'moon'", "plate"]),
        ("collect put --episodes 1 --out d --place plate", ["'plate'", "name the object"]),
        ("collect put --episodes 1 --out d --body octopus", ["'octopus'", "duo"]),
        ("collect put --episodes 1 --out d --manner sideways", ["'sideways'", "from above"]),
        ("collect put --episodes 1 --out d --arm third", ["'third'", "left, right"]),
        ("collect put --episodes 1 --out d --seed 600000", ["600000", "499999"]),
        ("dataset info nowhere", ["nowhere", "not a LeRobot dataset"]),
        ("dataset card .", ["not a LeRobot dataset"]),
        ("notebooks run 99", ["'99'", "00_hello_robot"]),
        ("notebooks run 00 --scale huge", ["'huge'", "smoke, laptop, gpu"]),
        ("experiment luck", ["'luck'", "pretraining, recipe"]),
        ("quickstart --scale huge", ["'huge'", "smoke, laptop, gpu"]),
    ],
)
def test_what_a_user_can_mend_is_one_line(command, named, capsys):
    line = refused(capsys, *command.split())
    assert all(word in line for word in named), line
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        "collect put --episodes 1 --out file/data --json",
        "evaluate hold --episodes 1 --rows file/rows.jsonl --json",
        "evaluate hold --episodes 1 --rows . --json",
        "evaluate hold --episodes 1 --strips file --json",
        "quickstart --scale smoke --out file --json",
        "lab --folder file",
    ],
)
def test_places_that_cannot_be_written_are_one_line(command, capsys):
    Path("file").write_text("in the way", encoding="utf-8")
    line = refused(capsys, *command.split())
    assert "file" in line or "directory" in line.lower()
    assert Path("file").read_text(encoding="utf-8") == "in the way"


def test_the_web_is_drawn_and_copied(capsys):
    assert cli.main("web --pictures 3 --facts invented-1 --out copy --copies 2 --texts 5 --json".split()) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["pictures"] == 3 and about["facts"] == "invented-1"
    assert len(list(Path("copy/pictures").glob("*.png"))) == 2
    assert "invented-SEED" in refused(capsys, *"web --pictures 3 --facts real --json".split())
    assert "not empty" in refused(capsys, *"web --pictures 3 --out copy --json".split())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_rows_on_a_full_disk_are_one_line(capsys):
    assert "space" in refused(capsys, *"evaluate hold --episodes 1 --rows /dev/full --json".split())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the size of files")
@pytest.mark.parametrize("limit", [1_000, 40_000], ids=["at the start", "in a worker"])
def test_collecting_onto_a_full_disk_is_one_line(tmp_path, limit):
    starved = (
        "import resource, sys; from pilab.cli import main\n"
        "if __name__ == '__main__':\n"
        f"    resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); sys.exit(main())\n"
    )
    script = tmp_path / "starved.py"
    script.write_text(starved, encoding="utf-8")
    command = [sys.executable, script, *"collect put --episodes 1 --out demos --workers 1 --json".split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("pilab: cannot write") and "demos" in line and "size limit" in line
    assert Path("demos", "meta", "info.json").exists() == (limit > 1_000)


# ------------------------------------------------------------------------------------------------------------- programs
def test_evaluate_prints_one_json_object(capsys):
    assert cli.main("evaluate hold --episodes 2 --json".split()) == 0
    said = capsys.readouterr()
    assert said.err == "" and said.out.count("\n") == 1
    digest = json.loads(said.out)
    assert set(digest) == KEYS
    assert set(digest["success"]) == {"k", "n", "rate", "low", "high"} and digest["success"]["n"] == 2
    assert set(digest["metrics"]) == set(rollout.METRICS) and set(digest["per_verb"]) == {"put", "push"}


@pytest.mark.parametrize("name", ["rows.jsonl", "deep/down/rows.jsonl.gz"])
def test_rows_recompute_the_summary(name, capsys):
    command = f"evaluate demonstrator --episodes 4 --control swap --seed 600100 --rows {name} --json"
    assert cli.main(command.split()) == 0
    digest = json.loads(capsys.readouterr().out)
    content = Path(name).read_bytes()
    lines = (gzip.decompress(content) if name.endswith(".gz") else content).decode().splitlines()
    rows = [Row.from_json(line) for line in lines]
    assert [row.seed for row in rows] == [600_100, 600_101, 600_102, 600_103]
    assert rollout.summary(rows, digest["seconds"]) == digest
    assert digest["metrics"]["followed"]["k"] > 0


def test_people_get_a_table(capsys):
    assert cli.main("evaluate hold --episodes 2".split()) == 0
    out = capsys.readouterr().out
    assert "success" in out and "wrong_moved" in out and "0/2" in out


def test_combinations_are_probed_and_what_was_never_shown_is_named(capsys, tmp_path):
    command = "probe demonstrator --verbs put --objects apple --places bowl basket tray --rows rows.jsonl"
    assert cli.main(command.split()) == 0
    told = capsys.readouterr().out
    assert "3 combinations, 1 of them never shown: reserved in all data that pilab collects" in told  # apple → basket
    assert "success          never shown" in told and "lost" in told
    assert len(Path("rows.jsonl").read_text().splitlines()) == 3
    assert cli.main([*command.split()[:-2], "--data", str(notebook.SAMPLES), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["combinations"] == 3 and found["why"] == "by the columns of the datasets"
    assert cli.main("probe demonstrator --objects unicorn".split()) == 2
    assert "unknown object 'unicorn'" in capsys.readouterr().err


def test_own_policy_is_found_where_the_command_is_given():
    Path("mine.py").write_text(POLICY, encoding="utf-8")
    command = "import sys; from pilab.cli import main; sys.exit(main())"

    def give(*arguments: str) -> subprocess.CompletedProcess[str]:
        # -P keeps Python itself from looking into the current folder, as it does for an installed `pilab`
        return subprocess.run(
            [sys.executable, "-P", "-c", command, *arguments], capture_output=True, text=True, timeout=120, check=False
        )

    done = give("evaluate", "mine:Nod", "--episodes", "1", "--json")
    assert (done.returncode, done.stderr) == (0, "") and set(json.loads(done.stdout)) == KEYS
    done = give("evaluate", "mine:NOTHING", "--episodes", "1")
    assert done.returncode == 2 and "mine:NOTHING is a int without act" in done.stderr


def test_strips_are_one_picture_per_episode(capsys):
    assert cli.main("evaluate random --episodes 2 --strips films --json".split()) == 0
    names = sorted(path.name for path in Path("films").iterdir())
    assert names == ["600000_put_failure.png", "600001_push_failure.png"]


def test_doctor_prints_findings(capsys):
    status = cli.main(["doctor", "--json"])
    findings = [Finding(**finding) for finding in json.loads(capsys.readouterr().out)]
    assert {"python", "world", "video"} <= {finding.name for finding in findings}
    assert status == int(any(finding.state == "missing" for finding in findings))


@pytest.mark.notebook
def test_quickstart_prints_one_json_object(capsys):
    assert cli.main("quickstart --scale smoke --json --out first".split()) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert {"measured", "demonstrator", "random", "followed", "minutes", "notebook", "html"} <= set(numbers)
    assert Path(numbers["notebook"]).is_file() and Path(numbers["html"]).is_file()
    assert all(isinstance(line, str) for line in numbers["measured"])


# ------------------------------------------------------------------------------------------------------- working copies
@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder of notebooks that an update may change."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name in ("00_one.ipynb", "00_exercises.py", "01_two.ipynb"):
        (folder / name).write_text(f"{name}, first edition", encoding="utf-8")
    (folder / "figures").mkdir()
    monkeypatch.setattr(notebook, "FOLDER", folder)
    return folder


def test_working_copies_keep_edits_and_follow_updates(shelf, tmp_path):
    work = tmp_path / "work"
    copies = notebook.working_copies(work)
    assert [path.name for path in copies] == ["00_exercises.py", "00_one.ipynb", "01_two.ipynb"]
    (work / "00_one.ipynb").write_text("my own thoughts", encoding="utf-8")
    for path in shelf.glob("*.*"):
        path.write_text(f"{path.name}, second edition", encoding="utf-8")
    (shelf / "02_three.ipynb").write_text("new", encoding="utf-8")
    for _ in range(2):  # the second time changes nothing
        notebook.working_copies(work)
        assert (work / "00_one.ipynb").read_text(encoding="utf-8") == "my own thoughts"
        assert (work / "01_two.ipynb").read_text(encoding="utf-8") == "01_two.ipynb, second edition"
        assert (work / "02_three.ipynb").read_text(encoding="utf-8") == "new"
    (work / "00_one.ipynb").unlink()  # to begin again
    notebook.working_copies(work)
    assert (work / "00_one.ipynb").read_text(encoding="utf-8") == "00_one.ipynb, second edition"


def test_a_file_of_the_readers_own_is_not_overwritten(shelf, tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "01_two.ipynb").write_text("was here before", encoding="utf-8")
    notebook.working_copies(tmp_path / "work")
    assert (tmp_path / "work" / "01_two.ipynb").read_text(encoding="utf-8") == "was here before"


def test_lab_copies_and_starts_jupyterlab(shelf, capfd):
    assert cli.main(["lab", "--folder", "work", "--version"]) == 0
    said = capfd.readouterr().out
    assert "3 working copies" in said
    assert said.splitlines()[-1].split(".")[0].isdecimal()  # JupyterLab's own answer
    assert (Path("work") / "00_one.ipynb").is_file()


def test_train_then_evaluate_then_report(capsys):
    """At smoke scale, from nothing: demonstrations are collected, a checkpoint is made, measured, and reported on."""
    assert cli.main(["train", "laptop", "--scale", "smoke", "--out", "vla", "--threads", "1", "--json"]) == 0
    made = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert made["checkpoint"] == "vla" and len(made["hash"]) == 12 and made["data"][0]["episodes"] == 8
    assert cli.main(["evaluate", "vla", "--suite", "put", "--episodes", "1", "--rows", "rows.jsonl", "--json"]) == 0
    (row,) = map(Row.from_json, Path("rows.jsonl").read_text(encoding="utf-8").splitlines())
    assert (row.arm, row.checkpoint, row.privileged) == ("vla", made["hash"], False)
    assert cli.main(["report", "vla", "--rows", "rows.jsonl"]) == 0
    assert f"`{made['hash']}`" in Path("vla/README.md").read_text(encoding="utf-8")
    assert "| vla | put | none | 600000 | success |" in Path("vla/README.md").read_text(encoding="utf-8")
    assert cli.main(["train", "cook", "--out", "vla"]) == 2
    assert "unknown recipe 'cook'; valid: laptop" in capsys.readouterr().err
