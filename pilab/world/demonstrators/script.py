"""The machinery of scripted demonstrators.

Design choices
--------------
* A script is a **Policy**: pure functions of (observation, thought). Its phase lives in `Thought.memory`, so the Executor
  can run any number of episodes at any batch size with one object.
* It is **closed loop**: every label is computed from the measured joints and the true poses of this very step. Disturb it
  and the label corrects; that is what makes the labels clean under coverage noise (DART, Laskey et al. 2017, arXiv:1703.09327).
* A script says where each hand should be (`Aim`); one mover turns that into joint targets: it limits the speed, ramps it
  up over a few steps, slows down near the goal and asks the inverse kinematics for the joints.
* It reads `observation.environment_state`, which exists in simulation only and is never stored: `privileged = True`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pilab.contracts import (
    ENVIRONMENT_STATE,
    SCENE,
    STATE,
    Arm,
    Embodiment,
    Observation,
    Part,
    Policy,
    Scene,
    SceneError,
    Thought,
    UnknownNameError,
    load,
)
from pilab.world import objects, places
from pilab.world.kinematics import chain, top_down
from pilab.world.scenes import find_body
from pilab.world.task import facts_of, task_of


@dataclass(frozen=True)
class Manner:
    """How a task is done, apart from what is done."""

    pace: float = 0.050  # of the tool tip in free space, m per control step
    hover: float = 0.10  # height at which the hand travels, m
    arm: str | None = None  # use this arm, whatever is nearer
    words: tuple[str, ...] = ()  # for who asks for it


MANNERS = {
    "normal": Manner(),
    "slow": Manner(pace=0.022, words=("slowly", "very slowly", "and take your time")),
    "quick": Manner(pace=0.065, words=("quickly", "very fast", "and hurry up")),
    "from above": Manner(hover=0.19, words=("from high above", "and lift it high", "high over the table")),
    "left-handed": Manner(arm="left", words=("with your left hand", "with the left arm", "left handed")),
    "right-handed": Manner(arm="right", words=("with your right hand", "with the right arm", "right handed")),
}

CLOSED = 0.7  # a gripper that is less open than this holds something, or nothing; the widest thing takes two thirds
NEAR = 0.05  # a hand is at a thing when its tip is so near to the middle of it (of its handle), m


@dataclass(frozen=True)
class Aim:
    """Where a hand should be. `opening` 0 … 1; `pace` in m per control step."""

    position: np.ndarray  # (3,) of the tip
    yaw: float  # the direction the fingers close along, rad
    opening: float
    pace: float


@dataclass
class Situation:
    """What a script sees of one episode at one step."""

    scene: Scene
    body: Embodiment
    state: np.ndarray  # (A,)
    truth: np.ndarray  # (parts, 9), see World.truth
    manner: Manner
    tips: dict[str, np.ndarray] = field(default_factory=dict)
    yaws: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for arm in self.body.arms:
            tip, rotation, _, _ = chain(arm).forward(self.joints(arm))
            self.tips[arm.name] = tip
            self.yaws[arm.name] = math.atan2(rotation[1, 1], rotation[0, 1])

    def joints(self, arm: Arm) -> np.ndarray:
        return self.state[self.body.slice(arm.name)][:-1].astype(float)

    def _row(self, part: str) -> np.ndarray:
        return self.truth[[p.name for p in self.scene.parts].index(part)]

    def position(self, part: str) -> np.ndarray:
        return self._row(part)[:3]

    def yaw(self, part: str) -> float:
        w, x, y, z = self._row(part)[3:7]
        return math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))

    def joint(self, part: str) -> float:
        return float(self._row(part)[7])

    def openings(self, part: str) -> int:
        return int(self._row(part)[8])

    def touched(self, part: str) -> bool:
        """Whether a hand is at the part, a fixture's handle, as far as can be seen."""
        return any(self._is_at(arm, part) for arm in self.body.arms)

    def holder(self, part: str) -> str | None:
        """The arm that holds a part, as far as can be seen: it is there, and its gripper is no longer open."""
        closed = (a for a in self.body.arms if self.state[self.body.slice(a.name)][-1] < CLOSED)
        return next((arm.name for arm in closed if self._is_at(arm, part)), None)

    def _is_at(self, arm: Arm, part: str) -> bool:
        there, middle = self.scene.part(part), self.position(part)
        if "fixture" in there.parameters:
            middle = places.handle_position(there, self.joint(part))
        return float(np.linalg.norm(self.tips[arm.name] - middle)) < NEAR


