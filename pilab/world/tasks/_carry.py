"""What tasks share in which one thing is picked up, set down somewhere and left there."""

from __future__ import annotations

from pilab.world import places
from pilab.world.task import Task, name_of


class CarryTask(Task):
    """The three steps, in words and as the oracle sees them."""

    setting_down = "put"  # what the second step is called

    def preposition(self, scene):
        """Whether it goes in or on its place."""
        on = scene.part(scene.goal.place)
        return places.place_of(on).preposition if "place" in on.parameters else "on"

    def subtasks(self, scene, facts):
        item, where = name_of(scene.goal.object, facts), f"{self.preposition(scene)} {name_of(scene.goal.place, facts)}"
        return f"pick up {item}", f"{self.setting_down} {item} {where}", f"leave {item} {where}"

    def stage(self, world, goal):
        if self.achieved(world, goal):
            return 2
        return int(world.holder(goal.object) is not None)
