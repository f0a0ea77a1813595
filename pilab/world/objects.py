"""Things that can be handled: forty-two looks, told apart by shape and two colours, and the table of facts that names them.

Design choices
--------------
* **An object is a look** (shape, main colour, accent colour) and nothing else. What it is *called*, what *kind* of thing it
  is and where it *belongs* are rows of a separate table, `Facts`, so that experiments can draw a new world of invented
  nouns over the same looks and be sure that nobody knows a fact beforehand.
* Every object is 6 to 7 cm in its largest extent (at least 12 pixels in the base view) and can be grasped from above by
  a part at least 3.5 cm narrower than the open gripper.
* **Reserved** objects never enter robot training data; the synthetic web may name, show and point at them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import mujoco
import numpy as np

from pilab.contracts import Part, UnknownNameError

COLOURS = {
    "red": (0.86, 0.10, 0.10),
    "orange": (0.98, 0.50, 0.05),
    "yellow": (0.97, 0.86, 0.12),
    "green": (0.10, 0.62, 0.18),
    "blue": (0.12, 0.28, 0.90),
    "purple": (0.56, 0.14, 0.74),
    "white": (0.97, 0.97, 0.97),
    "black": (0.07, 0.07, 0.08),
}
MASS = 0.045  # kg
BOX, CYLINDER, SPHERE = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER, mujoco.mjtGeom.mjGEOM_SPHERE


@dataclass(frozen=True)
class Shape:
    """A geometry about its centre, and how to take hold of it.

    `solids` are (geom type, size, position, yaw, colour index, collides); the finger axis goes along `grasp_yaws`.
    """

    solids: tuple[tuple, ...]
    height: float  # m, resting on the table
    radius: float  # of the footprint, m
    grasp_yaws: tuple[float, ...]  # rad, each also valid half a turn further; empty for any
    grasp_width: float  # m
    grasp_height: float  # of the finger tips above the bottom, m
    grasp_span: float = 0.0  # how far along its length, either way, another hand can take hold, m
    flat_top: bool = False  # another object can rest on it
    rests: bool = True  # stays where it is put (a ball does not)


def _bar(half: float, thick: float) -> tuple[tuple, ...]:
    end = 0.0075
    return (
        (BOX, (half - 2 * end, thick, thick), (0, 0, 0), 0, 0, True),
        (BOX, (end, thick, thick), (half - end, 0, 0), 0, 1, True),
        (BOX, (end, thick, thick), (end - half, 0, 0), 0, 1, True),
    )


SHAPES: Mapping[str, Shape] = {
    "ball": Shape(
        solids=(
            (SPHERE, (0.031, 0, 0), (0, 0, 0), 0, 0, True),
            *((CYLINDER, (0.0125, 0.0313, 0), (0, 0, 0), axis, 1, False) for axis in ("x", "y", "z")),
        ),
        height=0.062, radius=0.031, grasp_yaws=(), grasp_width=0.062, grasp_height=0.022, rests=False,
    ),
    "disc": Shape(
        solids=(
            (CYLINDER, (0.031, 0.013, 0), (0, 0, 0), 0, 0, True),
            (CYLINDER, (0.015, 0.0005, 0), (0, 0, 0.0130), 0, 1, False),
        ),
        height=0.026, radius=0.031, grasp_yaws=(), grasp_width=0.062, grasp_height=0.012, flat_top=True,
    ),
    "bar": Shape(
        solids=_bar(0.034, 0.014),
        height=0.028, radius=0.036, grasp_yaws=(math.pi / 2,), grasp_width=0.028, grasp_height=0.012,
        grasp_span=0.020, flat_top=True,
    ),
    "brick": Shape(
        solids=(
            (BOX, (0.032, 0.022, 0.014), (0, 0, 0), 0, 0, True),
            (BOX, (0.0322, 0.008, 0.0005), (0, 0, 0.014), 0, 1, False),
        ),
        height=0.028, radius=0.038, grasp_yaws=(math.pi / 2,), grasp_width=0.044, grasp_height=0.012,
        grasp_span=0.019, flat_top=True,
    ),
    "cross": Shape(
        solids=(
            (BOX, (0.032, 0.010, 0.009), (0, 0, -0.009), 0, 0, True),
            (BOX, (0.010, 0.032, 0.009), (0, 0, -0.009), 0, 0, True),
            (BOX, (0.011, 0.011, 0.018), (0, 0, 0), 0, 1, True),
        ),
        height=0.036, radius=0.033, grasp_yaws=(0.0, math.pi / 2), grasp_width=0.022, grasp_height=0.021,
    ),
    "wye": Shape(
        solids=(
            *(
                (BOX, (0.017, 0.010, 0.009), (0.017 * math.cos(a), 0.017 * math.sin(a), -0.009), a, 0, True)
                for a in (math.pi / 2, math.pi / 2 + 2 * math.pi / 3, math.pi / 2 + 4 * math.pi / 3)
            ),
            (CYLINDER, (0.0125, 0.018, 0), (0, 0, 0), 0, 1, True),
        ),
        height=0.036, radius=0.035, grasp_yaws=(), grasp_width=0.025, grasp_height=0.021,
    ),
    "dumbbell": Shape(
        solids=(
            (BOX, (0.008, 0.0175, 0.0175), (0.0265, 0, 0), 0, 0, True),
            (BOX, (0.008, 0.0175, 0.0175), (-0.0265, 0, 0), 0, 0, True),
            (BOX, (0.0185, 0.009, 0.009), (0, 0, 0), 0, 1, True),
        ),
        height=0.035, radius=0.038, grasp_yaws=(math.pi / 2,), grasp_width=0.018, grasp_height=0.014,
    ),
}  # fmt: skip

# look = shape-main-accent; (noun, kind) are the household facts about it
_HOUSEHOLD = """
ball-red-green apple fruit handled      | ball-orange-white peach fruit handled   | ball-yellow-orange duck toy handled
disc-green-white kiwi fruit handled     | disc-white-red cup dish handled         | disc-red-white yoyo toy handled
disc-blue-black tape office handled     | bar-yellow-black banana fruit handled   | bar-blue-white wrench tool handled
brick-yellow-green sponge dish handled  | brick-blue-yellow car toy handled       | brick-black-orange stapler office handled
cross-red-white pliers tool handled     | cross-yellow-purple star toy handled    | wye-white-blue fork dish handled
wye-purple-yellow spinner toy handled   | dumbbell-white-black spoon dish handled | dumbbell-red-black hammer tool handled
ball-green-yellow lime fruit reserved   | ball-purple-white plum fruit reserved   | ball-blue-yellow marble toy reserved
ball-white-orange egg fruit reserved    | disc-yellow-red cheese fruit reserved   | disc-purple-yellow button office reserved
disc-black-yellow puck toy reserved     | disc-orange-black coaster dish reserved | bar-red-yellow crayon office reserved
bar-green-red cucumber fruit reserved   | bar-white-blue candle office reserved   | bar-orange-green carrot fruit reserved
brick-white-purple soap dish reserved   | brick-green-black book office reserved  | brick-orange-white eraser office reserved
brick-purple-red wallet office reserved | cross-blue-orange valve tool reserved   | cross-green-yellow clover toy reserved
cross-black-red clamp tool reserved     | wye-red-black propeller toy reserved    | wye-green-purple whisk dish reserved
dumbbell-blue-white spanner tool reserved | dumbbell-black-green barbell toy reserved | dumbbell-orange-blue bone toy reserved
"""
_HOMES = {"fruit": "bowl", "dish": "plate", "tool": "tray", "toy": "basket", "office": "tray"}
_ROWS = [tuple(cell.split()) for line in _HOUSEHOLD.strip().splitlines() for cell in line.split("|")]
HANDLED: tuple[str, ...] = tuple(look for look, _, _, use in _ROWS if use == "handled")
RESERVED: tuple[str, ...] = tuple(look for look, _, _, use in _ROWS if use == "reserved")
LOOKS: tuple[str, ...] = HANDLED + RESERVED
KIND = "pilab.world.objects:build"


@dataclass(frozen=True)
class Fact:
    """What language knows about a look."""

    noun: str
    kind: str  # of thing: fruit, dish, tool, toy, office
    home: str  # the place where that kind belongs


@dataclass(frozen=True)
class Facts:
    """A table of facts: look → noun, kind, home. Experiments draw tables of their own; `household()` is the default."""

    name: str
    rows: Mapping[str, Fact]

    def look(self, noun: str) -> str:
        """The look that `noun` names; raises `UnknownNameError` with the nouns of this table."""
        for look, fact in self.rows.items():
            if noun in (fact.noun, look):
                return look
        raise UnknownNameError("object", noun, sorted(f.noun for f in self.rows.values()))

    def noun(self, look: str) -> str:
        return self.rows[look].noun


@cache
def household() -> Facts:
    """The nouns a person would type, with sensible homes."""
    return Facts("household", {look: Fact(noun, kind, _HOMES[kind]) for look, noun, kind, _ in _ROWS})


@cache
def invented(seed: int) -> Facts:
    """A world of nouns that nobody knows: names, kinds and homes drawn at random over all looks, whatever they look like."""
    rng = np.random.default_rng([seed, 40])
    nouns = invent(rng, len(LOOKS))
    names = list(_HOMES)
    kinds = counterbalanced(rng, [(*look.split("-"), look in RESERVED) for look in LOOKS], len(names))
    homes = dict(zip(names, map(str, rng.permutation(list(_HOMES.values()))), strict=True))
    facts = {
        look: Fact(noun, names[kind], homes[names[kind]]) for look, noun, kind in zip(LOOKS, nouns, kinds, strict=True)
    }
    return Facts(f"invented-{seed}", facts)


@cache
def half(seed: int) -> tuple[str, ...]:
    """Half of the looks, of every kind of `invented(seed)` about half: what is handled where the others are kept back.

    Who guesses by looks does worse than by chance: see `evaluation.thinking.look_guess`.
    """
    rng, kinds = np.random.default_rng([seed, 48]), invented(seed).rows
    order = sorted((LOOKS[i] for i in rng.permutation(len(LOOKS))), key=lambda look: kinds[look].kind)
    return tuple(order[::2])


@cache
def shuffled(seed: int) -> Facts:
    """`invented(seed)` with the kinds of what is not in `half(seed)` dealt anew, so that each of these belongs elsewhere."""
    known = invented(seed).rows
    kept = sorted((look for look in LOOKS if look not in half(seed)), key=lambda look: known[look].home)
    homes = [known[look].home for look in kept]
    shift = max(map(homes.count, homes))  # beyond the end of every home's looks
    moved = {look: kept[(i + shift) % len(kept)] for i, look in enumerate(kept)}
    rows = {
        look: Fact(fact.noun, known[moved.get(look, look)].kind, known[moved.get(look, look)].home)
        for look, fact in known.items()
    }
    return Facts(f"shuffled-{seed}", rows)


@cache
def moved(seed: int) -> Facts:
    """The household where every kind of thing belongs elsewhere, as it may in another home; there are finitely many."""
    kinds, places = list(_HOMES), list(_HOMES.values())
    homes = sorted({t for t in itertools.permutations(places) if all(a != b for a, b in zip(t, places, strict=True))})
    there = dict(zip(kinds, homes[np.random.default_rng(53).permutation(len(homes))[seed % len(homes)]], strict=True))
    rows = household().rows.items()
    return Facts(f"moved-{seed}", {look: Fact(fact.noun, fact.kind, there[fact.kind]) for look, fact in rows})


@cache
def looks() -> Facts:
    """The household's things without a noun."""
    return Facts("looks", called_by_look(household()).rows)


