"""What is in mind is judged apart from what the hands do."""

import pytest

from pilab.contracts import Thought
from pilab.evaluation.judging import Judge, agrees
from pilab.evaluation.rollout import evaluate
from pilab.robots.policies import Hold
from pilab.world import objects
from pilab.world.scenes import VALIDATION, sample_scene
from pilab.world.task import facts_of, task_of

PUT = sample_scene(VALIDATION.start, "put", cell=(objects.household().look("apple"), "bowl"))
OPEN = sample_scene(VALIDATION.start, "open", cell=("lid", None))


@pytest.mark.parametrize(
    ("said", "scene", "same"),
    [
        ("pick up the apple", PUT, True),
        ("put the apple in the bowl", PUT, True),
        ("put the red and green ball in the bowl", PUT, True),
        ("put the apple on the tray", PUT, False),  # wrong, even before it is picked up
        ("pick up the plum", PUT, False),
        ("leave the apple in the bowl", PUT, True),
        ("open the lid", OPEN, True),
        ("take the handle of the lid", OPEN, True),
        ("open the drawer", OPEN, False),
        ("well", PUT, False),
    ],
)
def test_the_right_thing_and_the_right_place(said, scene, same):
    assert agrees(said, scene) == same


class Stubborn(Hold):
    """Has the first thing in mind from beginning to end, and moves nothing."""

    def __init__(self, which):
        super().__init__()
        self.which = which

    def think(self, observation, previous):
        said = []
        for scene in SCENES:
            said.append(task_of(scene).subtasks(scene, facts_of(scene))[self.which])
        return [Thought(said[0]) for _ in previous]


SCENES = [sample_scene(VALIDATION.start + 4, "tidy")]


def test_who_moves_nothing_may_be_right_all_along():
    for which, share in ((0, 1.0), (-1, 0.0)):
        (row,) = evaluate(Stubborn(which), "tidy", scenes=SCENES, watcher=Judge, progress=False)
        assert row.metrics["chosen"] == share and not row.success
    (row,) = evaluate("hold", "tidy", scenes=SCENES, watcher=Judge, progress=False)
    assert row.metrics["chosen"] is None
    (row,) = evaluate("hold", "tidy", scenes=SCENES, progress=False)
    assert "chosen" not in row.metrics


def test_the_demonstrator_knows_what_it_does():
    rows = evaluate("demonstrator", "tidy", scenes=SCENES, watcher=Judge, progress=False, on_episode=lambda o, r: None)
    assert rows[0].success and rows[0].metrics["chosen"] > 0.9
