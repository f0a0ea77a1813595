"""Put everything where it belongs: two or three things, each in or on the place of its kind. The words name none of them."""

from __future__ import annotations

from pilab.contracts import Goal, SceneError, find
from pilab.world import places, scenes
from pilab.world.task import Task, step_scene, steps_of, task_of

MOST = 3  # places fit beside each other


class Tidy(Task):
    name = verb = "tidy"
    seconds = 12.0 * MOST
    metrics = ("wrong_moved",)
    swappable = False
    demonstrator = "pilab.world.demonstrators.sequence:Sequence"
    templates = (
        "put everything where it belongs",
        "tidy up",
        "clean up the table",
        "put all things away",
        "everything goes to its place",
    )
    paraphrases = (
        "please tidy up the table",
        "could you put everything away",
        "put each thing where it belongs",
        "i would like the table to be tidy",
        "tidy the table please",
        "make sure everything is where it belongs",
        "clear the table please",
        "all of this should be put away",
    )
    held_out_templates = (
        "bring some order into this",
        "this is a mess please clean it up",
        "leave nothing lying around",
    )

    def draw(self, rng, pool, cell, reserved, facts):
        """As many things as there are places, each with another home."""
        homes = {look: facts.rows[look].home for look in pool if look in facts.rows}
        allowed = [look for look, home in homes.items() if scenes.is_reserved_cell("put", look, home) == reserved]
        if cell is not None:
            first, place = cell
            if place not in (None, facts.rows[first].home):
                raise SceneError(
                    f"{first!r} belongs to the {facts.rows[first].home}, not to the {place}; leave the place open"
                )
            chosen, homes = [first], {**homes, first: facts.rows[first].home}
        else:
            chosen = []
        number = int(rng.integers(2, MOST + 1))
        for look in (allowed[i] for i in rng.permutation(len(allowed))):
            if len(chosen) < number and homes[look] not in {homes[other] for other in chosen}:
                chosen.append(look)
        if len(chosen) < 2:
            raise SceneError(f"no two of {', '.join(pool)} belong to different places; give more things to choose from")
        standing = [homes[look] for look in chosen]
        spare = [place for place in places.PLACES if place not in standing]
        if len(standing) < MOST and rng.random() < 0.5:  # a place where nothing belongs
            standing.append(spare[rng.integers(len(spare))])
        around = scenes.stand(rng, standing)
        things = scenes.scatter(rng, [chosen[i] for i in rng.permutation(len(chosen))], around)
        parts = [*things, *around]
        first = self.steps(parts, Goal(self.verb, chosen[0]), facts)[0]
        return parts, Goal(self.verb, first.object, first.place)

    def steps(self, parts, goal, facts):
        """From left to right, so that what comes next can be told from a picture."""
        there = {part.name for part in parts}
        things = sorted((p for p in parts if p.name in facts.rows), key=lambda p: p.position[0])
        return tuple(Goal("put", p.name, facts.rows[p.name].home) for p in things if facts.rows[p.name].home in there)

    def alternatives(self, parts, goal):
        """Nothing is named: nothing else can be."""
        return []

    def achieved(self, world, goal):
        put = find("put", "pilab.world.tasks", "TASK", "task")
        return all(put.achieved(world, step) for step in steps_of(world.scene))

    def subtasks(self, scene, facts):
        parts = (step_scene(scene, step) for step in steps_of(scene))
        return tuple(text for one in parts for text in task_of(one).subtasks(one, facts))

    def stage(self, world, goal):
        steps = steps_of(world.scene)
        put = find("put", "pilab.world.tasks", "TASK", "task")
        at = next((i for i, step in enumerate(steps) if not put.achieved(world, step)), len(steps) - 1)
        return 3 * at + put.stage(world, steps[at])


TASK = Tidy()
