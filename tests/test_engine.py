"""The engine on real processes: order, resume, failure, kill -9, cancel, two engines, orphans, progress."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pilab.contracts import PilabError
from pilab.engine import Engine, LocalLauncher
from pilab.launchers import RayLauncher, SubmititLauncher

JOBS = '''
import os, pathlib, time
from pilab.engine import progress

def square(config, folder):
    with open(folder / "calls.txt", "a") as calls:
        calls.write("called\\n")
    return {"square": config["x"] ** 2, "threads": os.environ["OMP_NUM_THREADS"]}

def fail(config, folder):
    if config["x"] == 1:
        raise ValueError("one is too many")
    return config["x"]

def nan(config, folder):
    return {"loss": float("nan")}

def count(config, folder):
    """Five steps, each kept in a file; while the gate exists, nothing goes beyond the third."""
    kept = folder / "steps"
    first = int(kept.read_text()) if kept.exists() else 0
    for step in range(first, 5):
        while step == 3 and pathlib.Path(config["gate"]).exists():
            time.sleep(0.01)
        kept.write_text(str(step + 1))
        progress(folder, step + 1, 5)
    return {"first": first}
'''


@pytest.fixture(autouse=True)
def jobs(tmp_path, monkeypatch):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "engine_jobs.py").write_text(JOBS)
    monkeypatch.syspath_prepend(tmp_path / "code")


@pytest.fixture
def gate(tmp_path) -> Path:
    path = tmp_path / "gate"
    path.touch()
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture
def engine(tmp_path) -> Engine:
    return Engine(tmp_path / "runs")


def until(condition, seconds=60):
    """Wait for something that is bound to happen; the limit only turns a hang into a failure."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return value


def steps(run) -> str:
    return (run.folder / "steps").read_text() if (run.folder / "steps").exists() else ""


def pid(run) -> int:
    return json.loads((run.folder / "status.json").read_text())["pid"]


def calls(run) -> int:
    return (run.folder / "calls.txt").read_text().count("called")


def test_results_come_in_the_order_of_the_configs(engine):
    results = engine.map("engine_jobs:square", [{"x": x} for x in (3, 1, 2)], progress=False)
    assert [r["square"] for r in results] == [9, 1, 4]
    assert results[0]["threads"] == "1"


def test_every_end_is_told_once_and_old_results_too(engine):
    engine.map("engine_jobs:fail", [{"x": 4}], progress=False)
    told = []
    configs = [{"x": x} for x in (4, 1, 2, 4, 3)]

    def tell(run):
        told.append((run.config["x"], engine.status(run)))

    with pytest.raises(PilabError, match="1 of 4 runs"):
        engine.map("engine_jobs:fail", configs, progress=False, ended=tell)
    assert sorted(told) == [(2, "done"), (3, "done"), (4, "done")] and told[0] == (4, "done")
    run = engine.run("engine_jobs:fail", {"x": 9})
    assert not run.folder.exists()  # a name, and nothing started
    assert engine.submit("engine_jobs:fail", {"x": 9}) == run


