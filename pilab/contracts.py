"""The words that every room of pilab shares. Numpy and the standard library only.

Design choices
--------------
* **One vocabulary from disk to tensor.** The keys of a live observation are LeRobot's keys, so that a parquet column, a
  batch and a robot's reading of its own joints all have the same name. Images are HWC uint8 everywhere outside the model.
* **Everything that describes a world is data.** An `Embodiment` is a frozen record of chains, limits and cameras; a
  `Scene` is a frozen record of parts. Both turn into JSON and back, so rows, datasets and checkpoints can carry them.
* **Names are modules or `module:object`.** `find("put", "pilab.world.tasks", "TASK")` imports `pilab.world.tasks.put`;
  `find("mine:TASK", …)` imports the reader's own file. Nothing registers itself anywhere.
* **Anything that can drive a robot is a `Policy`**: a network, a script, a person, a server on the other side of a socket.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import json
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

# ----------------------------------------------------------------------------------------------------------- vocabulary
STATE = "observation.state"  # (A,) float32: joint angles in rad, grippers 0 (closed) … 1 (open), in action order
ACTION = "action"  # (A,) float32: the clean label, joint position targets
EXECUTED = "executed"  # (A,) float32: the command sent, after noise, clipping and safety
TASK = "task"  # str: the instruction as spoken
ENVIRONMENT_STATE = "observation.environment_state"  # (P, 9) float64: see World.truth; live only, for the privileged
SCENE = "scene"  # Scene; only privileged policies receive it
STAMPS = "stamps"  # {key: s}: when each reading was taken, by the robot's clock; live only, from robots that know it
NOISE = "noise"  # (H, A) float32 standard normal, drawn by the Executor for policies that ask for it

Observation = dict[
    str, Any
]  # one robot's observation; a batch has the same keys and a leading axis (lists for objects)


def image_key(camera: str) -> str:
    """`base` → `observation.images.base`: (H, W, 3) uint8, live, on disk and in a batch."""
    return f"observation.images.{camera}"


def points_key(camera: str) -> str:
    """`base` → `points.base`: (slots, 3) float32 with u, v in 0 … 1 of the image and visibility 0 or 1."""
    return f"points.{camera}"


class Scale(StrEnum):
    """The one dial: how much is done. It sets steps, episodes, seeds and model size, never what is done."""

    SMOKE = "smoke"  # wiring only, seconds; what CI runs
    LAPTOP = "laptop"  # a CPU; the default, and what committed results show
    GPU = "gpu"  # one GPU, bf16

    @classmethod
    def _missing_(cls, value: object) -> Self:
        raise UnknownNameError("scale", value, [s.value for s in cls])


# --------------------------------------------------------------------------------------------------------------- errors
class PilabError(Exception):
    """Something a user can mend. The message names the value, the expectation and the fix."""


class UnknownNameError(PilabError, LookupError):
    """A name that is not there; the message lists the ones that are."""

    def __init__(self, what: str, name: object, valid: Sequence[str], hint: str = "") -> None:
        self.parts = (what, name, list(valid), hint)
        listed = ", ".join(map(str, valid)) or "none"
        super().__init__(f"unknown {what} {name!r}; valid: {listed}" + (f"; {hint}" if hint else ""))

    def __reduce__(self) -> tuple[Any, ...]:
        """Exceptions travel between processes by their arguments, which here are not the message."""
        return type(self), self.parts


class SceneError(PilabError, ValueError):
    """A scene that cannot be sampled, built or solved."""


class ReservedError(PilabError, ValueError):
    """A combination, object or seed that is kept out of robot training data from the first day."""


class DatasetError(PilabError, ValueError):
    """A dataset that is truncated, foreign, of another version, or that cannot be written."""


class PolicyError(PilabError, ValueError):
    """A policy that cannot do what is asked of it, or that answered with something else than a chunk of actions."""


# ---------------------------------------------------------------------------------------------------------------- names
@functools.cache
def names_in(room: str) -> list[str]:
    """The modules of a package that do not start with an underscore: the valid names of that room."""
    package = importlib.import_module(room)
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))


def load(name: str, what: str, valid: Sequence[str] = ()) -> Any:
    """The object that `module:object` names. Raises `UnknownNameError` with the reason, and with the `valid` short names."""
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UnknownNameError(what, name, valid, f"or an importable MODULE:OBJECT ({error})") from error


def find(name: str, room: str, attribute: str, what: str = "name") -> Any:
    """Resolve `name` to an object: a module of `room` (its `attribute`), or any importable `module:object`.

    Raises `UnknownNameError`, listing what `room` holds, when there is no such thing.
    """
    if ":" in name:
        return load(name, what, names_in(room))
    if name not in names_in(room):
        raise UnknownNameError(what, name, names_in(room), "or MODULE:OBJECT for one of your own")
    return getattr(importlib.import_module(f"{room}.{name}"), attribute)


# ------------------------------------------------------------------------------------------------------------- hardware
@dataclass(frozen=True)
class CameraSpec:
    """A pinhole camera. It looks along −z of its frame, x to the right, y up (the OpenGL and MuJoCo convention)."""

    name: str
    height: int  # pixels
    width: int
    fovy: float  # vertical field of view, degrees
    mount: str = "world"  # "world", or the name of an arm, whose hand then carries the camera
    position: tuple[float, float, float] = (0.0, 0.0, 1.0)  # m, in the frame of the mount
    right: tuple[float, float, float] = (1.0, 0.0, 0.0)  # the camera's x axis in that frame
    up: tuple[float, float, float] = (0.0, 1.0, 0.0)  # the camera's y axis in that frame


@dataclass(frozen=True)
class SensorSpec:
    """A further reading of the robot. `kind` is `module:function`, called as f(world) → float array of `shape`."""

    name: str  # its key is observation.<name>
    shape: tuple[int, ...]
    unit: str
    kind: str

    @property
    def key(self) -> str:
        return f"observation.{self.name}"


@dataclass(frozen=True)
class Joint:
    """A revolute joint: turn by the joint angle about `axis`, at `position` in the frame of the link before it."""

    name: str
    axis: tuple[float, float, float]
    position: tuple[float, float, float]  # m
    low: float  # rad
    high: float
    max_speed: float = 3.0  # rad/s


@dataclass(frozen=True)
class Arm:
    """A serial chain from the world to a tool tip, with a parallel gripper at its end."""

    name: str
    position: tuple[float, float, float]  # of the base in the world, m
    yaw: float  # of the base about the world's z axis, rad
    joints: tuple[Joint, ...]
    tip: tuple[float, float, float]  # the tool tip in the frame of the last link, m
    home: tuple[float, ...]  # joint angles at rest, rad
    opening: float  # distance between the open fingers, m

    @property
    def size(self) -> int:
        """Actions of this arm: its joints and its gripper."""
        return len(self.joints) + 1


@dataclass(frozen=True)
class Channel:
    """A number that moves what is no arm: a base, a gantry, whatever a foreign environment has. A position, as joints are."""

    name: str
    low: float
    high: float
    unit: str
    max_speed: float  # units/s
    home: float


@dataclass(frozen=True)
class ActionSpec:
    """What the numbers of an action mean, in order."""

    names: tuple[str, ...]
    low: np.ndarray  # (A,)
    high: np.ndarray
    units: tuple[str, ...]
    max_speed: np.ndarray  # (A,) units/s


@dataclass(frozen=True)
class Embodiment:
    """A robot as pure data: it exists without a simulator, so that a serial robot has one too.

    Actions are joint position targets in arm order, each arm as joints then gripper, and after the arms the channels. The
    default body therefore has ALOHA's order: left joints, left gripper, right joints, right gripper (Zhao et al. 2023,
    arXiv:2304.13705).
    """

    name: str
    arms: tuple[Arm, ...]
    cameras: tuple[CameraSpec, ...]
    sensors: tuple[SensorSpec, ...] = ()
    channels: tuple[Channel, ...] = ()
    build: str = "pilab.world.bodies._serial:build"  # module:function that adds this body to an MjSpec
    control_hz: int = 10  # policies and datasets
    teleop_hz: int = 30  # a person; every third command is recorded
    physics_hz: int = 240  # divided by both
    workspace: tuple[tuple[float, float], ...] = ((-0.5, 0.5), (-0.35, 0.45), (0.0, 0.6))  # tool tips, m

    @functools.cached_property
    def action(self) -> ActionSpec:
        rows = []
        for arm in self.arms:
            rows += [(f"{arm.name}_{j.name}", j.low, j.high, "rad", j.max_speed) for j in arm.joints]
            rows.append((f"{arm.name}_gripper", 0.0, 1.0, "0 closed … 1 open", 5.0))
        rows += [(c.name, c.low, c.high, c.unit, c.max_speed) for c in self.channels]
        names, low, high, units, speed = zip(*rows, strict=True)
        return ActionSpec(names, np.array(low), np.array(high), units, np.array(speed))

    @property
    def size(self) -> int:
        """Number of actions A."""
        return sum(arm.size for arm in self.arms) + len(self.channels)

    @property
    def home(self) -> np.ndarray:
        """(A,) float32: every arm at rest, every gripper open, every channel at its home."""
        rest = [[*arm.home, 1.0] for arm in self.arms]
        return np.concatenate([*rest, [c.home for c in self.channels]]).astype(np.float32)

    def arm(self, name: str) -> Arm:
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise UnknownNameError("arm", name, [a.name for a in self.arms])

    def camera(self, name: str) -> CameraSpec:
        for camera in self.cameras:
            if camera.name == name:
                return camera
        raise UnknownNameError("camera", name, [c.name for c in self.cameras])

    @property
    def channel_slice(self) -> slice:
        """Where the channels sit in a state or action vector: behind the arms."""
        return slice(self.size - len(self.channels), self.size)

    def slice(self, arm: str) -> slice:
        """Where an arm's joints and gripper sit in a state or action vector."""
        start = 0
        for a in self.arms:
            if a.name == arm:
                return slice(start, start + a.size)
            start += a.size
        raise UnknownNameError("arm", arm, [a.name for a in self.arms])


