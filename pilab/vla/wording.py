"""Texts as tensors: what is said, and what is to be said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pilab.vla.tokenizer import Tokenizer


def words(
    tokenizer: Tokenizer, texts: Sequence[str], length: int, before: Sequence[Sequence[str]] | None = None,
    memories: Sequence[str] | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Pieces (B, L) and mask (B, L), as long as the longest of them; raises `PilabError` beyond `length` pieces.

    before: reserved pieces in front of each text. memories: what is remembered beside each.
    """
    ids, mask = tokenizer.batch(list(texts), length, before, memories)
    longest = int(mask.sum(1).max())
    return torch.from_numpy(ids[:, :longest]), torch.from_numpy(mask[:, :longest])


def answers(tokenizer: Tokenizer, texts: Sequence[str], first: str) -> tuple[Tensor, Tensor]:
    """Pieces (B, M) and mask (B, M) of texts between the reserved piece `first` and the end piece."""
    return stacked([between(tokenizer, tokenizer.encode(text), first) for text in texts], tokenizer.pad)


def between(tokenizer: Tokenizer, pieces: Sequence[int], first: str) -> list[int]:
    """Pieces between the reserved piece `first` and the end piece."""
    return [tokenizer.piece(first), *pieces, tokenizer.eos]


def stacked(rows: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Rows of pieces, some of them perhaps empty → pieces (B, M) and mask (B, M), M that of the longest, at least 2."""
    ids = np.full((len(rows), max(2, *map(len, rows))), pad, np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
    mask = np.arange(ids.shape[1]) < np.array([len(row) for row in rows])[:, None]
    return torch.from_numpy(ids), torch.from_numpy(mask)
