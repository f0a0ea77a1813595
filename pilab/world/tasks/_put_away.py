"""What long tasks about order share: several things, each to be put in or on the place of its kind.

Which things they are about, and what must be left alone, follows from what things are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pilab.contracts import Goal, Part, SceneError
from pilab.world import objects, places, scenes
from pilab.world.tasks._long import LongTask

MOST = 3  # places fit beside each other


class PutAway(LongTask):
    """Subclass, and say in words what is to be done; with `kinds`, of which kinds things have to be for it."""

    seconds = 12.0 * MOST
    things: tuple[int, int] = (2, MOST)  # how many there are to be put away: at least, at most
    kinds: tuple[str, ...] = ()  # keys of `data.web.lore.KINDS`; of all kinds, if none is named

    def draw(
        self, rng: np.random.Generator, pool: tuple[str, ...], cell: tuple[str, str | None] | None, reserved: bool,
        facts: objects.Facts,
    ) -> tuple[list[Part], Goal]:  # fmt: skip
        """Things with different homes, which stand there; where the words are about some kinds alone, also one or two of
        others, which are to be left where they are.
        """
        known = [look for look in pool if look in facts.rows]
        homes = {look: facts.rows[look].home for look in known}
        about = [look for look in known if self._is_about(look, facts)]
        allowed = [look for look in about if scenes.is_reserved_cell("put", look, homes[look]) == reserved]
        chosen = [self._asked(cell, facts)] if cell is not None else []
        least, most = self.things
        number = int(rng.integers(least, most + 1))
        for look in (allowed[i] for i in rng.permutation(len(allowed))):
            home = facts.rows[look].home
            if len(chosen) < number and home not in {facts.rows[other].home for other in chosen}:
                chosen.append(look)
        if len(chosen) < least:
            raise SceneError(
                f"{self.verb!r} is about {least} things at least, with different homes; of {', '.join(pool)} there are "
                f"{len(chosen)}: give more things to choose from"
            )
        standing = [facts.rows[look].home for look in chosen]
        others = [look for look in known if look not in about]
        left = [others[i] for i in rng.permutation(len(others))[: int(rng.integers(1, 3))]] if self.kinds else []
        spare = [place for place in places.PLACES if place not in standing]
        if len(standing) < MOST and rng.random() < 0.5:  # a place where nothing of these belongs
            standing.append(spare[rng.integers(len(spare))])
        around = scenes.stand(rng, standing)
        looks = [*chosen, *left]
        parts = [*scenes.scatter(rng, [looks[i] for i in rng.permutation(len(looks))], around), *around]
        return self._finish(rng, parts, facts)

    def _finish(self, rng: np.random.Generator, parts: list[Part], facts: objects.Facts) -> tuple[list[Part], Goal]:
        """The parts, and the goal: the first thing to be done stands for all."""
        first = self.steps(parts, Goal(self.verb, ""), facts)[0]
        return parts, Goal(self.verb, first.object, first.place)

    def _is_about(self, look: str, facts: objects.Facts) -> bool:
        return not self.kinds or facts.rows[look].kind in self.kinds

    def _asked(self, cell: tuple[str, str | None], facts: objects.Facts) -> str:
        look, place = cell
        if place not in (None, facts.rows[look].home):
            raise SceneError(
                f"{look!r} belongs to the {facts.rows[look].home}, not to the {place}; leave the place open"
            )
        if not self._is_about(look, facts):
            raise SceneError(f"{look!r} is of kind {facts.rows[look].kind!r}; {self.verb!r} is about {self.kinds}")
        return look

    def steps(self, parts: Sequence[Part], goal: Goal, facts: objects.Facts) -> tuple[Goal, ...]:
        """From left to right, so that what comes next can be told from a picture."""
        there = {part.name for part in parts}
        things = sorted((p for p in parts if p.name in facts.rows), key=lambda p: p.position[0])
        return tuple(
            Goal("put", p.name, facts.rows[p.name].home)
            for p in things
            if self._is_about(p.name, facts) and facts.rows[p.name].home in there
        )
