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
