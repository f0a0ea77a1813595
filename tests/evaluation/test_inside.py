"""Inside a policy: features with names, targets in the frames they claim, controls, and shares that add up."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from pilab.contracts import Arm, Joint, PilabError, PolicyError, Thought
from pilab.evaluation.inside import (
    NONE,
    POSITIONS,
    RANDOM,
    TRAINED,
    Frames,
    _listen,
    acting,
    attended,
    blank,
    from_tip,
    look_inside,
    questions,
    shuffled,
    to_know,
    where,
)
from pilab.evaluation.rollout import DEFAULT
from pilab.robots.policies import Hold
from pilab.vla.grounding import ROLES
from pilab.vla.policy import VLAPolicy
from pilab.world.bodies.duo import BODY
from pilab.world.environment import World
from pilab.world.kinematics import chain
from pilab.world.scenes import REPORTED, sample_scene

VIEWS = [
    "words",
    *(f"{eye}{w}" for eye in ("base", "wrist", "other wrist") for w in ("", " + words")),
    "points",
    "trunk",
]
VIEWS += ["expert"]


@pytest.fixture(scope="module")
def policy():
    return VLAPolicy(DEFAULT)


@pytest.fixture(scope="module")
def scenes():
    return [sample_scene(REPORTED.start + i, task) for i, task in enumerate(("put", "open"))]


@pytest.fixture(scope="module")
def frames(policy, scenes):
    return look_inside(policy, scenes, frames=3)


@pytest.fixture(scope="module")
def gaze(policy, scenes):
    (found,) = where(policy, scenes[:1], every=6)
    return found


def under_points(config):
    """Tokens of what lies under each heat map's peak."""
    return len(config.cameras) * len(ROLES) if config.regions else 0


# ---------------------------------------------------------------------------------------------------------------- frames
def test_every_depth_has_its_features(frames, policy):
    named = [("pixels", NONE), ("joints", NONE), *((view, w) for w in (TRAINED, RANDOM) for view in VIEWS)]
    assert sorted(frames.features) == sorted(named)
    assert all(x.shape[0] == len(frames) == 6 and np.isfinite(x).all() for x in frames.features.values())
    c = policy.config
    prefix = sum(len(place) for place in policy.model.place) + 1 + c.summary + under_points(c)
    assert frames.features["trunk", TRAINED].shape[1] == c.layers * prefix * c.width
    assert frames.features["words", TRAINED].shape[1] == c.summary * c.width
    for view in VIEWS:
        trained, random = frames.features[view, TRAINED], frames.features[view, RANDOM]
        assert trained.shape == random.shape and not np.allclose(trained, random)


def test_words_change_what_hears_them_and_nothing_else(frames, policy, scenes):
    other = look_inside(policy, scenes, frames=3, thoughts=True)  # "pick up the cup" instead of all that was said
    same = {view: np.array_equal(frames.features[view, TRAINED], other.features[view, TRAINED]) for view in VIEWS}
    assert {view for view, equal in same.items() if equal} == {"base", "wrist", "other wrist"}
    assert all(np.array_equal(frames.targets[name], other.targets[name]) for name in frames.targets)


def test_the_same_scene_gives_the_same_frames(frames, policy, scenes):
    random = torch.get_rng_state()
    alone = look_inside(policy, scenes[:1], frames=3)
    assert torch.equal(random, torch.get_rng_state())
    for key in set(frames.features) - {("joints", NONE)}:  # those bend around the mean of all frames
        np.testing.assert_array_equal(alone.features[key], frames.features[key][:3])
    for name, target in frames.targets.items():
        np.testing.assert_array_equal(alone.targets[name], target[:3])
    assert policy.model.trunk._forward_hooks == {}, "nobody listens any longer"


def test_what_there_isto_know(frames, scenes):
    assert list(frames.targets) == [*POSITIONS, "contact", "subtask", "verb", "noun"]
    assert frames.targets["verb"].tolist() == 3 * ["put"] + 3 * ["open"]
    assert frames.targets["noun"].tolist() == 3 * ["cup"] + 3 * [scenes[1].goal.object]
    assert frames.targets["subtask"].tolist()[0] == "step 1" and not frames.targets["contact"][0]
    assert sorted(frames.targets["subtask"]) != 6 * ["step 1"]
    assert frames.episode.tolist() == [0, 0, 0, 1, 1, 1] and (np.diff(frames.seconds)[[0, 1, 3, 4]] > 0).all()
    assert not frames.asked["tip frame"].all() and frames.asked["contact"].all()
    before = frames.asked["tip frame"]
    assert before[[0, 3]].all() and not before[[2, 5]].any(), "where it is, is asked until it is touched"
    assert not frames.targets["contact"][before].any()
    np.testing.assert_array_equal(frames.asked["base frame"], before)


