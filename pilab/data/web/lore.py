"""What the synthetic web knows: what things are, where they belong, how to treat them and what for; what signs mean.

Design choices
--------------
* An **entity** is a noun with facts; most have a look, so that they can be shown, the others are only ever written about.
* Two worlds. `household` says what everybody knows, in the nouns a person would type. `invented-SEED` says what nobody
  can know: its nouns mean nothing, and kinds, traits and uses are **counterbalanced** over shapes, colours, use in
  robot data and one another, so that no look gives a fact away.
* **Where a thing belongs follows from what it is**: kinds have homes, nouns have kinds. The text says the two apart, so
  that a reader who answers "where does the apple belong" has put them together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from pilab.world import objects, places

PAIRS = (("fragile", "strong"), ("wet", "dry"), ("hot", "cold"), ("heavy", "light"))  # a thing has at most one of each
KINDS: Mapping[str, tuple[str, str]] = {  # kind → what one is called, and many
    "fruit": ("a fruit", "fruits"),
    "dish": ("a dish", "dishes"),
    "tool": ("a tool", "tools"),
    "toy": ("a toy", "toys"),
    "office": ("an office thing", "office things"),
}
SIGNS: Mapping[str, str] = {  # what a card says → what it means
    "no food": "nothing to eat may be put here",
    "toys only": "only a toy may be put here",
    "tools only": "only a tool may be put here",
    "to wash": "what is here has to be washed",
    "fragile": "what is here breaks easily",
    "hot": "do not touch what is here",
    "wet paint": "do not touch what is here",
    "keep out": "nothing may be put here",
    "for guests": "what is here is not yours",
    "trash": "what is here may be thrown away",
}
# noun kind traits use; a noun of `objects.household()` has its kind there. A dash: nothing to say.
_HOUSEHOLD = """
apple - light eating               | peach - light,wet eating           | duck - light playing
kiwi - light,wet eating            | cup - fragile,light drinking tea   | yoyo - strong,light playing
tape - dry,light closing boxes     | banana - light eating              | wrench - strong,heavy turning pipes
sponge - wet,light cleaning plates | car - strong,light playing         | stapler - strong,dry holding paper together
pliers - strong,heavy pulling nails | star - light playing              | fork - strong,light eating noodles
spinner - light playing            | spoon - strong,light eating soup   | hammer - strong,heavy hitting nails
lime - wet,light eating            | plum - wet,light eating            | marble - strong,heavy playing
egg - fragile,light eating         | cheese - cold,light eating         | button - dry,light closing a coat
puck - strong,heavy playing        | coaster - dry,light holding cups   | crayon - fragile,dry drawing
cucumber - wet,cold eating         | candle - hot,light giving light    | carrot - cold,light eating
soap - wet,light washing hands     | book - dry,heavy reading           | eraser - dry,light cleaning paper
wallet - dry,light keeping money   | valve - strong,heavy stopping water | clover - light playing
clamp - strong,heavy holding wood  | propeller - light playing          | whisk - strong,light mixing cream
spanner - strong,heavy turning a screw | barbell - strong,heavy playing | bone - strong,dry playing
pear fruit light,wet eating        | cherry fruit wet,light eating      | lemon fruit wet,cold eating
grape fruit wet,light eating       | melon fruit heavy,cold eating      | mango fruit wet,heavy eating
glass dish fragile,light drinking water | kettle dish hot,heavy boiling water | jug dish fragile,heavy pouring milk
pan dish hot,heavy cooking eggs    | knife dish strong,light cutting bread | mug dish hot,heavy drinking coffee
saw tool strong,light cutting wood | drill tool strong,heavy making a hole | screwdriver tool strong,light turning a screw
brush tool wet,light painting walls | shovel tool strong,heavy moving earth | axe tool strong,heavy cutting trees
doll toy fragile,light playing     | kite toy fragile,light playing     | puzzle toy dry,light playing
drum toy strong,heavy playing      | robot toy fragile,heavy playing    | train toy strong,heavy playing
pencil office dry,light writing    | envelope office dry,light keeping a letter | folder office dry,light keeping paper
ruler office strong,dry drawing a line | lamp office hot,fragile giving light | notebook office dry,light writing notes
"""
_ROWS = [cell.split(maxsplit=3) for line in _HOUSEHOLD.strip().splitlines() for cell in line.split("|")]
_PLAIN = ("eating", "playing")  # what whole kinds are for
USES = tuple(dict.fromkeys(use.strip() for _, _, _, use in _ROWS if use.strip() not in _PLAIN))
WRITTEN = 24  # entities of an invented world that have no look


@dataclass(frozen=True)
class Entity:
    """A noun and what is known of it."""

    noun: str
    kind: str  # a key of KINDS
    home: str  # the place where its kind belongs
    traits: tuple[str, ...]  # adjectives, at most one of each of PAIRS
    use: str  # what it is for: "cutting wood"
    look: str | None = None  # None: it is never shown


@dataclass(frozen=True)
class Lore:
    """All entities of a world; `name` is that of its table of facts."""

    name: str
    entities: tuple[Entity, ...]

    @property
    def homes(self) -> dict[str, str]:
        """Kind → place."""
        return {entity.kind: entity.home for entity in self.entities}

    @property
    def shown(self) -> dict[str, Entity]:
        """Look → entity, of those that have one."""
        return {entity.look: entity for entity in self.entities if entity.look}


@cache
def find_lore(name: str = "household") -> Lore:
    """The lore of a table of facts, see `objects.find_facts`; raises `UnknownNameError` for another name."""
    facts, (table, drawn, seed) = objects.find_facts(name), name.partition("-")
    if not drawn:
        return _household(facts)
    if table == "moved":
        return _dealt_anew(_household(objects.household()), facts)
    lore = _invented(objects.invented(int(seed)), int(seed))
    return lore if table == "invented" else _dealt_anew(lore, facts)


def _dealt_anew(lore: Lore, facts: objects.Facts) -> Lore:
    """The same, with the kinds of another table, and their homes."""
    known = {fact.noun: fact.kind for fact in facts.rows.values()}
    homes = {fact.kind: fact.home for fact in facts.rows.values()}
    kinds = [known.get(entity.noun, entity.kind) for entity in lore.entities]
    return Lore(
        facts.name, tuple(replace(e, kind=kind, home=homes[kind]) for e, kind in zip(lore.entities, kinds, strict=True))
    )


def _household(facts: objects.Facts) -> Lore:
    homes = {fact.kind: fact.home for fact in facts.rows.values()}
    looks = {fact.noun: look for look, fact in objects.household().rows.items()}
    entities = []
    for noun, kind, traits, use in _ROWS:
        look = looks.get(noun)
        kind, called = (facts.rows[look].kind, facts.noun(look)) if look else (kind, noun)
        entities.append(Entity(called, kind, homes[kind], tuple(traits.split(",")), use.strip(), look))
    return Lore(facts.name, tuple(entities))


def _invented(facts: objects.Facts, seed: int) -> Lore:
    """The nouns and kinds of the table for what has a look, as many as it takes beside; traits and uses for all."""
    rng = np.random.default_rng([seed, 41])
    homes = {fact.kind: fact.home for fact in facts.rows.values()}
    shown = [(fact.noun, fact.kind, look) for look, fact in facts.rows.items()]
    more = objects.invent(rng, WRITTEN, {noun for noun, *_ in shown})
    nouns = [*shown, *((noun, list(homes)[i % len(homes)], None) for i, noun in enumerate(more))]
    things = [(kind, look in objects.RESERVED, *(look.split("-") if look else [""] * 3)) for _, kind, look in nouns]
    traits = []
    for _ in PAIRS:
        traits.append(objects.counterbalanced(rng, things, 3))  # one, the other, or nothing to say
        things = [(*known, trait) for known, trait in zip(things, traits[-1], strict=True)]
    uses = objects.counterbalanced(rng, things, len(USES))
    entities = [
        Entity(
            noun, kind, homes[kind],
            tuple(pair[value[i]] for pair, value in zip(PAIRS, traits, strict=True) if value[i] < 2), USES[uses[i]], look,
        )
        for i, (noun, kind, look) in enumerate(nouns)
    ]  # fmt: skip
    return Lore(facts.name, tuple(entities))


def preposition(home: str) -> str:
    """Things are put in a bowl, and on a plate."""
    return places.PLACES[home].preposition


def article(noun: str) -> str:
    """The noun behind "a" or "an"."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