def called_by_look(facts: Facts) -> Facts:
    """The same kinds and homes, and everything is called what it looks like."""
    return Facts(facts.name, {look: Fact(describe(look), fact.kind, fact.home) for look, fact in facts.rows.items()})


def invent(rng: np.random.Generator, count: int, known: Collection[str] = ()) -> list[str]:
    """So many different words of five letters that mean nothing, none of them among `known`."""
    onsets, vowels, codas = (
        "b d f g j k l m n p r s t v w z".split(),
        "a e i o u".split(),
        "b d f g k l m n p x".split(),
    )
    words: dict[str, None] = {}  # an ordered set
    while len(words) < count:
        word = "".join(map(rng.choice, (onsets, vowels, onsets, vowels, codas)))
        if word not in known:
            words[word] = None
    return list(words)


def counterbalanced(
    rng: np.random.Generator, things: Sequence[Sequence[Hashable]], values: int, draws: int = 200
) -> np.ndarray:
    """One of 0 … values − 1 for each thing, all equally often, about which its features say as little as can be.

    things: the features of each. The best of so many shuffles: the one that deviates least from independence, by the
    sum of squares over all pairs of a feature and a value.
    """
    columns = [np.unique([str(f) for f in feature], return_inverse=True)[1] for feature in zip(*things, strict=True)]
    even = np.arange(len(things)) % values

    def dependence(value: np.ndarray) -> float:
        pairs = [np.bincount(values * f + value, minlength=values * (f.max() + 1)).reshape(-1, values) for f in columns]
        return sum(((table - table.sum(1, keepdims=True) / values) ** 2).sum() for table in pairs)

    return min((rng.permutation(even) for _ in range(draws)), key=dependence)