def test_a_place_is_seen_from_a_turned_hand():
    """A hand that reaches 0.1 m and is turned by a right angle: what is 5 cm beyond its tip is 5 cm along it."""
    arm = Arm("a", (1.0, 2.0, 0.5), 0.0, (Joint("j", (0, 0, 1), (0, 0, 0), -4, 4),), (0.1, 0, 0), (0.0,), 0.1)
    tip = np.array([1.0, 2.1, 0.5])
    np.testing.assert_allclose(from_tip(arm, np.array([math.pi / 2]), tip + [0, 0.05, 0]), [0.05, 0, 0], atol=1e-12)
    np.testing.assert_allclose(
        from_tip(arm, np.array([math.pi / 2]), tip + [0.03, 0, 0.02]), [0, -0.03, 0.02], atol=1e-12
    )


def test_the_tip_frame_turns_with_the_hand_and_the_base_frame_stays(scenes):
    world, arm = World(scenes[0]), BODY.arms[0]
    state = world.state.copy()
    before = to_know(world, 0)
    state[BODY.slice(arm.name)][len(arm.joints) - 1] += 0.5  # the wrist turns about the way the hand points
    world.pose(state)
    after = to_know(world, 0)
    np.testing.assert_allclose(after["base frame"], before["base frame"], atol=1e-9)
    x, y, z = before["tip frame"]
    axis = chain(arm).axes[-1] @ np.array([1.0, 0, 0])  # which way round
    c, s = math.cos(0.5), math.sin(0.5) * axis
    np.testing.assert_allclose(after["tip frame"], [x, c * y + s * z, c * z - s * y], atol=1e-5)
    gap = np.linalg.norm(world.tips()[0] - after["base frame"])
    assert np.linalg.norm(after["tip frame"]) == pytest.approx(gap, abs=1e-6)


def test_the_hand_that_acts_goes_farthest():
    states = np.repeat(BODY.home[None], 5, 0)
    states[:, BODY.slice(BODY.arms[1].name)][:, 0] += 0.1 * np.arange(5)
    assert acting(BODY, states) == 1


def test_the_blank_policy_differs_in_its_weights_alone(policy):
    one, again, other = blank(policy), blank(policy), blank(policy, seed=1)
    weight = lambda p: p.model.text.embed.weight  # noqa: E731
    assert torch.equal(weight(one), weight(again)) and not torch.equal(weight(one), weight(other))
    assert one.config == policy.config and not torch.equal(weight(one), weight(policy))


# ------------------------------------------------------------------------------------------------------------- questions
def made_up(rng, episodes=20, each=5):
    """Frames of two hands; one feature knows where the thing is, each hand in a slot of its own; another knows nothing."""
    n = episodes * each
    hand, place = np.repeat(rng.permutation(np.arange(episodes) % 2), each), rng.standard_normal((n, 3))
    noun = np.repeat(rng.choice(["apple", "bowl"], episodes), each)
    slots = np.where(
        (hand == 0)[:, None], np.c_[place, rng.standard_normal((n, 3))], np.c_[rng.standard_normal((n, 3)), place]
    )
    knows, knows_not = np.c_[slots, noun == "bowl"], rng.standard_normal((n, 7))
    return Frames(
        {("trunk", TRAINED): knows, ("trunk", RANDOM): knows_not},
        {"tip frame": place, "noun": noun}, {"tip frame": rng.random(n) < 0.8, "noun": np.ones(n, bool)},
        np.repeat(np.arange(episodes), each), hand, np.zeros(n), "abc",
    )  # fmt: skip


def test_questions_come_with_their_controls():
    given = made_up(np.random.default_rng(0))
    rows = questions(given, arm="this", seed=3)
    assert rows == questions(given, arm="this", seed=3)
    of = lambda q, w, c: [  # noqa: E731
        r for r in rows if (r.clusters["quantity"], r.clusters["weights"], r.control) == (q, w, c)
    ]
    assert not of("noun", RANDOM, "shuffled") and len(rows) == 2 * 3 * 5
    assert {(r.unit, r.arm, r.suite, r.seed, r.checkpoint) for r in rows} == {("fold", "this", "inside", 3, "abc")}
    for quantity, least in (("tip frame", 0.0), ("noun", 0.5)):
        known, blind, mixed = (
            of(quantity, TRAINED, "none"),
            of(quantity, RANDOM, "none"),
            of(quantity, TRAINED, "shuffled"),
        )
        assert all(r.success and r.metrics["chance"] == least for r in known)
        assert np.mean([r.metrics["score"] for r in known]) > 0.85, "each hand is read out of its own slot"
        for rest in (blind, mixed):
            assert np.mean([r.metrics["score"] for r in rest]) < least + 0.2
    assert sum(r.metrics["frames"] for r in of("tip frame", TRAINED, "none")) == given.asked["tip frame"].sum()
    near = of("tip frame", TRAINED, "none")[0].metrics
    assert near["score"] == pytest.approx(1 - (near["error_cm"] / near["spread_cm"]) ** 2)
    assert "error_cm" not in of("noun", TRAINED, "none")[0].metrics


