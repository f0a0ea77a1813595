"""The viewer of thoughts without a browser: what is told of a moment, what is thought on, and what messages cannot do."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pilab.contracts import ENVIRONMENT_STATE, SCENE, STATE, TASK, PilabError, Policy, Thought, image_key, points_key
from pilab.figures.thoughts import draw_camera
from pilab.robots.executor import Executor
from pilab.robots.simulated import Reel, Trial, simulate
from pilab.widgets.page import jpeg
from pilab.widgets.thoughts import HEIGHT, LONGEST, Thoughts, said
from pilab.world.bodies.duo import BODY
from pilab.world.scenes import sample_scene

CHAIN = ("i see the apple.", "the apple is a fruit.", "fruits belong in the bowl.")
CAMERAS = tuple(c.name for c in BODY.cameras)
LOOKED = 3  # every third moment has pictures


class Heard(Thoughts):
    """Keeps what it would send to a page, and every change of its error."""

    def __init__(self, *values, **options):
        self.__dict__["out"], self.__dict__["errors"] = [], []
        super().__init__(*values, **options)
        self.observe(lambda change: self.errors.append(change["new"]), "error")

    def send(self, content, buffers=None):
        self.out.append((content, buffers or []))

    def ask(self, **message):
        """The answer to a message, or None."""
        before = len(self.out)
        self.receive(message)
        assert len(self.out) - before == (not self.error)
        return None if self.error else self.out[-1]


class Thinker(Policy):
    """Thinks on: the thing in the first sentence is put in the bowl. Looks at a place for each subtask."""

    def __init__(self, cameras=CAMERAS):
        self.cameras, self.asked = cameras, []

    def think(self, observation, previous):
        self.asked.append((observation, previous))
        thing = [t.chain[0].rstrip(".").split()[-1] if t.chain else "apple" for t in previous]
        chains = [(*t.chain, "so be it.") for t in previous]
        return [Thought(f"put the {x} in the bowl", c) for x, c in zip(thing, chains, strict=True)]

    def look(self, observation, thought):
        assert len(observation[TASK]) == len(thought) == 1 and all(image_key(c) in observation for c in self.cameras)
        spot = (len(thought[0].subtask or "") / 50, abs(float(observation[STATE][0, 0])) / 100)
        return [SimpleNamespace(points={"base": {"object": spot}})]

    def unseen(self, text):
        return [word for word in text.replace(".", "").split() if word == "xyzzy"]

    def act(self, observation, thought):
        return np.repeat(observation[STATE][:, None], 4, axis=1)


def observation(k: int, pictures: bool, task: str = "tidy up") -> dict:
    seen = {TASK: task, STATE: np.full(14, k, np.float32), SCENE: "secret", ENVIRONMENT_STATE: np.ones((2, 8))}
    seen[points_key("base")] = np.ones((3, 3), np.float32)
    if pictures:
        seen |= {image_key(c.name): np.full((c.height, c.width, 3), 10 * k, np.uint8) for c in BODY.cameras}
    return seen


def episode() -> Reel:
    """Twelve moments: a chain, the same subtask after another one, a person's words, another instruction."""
    thoughts = [
        *[Thought("pick up the apple", CHAIN)] * 3,
        *[Thought("pick up the apple", CHAIN[:2])] * 3,
        *[Thought("open the lid", author="person", points={"base": {"place": (0.5, 0.5)}})] * 3,
        *[Thought()] * 3,
    ]
    tasks = ["tidy up"] * 10 + ["stop"] * 2
    seen = [observation(k, k % LOOKED == 0, task) for k, task in enumerate(tasks)]
    return Reel(thoughts=thoughts, observations=seen)


@pytest.fixture
def viewer():
    return Heard(episode(), Thinker(), success=True)


