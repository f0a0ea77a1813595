"""The columns of pilab's own datasets, as LeRobot features.

No extra column starts with `observation.` or `action`: LeRobot would feed it to policies.
"""

from __future__ import annotations

from pilab.contracts import ACTION, EXECUTED, STATE, Embodiment, image_key, points_key
from pilab.data.lerobot import Feature

SUBTASK, SOURCE, INTERVENTION, SUCCESS = "subtask", "source", "is_intervention", "next.success"
SPEAKER = "speaker"  # who said the subtask: policy, person, demonstrator, oracle; "" where nobody said one


def features(body: Embodiment, slots: int) -> dict[str, Feature]:
    """Per-frame columns of a recording with `body`; `slots` objects and places have points (0: nobody knows where they are).

    `action` is the clean label, `executed` the command that was sent; `points.<camera>` (slots × (u, v, visible), flat) is
    where every object and place is in the picture, in the order of the episode's Scene, so that demonstrations can be
    relabelled with other instructions.
    """
    names = list(body.action.names)
    vector = Feature("float32", (body.size,), names)
    columns = {STATE: vector, ACTION: vector, EXECUTED: vector}
    columns |= {s.key: Feature("float32", s.shape, None) for s in body.sensors}
    for camera in body.cameras:
        columns[image_key(camera.name)] = Feature.image(camera.height, camera.width)
    where = [f"{i}.{axis}" for i in range(slots) for axis in ("u", "v", "visible")]
    if slots:
        columns |= {points_key(c.name): Feature("float32", (3 * slots,), where) for c in body.cameras}
    columns |= {key: Feature("string", (1,), None) for key in (SUBTASK, SPEAKER, SOURCE)}
    columns |= {INTERVENTION: Feature("bool", (1,), None), SUCCESS: Feature("bool", (1,), None)}
    return columns