class Script(Policy):
    """Subclass with `begin`, `advance` and `aims`. Memory holds JSON values; `memory["phase"]` is an index into `phases`.

    A phase is (name, index of the subtask it belongs to, whether a disturbance does no harm there).
    """

    privileged = True
    cameras = ()
    think_interval = 1
    replan_interval = 1
    phases: tuple[tuple[str, int, bool], ...]

    def __init__(self, arm: str | None = None, manner: str = "normal") -> None:
        if manner not in MANNERS:
            raise UnknownNameError("manner", manner, list(MANNERS))
        self.manner_name, self.manner = manner, MANNERS[manner]
        self.arm = arm or self.manner.arm

    # ------------------------------------------------------------------------------------------------- for a subclass
    def begin(self, now: Situation) -> dict[str, Any]:
        """The memory at the first step: the plan."""
        raise NotImplementedError(f"{type(self).__name__} makes no plan")

    def advance(self, now: Situation, memory: dict[str, Any]) -> str | None:
        """The name of the next phase when it is time for it, else None."""
        raise NotImplementedError(f"{type(self).__name__} has no transitions")

    def aims(self, now: Situation, memory: dict[str, Any]) -> dict[str, Aim]:
        """Arm name → where it should be. Arms that are not named go home."""
        raise NotImplementedError(f"{type(self).__name__} aims nowhere")

    # ------------------------------------------------------------------------------------------------------ the policy
    def think(self, observation: Observation, previous: list[Thought]) -> list[Thought]:
        return [self._think(self._situation(observation, i), thought) for i, thought in enumerate(previous)]

    def act(self, observation: Observation, thought: list[Thought]) -> np.ndarray:
        return np.stack([self._act(self._situation(observation, i), t) for i, t in enumerate(thought)])[:, None]

    def _situation(self, observation: Observation, index: int) -> Situation:
        scene = observation[SCENE][index]
        return Situation(
            scene, find_body(scene.body), observation[STATE][index], observation[ENVIRONMENT_STATE][index], self.manner
        )

    def _think(self, now: Situation, previous: Thought) -> Thought:
        names = [name for name, _, _ in self.phases]
        memory = dict(previous.memory)
        if "phase" not in memory:
            memory = {**self.begin(now), "phase": names[0], "since": 0, "speed": 0.0}
        following = self.advance(now, memory)
        if following is not None:
            memory.update(phase=following, since=0)
        else:
            memory["since"] += 1
        _, subtask, free = self.phases[names.index(memory["phase"])]
        memory["speed"] = min(memory["speed"] + 0.4 * self.manner.pace, self.manner.pace)
        memory["free"] = free
        text = task_of(now.scene).subtasks(now.scene, facts_of(now.scene))[subtask]
        return Thought(subtask=text, author="demonstrator", memory=memory)

    def _act(self, now: Situation, thought: Thought) -> np.ndarray:
        """(A,) joint targets: every hand one step nearer to its aim, idle arms at home."""
        target = now.body.home.astype(float)
        for name, aim in self.aims(now, dict(thought.memory)).items():
            arm = now.body.arm(name)
            part = now.body.slice(name)
            pace = min(aim.pace, thought.memory["speed"])
            target[part] = [*move(now, arm, aim, pace), aim.opening]
        return target.astype(np.float32)


def move(now: Situation, arm: Arm, aim: Aim, pace: float) -> np.ndarray:
    """Joint targets that bring the tip at most `pace` nearer to the aim, slowing down as it comes close."""
    tip, yaw = now.tips[arm.name], now.yaws[arm.name]
    gap = aim.position - tip
    distance = float(np.linalg.norm(gap))
    step = min(pace, max(0.75 * distance, min(distance, 0.008)))
    turn = math.remainder(aim.yaw - yaw, 2 * math.pi)
    # Seen from above the wrist turns against the yaw: where the short way would hit its stop, take the long way round.
    wrist = now.joints(arm)[-1] - turn
    if not arm.joints[-1].low + 0.15 < wrist < arm.joints[-1].high - 0.15:
        turn -= math.copysign(2 * math.pi, turn)
    position = tip + gap * (step / max(distance, 1e-9))
    rotation = top_down(yaw + max(-0.30, min(0.30, turn)))
    here = now.joints(arm)
    joints, _ = chain(arm).inverse(position, rotation, here, iterations=6)
    fastest = np.array([j.max_speed for j in arm.joints]) / now.body.control_hz
    return here + np.clip(joints - here, -fastest, fastest)


def nearest_arm(now: Situation, wanted: str | None, points: np.ndarray, reference: np.ndarray) -> Arm:
    """The arm asked for, else the one that can point down at all `points` (n, 3) and stands nearest to `reference` in x.

    Raises `SceneError` when no arm can.
    """
    arms = [now.body.arm(wanted)] if wanted else sorted(now.body.arms, key=lambda a: abs(a.position[0] - reference[0]))
    for arm in arms:
        if reach(arm, points, math.pi)[1].max() < 2e-3:
            return arm
    names = ", ".join(a.name for a in arms)
    raise SceneError(
        f"{names} cannot reach every point of the task in scene {now.scene.hash}; use another arm or scene"
    )