def picture(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


# -------------------------------------------------------------------------------------------------------------- looking
def test_the_time_line_has_spans_of_words_and_marks_of_persons(viewer):
    assert viewer.spans == [
        [0, 3, "pick up the apple", "policy"],
        [3, 6, "pick up the apple", "policy"],  # another chain
        [6, 9, "open the lid", "person"],
        [9, 12, "", "policy"],
    ]
    assert viewer.marks == [[6, "open the lid"], [10, "instruction: stop"]]
    assert viewer.about == {
        "moments": 12,
        "seconds": pytest.approx(0.1),
        "success": True,
        "cameras": [["base", 96, 128], ["left_wrist", 48, 48], ["right_wrist", 48, 48]],
        "thinks": True,
    }


def test_who_says_two_things_at_once_is_marked_once():
    moments = [(observation(0, True), Thought()), (observation(1, True, "stop"), Thought("wait", author="person"))]
    assert Thoughts(moments).marks == [[1, "instruction: stop · wait"]]


def test_nothing_is_sent_before_it_is_asked_for(viewer):
    assert viewer.out == [] and viewer.policy.asked == []


def test_a_moment_is_told_in_words_and_pictures(viewer):
    about, pictures = viewer.ask(do="moment", moment=3)
    assert about == {
        "do": "moment",
        "moment": 3,
        "instruction": "tidy up",
        "chain": list(CHAIN[:2]),
        "subtask": "pick up the apple",
        "author": "policy",
        "taken": [3, 3, 3],
    }
    assert [picture(p).shape for p in pictures] == [(HEIGHT, 512, 3), (HEIGHT, HEIGHT, 3), (HEIGHT, HEIGHT, 3)]
    assert viewer.ask(do="moment", moment=11)[0]["instruction"] == "stop"
    assert viewer.ask(do="moment", moment=11)[0]["subtask"] == ""


def test_between_two_looks_the_last_pictures_are_shown_with_their_time(viewer):
    for k in range(12):
        about, pictures = viewer.ask(do="moment", moment=k)
        assert about["taken"] == [k - k % LOOKED] * 3
        assert abs(picture(pictures[1]).astype(int) - 10 * (k - k % LOOKED)).max() < 3, "the pixels of that moment"
    seen, taken = viewer.seen(5)
    assert taken == dict.fromkeys(CAMERAS, 3) and (seen[STATE] == 3).all(), "readings that belong to the pictures"
    assert viewer.seen(10)[0][TASK] == "stop" and viewer.seen(10)[1]["base"] == 9, "but the words are of now"


def test_cameras_may_be_seen_at_different_times_or_never():
    moments = list(zip(episode().observations, episode().thoughts, strict=True))
    del moments[0][0][image_key("left_wrist")], moments[3][0][image_key("base")]
    for seen, _ in moments:
        seen.pop(image_key("right_wrist"), None)
    viewer = Heard(moments, Thinker())
    assert viewer.ask(do="moment", moment=1)[0]["taken"] == [0, None, None]
    about, pictures = viewer.ask(do="moment", moment=4)
    assert about["taken"] == [0, 3, None] and (viewer.seen(4)[0][STATE] == 3).all()
    absent = draw_camera({TASK: ""}, BODY, "right_wrist", Thought(), height=HEIGHT)
    assert pictures[2] == jpeg(np.asarray(absent), sharp=True)


def test_points_are_the_thoughts_own_or_where_the_policy_looks(viewer):
    def drawn(k, points):
        seen, _ = viewer.seen(k)
        return jpeg(np.asarray(draw_camera(seen, BODY, "base", Thought(points=points), height=HEIGHT)), sharp=True)

    looked = {"base": {"object": (len("pick up the apple") / 50, 0.03)}}
    assert viewer.ask(do="moment", moment=4)[1][0] == drawn(4, looked)
    assert viewer.ask(do="moment", moment=7)[1][0] == drawn(7, {"base": {"place": (0.5, 0.5)}})
    alone = Heard(episode())  # without a policy nobody looks
    assert alone.ask(do="moment", moment=4)[1][0] == drawn(4, {})


def test_the_reel_of_a_simulated_episode_is_looked_through():
    """Pictures are there when the policy looked, and only then."""
    reel, policy = Reel(), Thinker(cameras=("base",))
    trial = Trial(sample_scene(1, "point"), watch=reel.watch)
    (outcome,) = simulate(Executor(policy, BODY), [trial], threads=1)
    viewer = Heard(reel, policy, success=outcome.monitor.success)
    about, pictures = viewer.ask(do="moment", moment=7)
    assert about["taken"] == [4, None, None] and len(pictures) == 3
    assert viewer.about["success"] is False and viewer.about["moments"] == outcome.steps
    assert viewer.ask(do="think", moment=7, chain=["i see the fork"])[0]["subtask"] == "put the fork in the bowl"


# ----------------------------------------------------------------------------------------------------------- thinking on
def test_a_changed_sentence_is_thought_on_from(viewer):
    before = [(dict(o), t) for o, t in viewer.moments]
    about, pictures = viewer.ask(do="think", moment=4, chain=[CHAIN[0], " the apple is a xyzzy "])
    (told, (previous,)), *more = viewer.policy.asked
    assert not more and previous == Thought(chain=(CHAIN[0], "the apple is a xyzzy."), author="person")
    assert told[TASK] == ["tidy up"] and (told[STATE] == 3).all() and told[image_key("base")].shape == (1, 96, 128, 3)
    assert not {SCENE, ENVIRONMENT_STATE, points_key("base")} & set(told), "the truth is not for the policy"
    assert about == {
        "do": "think",
        "moment": 4,
        "instruction": "tidy up",
        "chain": [CHAIN[0], "the apple is a xyzzy.", "so be it."],
        "given": 2,
        "subtask": "put the apple in the bowl",
        "author": "policy",
        "unseen": ["xyzzy"],
        "taken": [3, 3, 3],
    }
    spot = {"base": {"object": (len("put the apple in the bowl") / 50, 0.03)}}
    seen, _ = viewer.seen(4)
    drawn = draw_camera(seen, BODY, "base", Thought(points=spot), height=HEIGHT)
    assert pictures[0] == jpeg(np.asarray(drawn), sharp=True), "where it looks for the new subtask"
    assert all(a[1] is b[1] and a[0].keys() == b[0].keys() for a, b in zip(before, viewer.moments, strict=True))


def test_a_notebook_may_think_on_too(viewer):
    assert viewer.think(0, ["i see the lemon"]).subtask == "put the lemon in the bowl"
    with pytest.raises(PilabError, match="12; there are 0 … 11"):
        viewer.think(12, ["i see the lemon"])


def test_a_privileged_policy_is_told_the_truth(viewer):
    viewer.policy.privileged = True
    viewer.think(0, CHAIN)
    assert viewer.policy.asked[0][0][SCENE] == ["secret"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["i see the lemon"], ("i see the lemon.",)),
        (["a b. c d"], ("a b.", "c d.")),
        (["is it a fruit?"], ("is it a fruit?",)),
        (["", "b."], ("b.",)),
    ],
)
def test_what_is_typed_becomes_sentences(typed, meant):
    assert said(typed) == meant == said(meant)


