"""Hand a long object over from one hand to the other."""

from __future__ import annotations

from pilab.contracts import Goal, SceneError
from pilab.world import objects, places, scenes
from pilab.world.task import Task, name_of


class Handover(Task):
    name = verb = "handover"
    arms = 2
    seconds = 14.0
    metrics = ("reached", "grasped_any", "grasped_right", "wrong_moved")
    demonstrator = "pilab.world.demonstrators.handover:Handover"
    templates = ("hand over {object}", "pass {object} to the other hand", "give {object} to the other arm")
    paraphrases = (
        "pass {object} from hand to hand",
        "switch {object} over to your other hand",
        "please transfer {object} between your hands",
        "pick up {object} with one hand and give it to the other",
        "do a handover of {object}",
        "move {object} from one hand to the other hand",
        "grab {object} and change hands",
        "would you mind passing {object} between your two hands",
    )
    held_out_templates = ("let the other hand take {object}", "swap hands with {object}")

    def suits(self, look):
        return objects.shape_of(look).grasp_span > 0  # long enough for two hands

    def lay_out(self, rng, pool, cell, reserved):
        long = tuple(k for k in pool if self.suits(k))
        target, _ = scenes.draw_cell(rng, self.verb, long, (None,), reserved, cell)
        if not self.suits(target):
            raise SceneError(f"{target!r} is too short for two hands; hand over a bar or a brick")
        around = list(places.PLACES)
        standing = scenes.stand(rng, [around[i] for i in rng.permutation(len(around))[:2]])
        things = scenes.scatter(rng, scenes.draw_company(rng, [target], pool), standing)
        return [*things, *standing], Goal(self.verb, target)

    def giver(self, scene, goal):
        """The index of the arm that gives: the one on whose side the object starts."""
        return 0 if scene.part(goal.object).position[0] < 0 else 1

    def achieved(self, world, goal):
        receiver = world.body.arms[1 - self.giver(world.scene, goal)].name
        return world.holder(goal.object) == receiver and world.position(goal.object)[2] > 0.05

    def waypoints(self, parts, goal):
        """Both hands must reach the meeting point; the giver's reach of the object follows from its side."""
        return [(0.0, MEETING[0], MEETING[1])]

    def subtasks(self, scene, facts):
        item = name_of(scene.goal.object, facts)
        return f"pick up {item}", f"bring {item} to the middle", f"take {item} with the other hand"

    def stage(self, world, goal):
        giver = world.body.arms[self.giver(world.scene, goal)].name
        if world.holder(goal.object) != giver:
            return 2 if world.touched(goal.object) and world.position(goal.object)[2] > 0.05 else 0
        return 2 if abs(world.position(goal.object)[0]) < 0.03 else 1


MEETING = (0.0, 0.16)  # y and z of the place where the hands meet; x is 0, m
TASK = Handover()
