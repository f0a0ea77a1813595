"""The default robot with what it lacks: touch at its finger tips, force and torque at its wrists. The pads are hard."""

from __future__ import annotations

import dataclasses

from pilab.world.bodies import duo
from pilab.world.sensors import force_of, touch_of

BODY = dataclasses.replace(duo.BODY, name="duo_touch", sensors=(touch_of(2), force_of(2)))
