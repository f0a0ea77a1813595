"""What a model feels: named, in order, and where it was trained so it acts without what is missing."""

import numpy as np
import pytest
import torch

from pilab.contracts import NOISE, STATE, TASK, PolicyError, Thought, UnknownNameError, image_key
from pilab.vla.actions import Normaliser, find_space
from pilab.vla.checkpoint import Checkpoint
from pilab.vla.model import VLAConfig
from pilab.vla.policy import VLAPolicy
from pilab.vla.senses import OWN, feel, spans
from pilab.vla.tokenizer import Tokenizer
from pilab.world.bodies import duo, duo_touch

BODY = duo_touch.BODY
TOUCH, FORCE = "observation.touch", "observation.force"
CAMERAS = [camera.name for camera in BODY.cameras]
NOTHING = [Thought.nothing()] * 2


def observed(config, seed=0):
    rng = np.random.default_rng(seed)
    seen = {image_key(n): rng.integers(0, 256, (2, h, w, 3), np.uint8) for n, h, w in config.cameras}
    seen |= {STATE: (BODY.home + 0.1 * rng.standard_normal((2, BODY.size))).astype(np.float32)}
    seen |= {TOUCH: rng.uniform(0, 5, (2, 4)), FORCE: rng.standard_normal((2, 12)), TASK: ["wipe", "put it in"]}
    size = find_space(config.action_space).size(BODY)
    return seen | {NOISE: rng.standard_normal((2, config.horizon, size)).astype(np.float32)}


def policy_for(lively, config):
    rng = np.random.default_rng(1)
    state = BODY.home + 0.2 * rng.standard_normal((50, BODY.size))
    seen = {STATE: state, TOUCH: rng.uniform(0, 5, (50, 4)), FORCE: rng.standard_normal((50, 12))}
    space = find_space(config.action_space)
    inside = space.encode(BODY, state, state[:, None].repeat(config.horizon, 1))
    normaliser = Normaliser.fit(feel(BODY, config.felt, seen), inside, space.floor(BODY))
    return VLAPolicy(Checkpoint(lively(config), normaliser, Tokenizer.default(), frozenset()))


def without(seen, *keys):
    return {key: value for key, value in seen.items() if key not in keys}


@pytest.mark.parametrize("felt", [OWN, (), ("joints",), ("force", "joints", "touch"), (*OWN, "touch")])
def test_numbers_are_where_their_names_say(felt):
    seen = observed(VLAConfig.nano(BODY))
    found, parts = feel(BODY, felt, seen), spans(BODY, felt)
    assert found.shape == (2, sum(part.stop - part.start for part in parts.values()))
    assert list(parts) == list(felt)
    for name, key in (("joints", STATE), ("touch", TOUCH), ("force", FORCE)):
        if name in felt:
            np.testing.assert_array_equal(found[:, parts[name]], seen[key])


def test_what_a_body_does_not_feel_is_told():
    with pytest.raises(UnknownNameError, match=r"'touch'; valid: joints, tips$"):
        VLAConfig.nano(duo.BODY, felt=("touch",))
    with pytest.raises(UnknownNameError, match="valid: joints, tips, touch, force"):
        spans(BODY, ("smell",))


def test_there_is_room_for_what_is_felt_and_a_config_says_it(tiny):
    config = tiny(BODY, felt=(*OWN, "touch", "force"), missing=(("touch", 0.25),))
    assert config.state_slots == 14 + 18 + 4 + 12
    assert tiny(BODY).state_slots == 32
    assert VLAConfig.from_json(config.to_json()) == config
    old = {key: value for key, value in tiny(BODY).to_json().items() if key not in ("felt", "missing")}
    assert VLAConfig.from_json(old) == tiny(BODY)  # of a checkpoint from before


def test_what_is_felt_moves_the_hand_and_nothing_else_of_it_does(tiny, lively):
    policy = policy_for(lively, tiny(BODY, felt=(*OWN, "touch")))
    seen = observed(policy.config)
    chunk = policy.act(seen, NOTHING)
    np.testing.assert_array_equal(chunk, policy.act({**seen, FORCE: seen[FORCE] + 1}, NOTHING))
    np.testing.assert_array_equal(chunk, policy.act(without(seen, FORCE), NOTHING))
    assert np.abs(chunk - policy.act({**seen, TOUCH: seen[TOUCH] + 1}, NOTHING)).max() > 1e-4


