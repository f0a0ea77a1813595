"""FAST: there and back within the bound of rounding, pairs as by hand, and what is no chunk is said to be none."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilab.contracts import PolicyError
from pilab.vla import fast
from pilab.vla.fast import GAP, FastTokenizer, join, learn_pairs, merge, split


def smooth(count: int, horizon: int = 16, size: int = 7, seed: int = 0) -> np.ndarray:
    """Chunks as arms move: slow waves of different sizes, a gripper that switches."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, 1, horizon)[None, :, None]
    chunks = rng.normal(0, 0.1, (count, 1, size)) * np.sin(np.pi * time * rng.uniform(0.2, 1, (count, 1, size)))
    chunks[..., -1] = rng.random((count, 1)) > 0.5
    return chunks


@pytest.fixture(scope="module")
def tokenizer() -> FastTokenizer:
    return FastTokenizer.fit(smooth(1500))


def test_a_chunk_comes_back_within_the_bound(tokenizer):
    chunks = smooth(200, seed=1)
    for chunk, tokens in zip(chunks, tokenizer.encode(chunks), strict=True):
        back, whole = tokenizer.decode(tokens)
        assert whole and back.shape == chunk.shape
        assert (np.abs(back - chunk) <= tokenizer.bound + 1e-9).all()
    # The bound says something: it is a small part of the range.
    assert (tokenizer.bound < 0.11 * (tokenizer.high - tokenizer.low)).all()


def test_no_chunks_are_no_tokens(tokenizer):
    assert tokenizer.encode(np.zeros((0, 16, 7))) == []


def test_a_finer_scale_comes_back_closer():
    chunks = smooth(300)
    miss = []
    for scale in (5.0, 20.0, 80.0):
        made = FastTokenizer.fit(chunks, vocabulary=4096, scale=scale)
        back = np.array([made.decode(tokens)[0] for tokens in made.encode(chunks[:50])])
        miss.append(np.abs(back - chunks[:50]).mean())
    assert miss[0] > 3 * miss[1] > 9 * miss[2]


def test_smooth_chunks_are_few_tokens(tokenizer):
    lengths = [len(tokens) for tokens in tokenizer.encode(smooth(200, seed=2))]
    assert np.mean(lengths) < 16 * 7 / 3
    assert tokenizer.vocabulary <= fast.VOCABULARY and len(tokenizer.pairs) > 100
    rough = np.random.default_rng(3).normal(0, 0.1, (50, 16, 7))
    assert np.mean([len(tokens) for tokens in tokenizer.encode(rough)]) > 2 * np.mean(
        lengths
    )  # noise does not compress


def test_low_frequencies_come_first(tokenizer):
    """A constant chunk has nothing but zeros behind the first D coefficients."""
    constant = np.full((1, 16, 7), 0.05)
    coefficients = tokenizer._coefficients(constant)[0]
    assert coefficients[:7].any() and not coefficients[7:].any()


# ---------------------------------------------------------------------------------------------------------------- pairs
def test_pairs_by_hand():
    """`ab ab ab c`: first ab, of which two then stand together."""
    pairs = learn_pairs(np.array([[0, 1, 0, 1, 0, 1, 2]]), 3, 6)
    assert pairs == [(0, 1), (3, 3)]
    made = FastTokenizer(np.zeros(1), np.ones(1), 7, 0, 3, tuple(pairs))
    assert split(made._merged(np.array([[0, 1, 0, 1, 0, 1, 2], [2, 0, 0, 1, 2, 2, 2]]))) == [
        [4, 3, 2],
        [2, 0, 3, 2, 2, 2],
    ]


@pytest.mark.parametrize(
    ("row", "merged"),
    [([5, 5], [9]), ([5, 5, 5], [9, 5]), ([5, 5, 5, 5], [9, 9]), ([5, 1, 5, 5, 5], [5, 1, 9, 5]), ([1, 5], [1, 5])],
)
def test_of_equal_neighbours_the_first_two(row, merged):
    assert merge(np.array(row), (5, 5), 9).tolist() == merged


