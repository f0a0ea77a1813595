"""A body in one file: the default robot with longer upper arms, standing further back, and a sensor that it lacks."""

import dataclasses

from pilab.contracts import SensorSpec
from pilab.world.bodies import duo


def longer(arm):
    """An upper arm of 41 cm instead of 37, and a base 4 cm further from the table."""
    joints = tuple(dataclasses.replace(j, position=(0.41, 0.0, 0.0)) if j.name == "elbow" else j for j in arm.joints)
    return dataclasses.replace(arm, joints=joints, position=(arm.position[0], arm.position[1] - 0.04, 0.0))


BODY = dataclasses.replace(
    duo.BODY,
    name="long arms",
    arms=tuple(longer(arm) for arm in duo.BODY.arms),
    sensors=(SensorSpec("fingertips", (2,), "m", "fingertips:distance"),),
)
