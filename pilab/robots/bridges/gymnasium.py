"""Any Gymnasium environment with pictures and a state as a `Robot`: to drive, record, train on and evaluate.

Design choices
--------------
* **An action is a position, as everywhere in pilab.** Where the environment's own is one (gym-pusht, gym-aloha), nothing
  needs to be said. Where it is a step, a velocity or a torque, `command` turns "be there" into what the environment takes,
  and `state` says where it is.
* **What is found is told, what is not is asked for**: pictures are the uint8 (H, W, 3) boxes, the state is the one box of
  numbers with the shape of the action; anything else raises an error that lists what there is.
* The environment's reward and end are kept beside the robot (`outcome`), not fed to policies. After its end it rests until
  `reset`, because most environments forbid further steps.
* The body is channels without arms, so there is no kinematics: use action space `relative_joints` or the default.

Simulated time: one `send_action` is one step of the environment. One thread at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np

from pilab.contracts import (
    STATE,
    TASK,
    CameraSpec,
    Channel,
    Embodiment,
    Observation,
    PilabError,
    Policy,
    Robot,
    Row,
    SensorSpec,
    Thought,
    image_key,
)
from pilab.data.recorder import Recorder
from pilab.robots.executor import Executor

Reading = Mapping[str, np.ndarray]  # what the environment observed, by the path of each box: "pixels", "images/top"


class GymError(PilabError, ValueError):
    """An environment that cannot be a robot as it is, or that is asked for what it cannot do."""


@dataclass
class Outcome:
    """How the environment's episode stands, in its own words."""

    steps: int = 0
    reward: float = 0.0  # the sum
    best: float = -math.inf  # the largest of one step
    terminated: bool = False
    truncated: bool = False
    info: Mapping[str, Any] = field(default_factory=dict)  # of the last step

    @property
    def over(self) -> bool:
        return self.terminated or self.truncated

    @property
    def success(self) -> bool:
        """`is_success` or `success` of the last info, where the environment says so; else whether it terminated."""
        told = [self.info[key] for key in ("is_success", "success") if key in self.info]
        return bool(told[0]) if told else self.terminated


