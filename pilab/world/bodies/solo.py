"""One arm of the default robot on its own, with its wrist camera: 7 actions. It proves that a body is one file of data."""

from __future__ import annotations

from pilab.contracts import Embodiment
from pilab.world.bodies.duo import BASE_CAMERA, arm, wrist_camera

BODY = Embodiment(
    name="solo",
    arms=(arm("arm", 0.0, (0.9, -1.75, 2.1, 0.0, 1.22, 0.9)),),
    cameras=(BASE_CAMERA, wrist_camera("wrist", "arm")),
)