def test_without_workers_a_run_is_here_and_now(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    engine = Engine(tmp_path / "runs", workers=0)
    run = engine.submit("engine_jobs:square", {"x": 3})
    assert engine.status(run) == "done" and pid(run) == os.getpid()
    assert engine.map("engine_jobs:square", [{"x": 3}, {"x": 2}], progress=False) == [
        {"square": 9, "threads": "7"}, {"square": 4, "threads": "7"},
    ]  # fmt: skip
    assert calls(run) == 1
    with pytest.raises(PilabError, match="1 of 2 runs of engine_jobs:fail did not finish"):
        engine.map("engine_jobs:fail", [{"x": 1}, {"x": 0}], progress=False)


def test_a_run_that_is_done_never_runs_again(engine, tmp_path):
    engine.map("engine_jobs:square", [{"x": 2}], progress=False)
    again = Engine(tmp_path / "runs")
    run = again.submit("engine_jobs:square", {"x": 2})
    assert again.status(run) == "done"
    assert again.map("engine_jobs:square", [{"x": 2}], progress=False)[0]["square"] == 4
    assert calls(run) == 1


def test_equal_configs_are_one_run(engine):
    configs = [{"x": 2, "name": "a"}, {"name": "a", "x": 2}, {"x": 3, "name": "a"}]
    results = engine.map("engine_jobs:square", configs, progress=False)
    assert [r["square"] for r in results] == [4, 4, 9]
    assert len(list(engine.root.iterdir())) == 2
    assert calls(engine.submit("engine_jobs:square", configs[0])) == 1


def test_a_failure_is_reported_after_the_others_are_done(engine):
    with pytest.raises(PilabError, match=r"1 of 3 runs.*engine_jobs\.fail-.*ValueError: one is too many") as error:
        engine.map("engine_jobs:fail", [{"x": x} for x in (1, 2, 3)], progress=False)
    run = engine.submit("engine_jobs:fail", {"x": 3})
    assert engine.status(run) == "done"
    failed = next(f for f in engine.root.iterdir() if str(f) in str(error.value))
    assert "Traceback" in (failed / "log.txt").read_text()
    assert json.loads((failed / "status.json").read_text())["state"] == "failed"


def test_a_result_must_be_json(engine):
    with pytest.raises(PilabError, match="not JSON compliant"):
        engine.map("engine_jobs:nan", [{}], progress=False)


@pytest.mark.parametrize("config", [{"x": {1, 2}}, {"x": float("inf")}])
def test_a_config_must_be_json(engine, config):
    with pytest.raises(PilabError, match="not JSON"):
        engine.submit("engine_jobs:square", config)


def test_a_function_needs_a_module(engine):
    with pytest.raises(PilabError, match="module:name"):
        engine.submit("square", {})


def test_killed_then_resumed_from_its_own_checkpoint(engine, gate):
    run = engine.submit("engine_jobs:count", {"gate": str(gate)})
    until(lambda: steps(run) == "3")
    assert engine.status(run) == "running"
    psutil.Process(pid(run)).kill()
    until(lambda: engine.status(run) == "interrupted")
    gate.unlink()
    assert engine.map("engine_jobs:count", [{"gate": str(gate)}], progress=False) == [{"first": 3}]


def test_killed_under_map_is_an_error_that_says_so(engine, gate):
    run = engine.submit("engine_jobs:count", {"gate": str(gate)})
    until(lambda: steps(run) == "3")
    psutil.Process(pid(run)).kill()
    until(lambda: engine.status(run) == "interrupted")
    launcher = engine.launcher
    launcher.start = lambda folder: subprocess.Popen([sys.executable, "-c", "import os; os.abort()"])
    with pytest.raises(PilabError, match="interrupted"):
        engine.map("engine_jobs:count", [{"gate": str(gate)}], progress=False)


def test_cancel_kills_a_running_and_removes_a_queued_run(tmp_path, gate):
    engine = Engine(tmp_path / "runs", workers=1)
    first = engine.submit("engine_jobs:count", {"gate": str(gate), "name": "first"})
    second = engine.submit("engine_jobs:count", {"gate": str(gate), "name": "second"})
    until(lambda: steps(first) == "3")
    assert engine.status(second) == "queued"
    process = psutil.Process(pid(first))
    engine.cancel(second)
    engine.cancel(first)
    assert not process.is_running()
    assert [engine.status(first), engine.status(second)] == ["cancelled", "cancelled"]
    assert steps(second) == ""
    gate.unlink()
    engine.map("engine_jobs:count", [first.config], progress=False)
    engine.cancel(first)
    assert engine.status(first) == "done"


def test_two_engines_share_a_root(tmp_path, gate):
    one, two = Engine(tmp_path / "runs"), Engine(tmp_path / "runs")
    run = one.submit("engine_jobs:count", {"gate": str(gate)})
    until(lambda: steps(run) == "3")
    assert two.status(two.submit(run.function, run.config)) == "running"
    with pytest.raises(PilabError, match="another engine"):
        two.cancel(run)
    two.submit(run.function, run.config)
    late = LocalLauncher().start(run.folder)  # as if both had looked at the same moment
    gate.unlink()
    assert two.map(run.function, [run.config], progress=False) == [{"first": 0}]
    assert late.wait(60) == 0
    assert (run.folder / "log.txt").read_text().count("== ") == 1


def test_a_launcher_that_cannot_start_is_a_failed_run(tmp_path):
    class Broken(LocalLauncher):
        def start(self, folder):
            raise OSError("no such cluster")

    with pytest.raises(PilabError, match="failed; its log ends with: OSError: no such cluster"):
        Engine(tmp_path / "runs", launcher=Broken()).map("engine_jobs:square", [{"x": 1}], progress=False)


def script(tmp_path: Path, gate: Path, line: str) -> subprocess.Popen:
    """A program of its own that holds an engine."""
    text = f"import time; from pilab.engine import Engine; engine = Engine({str(tmp_path / 'runs')!r})\n{line}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", text.replace("CONFIG", repr({"gate": str(gate)}))]
    return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)


