"""The quiz: passed by who knows, failed by who guesses, and each row says about what."""

from __future__ import annotations

import numpy as np
import pytest

from pilab.contracts import PolicyError, UnknownNameError
from pilab.data.web import text
from pilab.data.web.lore import find_lore
from pilab.data.web.pictures import WebPictures
from pilab.data.web.questions import ASKERS, Picture
from pilab.evaluation.quiz import fact_quiz, picture_quiz
from pilab.evaluation.rollout import DEFAULT
from pilab.vla.policy import VLAPolicy
from pilab.world import objects
from pilab.world.bodies import duo
from pilab.world.scenes import VALIDATION

COUNT = 24


@pytest.fixture(autouse=True, scope="module")
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PILAB_HOME", str(tmp_path_factory.mktemp("home")))
        yield


class Knower:
    """Looks a question up among all that can be asked of the pictures it is shown."""

    body, fingerprint = duo.BODY, "0123456789ab"

    def __init__(self, facts="household", forget=()):
        self.lore, self.forget, self.shown = find_lore(facts), forget, []

    def say(self, images, questions):
        web = WebPictures.open(COUNT, VALIDATION.start, progress=False)
        answers = []
        for image, question in zip(images["base"], questions, strict=True):
            self.shown.append(image)
            (k,) = [k for k in range(COUNT) if np.array_equal(web["observation.images.base"][k], image)]
            picture = Picture.of(web.notes[k], web["points.base"][k], self.lore)
            known = {}
            for kind in ASKERS:
                for n in range(60):
                    q = ASKERS[kind](picture, np.random.default_rng(n)) or ASKERS["count"](
                        picture, np.random.default_rng(n)
                    )
                    known.setdefault(q.text, (q.answer, q.object))
            answer, about = known.get(question, ("", None))
            answers.append("nothing" if about in self.forget else answer)
        return answers


def test_who_knows_passes_and_who_forgot_a_thing_fails_on_it():
    rows = picture_quiz(Knower(), COUNT, progress=False)
    assert len(rows) >= 5 and np.mean([row.success for row in rows]) > 0.9
    assert all(row.clusters["object"] in objects.LOOKS and row.metrics["at_work"] for row in rows)
    assert [row.metrics["reserved"] for row in rows] == [row.clusters["object"] in objects.RESERVED for row in rows]
    victim = rows[0].clusters["object"]
    again = picture_quiz(Knower(forget=(victim,)), COUNT, progress=False)
    assert {row.clusters["object"] for row in again if row.clusters["answered"] == "nothing"} == {victim}
    assert not any(row.success for row in again if row.clusters["object"] == victim)
    assert [row.instruction for row in again] == [row.instruction for row in rows]


def test_more_kinds_and_more_pictures():
    some = picture_quiz(Knower(), COUNT, kinds=("name", "count"), at_work=False, progress=False)
    assert {row.clusters["kind"] for row in some} == {"name", "count"}
    assert {row.metrics["at_work"] for row in some} == {True, False}
    assert not any(row.clusters["kind"] == "point" for row in some)
    with pytest.raises(UnknownNameError, match="smell"):
        picture_quiz(Knower(), COUNT, kinds=("smell",), progress=False)


def test_names_of_another_world():
    rows = picture_quiz(Knower("invented-1"), COUNT, facts="invented-1", progress=False)
    assert np.mean([row.success for row in rows]) > 0.9
    strangers = picture_quiz(Knower(), COUNT, facts="invented-1", progress=False)
    assert not any(row.success for row in strangers)


def test_facts_without_pictures():
    class Reader(Knower):
        def say(self, images, questions):
            assert images == {}
            known = dict(text.question(find_lore(), VALIDATION.start, k) for k in range(60))
            return [known[question] if "for" in question else "no idea" for question in questions]

    rows = fact_quiz(Reader(), 60)
    assert len({row.instruction for row in rows}) == len({row.scene for row in rows}) == len(rows) > 20
    assert {row.success for row in rows} == {True, False}
    assert all(row.success == ("for" in row.instruction) for row in rows)


def test_a_policy_answers_in_words():
    """The shipped one was never asked: it answers something, and does not fail."""
    policy = VLAPolicy(DEFAULT)
    image = np.zeros((3, 96, 128, 3), np.uint8)
    assert policy.say({"base": image[:0]}, []) == []
    with pytest.raises(UnknownNameError, match="head"):
        policy.say({"head": image}, ["what is this?"] * 3)
    with pytest.raises(PolicyError, match="resize"):
        policy.say({"base": image[:, :48]}, ["what is this?"] * 3)
    with pytest.raises(PolicyError, match="nothing was said"):
        policy.say({}, [""])
    answers = policy.say({"base": image}, ["what is this?", "how many things are there?", "what is this?"], rows=2)
    assert len(answers) == 3 and answers[0] == answers[2]
    assert len(policy.say({}, ["what is an apple?"])) == 1
