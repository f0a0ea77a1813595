"""What is in mind is judged apart from what the hands do."""

import pytest

from pilab.contracts import Thought
from pilab.evaluation.judging import agree
from pilab.evaluation.rollout import evaluate
from pilab.robots.policies import Hold
from pilab.world.scenes import VALIDATION, sample_scene
from pilab.world.task import facts_of, task_of


@pytest.mark.parametrize(
    ("said", "right", "same"),
    [
        ("pick up the apple", "put the apple in the bowl", True),
        ("put the apple in the bowl", "pick up the apple", True),
        ("put the apple on the tray", "put the apple in the bowl", False),
        ("pick up the plum", "pick up the apple", False),
        ("leave the apple in the bowl", "put the apple in the bowl", True),
        ("open the lid", "open the lid", True),
        ("open the lid", "open the drawer", False),
        ("well", "pick up the apple", False),
    ],
)
def test_the_same_thing_and_the_same_place(said, right, same):
    assert agree(said, right) == same


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
        (row,) = evaluate(Stubborn(which), "tidy", scenes=SCENES, judged=True, progress=False)
        assert row.metrics["chosen"] == share and not row.success
    (row,) = evaluate("hold", "tidy", scenes=SCENES, judged=True, progress=False)
    assert row.metrics["chosen"] is None
    (row,) = evaluate("hold", "tidy", scenes=SCENES, progress=False)
    assert "chosen" not in row.metrics


def test_the_demonstrator_knows_what_it_does():
    rows = evaluate("demonstrator", "tidy", scenes=SCENES, judged=True, progress=False, on_episode=lambda o, r: None)
    assert rows[0].success and rows[0].metrics["chosen"] > 0.9