# --------------------------------------------------------------------------------------------------------------- errors
@pytest.mark.parametrize(
    ("message", "match"),
    [
        ({"do": "moment", "moment": 12}, "moment 12; there are 0 … 11"),
        ({"do": "moment", "moment": -1}, "moment -1"),
        ({"do": "moment", "moment": 1.0}, "moment 1.0"),
        ({"do": "moment", "moment": True}, "moment True"),
        ({"do": "moment", "moment": "x" * 10_000}, "moment 'xxx"),
        ({"do": "moment"}, "moment None"),
        ({"do": "think", "moment": 99, "chain": ["a"]}, "moment 99"),
        ({"do": "think", "moment": 0}, "the sentences are None"),
        ({"do": "think", "moment": 0, "chain": "abc"}, "the sentences are 'abc'"),
        ({"do": "think", "moment": 0, "chain": ["a", 1]}, "expected a list of texts"),
        ({"do": "think", "moment": 0, "chain": []}, "nothing was said"),
        ({"do": "think", "moment": 0, "chain": ["a.", " . "]}, "nothing was said"),
        ({"do": "think", "moment": 0, "chain": ["a" * (LONGEST + 1)]}, "501 characters were said; expected up to 500"),
        ({"do": "forget", "moment": 0}, "'forget'; expected moment or think"),
        ({"do": ["moment"], "moment": 0}, "expected moment or think"),
        ({}, "asked for None"),
    ],
)
def test_what_cannot_be_is_said_and_changes_nothing(viewer, message, match):
    assert viewer.ask(**message) is None
    assert match in viewer.error and len(viewer.error) < 200
    assert viewer.policy.asked == []
    viewer.receive(message)
    assert viewer.errors[-3:] == [viewer.error, "", viewer.error], "the page hears it again"
    assert viewer.ask(do="moment", moment=0) and viewer.error == ""


@pytest.mark.parametrize("message", [None, 3, "moment", [1]])
def test_what_is_no_message_is_said(viewer, message):
    viewer.receive(message)
    assert "expected {do: …}" in viewer.error and viewer.out == []


def test_without_a_policy_there_is_only_to_look():
    viewer = Heard(episode())
    assert not viewer.about["thinks"] and viewer.ask(do="moment", moment=0)
    assert viewer.ask(do="think", moment=0, chain=["a"]) is None
    assert "Thoughts(moments, policy=policy)" in viewer.error


def test_what_a_policy_raises_reaches_the_page(viewer):
    viewer.policy.think = lambda observation, previous: [][0]
    assert viewer.ask(do="think", moment=0, chain=["a"]) is None
    assert viewer.error == "IndexError: list index out of range"


def test_an_episode_needs_moments():
    with pytest.raises(PilabError, match="0 moments"):
        Thoughts(Reel())


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-2, 13) | st.text(max_size=8),
    lambda x: st.lists(x, max_size=3), max_leaves=4,
)  # fmt: skip
KEYS = st.sampled_from(["do", "moment", "chain"])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=JSON | st.dictionaries(KEYS, JSON | st.sampled_from(["moment", "think"]), max_size=3))
def test_no_message_breaks_it(viewer, message):
    before, spans = len(viewer.out), viewer.spans
    viewer.receive(message)
    assert len(viewer.out) - before == (not viewer.error)
    assert viewer.spans == spans and [t for _, t in viewer.moments] == episode().thoughts
