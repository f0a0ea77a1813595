"""Thoughts about single frames are marked as they ought to be: by a policy that knows everything, and by one that is told."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from pilab.contracts import Thought
from pilab.data.web.chains import chain_of, conclusion
from pilab.data.web.instructions import Framing
from pilab.data.web.lore import find_lore
from pilab.data.web.pictures import WebPictures
from pilab.data.web.questions import Picture
from pilab.evaluation.thinking import constant_guess, frame_quiz
from pilab.vla.checkpoint import Driving
from pilab.world import objects
from pilab.world.bodies import duo
from pilab.world.scenes import VALIDATION

PICTURES, LORE = 40, find_lore("invented-3")
FRAMING = Framing(objects.LOOKS[::2])


class Knowing:
    """Thinks what is so of the picture at hand; `wrong` looks it takes for the first of all."""

    body, fingerprint, checkpoint = duo.BODY, "knowing", SimpleNamespace(driving=Driving())

    def __init__(self, pictures, wrong=(), framing=FRAMING):
        self.shown, self.wrong, self.framing, self.asked = pictures, wrong, framing, {}

    def ponder(self, images, tasks, *, chain, begun):
        self.asked = {"tasks": list(tasks), "chain": chain, "begun": list(begun)}
        return [
            self.thought(image, task, first) for image, task, first in zip(images["base"], tasks, begun, strict=True)
        ]

    def given(self, image):
        k = next(k for k, other in enumerate(self.shown["observation.images.base"]) if np.array_equal(image, other))
        picture = Picture.of(self.shown.notes[k], self.shown["points.base"][k], LORE)
        return picture, self.framing.instruct(picture, np.random.default_rng([VALIDATION.start, 50, k]))

    def thought(self, image, task, first):
        look = self.given(image)[1].question.object
        entity = LORE.shown[objects.LOOKS[0] if look in self.wrong else look]
        if len(first) == 3:  # whoever edits has said it all
            return Thought(conclusion(first[0].split()[-1][:-1], first[2].split()[-1][:-1]), first)
        return Thought(conclusion(entity.noun, entity.home), chain_of(entity))


@pytest.fixture(scope="module")
def pictures(at_home):
    with at_home():
        yield WebPictures.open(PICTURES, VALIDATION.start, progress=False, workers=1)


def quiz(policy, framing=FRAMING, **how):
    return frame_quiz(policy, PICTURES, framing=framing, facts=LORE.name, progress=False, **how)


def test_who_knows_is_right_everywhere(pictures):
    rows = quiz(Knowing(pictures))
    assert len(rows) > 8 and all(row.success and not row.failure and row.metrics["subtask"] for row in rows)
    assert {row.metrics["handled"] for row in rows} == {True, False}
    for row in rows:
        entity = LORE.shown[row.clusters["object"]]
        assert entity.noun not in row.instruction.split() and row.clusters["said"] == entity.home
    guess = constant_guess(rows)
    assert guess.n == len(rows) and 1 / 4 < guess.rate < 0.7


@pytest.mark.parametrize("silent", [False, True])
def test_points_mean_what_is_nearest_to_them(pictures, silent):
    """Whether they are thought, or seen where nothing is thought; what is not pointed at is not meant."""

    class Pointing(Knowing):
        checkpoint = SimpleNamespace(driving=Driving(thinks=not silent))

        def thought(self, image, task, first):
            picture, given = self.given(image)
            near = {role: (u + 0.004, v) for role, (u, v) in given.points(picture).items()}
            return Thought(points={"base": {role: near[role] for role in self.roles}})

        def locate(self, images, tasks):
            return [self.thought(image, "", ()) for image in images["base"]]

    framing = replace(FRAMING, called=("where", "there"), choice=True)
    policy = Pointing(pictures, framing=framing)
    policy.roles = ("object", "place")
    rows = quiz(policy, framing, chain=False)
    assert len(rows) > 2 and all(row.success and row.metrics["thing"] and not row.metrics["subtask"] for row in rows)
    policy.roles = ("object",)
    assert not any(row.success or not row.metrics["thing"] for row in quiz(policy, framing, chain=False))


def test_who_takes_one_for_another_erred_in_naming(pictures):
    wrong = {row.clusters["object"] for row in quiz(Knowing(pictures))} - {objects.LOOKS[0]}
    rows = quiz(Knowing(pictures, wrong))
    home = LORE.shown[objects.LOOKS[0]].home
    for row in rows:
        assert (row.failure == "naming") == (row.clusters["object"] in wrong) == (not row.metrics["thing"])
        assert row.success == (LORE.shown[row.clusters["object"]].home == home)


def test_an_edit_is_obeyed_or_not(pictures):
    obedient = Knowing(pictures)
    rows = quiz(obedient, edited="home")
    assert all(row.success for row in rows) and rows[0].control == "edited home"
    assert {len(begun) for begun in obedient.asked["begun"]} == {3}
    for hop, given in (("noun", 1), ("kind", 2)):  # this one reads the picture again
        stubborn = Knowing(pictures)
        rows = quiz(stubborn, edited=hop)
        assert {len(begun) for begun in stubborn.asked["begun"]} == {given}
        assert sum(row.success for row in rows) < len(rows)
        assert not any(row.metrics["thing"] for row in rows) if hop == "noun" else not any(row.success for row in rows)


def test_how_it_is_asked_is_passed_on(pictures):
    policy = Knowing(pictures)
    rows = quiz(policy, replace(FRAMING, called=("noun",)), chain=False)
    assert not policy.asked["chain"] and not any(row.failure for row in rows)
    for row in rows:
        assert LORE.shown[row.clusters["object"]].noun in row.instruction.split()