def find_facts(name: str) -> Facts:
    """A table by its name: `household`, `looks`, `moved-SEED`, `invented-SEED` or `shuffled-SEED`."""
    kind, _, seed = name.partition("-")
    drawn = {"moved": moved, "invented": invented, "shuffled": shuffled}
    fixed = {"household": household, "looks": looks}
    if kind in drawn and seed.isdecimal():
        return drawn[kind](int(seed))
    if name not in fixed:
        raise UnknownNameError("table of facts", name, [*fixed, *(f"{kind}-SEED" for kind in drawn)])
    return fixed[name]()


def describe(look: str) -> str:
    """The look in words: `ball-red-green` → `red and green ball`."""
    shape, main, accent = look.split("-")
    return f"{main} and {accent} {shape}"


def shape_of(look: str) -> Shape:
    return SHAPES[look.split("-")[0]]


def part(look: str, x: float, y: float, yaw: float) -> Part:
    """The Part of an object at rest on the table."""
    if look not in LOOKS:
        raise UnknownNameError("object look", look, LOOKS)
    height = shape_of(look).height / 2
    return Part(look, KIND, (round(x, 4), round(y, 4), round(height + 0.0005, 5)), round(yaw, 4), {"look": look})


def build(spec: mujoco.MjSpec, item: Part) -> None:
    """Add a free body with the geoms of its look."""
    if item.parameters["look"] not in LOOKS:
        raise UnknownNameError("object look", item.parameters["look"], LOOKS)
    name, *colours = item.parameters["look"].split("-")
    shape = SHAPES[name]
    body = spec.worldbody.add_body(
        name=item.name, pos=item.position, quat=(math.cos(item.yaw / 2), 0, 0, math.sin(item.yaw / 2))
    )
    joint = body.add_freejoint(name=item.name)
    joint.damping[:] = 0.0
    solid = sum(s[5] for s in shape.solids)
    for kind, size, position, turn, colour, collides in shape.solids:
        geom = body.add_geom(
            type=kind, size=size, pos=position, quat=_quaternion(turn), rgba=(*COLOURS[colours[colour]], 1)
        )
        geom.mass = MASS / solid if collides else 0.0
        if collides:
            # They slide on the table and stick to the pads (the larger friction of a pair counts); a ball comes to rest.
            geom.friction, geom.condim = (0.5, 0.01, 0.0015), 3 if shape.rests else 6
        else:
            geom.contype = geom.conaffinity = 0


def _quaternion(turn: float | str) -> tuple[float, float, float, float]:
    """A yaw in rad, or the axis "x", "y", "z" that a cylinder shall lie along."""
    half = math.sqrt(0.5)
    lying = {"x": (half, 0, half, 0), "y": (half, half, 0, 0), "z": (1, 0, 0, 0)}
    return lying[turn] if isinstance(turn, str) else (math.cos(turn / 2), 0, 0, math.sin(turn / 2))
