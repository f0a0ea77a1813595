"""What a point points at, against where the simulator says things are."""

import numpy as np
import pytest
import torch

from pilab.contracts import STATE, UnknownNameError, points_key
from pilab.vla.views import COARSE, FEATURES, FINE, displacements, viewpoints, within_reach
from pilab.world.bodies import duo
from pilab.world.environment import World
from pilab.world.scenes import sample_scene

NAMES = [camera.name for camera in duo.BODY.cameras]


@pytest.fixture(scope="module")
def world():
    """A scene in which both wrist cameras see something: the hands have come down a little."""
    world = World(sample_scene(500_001, "put"))
    target = world.state.astype(float)
    for _ in range(12):
        target = target + np.array([0, 0.06, 0.0, 0, 0, 0, 0] * 2)
        world.step(target)
    return world


def seen(world):
    observation = world.observe(points=True)
    points = np.stack([observation[points_key(name)] for name in NAMES])[None]
    cameras, tips = viewpoints(world.body, observation[STATE][None].astype(float), NAMES)
    return torch.from_numpy(points), torch.from_numpy(cameras), torch.from_numpy(tips)


def test_rays_meet_the_table_where_things_stand(world):
    points, cameras, tips = seen(world)
    found = within_reach(points[..., :2], cameras)[0]
    np.testing.assert_allclose(tips[0], world.tips(), atol=1e-6)
    checked = 0
    for slot, part in enumerate(world.scene.parts):
        for camera in range(len(NAMES)):
            # A wrist camera at the rim of its view shows half of a thing, whose middle is elsewhere.
            u, v, visible = points[0, camera, slot]
            if visible and (NAMES[camera] == "base" or (0.2 < u < 0.8 and 0.2 < v < 0.8)):
                gap = found[camera, slot].numpy() - world.position(part.name)[:2]
                assert np.linalg.norm(gap) < 0.012, (part.name, NAMES[camera])
                checked += 1
    assert checked >= 5


def test_a_displacement_leads_the_tip_there_at_two_scales(world):
    points, cameras, tips = seen(world)
    gap = displacements(points[..., :2], cameras, tips)
    assert gap.shape == (1, 3, points.shape[2], FEATURES * 2)
    there = within_reach(points[..., :2], cameras)
    coarse, fine = gap.unflatten(-1, (2, 2, 2)).unbind(-2)  # hand, scale, axis
    for hand in range(2):
        torch.testing.assert_close(tips[:, None, None, hand, :2] + COARSE * coarse[..., hand, :], there)
        torch.testing.assert_close(fine[..., hand, :], ((there - tips[:, None, None, hand, :2]) / FINE).tanh())


def test_a_ray_above_the_horizon_ends_somewhere_finite():
    cameras = torch.zeros(1, 1, 4, 3)
    cameras[0, 0, 0, 2], cameras[0, 0, 3, 0] = 0.5, 1.0  # half a metre up, looking along x
    cameras[0, 0, 1, 1], cameras[0, 0, 2, 2] = 0.5, 0.5
    there = within_reach(torch.tensor([[[[0.5, 0.0], [0.5, 1.0]]]]), cameras)
    assert torch.isfinite(there).all() and there.abs().max() <= 1.0 + 1e-6


def test_an_unknown_camera_is_named(world):
    with pytest.raises(UnknownNameError, match="nose"):
        viewpoints(world.body, world.state[None].astype(float), ["nose"])
