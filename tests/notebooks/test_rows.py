"""The rows behind a notebook's results: read back as they were written, and missed or doubted in words."""

from __future__ import annotations

import dataclasses
import gzip

import pytest

from pilab import notebook
from pilab.contracts import PilabError, Row

ROW = Row(
    "episode", "vla", "put", "none", 600_000, "abc", True, {"followed": True, "grasped_any": None}, {"verb": "put"}
)
ROWS = [ROW, dataclasses.replace(ROW, control="swap", instruction="stell das Brötchen auf das Tablett")]
TEXT = "".join(row.to_json() + "\n" for row in ROWS).encode()


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    monkeypatch.setattr(notebook, "ROWS", tmp_path)
    return tmp_path


def test_committed_rows_are_those_that_were_written(shelf):
    (shelf / "07.jsonl.gz").write_bytes(gzip.compress(TEXT))
    assert notebook.committed_rows("07") == ROWS


def test_they_lie_beside_the_other_samples():
    assert notebook.ROWS.parts[-2:] == ("data_samples", "rows") and notebook.ROWS.parent.is_dir()


def test_missing_rows_are_told(shelf):
    with pytest.raises(PilabError, match=r"rows of notebook 07 are missing: .*07\.jsonl\.gz.*pilab evaluate"):
        notebook.committed_rows("07")


def test_plain_files_are_read_too(tmp_path):
    (tmp_path / "rows.jsonl").write_bytes(TEXT)
    assert notebook.read_rows(tmp_path / "rows.jsonl") == ROWS


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl.gz", TEXT),
        ("a.jsonl.gz", gzip.compress(TEXT)[:-20]),
        ("a.jsonl.gz", gzip.compress(TEXT)[:20] + b"\xff" * 20),
        ("a.jsonl.gz", gzip.compress(b"\xff\xfe")),
        ("a.jsonl", gzip.compress(TEXT)),
        ("a.jsonl", TEXT[:-20]),
        ("a.jsonl", b"{}\n"),
    ],
)
def test_damaged_rows_are_told(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(PilabError, match=r"is damaged|not a result row"):
        notebook.read_rows(tmp_path / name)