def reach(arm: Arm, points: np.ndarray, yaw: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joints (n, J) and misses (n,) in m of the hand pointing down at each of `points` (n, 3), starting from home."""
    rotation = np.broadcast_to(top_down(yaw), (len(points), 3, 3))
    return chain(arm).inverse(points, rotation, np.broadcast_to(arm.home, (len(points), len(arm.home))), iterations=40)


def best_yaw(now: Situation, arm: Arm, part: Part, candidates: np.ndarray, points: np.ndarray) -> float:
    """Among yaws (n,) for a grasp, the one with room for the fingers and with the wrist least turned at all `points`.

    Every candidate also counts half a turn further: the hand is symmetric, the wrist's limits are not.
    """
    yaws = np.concatenate([candidates, candidates + math.pi])
    cost = np.zeros(len(yaws))
    for i, yaw in enumerate(yaws):
        joints, miss = reach(arm, points, float(yaw))
        cost[i] = np.abs(joints[:, -1]).max() + 100 * (miss.max() > 2e-3)
        side = (arm.opening / 2 + 0.006) * np.array([math.cos(yaw), math.sin(yaw)])
        centre = now.position(part.name)[:2]
        room = min(clearance(now, finger, part.name) for finger in (centre + side, centre - side))
        cost[i] += 60 * max(0.0, 0.018 - room) / 0.018
    return float(yaws[cost.argmin()])


def clearance(now: Situation, point: np.ndarray, but: str) -> float:
    """Distance in m from a point on the table to the nearest rim of any part other than `but`."""
    rims = []
    for other in now.scene.parts:
        if other.name == but:
            continue
        distance = float(np.hypot(*(now.position(other.name)[:2] - point)))
        if "look" in other.parameters:
            rims.append(distance - objects.shape_of(other.parameters["look"]).radius)
        elif "place" in other.parameters:
            rims.append(distance - places.place_of(other).radius)
        elif "fixture" in other.parameters:
            rims.append(distance - max(places.fixture_of(other).half))
    return min(rims, default=1.0)


def home_aim(now: Situation, name: str, opening: float = 1.0) -> Aim:
    """Back to where the arm rests."""
    arm = now.body.arm(name)
    tip, rotation, _, _ = chain(arm).forward(np.array(arm.home))
    return Aim(tip, math.atan2(rotation[1, 1], rotation[0, 1]), opening, now.manner.pace)


class Demonstrator(Policy):
    """Does whatever the scene asks, with the script that its task names.

    arm: "left", "right" or None for the nearer one. manner: a name in MANNERS.
    """

    privileged = True
    cameras = ()
    think_interval = 1
    replan_interval = 1

    def __init__(self, arm: str | None = None, manner: str = "normal") -> None:
        self.arm, self.manner = arm, manner
        self._scripts: dict[str, Script] = {}

    def _script(self, scene: Scene) -> Script:
        name = task_of(scene).demonstrator
        if not name:
            raise SceneError(f"task {scene.task!r} has no demonstrator; set Task.demonstrator to MODULE:CLASS")
        if name not in self._scripts:
            self._scripts[name] = load(name, "demonstrator")(self.arm, self.manner)
        return self._scripts[name]

    def think(self, observation: Observation, previous: list[Thought]) -> list[Thought]:
        return [
            self._script(scene).think(one(observation, i), [previous[i]])[0]
            for i, scene in enumerate(observation[SCENE])
        ]

    def act(self, observation: Observation, thought: list[Thought]) -> np.ndarray:
        return np.concatenate(
            [self._script(scene).act(one(observation, i), [thought[i]]) for i, scene in enumerate(observation[SCENE])]
        )


def one(observation: Observation, index: int) -> Observation:
    """Row `index` of a batch, as a batch."""
    return {key: values[index : index + 1] for key, values in observation.items()}


@dataclass(frozen=True)
class CoverageNoise:
    """Pushes the arms now and then, so that the data contain mistakes and their corrections; the label stays clean.

    A push adds the same offset to the joint targets of a few steps in a row. Between pushes nothing disturbs: what a
    demonstrator does for a while after a mistake is then to be seen, and can be learnt as one chunk. (Noise at every step,
    as of DART, arXiv:1703.09327, is for policies of one action: the later actions of a chunk would answer noise to come.)
    """

    scale: float = 0.04  # rad, of a push of a joint in free space
    chance: float = 0.1  # of a push to begin, per step
    lasting: float = 0.5  # chance of it to go on for another step
    share: float = 0.6  # of the episodes that are disturbed
    close: float = 0.0  # share of the scale near things, where it may do harm: a policy will err there too

    def start(self, rng: np.random.Generator, size: int) -> np.ndarray | None:
        """(A,) zeros for an episode that will be disturbed, None for one that will not."""
        return np.zeros(size) if rng.random() < self.share else None

    def next(self, rng: np.random.Generator, last: np.ndarray, thought: Thought, is_joint: np.ndarray) -> np.ndarray:
        """(A,) what to add to the command now."""
        scale = self.scale * (1.0 if thought.memory.get("free", False) else self.close)
        fresh, luck = rng.normal(0, scale, last.shape) * is_joint, rng.random()
        if last.any():
            return last if luck < self.lasting and scale else np.zeros_like(last)
        return fresh if luck < self.chance else np.zeros_like(last)
