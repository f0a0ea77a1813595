"""What is taught to be thought before acting.

Design choices
--------------
* **Chains are for what the words leave open.** "put the apple in the bowl" needs none; "tidy up" does: what is seen, what
  kind of thing it is, where that kind goes, therefore the subtask (`data.web.chains`). Who is asked for one all the same is
  taught to say none: else it says where apples belong, and forgets what it was told.
* **Edited thoughts** make a chain more than a rehearsal: one hop is another's, and only what follows from it is learnt. Who
  never saw an edit reads the picture again for the place, and a person's correction is ignored.
* **Dropped thoughts** are the subtask at once, so that one model can be asked for either (chain-of-thought dropout, after
  ECoT-Lite, arXiv:2505.08243).
* **Memory** is taught by thoughts alone (rows `coached`), which read what the thought before wanted to be remembered: what acts
  on the instruction would have no memory to read.
* **Filler** is the control: about as many words before the subtask, the same ones each time, which say nothing.
* **Where to look**, as two points or as a trace from one to the other, stands behind the words or for them: what is meant may
  be easier to point at than to name (MolmoAct, arXiv:2508.07917).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pilab.contracts import PilabError
from pilab.data.web.chains import HOPS, chain_of, edit
from pilab.data.web.lore import Entity, Lore, preposition
from pilab.data.web.text import meant
from pilab.vla.grounding import ROLES
from pilab.vla.thoughts import TRACE, write
from pilab.vla.tokenizer import Tokenizer

EDITS = (0.2, 0.4, 0.4)  # shares of noun, kind and home: a noun is obeyed by itself, the others have to be practised
FILLER = "well let me think about this for a moment before i say what comes next and what has to be done about it here"


@dataclass(frozen=True)
class Thinking:
    """How a recipe has its model think."""

    chain: bool = False  # hops first, where the words leave something open
    points: bool = False  # where to look, behind the subtask …
    trace: bool = False  # … or the way from one to the other
    words: bool = True  # False: no subtask in words; without points and a trace that is no thought at all
    memory: bool = False  # what was done, in words, for the next thought
    dropped: float = 0.0  # share of chains that are left out
    edited: float = 0.0  # share of chains with another's hop in them
    filler: bool = False  # the control

    def __post_init__(self) -> None:
        for name in ("dropped", "edited"):
            if not 0 <= getattr(self, name) <= 1:
                raise PilabError(f"{name} is {getattr(self, name)}; expected a share, 0 … 1")
        if self.points and self.trace:
            raise PilabError("points and a trace; a trace begins and ends at the points, so choose one")
        if self.chain and not self.words:
            raise PilabError("a chain without words; a chain ends in a subtask, so leave words=True")
        if (self.dropped or self.edited or self.filler) and not self.chain:
            raise PilabError("dropped, edited and filler are about chains; set chain=True")

    @property
    def silent(self) -> bool:
        """Nothing is thought: it acts on the instruction."""
        return not (self.words or self.points or self.trace)


AT_ONCE = Thinking()  # the subtask and nothing else


@dataclass(frozen=True)
class Said:
    """A thought to be taught."""

    subtask: str
    chain: tuple[str, ...] = ()
    given: int = 0  # sentences of the chain that are put into its mouth
    asked: bool = False  # for a chain, even where there is none to say


def think(
    thinking: Thinking, subtask: str, about: Entity | None, lore: Lore, handled: Sequence[str], rng: np.random.Generator,
    sign: str = "",
) -> Said:  # fmt: skip
    """The thought before a subtask. about: what it is about, where the words did not say; None where they did. handled: looks
    whose nouns an edit may bring in. sign: what is written on one in view; a chain begins with it and with what it means.
    """
    if not thinking.chain or rng.random() < thinking.dropped:
        return Said(subtask)
    if about is None:
        return Said(subtask, asked=True)
    edits = rng.random() < thinking.edited
    said = edited(subtask, about, lore, handled, rng) if edits else Said(subtask, chain_of(about))
    if sign:
        said = replace(said, chain=(meant(sign), *said.chain), given=said.given + 1 if edits else 0)
    return said


def edited(subtask: str, about: Entity, lore: Lore, handled: Sequence[str], rng: np.random.Generator) -> Said:
    """The same with one hop changed, and with what follows from that."""
    found = edit(about, HOPS[rng.choice(len(HOPS), p=EDITS)], lore, [lore.shown[look] for look in handled], rng)
    return Said(resaid(subtask, about, found.noun, found.home), found.chain, found.given)


def resaid(subtask: str, about: Entity, noun: str, home: str) -> str:
    """A subtask about another thing, or another place."""
    subtask = re.sub(rf"\bthe {about.noun}\b", f"the {noun}", subtask)
    return re.sub(rf"\b(in|on) the {about.home}\b", f"{preposition(home)} the {home}", subtask)


def pieces(
    tokenizer: Tokenizer, thinking: Thinking, said: Said, length: int,
    points: Mapping[str, Sequence[float]] | None = None, memory: str | None = None,
) -> tuple[list[int], int]:  # fmt: skip
    """What the trunk writes, from the first to the end piece, and at which piece learning begins.

    points: where things are to be seen, for who thinks of that. Raises `PilabError` for more than `length` pieces behind the
    first.
    """
    subtask = said.subtask if thinking.words else ""
    trace = way(points) if thinking.trace and points is not None else ()
    whole = write(tokenizer, subtask, said.chain, points if thinking.points else None, memory, trace, said.asked)
    if len(whole) - 1 > length:
        raise PilabError(
            f"the thought {' '.join((*said.chain, said.subtask))!r} is {len(whole) - 1} pieces long, and answer_length is "
            f"{length}: allow the model longer answers"
        )
    given = len(tokenizer.encode(" ".join(said.chain[: said.given])))
    if thinking.filler and said.chain:  # always the same: even how long a chain is says something of what it is about
        whole[1 : 1 + len(tokenizer.encode(" ".join(said.chain)))] = tokenizer.encode(FILLER)
    return whole, 1 + given


def way(points: Mapping[str, Sequence[float]]) -> tuple[tuple[float, float], ...]:
    """The trace of what is to move, in the picture: straight from where it lies to where it goes. () where either is hidden."""
    if not all(role in points for role in ROLES):
        return ()
    start, end = (np.asarray(points[role]) for role in ROLES)
    return tuple((float(u), float(v)) for u, v in start + np.linspace(0, 1, TRACE)[:, None] * (end - start))
