"""Rows on disk: read back as they were written, and doubted in words."""

from __future__ import annotations

import dataclasses
import gzip

import pytest

from pilab.contracts import PilabError, Row
from pilab.evaluation.rows import read_rows, write_rows

ROW = Row(
    "episode", "vla", "put", "none", 600_000, "abc", True, {"followed": True, "grasped_any": None}, {"verb": "put"}
)
ROWS = [ROW, dataclasses.replace(ROW, control="swap", instruction="stell das Brötchen auf das Tablett")]
TEXT = "".join(row.to_json() + "\n" for row in ROWS).encode()


@pytest.mark.parametrize("name", ["rows.jsonl", "deep/down/rows.jsonl.gz"])
def test_rows_are_read_as_they_were_written(tmp_path, name):
    path = write_rows(tmp_path / name, ROWS)
    assert read_rows(path) == ROWS
    first = path.read_bytes()
    assert write_rows(path, read_rows(path)).read_bytes() == first
    assert (gzip.decompress(first) if name.endswith("gz") else first) == TEXT


def test_plain_files_are_read_too(tmp_path):
    (tmp_path / "rows.jsonl").write_bytes(TEXT)
    assert read_rows(tmp_path / "rows.jsonl") == ROWS


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
        read_rows(tmp_path / name)
