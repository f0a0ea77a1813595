"""Put one thing where it belongs: the words say which, and what it is says where."""

from __future__ import annotations

from pilab.contracts import Goal, SceneError
from pilab.world import places, scenes
from pilab.world.tasks._long import LongTask
from pilab.world.tasks.put import Put


class Away(LongTask):
    """A long task of one step. What else could be asked for is a matter of facts, so there is no swap."""

    name = verb = "away"
    seconds, metrics = Put.seconds, Put.metrics
    templates = (
        "put {object} where it belongs",
        "put {object} away",
        "{object} goes to its place",
        "tidy up {object}",
    )
    paraphrases = (
        "please put {object} where it belongs",
        "could you put {object} away for me",
        "bring {object} to its place please",
        "i would like {object} to be where it belongs",
        "would you tidy up {object}",
        "make sure {object} is where it belongs",
    )
    held_out_templates = (
        "take {object} to where such things go",
        "find the right place for {object}",
        "{object} should not lie around here",
    )

    def draw(self, rng, pool, cell, reserved, facts):
        """The thing's home and one or two other places; things around it as for `put`."""
        if cell is not None and cell[0] not in facts.rows:
            raise SceneError(f"nobody knows where {cell[0]!r} belongs; ask for one of {', '.join(facts.rows)}")
        homes = {look: facts.rows[look].home for look in pool if look in facts.rows}
        allowed = [look for look, home in homes.items() if scenes.is_reserved_cell("put", look, home) == reserved]
        if cell is not None:
            allowed = [cell[0]]
            if cell[1] not in (None, facts.rows[cell[0]].home):
                raise SceneError(
                    f"{cell[0]!r} belongs to the {facts.rows[cell[0]].home}, not to the {cell[1]}; leave it open"
                )
        if not allowed:
            raise SceneError(
                f"none of {', '.join(pool)} may be put where it belongs here; give more things to choose from"
            )
        look = allowed[rng.integers(len(allowed))]
        home = facts.rows[look].home
        others = [place for place in places.PLACES if place != home]
        standing = scenes.stand(
            rng, [home, *(others[i] for i in rng.permutation(len(others))[: int(rng.integers(1, 3))])]
        )
        things = scenes.scatter(rng, scenes.draw_company(rng, [look], pool), standing)
        return [*things, *standing], Goal(self.verb, look, home)

    def steps(self, parts, goal, facts):
        return (Goal("put", goal.object, facts.rows[goal.object].home),)


TASK = Away()
