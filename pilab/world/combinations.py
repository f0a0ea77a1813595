"""Combinations of what a robot can be asked for: a verb, an object, a place, an arm and a manner.

Which of them nobody ever shows is drawn here, before anything is trained; what a robot then does in them, each part of which
it has seen, is composition.

Design choices
--------------
* **A held-out set is a list of patterns**: `Combination(object="apple", place="bowl")`, with ANY for the rest, is held out with
  every verb, arm and manner. So data, trainings and rows can all be compared with one short list.
* **Every part stays known.** Whatever the design, each object, place, verb and manner occurs in what is trained; else it is a
  new word that fails, not a new combination.
* **Designs are nested** in their density for a seed: what is trained at 30 % is trained at 50 % too, so that arms of different
  density differ by what was added.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from pilab.contracts import DatasetError, PilabError, Scene, find
from pilab.world import objects, places
from pilab.world.demonstrators.script import MANNERS
from pilab.world.scenes import is_reserved_cell
from pilab.world.task import steps_of

AXES = ("verb", "object", "place", "arm", "manner")
ANY = "*"
USUAL = "normal"  # the manner of who was asked for none


@dataclass(frozen=True, order=True)
class Combination:
    """One of them, or with ANY in it a pattern. object: a look or a fixture; place: "" where the verb takes none."""

    verb: str = ANY
    object: str = ANY
    place: str = ANY
    arm: str = ANY
    manner: str = ANY

    def covers(self, other: Combination) -> bool:
        """Whether the other is one of those that this pattern stands for."""
        return all(mine in (ANY, its) for mine, its in zip(astuple(self), astuple(other), strict=True))

    def part(self, axes: Sequence[str]) -> tuple[str, ...]:
        return tuple(getattr(self, axis) for axis in axes)

    @property
    def reserved(self) -> bool:
        """Whether it is kept out of all training data that pilab collects (see `scenes.is_reserved_cell`)."""
        return is_reserved_cell(self.verb, self.object, self.place or None)


def is_held_out(one: Combination, held_out: Iterable[Combination]) -> bool:
    return any(pattern.covers(one) for pattern in held_out)


def grid(
    verbs: Iterable[str], things: Iterable[str] = objects.HANDLED, spots: Iterable[str] = tuple(places.PLACES),
    manners: Iterable[str] = (USUAL,), *, reserved: bool = False,
) -> list[Combination]:  # fmt: skip
    """Every combination that makes sense, whichever arm does it. reserved: those too that no training data may hold.

    Raises `UnknownNameError` for an unknown verb, `PilabError` for none that makes sense.
    """
    found = []
    for verb in verbs:
        task = find(verb, "pilab.world.tasks", "TASK", "task")
        for thing in things:
            if thing in objects.LOOKS and not task.suits(thing):
                continue
            for spot in spots:
                cells = [Combination(verb, thing, spot, ANY, manner) for manner in manners]
                found += [cell for cell in cells if spot != thing and (reserved or not cell.reserved)]
    if not found:
        raise PilabError(f"no combination of {', '.join(verbs)} with these things and places; name others")
    return found


def of_scene(scene: Scene, arm: str = ANY, manner: str = USUAL) -> list[Combination]:
    """What is shown in an episode of a scene: one, or of a long task one for each of its steps."""
    return [Combination(goal.verb, goal.object, goal.place or "", arm, manner) for goal in steps_of(scene)]


def of_episode(row: Mapping[str, Any], name: str = "it") -> list[Combination]:
    """What an episode shows, by its own columns. Raises `DatasetError` where they do not say."""
    if not row.get("scene"):
        raise DatasetError(
            f"{name}: an episode does not say in which scene it was recorded; nobody knows what it shows"
        )
    return of_scene(Scene.from_json(row["scene"]), str(row.get("arm") or ANY), str(row.get("manner") or USUAL))


def counted(shown: Counter[Combination] | None) -> list[list[str | int]] | None:
    """As lists for JSON: verb, object, place, arm, manner and how often."""
    return None if shown is None else [[*astuple(one), n] for one, n in sorted(shown.items())]


def uncounted(lists: Iterable[Sequence[str | int]]) -> Counter[Combination]:
    """The other way round. Raises `PilabError` for what is no such list."""
    try:
        return Counter({Combination(*map(str, parts)): int(n) for *parts, n in lists})
    except (TypeError, ValueError) as error:
        raise PilabError(
            f"not a list of combinations: {error}; expected verb, object, place, arm, manner, number"
        ) from error


# ------------------------------------------------------------------------------------------------------------- designs
def thinned(
    cells: Collection[Combination], density: float, seed: int, axes: Sequence[str] = ("object", "place")
) -> list[Combination]:
    """Patterns to hold out so that a share `density` of the groups that agree in `axes` is trained.

    axes ("object", "place"): a pair is held out with every verb and manner; ("verb", "object", "place"): single cells. Raises
    `PilabError` where so few groups cannot show every part.
    """
    groups = sorted({cell.part(axes) for cell in cells})
    order = [groups[i] for i in np.random.default_rng([seed, 81]).permutation(len(groups))]
    known = [set() for _ in axes]
    first = []  # a cover of all parts, so that none is ever new
    for group in order:
        if any(part not in seen for part, seen in zip(group, known, strict=True)):
            first.append(group)
            for part, seen in zip(group, known, strict=True):
                seen.add(part)
    trained = round(density * len(groups))
    if not len(first) <= trained <= len(groups):
        raise PilabError(
            f"density {density}: {trained} of {len(groups)} combinations of {', '.join(axes)}; it takes {len(first)} to show "
            "every part of them"
        )
    order = first + [group for group in order if group not in first]
    return [Combination(**dict(zip(axes, group, strict=True))) for group in sorted(order[trained:])]


def one_each(
    cells: Collection[Combination], seed: int, axis: str = "verb", given: Sequence[str] = ("object", "place")
) -> list[Combination]:
    """Patterns to hold out so that what agrees in `given` is trained with one value of `axis`, each as often as the others.

    Pairs that were only ever put are asked to be pushed, and the other way round.
    """
    values = sorted({cell.part((axis,))[0] for cell in cells})
    there = {(*cell.part(given), *cell.part((axis,))) for cell in cells}
    groups = [g for g in sorted({cell.part(given) for cell in cells}) if all((*g, value) in there for value in values)]
    order = np.random.default_rng([seed, 82]).permutation(len(groups))
    held = [
        Combination(**dict(zip(given, groups[i], strict=True)), **{axis: value})
        for k, i in enumerate(order)
        for value in values
        if value != values[k % len(values)]
    ]
    return sorted(held)


def dictionary(
    cells: Collection[Combination],
    known: int,
    seed: int,
    axis: str = "manner",
    usual: str = USUAL,
    over: str = "object",
) -> list[Combination]:
    """Patterns to hold out so that every value of `axis` but the usual one is shown with `known` values of `over` alone.

    As phonetic script stands for single words in a dictionary and nobody writes letters in it. All values share the same few.
    Raises `PilabError` for more than there are.
    """
    values = sorted({cell.part((axis,))[0] for cell in cells} - {usual})
    others = sorted({cell.part((over,))[0] for cell in cells})
    if not 0 < known < len(others):
        raise PilabError(f"{known} of {len(others)} known: expected at least one, and at least one to be left")
    shown = [others[i] for i in np.random.default_rng([seed, 83]).permutation(len(others))[:known]]
    return [Combination(**{axis: value, over: other}) for value in values for other in others if other not in shown]


# --------------------------------------------------------------------------------------------------------------- words
def in_manner(text: str, manner: str, rng: np.random.Generator | None = None) -> str:
    """An instruction with words for how it is to be done behind it; the first of them, or one that is drawn."""
    words = MANNERS[manner].words
    if not words:
        return text
    return f"{text} {words[0 if rng is None else int(rng.integers(len(words)))]}"