def test_runs_end_with_the_process_that_holds_the_engine(engine, tmp_path, gate):
    with script(tmp_path, gate, "engine.submit('engine_jobs:count', CONFIG); time.sleep(600)") as holder:
        folder = until(lambda: next(iter(engine.root.glob("*/steps")), None)).parent
        process = psutil.Process(json.loads((folder / "status.json").read_text())["pid"])
        holder.kill()
        until(lambda: not process.is_running())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_interrupting_map_cancels_its_runs(engine, tmp_path, gate):
    with script(tmp_path, gate, "engine.map('engine_jobs:count', [CONFIG], progress=False)") as holder:
        folder = until(lambda: next(iter(engine.root.glob("*/steps")), None)).parent
        process = psutil.Process(json.loads((folder / "status.json").read_text())["pid"])
        holder.send_signal(signal.SIGINT)
        assert holder.wait(60) != 0
    assert not process.is_running()
    assert json.loads((folder / "status.json").read_text())["state"] == "cancelled"


def test_the_bar_shows_the_sum_over_runs(engine, tmp_path, capsys):
    engine.map("engine_jobs:count", [{"gate": str(tmp_path / "none"), "seed": seed} for seed in range(3)])
    assert "count: 100%" in (shown := capsys.readouterr().err)
    assert "15/15" in shown


@pytest.fixture
def ray_launcher(monkeypatch):
    ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield lambda tmp_path: RayLauncher(num_cpus=1)
    ray.shutdown()


@pytest.fixture
def submitit_launcher():
    pytest.importorskip("submitit", reason="the extra `submitit` is not installed")
    return lambda tmp_path: SubmititLauncher("local", tmp_path / "jobs", timeout_min=5)


@pytest.mark.parametrize("launcher", ["submitit_launcher", "ray_launcher"])
def test_other_launchers_cancel_and_resume(launcher, tmp_path, monkeypatch, gate, request):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # elsewhere, only what is installed can be imported
    engine = Engine(tmp_path / "runs", launcher=request.getfixturevalue(launcher)(tmp_path))
    run = engine.submit("engine_jobs:count", {"gate": str(gate)})
    until(lambda: steps(run) == "3")
    engine.cancel(run)
    assert engine.status(run) == "cancelled"
    gate.unlink()
    assert engine.map("engine_jobs:count", [run.config], progress=False) == [{"first": 3}]
    assert "engine_jobs:count in process" in (run.folder / "log.txt").read_text()
    with pytest.raises(PilabError, match="failed; its log ends with: ValueError: one is too many"):
        engine.map("engine_jobs:fail", [{"x": 1}], progress=False)
