"""What opening and closing share: both fixtures stand there, and one joint has to end on the other side."""

from __future__ import annotations

from pilab.contracts import Goal, SceneError, UnknownNameError
from pilab.world import places, scenes
from pilab.world.task import Task, name_of


class Operate(Task):
    """Move the joint of a fixture; `wants_open` says which way."""

    demonstrator = "pilab.world.demonstrators.operate:Operate"
    metrics = ("reached", "placed_right", "wrong_moved")
    wants_open: bool

    def lay_out(self, rng, pool, cell, reserved):
        names = list(places.FIXTURES)
        target = cell[0] if cell else names[rng.integers(len(names))]
        if target not in names:
            raise UnknownNameError("fixture", target, names)
        if cell and cell[1] is not None:
            raise SceneError(f"{self.verb!r} takes no place; leave {cell[1]!r} out")
        # Both start on the same side, so that the noun alone says which one is meant.
        share = (0.0, 0.03) if self.wants_open else (0.9, 1.0)
        values = {name: fixture.travel * rng.uniform(*share) for name, fixture in places.FIXTURES.items()}
        around = list(places.PLACES)
        chosen = [around[i] for i in rng.permutation(len(around))[:2]]
        standing = scenes.stand(rng, [*names, *chosen], values)
        things = scenes.scatter(rng, scenes.draw_company(rng, [pool[rng.integers(len(pool))]], pool), standing)
        return [*things, *standing], Goal(self.verb, target)

    def waypoints(self, parts, goal):
        part = next(p for p in parts if p.name == goal.object)
        travel = places.fixture_of(part).travel
        ends = [tuple(places.handle_position(part, value)) for value in (0.0, travel)]
        return [*ends, *((x, y, z + 0.10) for x, y, z in ends)]

    def opened(self, world, name):
        """How far a fixture is open, 0 … 1."""
        return world.joint(name) / places.fixture_of(world.scene.part(name)).travel

    def achieved(self, world, goal):
        far = self.opened(world, goal.object)
        return bool((far > places.OPEN if self.wants_open else far < places.SHUT) and not world.touched(goal.object))

    def target(self, world, goal):
        return places.handle_position(world.scene.part(goal.object), world.joint(goal.object))

    def subtasks(self, scene, facts):
        thing = name_of(scene.goal.object, facts)
        return f"take the handle of {thing}", f"{self.verb} {thing}", f"let go of {thing}"

    def stage(self, world, goal):
        if self.achieved(world, goal):
            return 2
        return int(world.holder(goal.object) is not None)

    def alternatives(self, parts, goal):
        """The other fixture."""
        return [Goal(self.verb, n) for n in places.FIXTURES if n != goal.object and n in {p.name for p in parts}]
