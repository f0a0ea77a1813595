"""A VLA as a policy: one text conditions an act, points override heat maps, bad readings are refused, nothing else matters."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from pilab.contracts import NOISE, STATE, TASK, PilabError, Policy, PolicyError, Thought, UnknownNameError, image_key
from pilab.evaluation.rollout import DEFAULT
from pilab.robots.executor import batch
from pilab.vla.actions import Normaliser, find_space
from pilab.vla.checkpoint import Checkpoint, Driving
from pilab.vla.grounding import ROLES
from pilab.vla.model import VLA, Batch
from pilab.vla.policy import VLAPolicy
from pilab.vla.senses import OWN, feel
from pilab.vla.thoughts import TOLD, recalled
from pilab.vla.tokenizer import Tokenizer
from pilab.world.bodies import duo, solo
from pilab.world.environment import World
from pilab.world.scenes import VALIDATION, sample_scene

T = Tokenizer.default()
WORDS = frozenset("pick up put the apple red blue block in bowl".split())
TEXTS = ["pick up the apple", "put the apple in the bowl", "let go", "put the red and blue block in the bowl", "stop"]


def normaliser_for(config, body=duo.BODY):
    rng = np.random.default_rng(0)
    state = body.home + 0.2 * rng.standard_normal((200, body.size))
    actions = state[:, None] + 0.02 * rng.standard_normal((200, config.horizon, body.size)).cumsum(1)
    space = find_space(config.action_space)
    return Normaliser.fit(feel(body, OWN, {STATE: state}), space.encode(body, state, actions), space.floor(body))


def policy_for(model, body=duo.BODY, **driving):
    checkpoint = Checkpoint(model, normaliser_for(model.config, body), T, WORDS, Driving(**driving))
    return VLAPolicy(checkpoint, body)


def observed(config, texts, body=duo.BODY, seed=0):
    """Random pictures, joints near home, noise, and these instructions."""
    rng, rows = np.random.default_rng(seed), len(texts)
    seen = {image_key(n): rng.integers(0, 256, (rows, h, w, 3), np.uint8) for n, h, w in config.cameras}
    seen[STATE] = (body.home + 0.1 * rng.standard_normal((rows, body.size))).astype(np.float32)
    size = find_space(config.action_space).size(body)
    seen[NOISE] = rng.standard_normal((rows, config.horizon, size)).astype(np.float32)
    return {**seen, TASK: list(texts)}


@pytest.fixture(scope="module")
def policy(tiny, lively):
    return policy_for(lively(tiny(answer_length=24)))  # what it mumbles is short enough to be acted on


@pytest.fixture(scope="module")
def seen(policy):
    return observed(policy.config, TEXTS)


def row(observation, i):
    return {key: value[i : i + 1] for key, value in observation.items()}


def without(observation, key):
    return {k: v for k, v in observation.items() if k != key}


NOTHING = [Thought.nothing()] * len(TEXTS)

# ------------------------------------------------------------------------------------------------------------- contract


def test_it_is_a_policy(policy):
    assert isinstance(policy, Policy)
    assert not policy.privileged
    assert policy.cameras == ("base", "left_wrist", "right_wrist")
    assert policy.noise_shape == (policy.config.horizon, 14)


def test_it_is_driven_as_the_checkpoint_says(tiny, lively):
    policy = policy_for(lively(tiny()), replan_interval=7, think_interval=3)
    assert (policy.replan_interval, policy.think_interval) == (7, 3)


@pytest.mark.parametrize("space", ["relative_pose", "relative_joints", "absolute_joints"])
@pytest.mark.parametrize("body", [duo.BODY, solo.BODY], ids=["duo", "solo"])
def test_a_chunk_is_joint_targets_within_limits(tiny, lively, space, body):
    policy = policy_for(lively(tiny(body, action_space=space)), body)
    seen = observed(policy.config, TEXTS[:2], body)
    chunk = policy.act(seen, NOTHING[:2])
    assert chunk.shape == (2, policy.config.horizon, body.size) and chunk.dtype == np.float32
    assert np.isfinite(chunk).all()
    assert (chunk >= body.action.low - 1e-6).all() and (chunk <= body.action.high + 1e-6).all()


def test_acting_and_thinking_are_pure(policy, seen):
    before = {key: np.copy(value) for key, value in seen.items()}
    first, thoughts = policy.act(seen, NOTHING), policy.think(seen, NOTHING)
    assert np.array_equal(policy.act(seen, NOTHING), first)
    assert policy.think(seen, NOTHING) == thoughts
    assert all(np.array_equal(seen[key], value) for key, value in before.items())


def test_other_noise_another_chunk(policy, seen):
    chunk = policy.act(seen, NOTHING)
    assert not np.allclose(policy.act({**seen, NOISE: -seen[NOISE]}, NOTHING), chunk, atol=1e-3)


def test_a_cooler_policy_begins_with_less_noise(tiny, lively, policy, seen):
    model = lively(tiny())
    half, none = policy_for(model, temperature=0.5), policy_for(model, temperature=0.0)
    assert np.array_equal(half.act(seen, NOTHING), policy.act({**seen, NOISE: 0.5 * seen[NOISE]}, NOTHING))
    assert np.array_equal(none.act(seen, NOTHING), none.act({**seen, NOISE: -seen[NOISE]}, NOTHING))


@pytest.mark.parametrize("space", ["relative_pose", "relative_joints"])
def test_rows_agree_alone_and_in_a_batch_of_five(tiny, lively, space):
    policy = policy_for(lively(tiny(action_space=space)))
    seen = observed(policy.config, TEXTS)
    thoughts = [
        Thought(),
        Thought(subtask="pick up the apple"),
        *NOTHING[2:4],
        Thought(points={"base": {"object": (0.3, 0.6)}}),
    ]
    assert len({len(T.encode(text)) for text in TEXTS}) > 3  # texts of different lengths
    whole, thought = policy.act(seen, thoughts), policy.think(seen, thoughts)
    for i in range(len(TEXTS)):
        np.testing.assert_allclose(policy.act(row(seen, i), thoughts[i : i + 1])[0], whole[i], atol=1e-4, rtol=0)
        assert policy.think(row(seen, i), thoughts[i : i + 1]) == thought[i : i + 1]


# ------------------------------------------------------------------------------------------------------------- one text
def test_with_a_subtask_the_instruction_changes_no_bit(policy, seen):
    subtasks = [Thought(subtask="pick up the apple")] * 5
    chunk = policy.act(seen, subtasks)
    other = {**seen, TASK: list(reversed(TEXTS))}
    assert np.array_equal(policy.act(other, subtasks), chunk)
    for a, b in zip(policy.look(other, subtasks), policy.look(seen, subtasks), strict=True):
        assert a.points == b.points
        assert all(np.array_equal(a.heat[camera], b.heat[camera]) for camera in a.heat)
    # Without one, the instruction is what conditions the act; and the subtask is read as the instruction would be.
    assert not np.allclose(policy.act(other, NOTHING)[0], policy.act(seen, NOTHING)[0], atol=1e-3)
    assert np.array_equal(policy.act({**seen, TASK: ["pick up the apple"] * 5}, NOTHING), chunk)


def test_words_beside_the_subtask_change_no_bit(policy, seen):
    plain = [Thought(subtask="let go")] * 5
    more = [
        dataclasses.replace(t, chain=("pick up", "the apple"), memory={"x": 1}, author="person", born=3.0)
        for t in plain
    ]
    assert np.array_equal(policy.act(seen, plain), policy.act(seen, more))


CAMERA = ("base", 48, 64)
SPOTS = np.array([[0.2, 0.25], [0.5, 0.25], [0.8, 0.25], [0.2, 0.75], [0.5, 0.75], [0.8, 0.75]])
COLOURS = {"red": (220, 40, 40), "blue": (40, 60, 220)}


def two_blocks(red, blue):
    """A picture (48, 64, 3) of two blocks, 12 pixels wide, at these (u, v)."""
    picture = np.full((48, 64, 3), 120, np.uint8)
    for (u, v), colour in zip((red, blue), COLOURS.values(), strict=True):
        x, y = round(u * 64), round(v * 48)
        picture[y - 6 : y + 6, x - 6 : x + 6] = colour
    return picture


@pytest.fixture(scope="module")
def pointer(tiny):
    """A policy that has learnt, on pictures of two blocks, to point at the one that is named."""
    config = dataclasses.replace(tiny(image_tokens=False, glimpse=0), cameras=(CAMERA,))
    torch.manual_seed(0)
    model, rng = VLA(config), np.random.default_rng(0)
    pairs = [rng.permutation(6)[:2] for _ in range(12)]
    pictures = np.stack([two_blocks(SPOTS[a], SPOTS[b]) for a, b in pairs for _ in COLOURS])
    texts = [f"pick up the {colour} block" for _ in pairs for colour in COLOURS]
    ids, mask = T.batch(texts, 8)
    points = np.zeros((len(texts), 1, len(ROLES), 3), np.float32)
    points[:, 0, 0, :2] = [SPOTS[pair[i]] for pair in pairs for i in range(2)]
    points[:, 0, 0, 2] = 1  # the place is not in sight
    batch = Batch(
        torch.from_numpy(ids), torch.from_numpy(mask), images={"base": torch.from_numpy(pictures)},
        points=torch.from_numpy(points), labelled=torch.ones(points.shape[:3]),
    )  # fmt: skip
    optimiser = torch.optim.Adam(model.parameters(), 4e-3)
    for _ in range(150):
        optimiser.zero_grad()
        sum(model.loss(batch).values()).backward()
        optimiser.step()
    return policy_for(model)


@pytest.mark.parametrize("spots", [(0, 4), (4, 0), (2, 3), (1, 5)])
def test_editing_the_subtask_moves_the_heat_map_to_the_object_it_names(pointer, spots):
    """One picture, one instruction: the thought alone decides where the policy looks."""
    red, blue = SPOTS[list(spots)]
    seen = {
        **observed(pointer.config, ["pick up the red block"] * 2),
        image_key("base"): np.stack([two_blocks(red, blue)] * 2),
    }
    looks = pointer.look(seen, [Thought(subtask=f"pick up the {colour} block") for colour in COLOURS])
    for look, spot in zip(looks, (red, blue), strict=True):
        heat = look.heat["base"][0]
        assert heat.sum() == pytest.approx(1, abs=1e-4)
        v, u = np.unravel_index(heat.argmax(), heat.shape)
        peak = (u + 0.5) / heat.shape[1], (v + 0.5) / heat.shape[0]
        np.testing.assert_allclose(peak, spot, atol=0.1)  # half a block
        np.testing.assert_allclose(look.points["base"]["object"], spot, atol=0.1)
        assert "place" not in look.points["base"]
    np.testing.assert_array_equal(looks[0].heat["base"], pointer.look(seen, [Thought(), Thought()])[1].heat["base"])


# --------------------------------------------------------------------------------------------------------------- points
def test_points_of_a_thought_override_the_heat_maps(policy, seen):
    own = policy.act(seen, NOTHING)
    looks = policy.look(seen, NOTHING)
    assert any(look.points[camera] for look in looks for camera in look.points)
    same = [Thought(points=look.points) for look in looks]
    np.testing.assert_allclose(policy.act(seen, same), own, atol=1e-5)  # told what it sees anyway, up to rounding
    other = [Thought(points={"base": {"object": (0.1, 0.9), "place": (0.9, 0.1)}}), *NOTHING[1:]]
    moved = policy.act(seen, other)
    np.testing.assert_allclose(moved[1:], own[1:], atol=1e-5)
    assert not np.allclose(moved[0], own[0], atol=1e-3)


def test_an_act_is_with_the_points_it_was_told(tiny, lively):
    """Where points are the only way from pixels to actions and all are told, it is the act of a model without eyes."""
    policy = policy_for(lively(tiny(image_tokens=False, glimpse=0)))
    seen = observed(policy.config, TEXTS[:1])
    points = {
        camera: {"object": (0.1 + 0.2 * i, 0.5), "place": (0.9, 0.2 * i)} for i, camera in enumerate(policy.cameras)
    }
    chunk = policy.act(seen, [Thought(points=points)])
    dark = {key: np.zeros_like(value) if key.startswith("observation.images") else value for key, value in seen.items()}
    assert np.array_equal(policy.act(dark, [Thought(points=points)]), chunk)
    assert not np.array_equal(policy.act(dark, [Thought()]), policy.act(seen, [Thought()]))


@pytest.mark.parametrize("point", [(1.2, 0.5), (0.5, -0.1), (float("nan"), 0.5)])
def test_points_outside_the_picture_are_refused(policy, seen, point):
    with pytest.raises(PolicyError, match=r"point \(.*expected \(u, v\) in 0 … 1"):
        policy.act(seen, [Thought(points={"base": {"object": point}}), *NOTHING[1:]])


def test_points_of_unknown_cameras_and_roles_are_refused(policy, seen):
    with pytest.raises(UnknownNameError, match="unknown camera 'nose'; valid: base, left_wrist, right_wrist"):
        policy.act(seen, [Thought(points={"nose": {"object": (0.5, 0.5)}}), *NOTHING[1:]])
    with pytest.raises(UnknownNameError, match=r"unknown role of a point 'target'; valid: object, place"):
        policy.act(seen, [Thought(points={"base": {"target": (0.5, 0.5)}}), *NOTHING[1:]])


# ------------------------------------------------------------------------------------------------------------- thinking
def test_a_thought_is_words(policy, seen):
    for thought in policy.think(seen, NOTHING):
        assert thought.author == "policy" and not thought.points
        assert thought.subtask is None or (isinstance(thought.subtask, str) and thought.chain == ())


def test_a_thought_goes_on_from_what_a_person_began(policy, seen):
    begun = Thought(chain=("i see the apple.",), author="person")
    thoughts = policy.think(seen, [begun, *NOTHING[1:]])
    assert thoughts[0].chain[0] == "i see the apple." and thoughts[0].author == "policy"
    assert thoughts[1:] == policy.think(seen, NOTHING)[1:]
    # Words that a policy thought before, or a subtask that a person said, begin nothing.
    for other in (dataclasses.replace(begun, author="policy"), dataclasses.replace(begun, subtask="let go")):
        assert policy.think(seen, [other, *NOTHING[1:]]) == policy.think(seen, NOTHING)


def test_a_memory_goes_from_thought_to_thought(policy, seen):
    """Read beside the instruction, kept where nothing is said of it, cut where it does not fit: the oldest goes first."""
    policy = copy.copy(policy)
    policy.checkpoint = dataclasses.replace(policy.checkpoint, driving=Driving(remembers=True))
    long = "close the lid. " + "open the drawer. " * 30
    told = ["", "open the lid.", long, "", ""]
    thoughts = policy.think(seen, [Thought(memory={TOLD: memory}) for memory in told])
    assert all(TOLD in thought.memory for thought in thoughts)
    free = policy.think(seen, NOTHING)
    assert thoughts[0] == free[0] and thoughts[1] != free[1]  # it was read
    kept = recalled(T, TEXTS[2], long, policy.config.text_length)
    assert "lid" not in kept and kept.startswith("open the drawer.")
    assert len(T.encode(kept)) + len(T.encode(TEXTS[2])) + 1 <= policy.config.text_length
    assert recalled(T, TEXTS[1], told[1], policy.config.text_length) == told[1]


def test_pondering_needs_no_robot(policy, seen):
    shown = {"base": seen[image_key("base")]}
    free = policy.ponder(shown, seen[TASK], chain=False)
    assert policy.ponder(shown, seen[TASK], rows=2) == free  # as it is driven; in any portions
    begun = policy.ponder(shown, seen[TASK], begun=[("let go.",), *[()] * 4])
    assert begun[0].chain[0] == "let go." and begun[1:] == free[1:]
    assert all(len(t.chain) for t in policy.ponder(shown, seen[TASK], chain=True) if t.subtask is None)


def test_a_thought_follows_from_the_instruction_not_from_the_last_thought(policy, seen):
    thoughts = policy.think(seen, NOTHING)
    assert policy.think(seen, [Thought(subtask="pick up the apple")] * 5) == thoughts
    assert len({t.subtask for t in thoughts}) > 1


def test_it_can_be_told_not_to_think(tiny, lively):
    policy = policy_for(lively(tiny()), thinks=False)
    thoughts = policy.think(observed(policy.config, ["put the zobax in the bowl"]), NOTHING[:1])
    assert thoughts == [Thought(memory={"unseen": ["zobax"]})]


@pytest.mark.parametrize(("task", "literal"), [("put", True), ("away", False), ("check", False)])
def test_words_that_say_it_all_are_taken_as_they_are(task, literal):
    """What is shipped: a thing that is named and seen needs no thought; one that is not named, or is meant, does."""
    policy = VLAPolicy(DEFAULT)
    assert policy.checkpoint.driving.literal
    always = dataclasses.replace(
        policy.checkpoint, driving=dataclasses.replace(policy.checkpoint.driving, literal=False)
    )
    for seed in range(VALIDATION.start, VALIDATION.start + 3):
        scene = sample_scene(seed, task)
        seen = batch([{**World(scene).observe(policy.cameras), TASK: scene.instruction}])
        (thought,) = policy.think(seen, [Thought()])
        (own,) = VLAPolicy(always).think(seen, [Thought()])
        assert own.subtask not in (None, scene.instruction)
        if literal:
            assert (thought.subtask, thought.chain) == (scene.instruction, (own.subtask,))
            assert thought.memory == own.memory
        else:
            assert thought == own
            assert bool(thought.chain) == (task == "away")


def test_words_that_training_never_showed_are_flagged_and_accepted(policy, seen):
    texts = ["put the apple in the bowl", "put the zobax in the glim bowl", *TEXTS[2:]]
    thoughts = policy.think({**seen, TASK: texts}, NOTHING)
    assert "unseen" not in thoughts[0].memory
    assert thoughts[1].memory["unseen"] == ["zobax", "glim"]
    assert policy.unseen("Put the ZOBAX down") == ["zobax", "down"]
    assert np.isfinite(policy.act({**seen, TASK: texts}, NOTHING)).all()


def test_of_what_is_too_long_the_beginning_is_read_and_the_rest_flagged(policy, seen):
    """Nonsense takes more pieces than sense: a robot that is spoken to so does not fall over."""
    long = "put the apple in the bowl " + "kpci pu eht olywel nda " * 8 + "quickly"
    assert len(T.encode(long)) > policy.config.text_length
    told = {text: {**seen, TASK: [text] * len(TEXTS)} for text in (long, long.removesuffix("quickly"), "a" * 600)}
    first, *_ = policy.think(told[long], NOTHING)
    assert first.memory["unseen"] == policy.unseen(long) and "quickly" in policy.unseen(long)
    chunks = [policy.act(observation, NOTHING) for observation in told.values()]
    np.testing.assert_array_equal(chunks[0], chunks[1])
    assert np.isfinite(chunks).all()


# -------------------------------------------------------------------------------------------------------------- refusals
@pytest.mark.parametrize("call", ["act", "think", "look"])
def test_a_missing_camera_is_refused(policy, seen, call):
    with pytest.raises(PolicyError, match=r"no picture from camera 'left_wrist'; the policy needs base, left_wrist"):
        getattr(policy, call)(without(seen, image_key("left_wrist")), NOTHING)


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda x: x[:, ::2], r"uint8 \(5, 48, 128, 3\)"),
        (lambda x: x.astype(np.float32) / 255, "float32"),
        (lambda x: x[..., 0], r"uint8 \(5, 96, 128\)"),
        (lambda x: x.transpose(0, 3, 1, 2), r"uint8 \(5, 3, 96, 128\)"),
        (lambda x: x[:1], r"uint8 \(1, 96, 128, 3\)"),
    ],
    ids=["resolution", "float", "grey", "channels first", "rows"],
)
def test_a_picture_of_another_kind_is_refused(policy, seen, damage, found):
    key = image_key("base")
    with pytest.raises(PolicyError, match=rf"camera 'base' gave {found}.*expected uint8 \(5, 96, 128, 3\)"):
        policy.act({**seen, key: damage(seen[key])}, NOTHING)


@pytest.mark.parametrize(
    "damage",
    [
        lambda x: np.where(np.arange(14) == 3, np.nan, x),
        lambda x: np.where(np.arange(14) == 3, np.inf, x),
        lambda x: x[:, :13],
        lambda x: x[0],
    ],
    ids=["NaN", "infinite", "too few", "no batch"],
)
def test_joints_that_cannot_be_are_refused(policy, seen, damage):
    with pytest.raises(PolicyError, match=r"observation\.state (holds (nan|inf) at|has shape .*; expected \(5, 14\))"):
        policy.act({**seen, STATE: damage(seen[STATE])}, NOTHING)


def test_another_body_is_refused(policy):
    with pytest.raises(PolicyError, match="drives the body 'duo', not 'solo'; train one for it"):
        VLAPolicy(policy.checkpoint, solo.BODY)


def test_the_body_follows_from_the_checkpoint(policy):
    assert VLAPolicy(policy.checkpoint).body == duo.BODY


@pytest.mark.parametrize("text", ["", "  ", "\t"])
def test_silence_is_refused_or_acted_on_but_never_with_nan(policy, seen, text):
    try:
        chunk = policy.act({**seen, TASK: [text, *TEXTS[1:]]}, NOTHING)
    except PilabError:
        return
    assert np.isfinite(chunk).all()


@pytest.mark.parametrize("point", [(0.1, 0.2, 0.3), ("a", 0.5), 0.5])
def test_what_is_no_point_is_refused(policy, seen, point):
    with pytest.raises(PolicyError, match="expected \\(u, v\\)"):
        policy.act(seen, [Thought(points={"base": {"object": point}}), *NOTHING[1:]])


def test_noise_that_cannot_be_is_refused(policy, seen):
    for noise in (seen[NOISE] * np.nan, seen[NOISE][:, :3]):
        with pytest.raises(PolicyError, match="noise"):
            policy.act({**seen, NOISE: noise}, NOTHING)


def test_features_of_pictures_of_any_size(policy):
    """A row at a time as all at once, a quarter of the size either way; other words, other features."""
    pictures = np.random.default_rng(3).integers(0, 256, (5, 64, 80, 3), np.uint8)
    found = policy.features(pictures, "pick up the apple")
    assert found.shape == (5, policy.config.channels, 16, 20) and np.isfinite(found).all()
    np.testing.assert_allclose(found, policy.features(pictures, "pick up the apple", rows=2), atol=1e-4)
    assert np.abs(found - policy.features(pictures, "put the apple in the bowl")).max() > 1e-3
