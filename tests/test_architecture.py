"""The house stands: imports go towards the ground, and nothing in it runs text or unpickles bytes."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "pilab").rglob("*.py"))
BANNED = {"lightning", "pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}


def imported(tree: ast.AST) -> set[str]:
    """The top-level packages that a file imports, wherever in the file."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


def executed(tree: ast.AST) -> set[str]:
    """Calls of the built-in eval, exec and compile (a method such as model.eval is something else)."""
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {call.id for call in calls if isinstance(call, ast.Name)} & {"eval", "exec", "compile"}


def test_imports_go_towards_the_ground():
    # In a process of its own: it switches the loggers of others off.
    lint = "import sys; from importlinter import cli; sys.exit(cli.lint_imports(config_filename=sys.argv[1], no_cache=True))"
    told = subprocess.run(
        [sys.executable, "-c", lint, str(ROOT / "pyproject.toml")], capture_output=True, text=True, check=False, cwd=ROOT
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    assert "1 kept, 0 broken" in told.stdout


def test_contracts_need_numpy_and_nothing_else():
    tree = ast.parse((ROOT / "pilab" / "contracts.py").read_text(encoding="utf-8"))
    assert imported(tree) <= {"numpy"} | set(sys.stdlib_module_names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_banned(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not imported(tree) & BANNED
    assert not executed(tree)


def test_the_ban_sees_what_it_bans():
    tree = ast.parse(
        "def f():\n    from pickle import loads\n    eval('1')\n    model.eval()\n    import lightning.pytorch"
    )
    assert imported(tree) == {"pickle", "lightning"}
    assert executed(tree) == {"eval"}