def test_nothing_is_merged_across_two_chunks():
    tokens = join(np.array([[1, 2], [1, 2]]))
    assert tokens.tolist() == [1, 2, GAP, 1, 2, GAP]
    assert split(merge(tokens, (2, 1), 7)) == [[1, 2], [1, 2]]
    assert learn_pairs(np.array([[1], [2], [1], [2]]), 3, 9) == []


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.integers(0, 4), min_size=6, max_size=6), min_size=1, max_size=8), st.integers(5, 30))
def test_whatever_is_merged_can_be_written_out(rows, vocabulary):
    rows = np.array(rows)
    made = FastTokenizer(np.zeros(2), np.ones(2), 3, 0, 5, tuple(learn_pairs(rows, 5, vocabulary)))
    for row, tokens in zip(rows, split(made._merged(rows)), strict=True):
        assert [s for token in tokens for s in made._written_out[token]] == row.tolist()
        assert len(tokens) <= len(row)
    assert made.vocabulary <= max(vocabulary, 5)


# ------------------------------------------------------------------------------------------------------------ bad input
def test_what_is_no_chunk_is_said(tokenizer):
    (tokens,) = tokenizer.encode(smooth(1, seed=4))
    for wrong in (tokens[:-1], [*tokens, 0], [], [*tokens[:-1], tokenizer.vocabulary], [-1, *tokens[1:]]):
        chunk, whole = tokenizer.decode(wrong)
        assert not whole and not chunk.any() and chunk.shape == (16, 7)


def test_a_coefficient_never_seen_becomes_the_nearest(tokenizer):
    wild = smooth(1, seed=5) * 50
    back, whole = tokenizer.decode(tokenizer.encode(wild)[0])
    assert whole and np.isfinite(back).all()


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(PolicyError, match="scale below"):
        FastTokenizer.fit(smooth(100), vocabulary=8)
    with pytest.raises(PolicyError, match="N, H, D"):
        FastTokenizer.fit(np.zeros((0, 4, 2)))
    with pytest.raises(PolicyError, match="finite"):
        FastTokenizer.fit(np.full((3, 4, 2), np.nan))


def test_a_dimension_that_never_moves_is_no_trouble():
    chunks = smooth(50)
    chunks[..., 2] = 0.25
    made = FastTokenizer.fit(chunks)
    back, whole = made.decode(made.encode(chunks[:1])[0])
    assert whole and back[:, 2] == pytest.approx(0.25, abs=1e-5)


def test_it_survives_the_disk(tokenizer):
    again = FastTokenizer.from_json(tokenizer.to_json())
    chunks = smooth(20, seed=6)
    assert again.encode(chunks) == tokenizer.encode(chunks)
    np.testing.assert_array_equal(again.bound, tokenizer.bound)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"pairs": [[0, 99999]]}, "made before"),
        ({"high": [0.0] * 7, "low": [1.0] * 7}, "below"),
        ({"horizon": 0}, "above 0"),
        ({"scale": float("inf")}, "above 0"),
        ({"pairs": [[0, 0], [-1, 0]]}, "made before"),
        ({"pairs": "many"}, "not a FAST"),
        ({"low": None}, "not a FAST|quantiles"),
    ],
)
def test_a_damaged_file_is_refused(tokenizer, change, told):
    with pytest.raises(PolicyError, match=told):
        FastTokenizer.from_json(json.dumps(json.loads(tokenizer.to_json()) | change))


def test_a_file_that_would_grow_without_end_is_refused(tokenizer):
    """Sixty doublings are few bytes on disk and more coefficients than fit into any memory."""
    values, first = json.loads(tokenizer.to_json()), tokenizer.symbols
    values["pairs"] = [[0, 0], *([first + i, first + i] for i in range(60))]
    with pytest.raises(PolicyError, match="stands for"):
        FastTokenizer.from_json(json.dumps(values))


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=60) | st.recursive(st.none() | st.integers() | st.floats(), st.lists).map(json.dumps))
def test_nonsense_is_refused(text):
    with pytest.raises(PolicyError):
        FastTokenizer.from_json(text)
