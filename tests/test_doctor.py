"""The doctor reports on a healthy place, and survives every kind of missing part."""

import builtins
import json
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from pilab import doctor
from pilab.doctor import Finding, examine, report, to_json

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def without(monkeypatch):
    """Take packages away from this Python."""

    def take(*names: str):
        def blocked(name, *args, **kwargs):
            if name.split(".")[0] in names:
                raise ImportError(f"No module named {name!r}")
            return real(name, *args, **kwargs)

        def version(name):
            if name in names:
                raise metadata.PackageNotFoundError(name)
            return known(name)

        real, known = builtins.__import__, metadata.version
        monkeypatch.setattr(builtins, "__import__", blocked)
        monkeypatch.setattr(doctor.metadata, "version", version)

    return take


def found(check) -> Finding:
    return doctor._safely(check)


def test_examines_everything_and_writes_it_down():
    findings = examine()
    names = [finding.name for finding in findings]
    assert len(names) == len(set(names))
    assert {"python", "torch", "gpu", "world", "video", "browser", "kernel", "disk", "git", "extra test"} <= set(names)
    assert {finding.state for finding in findings} <= {"ok", "limited", "missing"}
    assert all(finding.cost and finding.fix for finding in findings if finding.state != "ok")
    assert [Finding(**finding) for finding in json.loads(to_json(findings))] == findings
    assert all(name in report(findings) for name in names)
    assert {f.name: f.state for f in findings}["world"] == "ok"
    assert {f.name: f.state for f in findings}["video"] == "ok"


def test_the_list_of_packages_is_that_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert list(doctor.CORE) == [line.split(">")[0] for line in project["dependencies"]]
    assert list(doctor.EXTRAS) == list(project["optional-dependencies"])


def test_a_missing_package_is_a_line_with_a_fix(without):
    without("timm", "mujoco", "av", "torch", "jupyter_client", "psutil", "plotly", "submitit")
    timm = found(doctor._package("timm"))
    assert (timm.state, timm.fix) == ("missing", "pip install timm")
    for check in (doctor.world, doctor.video, doctor.gpu, doctor.kernel, doctor.memory):
        assert found(check).state == "missing"
        assert "No module named" in found(check).found
    assert found(doctor._extra("submitit")) == Finding(
        "extra submitit",
        "limited",
        "not installed",
        "not available: experiments on a SLURM cluster",
        'pip install "pilab[submitit]"',
    )
    assert "missing" in report(examine())


def test_imports_nothing_but_the_standard_library():
    code = "import sys, pilab.doctor; print(*{name.split('.')[0] for name in sys.modules})"
    command = [sys.executable, "-S", "-c", code]  # -S: this Python, without any installed package
    loaded = set(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split())
    assert loaded - {"pilab", "__main__"} <= set(sys.stdlib_module_names) | {"__mp_main__"}


def test_no_git_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert doctor.git().state == "limited"
    assert "install git" in report([doctor.git()])


def test_little_room_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PILAB_HOME", str(tmp_path / "not" / "yet"))
    assert str(tmp_path) in doctor.disk().found
    monkeypatch.setattr(doctor, "DISK", 1e9)
    assert doctor.disk().state == "limited"
    assert "PILAB_HOME" in doctor.disk().fix


def test_all_is_well():
    assert report([Finding("python", "ok", "3.11")]) == "ok      python  3.11\n\nall is well"
