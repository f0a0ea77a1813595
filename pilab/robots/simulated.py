"""Many simulated worlds, one Executor, simulated time: the loop under every evaluation and every collection.

Worlds advance in parallel threads (MuJoCo releases the GIL); the policy is called once per control step for all of them.
When an episode ends its place is taken by the next trial, so the batch stays full. Pictures are most of the work: they are
taken when the policy is about to look.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import mujoco
import numpy as np

from pilab.contracts import SCENE, Observation, Scene, Thought
from pilab.robots.executor import Command, Executor
from pilab.world.environment import World
from pilab.world.monitor import Monitor


@dataclass(frozen=True)
class Trial:
    """One episode to be run."""

    scene: Scene  # the world, and the goal that `success` scores
    spoken: Scene | None = None  # the same world with another goal and instruction, where a control says something else
    of: Scene | None = None  # the scene as it was, where this one was perturbed
    tune: Callable[[mujoco.MjSpec], None] | None = None  # changes the world in ways that a scene does not say
    view: Callable[[Observation], Observation] | None = None  # what a control does to the observation
    hand: Callable[[np.ndarray], np.ndarray] | None = None  # … and to a command (A,) on its way to the joints
    watch: Callable[[World, Observation, Command], None] | None = None  # called before each step: recorders, films
    points: bool = False  # observe where everything is, for recorders
    cameras: (
        tuple[str, ...] | None
    ) = ()  # cameras rendered at every step, whether the policy looks or not; None for all


@dataclass(frozen=True)
class Outcome:
    """How a trial went."""

    trial: Trial
    monitor: Monitor  # of the scene's goal
    followed: Monitor  # of the goal that was spoken
    steps: int
    seconds: float  # wall clock

    @property
    def world(self) -> World:
        return self.monitor.world


@dataclass
class Reel:
    """What a film needs: the world before every step, and what the policy had in mind. Give `Trial(watch=reel.watch)`."""

    snapshots: list[np.ndarray] = field(default_factory=list)
    thoughts: list[Thought] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)

    def watch(self, world: World, observation: Observation, command: Command) -> None:
        self.snapshots.append(world.snapshot())
        self.thoughts.append(command.thought)
        self.observations.append(observation)

    @property
    def subtasks(self) -> list[str]:
        """What was in mind, in words; "" for nothing."""
        return [thought.subtask or "" for thought in self.thoughts]


class _Running:
    """A world on its way through a trial."""

    def __init__(self, trial: Trial, executor: Executor) -> None:
        self.trial, self.began = trial, time.perf_counter()
        said = trial.spoken or trial.scene
        self.world = World(trial.scene, trial.tune)
        self.monitor = Monitor(self.world, trial.scene.goal)
        self.followed = self.monitor if trial.spoken is None else Monitor(self.world, said.goal)
        self.episode = executor.begin(said.instruction, trial.scene.seed)
        self.said, self.executor = said, executor
        self.observation = self._observe()

    def _observe(self) -> Observation:
        wanted, always = self.executor.cameras if self.executor.looks(self.episode) else (), self.trial.cameras
        cameras = None if wanted is None or always is None else tuple(dict.fromkeys((*wanted, *always)))
        seen = self.world.observe(cameras, self.trial.points)
        seen[SCENE] = self.said  # a privileged policy obeys what was said
        return self.trial.view(seen) if self.trial.view else seen

    def advance(self, command: Command) -> None:
        if self.trial.watch:
            self.trial.watch(self.world, self.observation, command)
        self.world.step(self.trial.hand(command.executed) if self.trial.hand else command.executed)
        self.monitor.update()
        if self.followed is not self.monitor:
            self.followed.update()
        if not self.over:
            self.observation = self._observe()

    @property
    def over(self) -> bool:
        # Following other words does not end an episode: the scene's own goal may still be reached, and would count.
        return self.monitor.success or self.monitor.expired

    def outcome(self) -> Outcome:
        return Outcome(self.trial, self.monitor, self.followed, self.world.steps, time.perf_counter() - self.began)


def simulate(executor: Executor, trials: Iterable[Trial], *, batch: int = 8, threads: int = 2) -> Iterator[Outcome]:
    """Run trials, at most `batch` at a time, on `threads` threads; yield outcomes as episodes end.

    Results do not depend on batch or threads; only the order of the outcomes does.
    """
    queue = iter(trials)
    running: list[_Running] = []
    with ThreadPoolExecutor(threads) as pool:
        while True:
            fresh = []
            while len(running) + len(fresh) < batch and (trial := next(queue, None)) is not None:
                fresh.append(trial)
            running += pool.map(lambda t: _Running(t, executor), fresh)
            if not running:
                return
            commands = executor.step([r.episode for r in running], [r.observation for r in running])
            list(pool.map(_Running.advance, running, commands))
            ended, running = [r for r in running if r.over], [r for r in running if not r.over]
            yield from (r.outcome() for r in ended)
