"""Put everything away and do what the sign says: what it forbids at its place stays where it is."""

from __future__ import annotations

from collections.abc import Mapping

from pilab.contracts import Goal, find
from pilab.world import scenes, signs
from pilab.world.places import place_of
from pilab.world.task import facts_of
from pilab.world.tasks._put_away import PutAway

# What a sign lets in; nothing where none is named. What they mean in words is on the web (`data.web.lore.SIGNS`).
ALLOWS: Mapping[str, tuple[str, ...]] = {
    "no food": ("dish", "tool", "toy", "office"),
    "toys only": ("toy",),
    "tools only": ("tool",),
    "keep out": (),
}


class Heed(PutAway):
    name = verb = "heed"
    templates = (
        "put everything away and mind the sign",
        "tidy up but do what the sign says",
        "clean up the table and read the sign first",
        "put all things away as the sign allows",
        "everything goes to its place if the sign allows it",
    )
    paraphrases = (
        "please tidy up and mind the sign",
        "could you put everything away and follow the sign",
        "put each thing where it belongs unless the sign says no",
        "tidy the table and look at the sign please",
        "there is a sign so read it and then put all things away",
        "clear the table but follow the sign",
    )
    held_out_templates = (
        "bring some order into this but mind what is written",
        "clean this up and do not break the rules",
        "leave nothing lying around that may be put away",
    )

    def _finish(self, rng, parts, facts):
        """A sign in front of one of the homes; something is left to do, and in most scenes something is forbidden."""
        homes = [g.place for g in super().steps(parts, Goal(self.verb, ""), facts)]
        text = list(ALLOWS)[rng.integers(len(ALLOWS))]
        signed = homes[rng.integers(len(homes))]
        home = next(part for part in parts if part.name == signed)
        x, y = home.position[0], home.position[1] - place_of(home).radius - signs.HALF[1] - 0.008
        things = [part.position for part in parts if part.name in facts.rows]
        if any(abs(x - a) < signs.HALF[0] + 0.03 and abs(y - b) < signs.HALF[1] + 0.03 for a, b, _ in things):
            raise scenes.Rejected  # a thing lies on it
        parts = [*parts, signs.part(text, x, y)]
        steps = self.steps(parts, Goal(self.verb, ""), facts)
        if not steps or (len(steps) == len(homes) and rng.random() < 0.7):
            raise scenes.Rejected
        return parts, Goal(self.verb, steps[0].object, steps[0].place)

    def steps(self, parts, goal, facts):
        return tuple(g for g in super().steps(parts, goal, facts) if not _forbidden(g, parts, facts))

    def achieved(self, world, goal):
        """And nothing lies where it must not."""
        scene, put = world.scene, find("put", "pilab.world.tasks", "TASK", "task")
        facts = facts_of(scene)
        against = [g for g in super().steps(scene.parts, goal, facts) if _forbidden(g, scene.parts, facts)]
        return super().achieved(world, goal) and not any(put.achieved(world, g) for g in against)


def _forbidden(step, parts, facts):
    """Whether the sign stands at the step's place and does not let its thing in."""
    sign = next(part for part in parts if part.name == "sign")
    spots = {p.name: abs(p.position[0] - sign.position[0]) for p in parts if "place" in p.parameters}
    kind = facts.rows[step.object].kind
    return step.place == min(spots, key=spots.get) and kind not in ALLOWS[sign.parameters["text"]]


TASK = Heed()
