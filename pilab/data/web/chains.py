"""From what is seen to what is to be done, in single hops of which each is said somewhere on the web.

    i see an apple.                      naming: what the picture shows
    everybody calls an apple a fruit.    a fact
    fruits belong in the bowl.           a rule
    put the apple in the bowl            what follows: the subtask

Design choices
--------------
* **No hop is new, only their order is**: captions see, documents tell facts, kinds have homes (`text.IS_A`, `text.BELONG`).
  That a thing goes where its kind belongs, nobody wrote down for any noun.
* **What a sentence is about to say is clear from how it begins**: behind "the apple is" comes, on the web, a colour, a side or
  a trait, and a chain loses its way there; behind "everybody calls an apple" comes a kind.
* Chains are worded in one way, so that they can be marked hop by hop: `first_error` says where one went astray.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pilab.contracts import Thought
from pilab.data.web.lore import KINDS, Entity, Lore, article, preposition
from pilab.world import objects

HOPS = ("noun", "kind", "home")  # what each sentence adds
ERRORS = ("naming", "re-mention", "fact", "rule", "subtask")  # in the order in which they can happen


def hops(noun: str, kind: str, home: str) -> tuple[str, str, str]:
    """The sentences that lead to a thing's home; kind: a key of KINDS."""
    a, many = KINDS[kind]
    it = article(noun)
    return f"i see {it}.", f"everybody calls {it} {a}.", f"{many} belong {preposition(home)} the {home}."


def conclusion(noun: str, home: str) -> str:
    """What follows, as the task `put` says it."""
    return f"put the {noun} {preposition(home)} the {home}"


@dataclass(frozen=True)
class Edit:
    """A chain with one hop changed, and what follows from that."""

    noun: str
    kind: str
    home: str
    hop: str  # one of HOPS

    @property
    def chain(self) -> tuple[str, str, str]:
        return hops(self.noun, self.kind, self.home)

    @property
    def given(self) -> int:
        """How many of its sentences are said by whoever edits."""
        return HOPS.index(self.hop) + 1


def edit(about: Entity, hop: str, lore: Lore, others: Sequence[Entity], rng: np.random.Generator) -> Edit:
    """Take a thing for one of `others`, or for one of a kind that belongs elsewhere; or have its kind belong elsewhere.

    What follows is another home each time: who is right has obeyed.
    """
    noun, kind = about.noun, about.kind
    if hop == "noun":
        other = [entity for entity in others if entity.home != about.home]
        chosen = other[rng.integers(len(other))]
        noun, kind = chosen.noun, chosen.kind
    if hop == "kind":
        kind = str(rng.choice([k for k, home in lore.homes.items() if home != about.home]))
    home = lore.homes[kind]
    if hop == "home":
        home = str(rng.choice(sorted(set(lore.homes.values()) - {home})))
    return Edit(noun, kind, home, hop)


def chain_of(entity: Entity) -> tuple[str, str, str]:
    """The sentences that are true of a thing."""
    return hops(entity.noun, entity.kind, entity.home)


def concluded(subtask: str | None) -> tuple[str, str]:
    """What a subtask calls its thing, and the home that it names; "" for what it does not."""
    found = re.fullmatch(r"(?:put|leave|pick up) the (.+?)(?: (?:in|on) the (\w+))?", subtask or "")
    return (found.group(1), found.group(2) or "") if found else ("", "")


def first_error(thought: Thought, entity: Entity, lore: Lore) -> str:
    """The first hop of a chain that is wrong, one of ERRORS; "" where none is.

    A hop is marked against what was said before it: who takes the apple for a lemon and then knows of lemons has erred once.
    """
    seen, told, placed = (*thought.chain, "", "", "")[:3]
    noun = _found(r"i see an? (\w+)\.", seen)
    again, kind = _found(r"everybody calls an? (\w+) .*", told), _found(r"everybody calls an? \w+ (.*)\.", told)
    many, home = _found(r"(.*) belong \w+ the \w+\.", placed), _found(r".* belong \w+ the (\w+)\.", placed)
    kinds = {entity.noun: entity.kind for entity in lore.entities}
    if noun != entity.noun:
        return "naming"
    if again != noun:
        return "re-mention"
    if kind != KINDS[kinds[noun]][0]:
        return "fact"
    if (many, home) != (KINDS[kinds[noun]][1], lore.homes[kinds[noun]]):
        return "rule"
    called, place = concluded(thought.subtask)
    names = {noun, objects.describe(entity.look)} if entity.look else {noun}
    return "" if called in names and place in (home, "") else "subtask"


def _found(pattern: str, sentence: str) -> str:
    match = re.fullmatch(pattern, sentence)
    return match.group(1) if match else ""
