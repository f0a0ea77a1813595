"""A sensor in one file: how far apart the finger tips of every hand are, in m."""

import numpy as np

from pilab.contracts import SensorSpec
from pilab.world.environment import World


def distance(world: World) -> np.ndarray:
    """(arms,) m, measured between the inner faces of the fingers."""
    gaps = []
    for arm in world.body.arms:
        a, b = (world.model.geom(f"{arm.name}_finger_{side}").id for side in "ab")
        gaps.append(np.linalg.norm(world.data.geom_xpos[a] - world.data.geom_xpos[b]) - 2 * world.model.geom_size[a][1])
    return np.array(gaps)


SENSOR = SensorSpec("fingertips", (2,), "m", f"{__name__}:distance")