class GymRobot(Robot):
    """An environment, driven step by step.

    env: a Gymnasium environment (its id and arguments go through `gymnasium.make`). task: what it is about, in words. state:
    the path of the box that says where it is, in the units of the action; or a function of the reading. command: (target (A,),
    reading) → the environment's action; by default the target itself. cameras: the paths of the pictures, by the names that
    policies shall know them by; by default all there are. hz: steps a second, by default the environment's `render_fps`.
    simulated: False for an environment that has metal behind it.
    """

    def __init__(
        self, env: Any, task: str, *, state: str | Callable[[Reading], np.ndarray] | None = None,
        command: Callable[[np.ndarray, Reading], np.ndarray] | None = None, cameras: Mapping[str, str] | None = None,
        hz: int | None = None, seed: int = 0, name: str = "", simulated: bool = True,
    ) -> None:  # fmt: skip
        if not task.strip():
            raise GymError("the task is empty; say in words what the environment is about")
        self.env, self.task, self.seed, self._command, self.simulated = env, task, seed, command, simulated
        boxes, action = dict(_boxes(env.observation_space)), env.action_space
        if not _is_numbers(action) or len(action.shape) != 1 or not np.isfinite([action.low, action.high]).all():
            raise GymError(f"the action space is {action}; expected a bounded Box of one axis")
        self._state = state if callable(state) else _state_of(boxes, action, state)
        self._pictures = {**cameras} if cameras else _cameras_of(boxes)
        for camera, path in self._pictures.items():
            if path not in boxes or not _is_picture(boxes[path]):
                raise GymError(f"camera {camera!r}: {path!r} is no uint8 (H, W, 3) box; there are {_told(boxes)}")
        taken = {*self._pictures.values(), state if isinstance(state, str) else getattr(self._state, "path", "")}
        self._sensors = {_key(path): path for path, box in boxes.items() if path not in taken and _is_numbers(box)}
        hz = hz or int(env.metadata.get("render_fps") or 10)
        spec = getattr(env, "spec", None)
        limits = zip(
            action.low.tolist(), action.high.tolist(), np.clip(0.0, action.low, action.high).tolist(), strict=True
        )
        self.embodiment = Embodiment(
            name or (spec.id if spec else type(env.unwrapped).__name__), (),
            tuple(CameraSpec(camera, *boxes[path].shape[:2], 45.0) for camera, path in self._pictures.items()),
            tuple(SensorSpec(key, boxes[path].shape, "", "") for key, path in self._sensors.items()),
            tuple(Channel(f"channel_{i}", a, b, "", (b - a) * hz, home) for i, (a, b, home) in enumerate(limits)),
            build="", control_hz=hz, teleop_hz=hz, physics_hz=hz,
        )  # fmt: skip
        self._reading: Reading | None = None
        self.outcome = Outcome()

    # ----------------------------------------------------------------------------------------------------- the contract
    @property
    def is_connected(self) -> bool:
        return self._reading is not None

    def connect(self) -> None:
        """Reset the environment with the robot's seed."""
        if self.is_connected:
            raise GymError("the environment is connected already; `reset()` begins anew")
        self.reset(self.seed)

    def get_observation(self) -> Observation:
        """State (A,) float32, the task, every picture (H, W, 3) uint8, the other numbers as sensors."""
        reading = self._needed()
        seen: Observation = {STATE: self._where(reading), TASK: self.task}
        seen |= {image_key(camera): np.ascontiguousarray(reading[path]) for camera, path in self._pictures.items()}
        return seen | {f"observation.{key}": np.float32(reading[path]) for key, path in self._sensors.items()}

    def send_action(self, action: np.ndarray) -> np.ndarray:
        """One step towards the targets (A,); returns the targets within the limits. After the end it rests."""
        reading, body = self._needed(), self.embodiment
        action = np.asarray(action, np.float64)
        if action.shape != (body.size,) or not np.isfinite(action).all():
            raise GymError(f"action {action!r}; expected {body.size} finite numbers; the environment did not move")
        sent = np.clip(action, body.action.low, body.action.high)
        if not self.outcome.over:
            space = self.env.action_space
            taken = sent if self._command is None else np.asarray(self._command(sent, reading))
            taken = np.clip(taken, space.low, space.high).astype(space.dtype)
            observed, reward, terminated, truncated, info = self.env.step(taken)
            self._reading, before = dict(_values(observed)), self.outcome
            self.outcome = Outcome(
                before.steps + 1, before.reward + float(reward), max(before.best, float(reward)), bool(terminated),
                bool(truncated), info,
            )  # fmt: skip
        return sent.astype(np.float32)

    def disconnect(self) -> None:
        """Let go. The environment itself is its maker's to close."""
        self._reading = None

    # --------------------------------------------------------------------------------------------------------- its own
    def reset(self, seed: int | None = None) -> None:
        """Begin a new episode."""
        observed, _ = self.env.reset(seed=seed)
        self._reading, self.outcome = dict(_values(observed)), Outcome()

    @property
    def reading(self) -> Reading:
        """What the environment observed last, as it came."""
        return self._needed()

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.disconnect()

    def _where(self, reading: Reading) -> np.ndarray:
        state = np.asarray(self._state(reading), np.float32)
        if state.shape != (self.embodiment.size,):
            raise GymError(f"the state has shape {state.shape}; expected {(self.embodiment.size,)}, as the action has")
        return state

    def _needed(self) -> Reading:
        if self._reading is None:
            raise GymError("the environment is not connected; call `connect()` first, or use it in a `with` block")
        return self._reading


class _Frame(NamedTuple):
    """What a recorder keeps of a step."""

    tick: int
    observation: Observation
    label: np.ndarray
    executed: np.ndarray
    source: str
    is_intervention: bool
    thought: Thought