def test_what_an_episode_has_throughout_it_keeps_when_shuffled():
    rng, episode = np.random.default_rng(0), np.repeat(np.arange(8), 3)
    noun = np.array(list("aabbccdd"))[episode]
    mixed = shuffled(noun, episode, rng)
    assert (mixed != noun).any() and sorted(mixed) == sorted(noun)
    assert all(len(set(mixed[episode == e])) == 1 for e in range(8))
    steps = np.arange(24.0)
    assert sorted(shuffled(steps, episode, rng)) == sorted(steps)
    assert any(set(shuffled(steps, episode, rng)[episode == e]) != set(steps[episode == e]) for e in range(8))


def test_what_cannot_be_looked_into_is_refused(policy, scenes):
    with pytest.raises(PolicyError, match="Hold has no features to look into; expected a VLAPolicy"):
        look_inside(Hold(), scenes)
    with pytest.raises(PilabError, match="no scenes to look at"):
        look_inside(policy, [])
    with pytest.raises(PilabError, match="0 frames of each episode"):
        look_inside(policy, scenes, frames=0)
    with pytest.raises(PilabError, match="every 0 steps"):
        where(policy, scenes, every=0)
    with pytest.raises(PilabError, match="of the body 'solo'; the policy drives 'duo'"):
        where(policy, [sample_scene(REPORTED.start, "put", body="solo")])
    with pytest.raises(PilabError, match="is there twice"):
        where(policy, [scenes[1], scenes[1]], every=100, driver=Still())
    with pytest.raises(PilabError, match=r"unknown controls \['black'\]"):
        questions(made_up(np.random.default_rng(0)), controls=("black",))


class Still(Hold):
    """Does nothing, and its episodes are therefore long; one look each."""

    think_interval = replan_interval = 10_000


# ------------------------------------------------------------------------------------------------------------------ gaze
def test_a_gaze_knows_when_where_and_what(gaze, policy):
    t = len(gaze.seconds)
    assert t == len(gaze.subtasks) > 5 and gaze.seconds[1] == pytest.approx(0.6)
    assert gaze.subtasks[0].startswith("pick up the cup") and len(set(gaze.subtasks)) == 3
    assert set(gaze.pictures) == set(policy.cameras) == set(gaze.heat) == set(gaze.truth)
    assert gaze.heat["base"].shape == (t, 2, 24, 32) and gaze.pictures["left_wrist"].shape == (t, 48, 48, 3)
    np.testing.assert_allclose(gaze.heat["base"].sum((2, 3)), 1, atol=1e-5)
    assert np.nanmedian(gaze.off("base")[:, 0]) < 4, "the shipped policy knows the cup"
    assert np.isnan(gaze.off("left_wrist")).any(), "a wrist does not see everything all the time"


def test_the_gap_is_in_pixels(gaze):
    points, truth = np.array([[[0.5, 0.5, 1], [0.1, 0.1, 0]]]), np.array([[[0.6, 0.75, 1], [0.1, 0.1, 0]]])
    made = dataclasses.replace(gaze, points={"base": points}, truth={"base": truth})
    off = made.off("base")
    assert off[0, 0] == pytest.approx(math.hypot(0.1 * 128, 0.25 * 96)) and np.isnan(off[0, 1])


def test_shares_of_attention_add_up(gaze, policy):
    assert sum(gaze.tokens.values()) == 20 + 1 + policy.config.summary + under_points(policy.config) + 3 + 4
    assert list(gaze.tokens)[:3] == ["picture: base", "picture: left_wrist", "picture: right_wrist"]
    np.testing.assert_allclose(sum(gaze.attention.values()), 1, atol=1e-5)
    assert all((share >= 0).all() for share in gaze.attention.values())


def test_attention_is_that_of_the_network(policy, scenes):
    """With the values that go with it, it gives what the block itself made of them."""
    seen = [World(scene).observe(policy.cameras) for scene in scenes]
    made, blocks = [], policy.model.head.expert.transformer.blocks
    hook = blocks[1].out.register_forward_pre_hook(lambda _, args: made.append(args[0]))
    kept = _listen(policy, seen, [Thought.nothing() for _ in seen])
    hook.remove()
    calls = [args for block, args in kept["blocks"] if block is blocks[1]]
    assert len(calls) == len(made) == policy.config.flow_steps
    x, turns, mask, context, condition = calls[2]
    weights = attended(blocks[1], x, turns, mask, context, condition)
    h, _ = blocks[1].before_attention(x, condition)
    own = blocks[1].qkv(h).unflatten(-1, (3, blocks[1].heads, -1)).permute(2, 0, 3, 1, 4)[2]
    found = (weights @ torch.cat([context[1], own], 2)).transpose(1, 2).flatten(2)
    torch.testing.assert_close(found, made[2], atol=1e-5, rtol=1e-4)
