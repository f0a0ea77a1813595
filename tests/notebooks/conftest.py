"""The notebooks of this checkout, and kernels that find the pilab under test."""

from __future__ import annotations

from pathlib import Path

import pytest

import pilab

BOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "book" in metafunc.fixturenames:
        metafunc.parametrize("book", BOOKS, ids=lambda path: path.stem)


@pytest.fixture
def kernel_finds_pilab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(pilab.__file__).parents[1]))