def evaluate_gym(
    robot: GymRobot, policy: Policy, seeds: Iterable[int], *, most_steps: int = 300, arm: str = "policy",
    score: Callable[[GymRobot], bool] = lambda robot: robot.outcome.success, replan_interval: int | None = None,
    recorder: Recorder | None = None, glasses: Callable[[int], Callable[[Observation], Observation]] | None = None,
) -> list[Row]:  # fmt: skip
    """One row per seed, through the Executor, in simulated time. score: what counts as success, asked after every step.

    The environment must be connected. recorder: keeps the episodes that succeed. glasses: seed → what the policy's observations
    look like; see `evaluation.ablation`. metrics: `reward` (its sum), `best` (of one
    step).
    """
    executor, rows = Executor(policy, robot.embodiment, arm=arm, replan_interval=replan_interval), []
    for seed in seeds:
        robot.reset(seed)
        episode, done = executor.begin(robot.task, seed), False
        look = glasses(seed) if glasses else None
        if recorder is not None:
            recorder.start()
        while not done and not robot.outcome.over and robot.outcome.steps < most_steps:
            observation = robot.get_observation()
            command = executor.step([episode], [look(observation) if look else observation])[0]
            sent = robot.send_action(command.executed)
            if recorder is not None:
                recorder.see(
                    _Frame(robot.outcome.steps, observation, command.label, sent, "policy", False, command.thought)
                )
            done = bool(score(robot))
        if recorder is not None:
            recorder.keep(robot.task) if done else recorder.discard()
            recorder.flush()
        end, suite = robot.outcome, robot.embodiment.name
        rows.append(
            Row(
                "episode", arm, suite, "none", seed, str(seed), done, {"reward": end.reward, "best": end.best}, {},
                instruction=robot.task, steps=end.steps, checkpoint=getattr(policy, "fingerprint", ""),
            )
        )  # fmt: skip
    return rows


# ------------------------------------------------------------------------------------------------------------- its spaces
def _boxes(space: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    """The leaves of nested Dict spaces, by path."""
    if hasattr(space, "spaces") and isinstance(space.spaces, Mapping):
        for key, inner in space.spaces.items():
            yield from _boxes(inner, f"{path}/{key}" if path else str(key))
    else:
        yield path or "observation", space


def _values(observed: Any, path: str = "") -> Iterable[tuple[str, np.ndarray]]:
    if isinstance(observed, Mapping):
        for key, inner in observed.items():
            yield from _values(inner, f"{path}/{key}" if path else str(key))
    else:
        yield path or "observation", np.asarray(observed)


def _is_picture(space: Any) -> bool:
    return getattr(space, "dtype", None) == np.uint8 and len(space.shape) == 3 and space.shape[-1] == 3


def _is_numbers(space: Any) -> bool:
    return hasattr(space, "low") and np.issubdtype(space.dtype, np.floating)


def _key(path: str) -> str:
    return path.replace("/", "_")


def _told(boxes: Mapping[str, Any]) -> str:
    return ", ".join(f"{path} {getattr(box, 'dtype', '')} {getattr(box, 'shape', '')}" for path, box in boxes.items())


def _cameras_of(boxes: Mapping[str, Any]) -> dict[str, str]:
    found = {_key(path): path for path, box in boxes.items() if _is_picture(box)}
    if not found:
        raise GymError(
            f"no pictures: there are {_told(boxes)}; expected a uint8 (H, W, 3) box. gymnasium.wrappers."
            "AddRenderObservation adds what the environment renders"
        )
    return found


@dataclass(frozen=True)
class _Box:
    """A state that is one of the boxes."""

    path: str

    def __call__(self, reading: Reading) -> np.ndarray:
        return reading[self.path]


def _state_of(boxes: Mapping[str, Any], action: Any, path: str | None) -> _Box:
    fitting = [p for p, box in boxes.items() if _is_numbers(box) and box.shape == action.shape]
    if path is None and len(fitting) == 1:
        return _Box(fitting[0])
    if path in fitting:
        return _Box(path)
    raise GymError(
        f"the state is {path!r}; expected one box of numbers {action.shape}, as the action is; there are {_told(boxes)}. "
        "Name its path, or give a function of the reading that says where the environment is, in the action's units"
    )