# --------------------------------------------------------------------------------------------------------------- scenes
@dataclass(frozen=True)
class Part:
    """One thing in a scene. `kind` is `module:object`, a builder that adds the part to an MjSpec."""

    name: str  # unique in the scene; becomes the name of its MuJoCo body
    kind: str
    position: tuple[float, float, float]  # m
    yaw: float = 0.0  # rad about z
    parameters: Mapping[str, Any] = field(default_factory=dict)  # JSON values only


@dataclass(frozen=True)
class Goal:
    """What is asked, apart from how it is said. `object` and `place` are names of parts."""

    verb: str
    object: str
    place: str | None = None


@dataclass(frozen=True)
class Scene:
    """A world as data: the same Scene gives the same pixels and the same trajectory on every machine and thread."""

    seed: int
    task: str  # a name for `find`
    body: str  # a name for `find`
    goal: Goal
    instruction: str
    parts: tuple[Part, ...]
    start: tuple[float, ...]  # (A,) joint angles and grippers at the first step
    light: tuple[float, ...]  # direction x y z, ambient 0 … 1
    table: tuple[float, float, float]  # colour
    facts: str = "household"  # the table that names things
    rejections: int = 0  # layouts the sampler refused, on geometry alone, before this one

    def part(self, name: str) -> Part:
        for part in self.parts:
            if part.name == name:
                return part
        raise UnknownNameError("part of the scene", name, [p.name for p in self.parts])

    def replace(self, **changes: Any) -> Scene:
        return dataclasses.replace(self, **changes)

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no blanks."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Scene:
        """Parse; raises `SceneError` with the reason when the text is not a scene."""
        try:
            d = json.loads(text)
            d["goal"] = Goal(**d["goal"])
            d["parts"] = tuple(Part(**{**p, "position": tuple(p["position"])}) for p in d["parts"])
            return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in d.items()})
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise SceneError(f"not a scene: {error}; expected the JSON that Scene.to_json writes") from error

    @functools.cached_property
    def hash(self) -> str:
        """12 hexadecimal digits that identify the scene in rows and caches."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]


# ------------------------------------------------------------------------------------------------------------- thinking
TOLD = "told"  # the key of `Thought.memory` under which what a policy remembers stands in words


@dataclass(frozen=True)
class Thought:
    """What a policy has in mind between two actions: language, points, and a memory of its own.

    `subtask` is the text that conditions the action (ℓ̂ in π0.5, arXiv:2504.16054); `chain` holds the sentences that led to
    it, in order. A person's correction is a Thought too, with `author="person"`: a subtask to act on, or a chain without
    one, to think on from.
    """

    subtask: str | None = None
    chain: tuple[str, ...] = ()
    points: Mapping[str, Any] = field(default_factory=dict)  # camera → {"object": (u, v), "place": (u, v)}
    trace: tuple[tuple[float, float], ...] = ()
    author: str = "policy"
    born: float = 0.0  # s since the episode began
    memory: Mapping[str, Any] = field(default_factory=dict)  # JSON: language memory, a demonstrator's phase

    @staticmethod
    def nothing() -> Thought:
        """Act without a thought: the instruction alone conditions the action."""
        return Thought(author="nobody")


@runtime_checkable
class Policy(Protocol):
    """Anything that can drive a robot. Batched, pure functions; the Executor keeps all state.

    Subclass it to inherit the defaults, or write any object with these attributes.
    """

    privileged: bool = False  # reads the simulator's truth: the Executor removes it for all others
    cameras: tuple[str, ...] | None = None  # the cameras it reads; None for all, () for none (nothing is rendered)
    think_interval: int = 10  # control steps between two thoughts
    replan_interval: int | None = None  # steps executed of each chunk; None for the whole chunk
    noise_shape: tuple[int, int] | None = None  # (H, A) if it samples: one draw per act under `NOISE`

    def think(self, observation: Observation, previous: list[Thought]) -> list[Thought]:
        """Batch of B observations and the B thoughts before → B thoughts. By default nothing new comes to mind."""
        return previous

    def act(self, observation: Observation, thought: list[Thought]) -> np.ndarray:
        """Batch of B observations and thoughts → chunk (B, H, A) of joint position targets."""
        ...


@runtime_checkable
class Robot(Protocol):
    """A body that can be read and commanded, simulated or not: LeRobot's method names, our keys.

    What moves no metal says `simulated = True`; others are armed from a notebook only after a test of the way to the page.
    """

    embodiment: Embodiment

    def connect(self) -> None: ...

    def get_observation(self) -> Observation: ...

    def send_action(self, action: np.ndarray) -> np.ndarray: ...

    def disconnect(self) -> None: ...


# -------------------------------------------------------------------------------------------------------------- results
@dataclass(frozen=True)
class Row:
    """One trial. Every table and figure is a function of rows, so every number can be recomputed."""

    unit: str  # "episode", "question", "fold", …
    arm: str  # the policy or the arm of an experiment
    suite: str
    control: str  # "none", "black", "swap", "scramble", "replay"
    seed: int
    scene: str  # Scene.hash
    success: bool
    metrics: Mapping[str, bool | float | None]  # None where a metric does not apply
    clusters: Mapping[str, str | int]  # object, place, verb, world, training seed, …
    failure: str = ""  # a label for the first thing that went wrong
    privileged: bool = False
    checkpoint: str = ""  # hash of the weights
    commit: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    instruction: str = ""
    steps: int = 0
    seconds: float = 0.0

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Row:
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError, RecursionError) as error:
            raise PilabError(
                f"not a result row: {error}; expected one JSON object per line, as Row.to_json writes"
            ) from error
