"""Compact letter displays: which of many arms can be told apart, in a letter or two behind each.

Two arms share a letter exactly if no difference between them was found. Who reads "a, ab, b" sees that the first and the last
differ and that the middle one may be either.

Source: H.-P. Piepho, "An algorithm for a letter-based representation of all-pairwise comparisons", Journal of Computational and
Graphical Statistics 13 (2004) 456–466 (insert and absorb).
"""

from __future__ import annotations

import string
from collections.abc import Collection, Sequence

from pilab.contracts import PilabError


def letters(names: Sequence[str], different: Collection[tuple[str, str]]) -> dict[str, str]:
    """Letters of each name, in the order given; the first one has an `a`.

    different: pairs between which a difference was found, in either order. Raises `PilabError` for names given twice, pairs of
    others, and more than 26 letters.
    """
    if len(set(names)) != len(names):
        raise PilabError(f"names {list(names)}; expected each of them once")
    columns = [frozenset(names)] if names else []
    for a, b in different:
        if a == b or {a, b} - set(names):
            raise PilabError(f"a difference between {a!r} and {b!r}; expected two of {', '.join(names)}")
        inserted = [part for c in columns for part in ((c - {a}, c - {b}) if {a, b} <= c else (c,))]
        kept: list[frozenset[str]] = []
        for column in sorted(set(inserted), key=len, reverse=True):  # absorb what is part of another
            if not any(column <= other for other in kept):
                kept.append(column)
        columns = kept
    # Letters go from the first name down.
    ordered = sorted(columns, key=lambda column: [name not in column for name in names])
    if len(ordered) > len(string.ascii_lowercase):
        raise PilabError(f"{len(ordered)} letters; there are {len(string.ascii_lowercase)}. Compare fewer arms")
    signs = dict(zip(ordered, string.ascii_lowercase, strict=False))
    return {name: "".join(signs[column] for column in ordered if name in column) for name in names}
