"""Rows on disk: one JSON object a line, in a .jsonl or a .jsonl.gz."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from pathlib import Path

from pilab.contracts import PilabError, Row


def write_rows(path: str | Path, rows: Iterable[Row]) -> Path:
    """Equal rows make equal bytes. Folders are made where there are none."""
    path, data = Path(path), "".join(row.to_json() + "\n" for row in rows).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def read_rows(path: str | Path) -> list[Row]:
    """What `write_rows` or `pilab evaluate --rows` wrote. Raises `PilabError` for anything else."""
    data = Path(path).read_bytes()
    try:
        text = (gzip.decompress(data) if Path(path).suffix == ".gz" else data).decode()
    except (EOFError, ValueError, zlib.error, gzip.BadGzipFile) as error:
        raise PilabError(f"{path} is damaged: {error}; write it again with `pilab evaluate --rows`") from error
    return [Row.from_json(line) for line in text.splitlines()]
