"""Recording: what is kept is filed, whatever happens; what is not kept is nowhere."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from pilab.contracts import ACTION, EXECUTED, STATE, DatasetError, Observation, Thought, image_key
from pilab.data.lerobot import LeRobotDataset
from pilab.data.recorder import SPOOL, Recorder
from pilab.data.schema import INTERVENTION, SOURCE, SUBTASK, SUCCESS
from pilab.world.scenes import find_body

BODY = find_body("solo")


@dataclass
class Seen:
    """A frame as a loop gives it."""

    tick: int
    label: np.ndarray | None = None
    executed: np.ndarray | None = None
    source: str = "human"
    is_intervention: bool = False
    thought: Thought = field(default_factory=Thought)

    @property
    def observation(self) -> Observation:
        seen = {STATE: np.full(BODY.size, self.tick, np.float32)}
        return seen | {
            image_key(c.name): np.full((c.height, c.width, 3), self.tick % 256, np.uint8) for c in BODY.cameras
        }


def frame(tick: int, **changes) -> Seen:
    action = np.full(BODY.size, tick + 0.5, np.float32)
    return Seen(tick, **{"label": action, "executed": action, **changes})


def record(recorder: Recorder, ticks: range, task: str = "wave", **options) -> None:
    recorder.start()
    for tick in ticks:
        recorder.see(frame(tick))
    recorder.keep(task, **options)


def test_kept_discarded_and_undone(tmp_path):
    with Recorder(tmp_path / "d", BODY, operator="me") as recorder:
        record(recorder, range(12), "wave", success=True)
        recorder.start()
        recorder.see(frame(0))
        recorder.discard()
        record(recorder, range(100, 107), "nod", success=False)
        record(recorder, range(5), "a mistake")
        recorder.undo()
        record(recorder, range(50, 58), "bow")
        status = recorder.flush()
        assert (status.episodes, status.filing, status.active, status.error) == (3, 0, False, "")
    data = LeRobotDataset(tmp_path / "d")
    assert data.lengths.tolist() == [12, 7, 8] and not (tmp_path / "d" / SPOOL / "x").exists()
    assert [row["tasks"] for row in data.episodes] == [["wave"], ["nod"], ["bow"]]
    assert [row["success"] for row in data.episodes] == [True, False, True]
    assert {row["operator"] for row in data.episodes} == {"me"}
    np.testing.assert_array_equal(data.columns[STATE][:, 0], [*range(12), *range(100, 107), *range(50, 58)])
    np.testing.assert_array_equal(data.columns[ACTION][:, 0], data.columns[STATE][:, 0] + 0.5)
    assert np.flatnonzero(data.columns[SUCCESS]).tolist() == [11, 26]
    assert abs(int(data[13][image_key(BODY.cameras[0].name)].mean()) - 101) <= 2
    assert not any((tmp_path / "d" / SPOOL).iterdir())
    assert (tmp_path / "d" / "README.md").exists()


def test_a_row_is_the_first_frame_s_sight_and_the_last_one_s_command(tmp_path):
    with Recorder(tmp_path / "d", BODY, every=3) as recorder:
        recorder.start()
        for tick in range(8):  # the last two are no whole row
            recorder.see(frame(tick, source="policy" if tick < 5 else "human", is_intervention=tick >= 5))
        recorder.keep("wave")
    data = LeRobotDataset(tmp_path / "d")
    np.testing.assert_array_equal(data.columns[STATE][:, 0], [0, 3])
    np.testing.assert_array_equal(data.columns[EXECUTED][:, 0], [2.5, 5.5])
    assert data.columns[SOURCE].tolist() == ["policy", "human"]
    assert np.ravel(data.columns[INTERVENTION]).tolist() == [False, True]


def test_missing_frames_are_counted_and_subtasks_stored(tmp_path):
    with Recorder(tmp_path / "d", BODY) as recorder:
        recorder.start()
        for tick in (0, 1, 2, 7, 8, 20):
            recorder.see(frame(tick, thought=Thought(subtask=f"step {tick}")))
        recorder.see(frame(21, executed=None))  # nothing was sent
        assert recorder.status.gaps == 2 and recorder.status.steps == 6
        recorder.keep("wave")
    data = LeRobotDataset(tmp_path / "d")
    assert data.episodes[0]["gaps"] == 2
    assert list(data.columns[SUBTASK]) == [f"step {t}" for t in (0, 1, 2, 7, 8, 20)]


def test_a_recording_goes_on_and_an_unfinished_one_waits_for_a_person(tmp_path):
    with Recorder(tmp_path / "d", BODY) as recorder:
        record(recorder, range(4))
        recorder.start()
        for tick in range(6):
            recorder.see(frame(tick))
    with Recorder(tmp_path / "d", BODY) as recorder:
        (name,) = recorder.status.unfinished
        recorder.recover(name, "rescued", success=False)
        assert recorder.flush().episodes == 2
        with pytest.raises(DatasetError, match="no unfinished"):
            recorder.forget(name)
        recorder.start()
        recorder.see(frame(0))
    with Recorder(tmp_path / "d", BODY) as recorder:
        recorder.forget(recorder.status.unfinished[0])
        assert recorder.flush().unfinished == ()
    data = LeRobotDataset(tmp_path / "d")
    assert data.lengths.tolist() == [4, 6] and data.episodes[1]["tasks"] == ["rescued"]


def test_undo_of_what_could_not_be_filed_leaves_the_others(tmp_path):
    with Recorder(tmp_path / "d", BODY) as recorder:
        record(recorder, range(4), "wave")
        assert recorder.flush().episodes == 1
        (tmp_path / "d" / ".staging").rmdir()
        (tmp_path / "d" / ".staging").write_text("in the way")
        record(recorder, range(5), "nod")
        status = recorder.flush()
        assert (status.episodes, status.filing) == (1, 0) and "cannot write" in status.error
        recorder.undo()
        assert recorder.flush().episodes == 1
        (tmp_path / "d" / ".staging").unlink()
        record(recorder, range(6), "bow")
    with Recorder(tmp_path / "d", BODY) as recorder:
        assert recorder.flush().episodes == 2
    assert [row["tasks"] for row in LeRobotDataset(tmp_path / "d").episodes] == [["wave"], ["bow"]]


def test_mistakes_are_refused_with_a_reason(tmp_path):
    with Recorder(tmp_path / "d", BODY) as recorder:
        with pytest.raises(DatasetError, match="nothing was recorded"):
            recorder.keep("wave")
        with pytest.raises(DatasetError, match="no episode is being recorded"):
            recorder.discard()
        with pytest.raises(DatasetError, match="somebody else writes"):
            Recorder(tmp_path / "d", BODY)
        recorder.start()
        with pytest.raises(DatasetError, match="already"):
            recorder.start()
        with pytest.raises(DatasetError, match="no whole row"):
            recorder.keep("wave")
        recorder.see(frame(0))
        with pytest.raises(DatasetError, match="instruction"):
            recorder.keep("")
        recorder.keep("wave")
        recorder.undo()
        recorder.undo()
        assert "no episode to take back" in recorder.flush().error
    with pytest.raises(DatasetError, match="does not fit the body 'duo'"):
        Recorder(tmp_path / "d", find_body("duo"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("precious")
    with pytest.raises(DatasetError, match="not empty"):
        Recorder(tmp_path / "full", BODY)


def test_what_a_robot_does_not_give_ends_the_recording(tmp_path):
    class Blind(Seen):
        observation = {STATE: np.zeros(BODY.size, np.float32)}  # noqa: RUF012

    with Recorder(tmp_path / "d", BODY) as recorder:
        recorder.start()
        recorder.see(frame(0))
        recorder.see(Blind(1, np.zeros(BODY.size), np.zeros(BODY.size)))
        status = recorder.flush()
        assert not status.active and "does not give what its body says" in status.error
        recorder.recover(status.unfinished[0], "the one frame there was")
        assert recorder.flush().episodes == 1


def test_a_full_disk_ends_the_recording_and_what_came_before_is_kept(tmp_path):
    code = (
        "import resource, sys, signal; sys.path.insert(0, sys.argv[2])\n"
        "from test_recorder import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "recorder = Recorder(sys.argv[1], BODY)\n"
        "record(recorder, range(5)); recorder.flush()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))\n"
        "recorder.start()\n"
        "for tick in range(40): recorder.see(frame(tick))\n"
        "status = recorder.flush()\n"
        "print(status.active, status.episodes, len(status.unfinished), status.error)\n"
    )
    run = [sys.executable, "-c", code, str(tmp_path / "d"), str(Path(__file__).parent)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("False 1 1 the recording ended: cannot write"), done.stdout + done.stderr
    assert "size limit" in done.stdout
    with Recorder(tmp_path / "d", BODY) as recorder:
        recorder.recover(recorder.status.unfinished[0], "until the disk was full")
        assert recorder.flush().episodes == 2
    assert 2 <= LeRobotDataset(tmp_path / "d").lengths[1] < 40


def _drive(root: str, log: str) -> None:
    """In a process to be killed: records, keeps, discards, and writes down what it was told is kept."""
    recorder, rng = Recorder(root, BODY), np.random.default_rng(os.getpid())
    with open(log, "a", encoding="utf-8") as told:
        for number in range(1000):
            start = 1000 * int(rng.integers(1000))
            recorder.start()
            for tick in range(start, start + int(rng.integers(1, 8))):
                recorder.see(frame(tick))
            if number % 3 == 2:
                recorder.discard()
                continue
            recorder.keep(f"episode {start}")
            if rng.random() < 0.5:
                told.write(json.dumps([start, tick - start + 1, "filed"]) + "\n" if not recorder.flush().error else "")
                told.flush()


@pytest.mark.timeout(600)
def test_fifty_kills_cost_nothing_that_was_kept(tmp_path):
    """SIGKILL at random moments; afterwards every episode that was there is there, whole, once, and the folder resumes."""
    context, rng = multiprocessing.get_context("forkserver"), np.random.default_rng(0)
    context.set_forkserver_preload([__name__])
    root, log, known = tmp_path / "d", tmp_path / "log", []
    for _ in range(50):
        process = context.Process(target=_drive, args=(str(root), str(log)))
        process.start()
        time.sleep(float(rng.uniform(0.05, 0.6)))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        if not (root / "meta" / "info.json").exists():
            continue
        waiting = [json.loads(p.read_text())["task"] for p in (root / SPOOL).glob("*/kept.json")]
        with Recorder(root, BODY) as recorder:
            status = recorder.flush()
            assert status.error == "" and status.filing == 0
            for name in status.unfinished:
                recorder.forget(name)
        if not status.episodes:
            continue
        data = LeRobotDataset(root)
        tasks = [row["tasks"][0] for row in data.episodes]
        assert tasks[: len(known)] == known and set(waiting) <= set(tasks)
        known = tasks
        assert len({row["recording"] for row in data.episodes}) == len(data.episodes)
        state = data.columns[STATE][:, 0]
        for task, stop, length in zip(tasks, np.cumsum(data.lengths), data.lengths, strict=True):
            start = int(task.split()[1])
            np.testing.assert_array_equal(state[stop - length : stop], np.arange(start, start + length))
    told = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    by_task = dict(zip(known, data.lengths.tolist(), strict=True))
    assert len(told) > 10 and all(by_task[f"episode {start}"] >= 1 for start, *_ in told)
