"""What openpi's clients call things, and what pilab calls them: requests ↔ observations.

Design choices
--------------
* **Two vocabularies**: pilab's flat keys (`observation.state`, `observation.images.base`, `task`), and those of openpi's
  ALOHA environment (`state`, `images` with `cam_high` and the like, `prompt`; pictures CHW, 224 pixels square).
* **Pictures keep their proportions.** openpi's clients fit theirs into a square between black bars; here the largest central
  part with the camera's proportions is taken, which is what was there before the bars.
* **What comes is checked before a policy sees it**, with an error that names the key: a stranger wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from pilab.contracts import STATE, TASK, TOLD, CameraSpec, Embodiment, Observation, PolicyError, Thought, image_key

MAX_TEXT = 2000  # letters of an instruction
SIDE = 224  # pixels of the square pictures openpi's policies take
FIELDS = {
    "subtask": str | None, "chain": list, "points": dict, "trace": list, "author": str, "born": int | float, "memory": dict,
}  # fmt: skip


def read_observation(request: Mapping[str, Any], body: Embodiment, cameras: Sequence[CameraSpec]) -> Observation:
    """A request in our keys, or in openpi's for ALOHA → an observation with pictures of the cameras' sizes.

    Raises `PolicyError`, naming the key, for what is missing, misshapen or not finite. Other keys are ignored.
    """
    aloha = STATE not in request and "state" in request
    state, text = ("state", "prompt") if aloha else (STATE, TASK)
    said = request.get(text)
    said = said.item() if isinstance(said, np.ndarray) and said.size == 1 else said
    if not isinstance(said, str) or not said.strip() or len(said) > MAX_TEXT:
        raise PolicyError(f"{text!r} is {str(said)[:40]!r}; expected what is to be done, in 1 to {MAX_TEXT} letters")
    observation = {STATE: read_numbers(request.get(state), (body.size,), state), TASK: said}
    pictures = request.get("images") if aloha else request
    for camera in cameras:
        key = aloha_name(camera.name) if aloha else image_key(camera.name)
        image = pictures.get(key) if isinstance(pictures, dict) else None
        if image is None:
            needed = ", ".join(c.name for c in cameras)
            raise PolicyError(f"no picture {key!r}; the policy looks through {needed}: send all of them")
        layout = (3, "H", "W") if aloha else ("H", "W", 3)
        good = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.size
        if not good or image.shape[layout.index(3)] != 3:
            there = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise PolicyError(f"picture {key!r} is {there}; expected uint8 ({', '.join(map(str, layout))})")
        image = np.ascontiguousarray(image.transpose(1, 2, 0)) if aloha else image
        observation[image_key(camera.name)] = crop(image, camera.height, camera.width)
    for sensor in body.sensors:
        if sensor.key in request:
            observation[sensor.key] = read_numbers(request[sensor.key], sensor.shape, sensor.key)
    return observation


def to_aloha(observation: Observation, prompt: str) -> dict[str, Any]:
    """One observation → a request in openpi's keys for ALOHA: pictures uint8 (3, 224, 224) between black bars."""
    prefix = image_key("")
    images = {
        aloha_name(key.removeprefix(prefix)): letterbox(image, SIDE).transpose(2, 0, 1)
        for key, image in observation.items()
        if key.startswith(prefix)
    }
    return {"state": np.asarray(observation[STATE], np.float32), "images": images, "prompt": prompt}


def aloha_name(camera: str) -> str:
    """`base` → `cam_high`, `left_wrist` → `cam_left_wrist`."""
    return "cam_high" if camera == "base" else f"cam_{camera}"


def crop(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, 3) uint8 → (height, width, 3): the largest central part of those proportions, resized."""
    if image.shape[:2] == (height, width):
        return image
    share = min(image.shape[0] / height, image.shape[1] / width)
    h, w = (max(1, int(share * side + 1e-9)) for side in (height, width))  # whole pixels: no trace of the bars
    top, left = (image.shape[0] - h) // 2, (image.shape[1] - w) // 2
    part = Image.fromarray(image[top : top + h, left : left + w])
    return np.array(part.resize((width, height), Image.Resampling.BILINEAR))


def letterbox(image: np.ndarray, side: int) -> np.ndarray:
    """(H, W, 3) uint8 → (side, side, 3): the whole picture between black bars, pixel for pixel openpi's resize_with_pad."""
    height, width = image.shape[:2]
    ratio = max(width / side, height / side)
    size = (max(1, int(width / ratio)), max(1, int(height / ratio)))
    square = Image.new("RGB", (side, side))
    whole = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    square.paste(whole, ((side - size[0]) // 2, (side - size[1]) // 2))
    return np.array(square)


def read_thought(fields: Any) -> Thought:
    """A thought as `RemotePolicy` sends it. Raises `PolicyError`."""
    known = isinstance(fields, dict) and all(k in FIELDS and isinstance(v, FIELDS[k]) for k, v in fields.items())
    if not known or not all(isinstance(roles, dict) for roles in fields.get("points", {}).values()):
        raise PolicyError(f"a thought of {str(fields)[:60]}; expected a map of {', '.join(FIELDS)}")
    said = [fields.get("subtask") or "", *fields.get("chain", ()), fields.get("memory", {}).get(TOLD, "")]
    if wrong := [text for text in said if not isinstance(text, str) or len(text) > MAX_TEXT]:
        raise PolicyError(f"{str(wrong[0])[:60]!r} in a thought; expected text of at most {MAX_TEXT} letters")
    return Thought(**{key: value if key == "memory" else _tuples(value) for key, value in fields.items()})


def _tuples(value: Any) -> Any:
    """Lists arrive where tuples left."""
    if isinstance(value, dict):
        return {key: _tuples(v) for key, v in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def read_numbers(value: Any, shape: tuple[int, ...], key: str) -> np.ndarray:
    """Finite numbers of a shape as float32."""
    if value is None:
        raise PolicyError(f"no {key!r}; expected numbers {shape} under that key")
    try:
        array = np.asarray(value)
    except ValueError:  # lists of unequal length
        array = np.empty(0, object)
    if array.dtype.kind not in "iuf" or array.shape != shape:
        raise PolicyError(f"{key!r} is {array.dtype} {array.shape}; expected numbers {shape}")
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise PolicyError(f"{key!r} holds {array[where]} at {where}; expected finite numbers: check what measures them")
    return array
