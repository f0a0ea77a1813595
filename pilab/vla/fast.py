"""FAST: chunks of actions as few tokens, so that a language model can write them (Pertsch et al. 2025, arXiv:2501.09747).

    chunk (H, D) ─► quantiles to −1 … 1 ─► cosine transform along time ─► × scale, round ─► low frequencies first ─► pairs

Design choices
--------------
* Neighbouring actions resemble each other, so one token a number teaches a model little. In the cosine transform a smooth
  chunk is a few coefficients and many zeros; byte-pair encoding writes what often stands together as one token.
* **Everything but the rounding can be undone**: an action comes back within `bound`, whatever was said.
* A model may write what is no chunk: too few or too many coefficients. `decode` then gives zeros and **says so**; who
  evaluates counts it.
* What was fitted is a few numbers and a list of pairs, kept as JSON: parsed and checked, never executed.
* Byte-pair encoding is written out here (Gage 1994, "A new algorithm for data compression"), over numbers instead of
  characters: the pair that occurs most often becomes a new token, again and again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from scipy.fft import dct, idct

from pilab.contracts import PolicyError

BEGIN, TOKENS = "<spare00>", "<act0000>"  # pieces of the words' tokenizer: a chunk begins; token 0, the others follow
VOCABULARY = 1024  # tokens in all, as published
SCALE = 10.0  # steps of a coefficient per half range of its dimension, as published
ENOUGH = 2_000  # chunks to learn the pairs from: more change nothing but the time it takes
GAP = -1  # between two chunks in one array: nothing is merged across it


@dataclass(frozen=True)
class FastTokenizer:
    """Chunks of H steps and D numbers ↔ tokens 0 … `vocabulary` − 1. `fit` makes one."""

    low: np.ndarray  # (D,) 1 % and
    high: np.ndarray  # (D,) 99 % quantiles of the actions
    horizon: int  # H
    first: int  # the coefficient that token 0 stands for; the others follow
    symbols: int  # tokens that stand for one coefficient
    pairs: tuple[tuple[int, int], ...]  # token `symbols` + i stands for pair i
    scale: float = SCALE

    @classmethod
    def fit(cls, chunks: np.ndarray, vocabulary: int = VOCABULARY, scale: float = SCALE) -> Self:
        """Learn from chunks (N, H, D) in the action space, the first `ENOUGH` of them for the pairs.

        Raises `PolicyError` where the coefficients alone need more tokens than there are.
        """
        chunks = np.asarray(chunks, float)
        if chunks.ndim != 3 or not len(chunks) or not np.isfinite(chunks).all():
            raise PolicyError(f"chunks of shape {chunks.shape}; expected finite numbers (N, H, D), N at least 1")
        low, high = np.quantile(chunks, (0.01, 0.99), axis=(0, 1))
        # A dimension that hardly moves would be divided by nothing.
        high = np.maximum(high, low + 1e-6)
        plain = cls(low, high, chunks.shape[1], 0, 1, (), scale)
        coefficients = plain._coefficients(chunks)
        first, symbols = int(coefficients.min()), int(np.ptp(coefficients)) + 1
        if symbols > vocabulary:
            raise PolicyError(
                f"coefficients from {first} to {first + symbols - 1} need {symbols} tokens; there are {vocabulary}. "
                f"Use a scale below {scale}, or clip the actions"
            )
        pairs = learn_pairs(coefficients[:ENOUGH] - first, symbols, vocabulary)
        return cls(low, high, chunks.shape[1], first, symbols, tuple(pairs), scale)

    @property
    def vocabulary(self) -> int:
        """Tokens there are."""
        return self.symbols + len(self.pairs)

    @property
    def bound(self) -> np.ndarray:
        """(D,) how far an action may come back from where it was: each of H orthonormal coefficients is off by half a step."""
        return 0.5 / self.scale * np.sqrt(self.horizon) * (self.high - self.low) / 2

    # ------------------------------------------------------------------------------------------------------ there and back
    def encode(self, chunks: np.ndarray) -> list[list[int]]:
        """(B, H, D) → tokens of each. A coefficient beyond those that were fitted becomes the nearest of them."""
        return split(self._merged(self._coefficients(np.asarray(chunks, float)) - self.first))

    def decode(self, tokens: Sequence[int]) -> tuple[np.ndarray, bool]:
        """Tokens → chunk (H, D), and whether they were one; zeros where they were not."""
        size = self.horizon * len(self.low)
        known = all(0 <= token < self.vocabulary for token in tokens)
        symbols = [symbol for token in tokens for symbol in self._written_out[token]] if known else []
        if len(symbols) != size:
            return np.zeros((self.horizon, len(self.low))), False
        coefficients = (np.array(symbols, float) + self.first).reshape(self.horizon, -1) / self.scale
        inside = idct(coefficients, axis=0, norm="ortho")
        return self.low + (inside + 1) / 2 * (self.high - self.low), True

    def _coefficients(self, chunks: np.ndarray) -> np.ndarray:
        """(B, H, D) → whole numbers (B, H·D), low frequencies first, all dimensions of each."""
        inside = 2 * (chunks - self.low) / (self.high - self.low) - 1
        whole = np.rint(dct(inside, axis=1, norm="ortho") * self.scale).astype(np.int64)
        return whole.reshape(len(chunks), self.horizon * len(self.low))

    def _merged(self, symbols: np.ndarray) -> np.ndarray:
        """(B, n) → one array of tokens, chunks apart by gaps. A pair's tokens were made by earlier pairs: one pass in order."""
        tokens = join(np.clip(symbols, 0, self.symbols - 1))
        for i, pair in enumerate(self.pairs):
            tokens = merge(tokens, pair, self.symbols + i)
        return tokens

    @cached_property
    def _written_out(self) -> list[tuple[int, ...]]:
        """Of each token the coefficients, counted from `first`."""
        out = [(symbol,) for symbol in range(self.symbols)]
        for left, right in self.pairs:
            out.append(out[left] + out[right])
        return out

    # ---------------------------------------------------------------------------------------------------------------- disk
    def to_json(self) -> str:
        values = {"low": self.low.tolist(), "high": self.high.tolist(), "horizon": self.horizon, "first": self.first}
        return json.dumps(values | {"symbols": self.symbols, "pairs": self.pairs, "scale": self.scale})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises `PolicyError` with the reason where the text is not what `to_json` wrote."""
        try:
            d: dict[str, Any] = json.loads(text)
            low, high = np.array(d["low"], float), np.array(d["high"], float)
            pairs = tuple((int(a), int(b)) for a, b in d["pairs"])
            made = cls(low, high, int(d["horizon"]), int(d["first"]), int(d["symbols"]), pairs, float(d["scale"]))
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise PolicyError(f"not a FAST tokenizer: {error!r}; expected what FastTokenizer.to_json writes") from error
        made._check()
        return made

    def _check(self) -> None:
        if self.low.shape != self.high.shape or self.low.ndim != 1 or not (self.high > self.low).all():
            raise PolicyError(f"quantiles {self.low} and {self.high}; expected D low ones below D high ones")
        if min(self.horizon, self.symbols) < 1 or not 0 < self.scale < np.inf:
            raise PolicyError(f"horizon {self.horizon}, symbols {self.symbols}, scale {self.scale}; expected above 0")
        for i, pair in enumerate(self.pairs):
            if not all(0 <= token < self.symbols + i for token in pair):
                raise PolicyError(
                    f"pair {i} is {pair}; expected tokens from 0 to {self.symbols + i - 1}, made before it"
                )
        size, most = [1] * self.symbols, self.horizon * len(self.low)
        for left, right in self.pairs:
            size.append(size[left] + size[right])
            if size[-1] > most:
                raise PolicyError(f"a token stands for {size[-1]} coefficients; a chunk has {most}")


# --------------------------------------------------------------------------------------------------------- pairs of tokens
def learn_pairs(symbols: np.ndarray, first: int, vocabulary: int) -> list[tuple[int, int]]:
    """The pairs that become tokens `first`, `first` + 1, …: always the one that occurs most often in symbols (N, n).

    As long as there is room in the vocabulary and a pair that occurs twice; of equals the smallest.
    """
    tokens, pairs = join(symbols), []
    for new in range(first, vocabulary):
        left, right = tokens[:-1], tokens[1:]
        inside = (left != GAP) & (right != GAP)
        counts = np.bincount(left[inside] * vocabulary + right[inside])
        if not len(counts) or counts.max() < 2:
            break
        pair = divmod(int(counts.argmax()), vocabulary)
        tokens = merge(tokens, pair, new)
        pairs.append(pair)
    return pairs


def merge(tokens: np.ndarray, pair: tuple[int, int], new: int) -> np.ndarray:
    """Replace every occurrence of a pair, from the left: of `a a a` the first two."""
    at = np.flatnonzero((tokens[:-1] == pair[0]) & (tokens[1:] == pair[1]))
    if pair[0] == pair[1] and len(at):
        run = np.flatnonzero(np.diff(at, prepend=-2) != 1)  # where runs of neighbouring occurrences begin
        place = np.arange(len(at)) - np.repeat(run, np.diff(run, append=len(at)))
        at = at[place % 2 == 0]
    tokens = tokens.copy()
    tokens[at] = new
    return np.delete(tokens, at + 1)


def join(rows: np.ndarray) -> np.ndarray:
    """(N, n) → one array with a gap behind each row."""
    return np.concatenate([rows, np.full((len(rows), 1), GAP)], 1).reshape(-1)


def split(tokens: np.ndarray) -> list[list[int]]:
    """What `join` joined, as lists."""
    ends = np.flatnonzero(tokens == GAP)
    return [part[part != GAP].tolist() for part in np.split(tokens, ends[:-1] + 1)] if len(ends) else []