def test_who_feels_nothing_of_itself_still_moves_from_where_it_is(tiny, lively):
    """The joints decide where a relative action goes, not which one is taken."""
    policy = policy_for(lively, tiny(BODY, felt=(), hands=0, action_space="relative_joints"))
    seen = observed(policy.config)
    moved = {**seen, STATE: seen[STATE] + np.float32(0.05)}
    joints = [i for i, name in enumerate(BODY.action.names) if not name.endswith("gripper")]
    a, b = policy.act(seen, NOTHING)[..., joints], policy.act(moved, NOTHING)[..., joints]
    inside = (np.abs(a) < 2) & (np.abs(b) < 2)  # away from the joints' limits
    np.testing.assert_allclose((b - a)[inside], 0.05, atol=1e-5)


def test_who_never_did_without_refuses(tiny, lively):
    policy = policy_for(lively, tiny(BODY, felt=(*OWN, "touch")))
    seen = observed(policy.config)
    with pytest.raises(PolicyError, match="no picture from camera 'left_wrist'; the policy needs base, left_wrist"):
        policy.act(without(seen, image_key("left_wrist")), NOTHING)
    with pytest.raises(PolicyError, match=TOUCH):
        policy.act(without(seen, TOUCH), NOTHING)


def test_who_learnt_to_do_without_goes_on(tiny, lively):
    """As if the picture were masked, whatever it shows, and the sensor read its mean."""
    policy = policy_for(
        lively, tiny(BODY, felt=(*OWN, "touch"), missing=(*((n, 0.2) for n in CAMERAS), ("touch", 0.2)))
    )
    seen = observed(policy.config)
    mean = {**seen, TOUCH: np.broadcast_to(policy.checkpoint.normaliser.state_mean[-4:], (2, 4))}
    np.testing.assert_allclose(policy.act(without(seen, TOUCH), NOTHING), policy.act(mean, NOTHING), atol=1e-5)
    whole = policy.act(seen, NOTHING)
    wrists = [image_key(name) for name in ("left_wrist", "right_wrist")]
    for gone in ([wrists[0]], wrists, [*wrists, image_key("base")]):
        chunk = policy.act(without(seen, *gone), NOTHING)
        assert np.isfinite(chunk).all()
        assert np.abs(chunk - whole).max() > 1e-4
    batch = policy._batch(without(seen, *wrists), ["wipe", "put"])
    assert batch.camera_mask.tolist() == [[True, False, False]] * 2
    dark = policy.act({**seen, wrists[0]: np.zeros_like(seen[wrists[0]])}, NOTHING)  # a black picture is a picture
    assert np.abs(dark - policy.act(without(seen, wrists[0]), NOTHING)).max() > 1e-4
    with pytest.raises(PolicyError, match=STATE):
        policy.act(without(seen, STATE), NOTHING)


def test_what_is_always_missing_is_never_asked_for(tiny, lively):
    """Neither rendered nor read, and what it reads does not matter."""
    missing = (("base", 1.0), ("touch", 1.0), ("joints", 1.0), ("tips", 1.0))
    policy = policy_for(lively, tiny(BODY, felt=(*OWN, "touch"), missing=missing, action_space="relative_joints"))
    assert policy.cameras == ("left_wrist", "right_wrist")
    seen = observed(policy.config)
    chunk = policy.act(without(seen, image_key("base"), TOUCH), NOTHING)
    np.testing.assert_array_equal(chunk, policy.act(seen, NOTHING))
    moved = {**seen, STATE: seen[STATE] + np.float32(0.03)}
    joints = [i for i, name in enumerate(BODY.action.names) if not name.endswith("gripper")]
    np.testing.assert_allclose(policy.act(moved, NOTHING)[..., joints], chunk[..., joints] + 0.03, atol=1e-5)


@pytest.mark.parametrize(("missing", "why"), [
    ((("smell", 0.5),), "valid: base, left_wrist, right_wrist, joints, tips"),
    ((("base", 0.0),), "'base' is 0.0; expected above 0, and at most 1"),
    ((("joints", 0.5),), "'joints' is 0.5; expected 1, or not to be named"),
])  # fmt: skip
def test_what_cannot_be_missing_is_told(missing, why):
    with pytest.raises(PolicyError if "expected" in why else UnknownNameError, match=why):
        VLAConfig.nano(BODY, missing=missing)


def test_what_is_missing_teaches_nothing(tiny, lively):
    """The loss of rows without a camera does not depend on what it would have shown."""
    config = tiny(BODY, missing=(("left_wrist", 0.5),))
    model, batch = lively(config).eval(), config.fake_batch()
    batch.camera_mask = torch.tensor([[True, False, True]] * 3)
    torch.manual_seed(0)
    first = model.loss(batch)
    batch.images["left_wrist"] = 255 - batch.images["left_wrist"]
    batch.points[:, 1] = 1 - batch.points[:, 1]
    torch.manual_seed(0)
    for name, value in model.loss(batch).items():
        assert torch.isfinite(value).all()
        torch.testing.assert_close(value, first[name])
