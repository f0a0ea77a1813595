"""The Executor: the one thing between a policy and a robot that has state.

Design choices
--------------
* Policies are pure and batched; **the Executor alone keeps what an episode needs**: its thought, its chunk and how much of
  it has been executed, its injected delay, its noise generator, its disturbance. Evaluation and a real robot use the same
  object, so what is measured is what runs.
* **Nothing depends on the batch.** Each episode has its own clock and its own generator, seeded by scene and arm, so that
  noise, re-plan instants and scenes are identical at any batch size.
* The simulator's truth is removed from the observation of every policy that does not declare `privileged = True`.
* **Simulated time and real time share every rule.** In simulated time `step` waits for the policy. In real time nobody may
  wait: `ask` gives what there is to infer as a call for another thread, `take` brings its answer back, `next` is the
  step's command meanwhile. A slow policy and an injected delay are then the same thing: a chunk is entered after as many
  of its actions as were carried out while it was being found, and the next one is asked for that much earlier.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from pilab.contracts import (
    ENVIRONMENT_STATE,
    NOISE,
    SCENE,
    STATE,
    TASK,
    Embodiment,
    Observation,
    Policy,
    PolicyError,
    Thought,
    image_key,
)

PRIVILEGED_KEYS = (ENVIRONMENT_STATE, SCENE)


def unprivileged(observation: Observation) -> Observation:
    """What a policy may know that does not declare itself privileged."""
    return {k: v for k, v in observation.items() if k not in PRIVILEGED_KEYS and not k.startswith("points.")}


class Disturbance(Protocol):
    """Changes the command after the label was taken; `world.demonstrators.CoverageNoise` is one."""

    def start(self, rng: np.random.Generator, size: int) -> np.ndarray | None: ...

    def next(
        self, rng: np.random.Generator, last: np.ndarray, thought: Thought, is_joint: np.ndarray
    ) -> np.ndarray: ...


@dataclass
class Episode:
    """The state of one episode. Made by `Executor.begin`; belongs to the Executor that made it."""

    task: str  # the instruction as spoken
    rng: np.random.Generator  # for the policy's samples
    trouble: np.random.Generator  # for the disturbance, so that it does not change the samples
    offset: np.ndarray | None  # the last disturbance; None for an undisturbed episode
    steps: int = 0
    think_at: int = 0  # the step of the next thought
    replan: bool = True  # what was planned is out of date
    thought: Thought = field(default_factory=Thought)
    chunk: np.ndarray | None = None  # (H, A)
    first: int = 0  # the action at which the chunk was entered: more than 0 when it came late
    cursor: int = 0  # the chunk's next action
    waiting: tuple[int, int, np.ndarray] | None = None  # (ready at this step, actions left when asked, chunk)
    lead: int = 0  # steps that the last answer took: how early the next one must be asked for
    coached: bool = False  # a person's words stand until the task changes
    suggested: tuple[str, ...] = ()  # sentences that its thoughts begin with, until the task changes


@dataclass(frozen=True)
class Command:
    """One step's outcome: the policy's clean label and the command to send, both (A,)."""

    label: np.ndarray
    executed: np.ndarray
    thought: Thought
    planned: bool = True  # False where nothing was planned for this step: the robot stays
    intervention: bool = False  # somebody has taken over from the policy that was driving


class Executor:
    """Drives any number of episodes with one policy.

    replan_interval: steps executed of each chunk (None: what the policy says, or all of it). think_interval: steps between
    thoughts. delay: control steps between asking for a chunk and having it; meanwhile the old chunk goes on.
    disturbance: added to the command, never to the label. arm: the name that seeds the noise beside the scene.
    """

    def __init__(
        self,
        policy: Policy,
        body: Embodiment,
        *,
        replan_interval: int | None = None,
        think_interval: int | None = None,
        delay: int = 0,
        disturbance: Disturbance | None = None,
        arm: str = "",
    ) -> None:
        self.policy, self.body = policy, body
        self.replan_interval = replan_interval or getattr(policy, "replan_interval", None)
        self.think_interval = think_interval or getattr(policy, "think_interval", 10)
        self.privileged = bool(getattr(policy, "privileged", False))
        self.noise_shape = getattr(policy, "noise_shape", None)
        self.cameras = getattr(policy, "cameras", None)
        self.delay, self.disturbance, self.arm = delay, disturbance, arm
        self.thinks = callable(getattr(policy, "think", None))  # without it, the instruction is all there is
        self._low, self._high = body.action.low, body.action.high
        self._is_joint = np.array([not name.endswith("_gripper") for name in body.action.names])

    def begin(self, task: str, seed: int) -> Episode:
        """Start an episode of the scene `seed`."""
        key = [seed, zlib.crc32(self.arm.encode())]
        trouble = np.random.default_rng([*key, 1])
        offset = self.disturbance.start(trouble, self.body.size) if self.disturbance else None
        return Episode(task, np.random.default_rng([*key, 0]), trouble, offset)

    def instruct(self, episode: Episode, task: str) -> None:
        """Change the task: the policy thinks and plans anew at the next step."""
        episode.task, episode.thought, episode.coached, episode.suggested = task, Thought(), False, ()
        episode.think_at, episode.replan = episode.steps, True

    def say(self, episode: Episode, subtask: str) -> None:
        """Change the subtask, as a coach does; it stands until the next `say` or `instruct`."""
        words = {"subtask": subtask, "chain": (), "author": "person"}
        episode.thought = dataclasses.replace(episode.thought, **words, points={}, trace=())  # those of the old subtask
        episode.coached, episode.replan = True, True

    def suggest(self, episode: Episode, chain: Sequence[str]) -> None:
        """Begin its thoughts for it: the policy thinks on from these sentences, now and until the task changes.

        What a person holds to be so ("i see the lemon") is thus not overruled a second later. No sentences: think freely.
        """
        episode.suggested, episode.coached = tuple(chain), False
        episode.think_at, episode.replan = episode.steps, True

    def step(
        self, episodes: Sequence[Episode], observations: Sequence[Observation], thought: Thought | None = None
    ) -> list[Command]:
        """The commands of one control step for a batch of episodes.

        thought: None keeps each episode's own and lets the policy think when it is time; a Thought replaces it for all
        (`Thought.nothing()` to act without). Raises `PolicyError` when the policy answers with something else than chunks.
        """
        told = [self._tell(e, o) for e, o in zip(episodes, observations, strict=True)]
        if thought is not None:
            for episode in episodes:
                episode.replan |= thought != episode.thought
                episode.thought, episode.think_at = thought, episode.steps + self.think_interval
        else:
            self._think(episodes, told)
        due = [i for i, e in enumerate(episodes) if self._must_plan(e)]
        if due:
            for i, chunk in zip(due, self._plan([episodes[i] for i in due], [told[i] for i in due]), strict=True):
                self._await(episodes[i], chunk)
                episodes[i].replan = False
        return [self.next(e, o) for e, o in zip(episodes, observations, strict=True)]

    def looks(self, episode: Episode) -> bool:
        """Whether the next `step` asks the policy, which needs its pictures then; a Thought given to `step` may ask, too."""
        return self._must_think(episode) or self._must_plan(episode)

    # ---------------------------------------------------------------------------------------------------- in real time
    def ask(self, episode: Episode, observation: Observation) -> Callable[[], Episode] | None:
        """What there is to infer now, as a call for another thread; None while there is nothing to ask the policy.

        One call at a time: of the episode it uses the noise generator and nothing else. Hand its answer to `take`. A thought
        that is due waits for the next plan, which it is for: on its own it would keep the policy from planning in time.
        """
        if not self._must_plan(episode):
            return None
        asked, told = dataclasses.replace(episode), [self._tell(episode, observation)]
        episode.waiting, episode.replan = None, False

        def infer() -> Episode:
            self._think([asked], told)
            self._await(asked, self._plan([asked], told)[0])
            return asked

        return infer

    def take(self, episode: Episode, answer: Episode) -> None:
        """Use what `ask` found, unless the words changed or somebody else moved the robot meanwhile."""
        if episode.replan:
            return
        episode.thought, episode.think_at, episode.waiting = answer.thought, answer.think_at, answer.waiting
        episode.lead = episode.steps - answer.steps

    def forget(self, episode: Episode) -> None:
        """Drop what was planned: somebody else moved the robot, or held it."""
        episode.chunk, episode.waiting, episode.first, episode.cursor, episode.replan = None, None, 0, 0, True

    def next(self, episode: Episode, observation: Observation) -> Command:
        """The command of this step, from what is planned already."""
        if episode.waiting is not None and episode.waiting[0] <= episode.steps:
            # The chunk was planned a while ago: the actions that were carried out since belong to the past.
            _, left, chunk = episode.waiting
            late = max(left - _left(episode), 0)
            episode.chunk, episode.first, episode.cursor, episode.waiting = chunk, late, late, None
        planned = _left(episode) > 0
        if episode.chunk is None:
            label = np.asarray(observation[STATE], np.float32)  # nothing planned yet: stay
        else:
            label = episode.chunk[min(episode.cursor, len(episode.chunk) - 1)]
            episode.cursor += 1
        executed = label
        if episode.offset is not None:
            assert self.disturbance is not None
            episode.offset = self.disturbance.next(episode.trouble, episode.offset, episode.thought, self._is_joint)
            executed = label + episode.offset
        executed = np.clip(executed, self._low, self._high).astype(np.float32)
        episode.steps += 1
        return Command(np.asarray(label, np.float32), executed, episode.thought, planned)

    def chunk(self, episode: Episode, observation: Observation) -> np.ndarray:
        """A whole chunk (H, A), for whoever executes it elsewhere: as many steps as it is planned for count as executed.

        Noise that comes with the observation is used instead of the episode's own.
        """
        told = [self._tell(episode, observation)]
        self._think([episode], told)
        chunk = self._plan([episode], told)[0]
        episode.steps += min(self.replan_interval or len(chunk), len(chunk))
        return chunk

    # ------------------------------------------------------------------------------------------------------------ parts
    def _think(self, episodes: Sequence[Episode], told: list[Observation]) -> None:
        due = [i for i, e in enumerate(episodes) if self._must_think(e)]
        if not due:
            return
        previous = [
            dataclasses.replace(e.thought, subtask=None, chain=e.suggested, author="person")
            if e.suggested
            else e.thought
            for e in (episodes[i] for i in due)
        ]
        new = self.policy.think(batch([told[i] for i in due]), previous)
        if len(new) != len(due):
            raise PolicyError(f"{type(self.policy).__name__}.think returned {len(new)} thoughts; expected {len(due)}")
        for i, thought in zip(due, new, strict=True):
            episodes[i].thought = thought
            episodes[i].think_at = episodes[i].steps + self.think_interval

    def _tell(self, episode: Episode, observation: Observation) -> Observation:
        """What the policy may know."""
        told = {**observation, TASK: episode.task}
        if not self.privileged:
            told = unprivileged(told)
        if self.cameras is not None:  # a recorder may have asked for more pictures than the policy reads
            seen = {image_key(name) for name in self.cameras}
            told = {k: v for k, v in told.items() if not k.startswith("observation.images.") or k in seen}
        return told

    def _must_think(self, episode: Episode) -> bool:
        return self.thinks and episode.steps >= episode.think_at and not episode.coached

    def _must_plan(self, episode: Episode) -> bool:
        if episode.replan:
            return True
        if episode.waiting is not None:
            return False
        left = len(episode.chunk) - episode.first
        share = min(self.replan_interval or left, left)
        # With a delay, ask early enough for the next chunk to be there when this one's share has been executed. Of a
        # chunk that takes longer than it lasts, asking before the middle would leave less to carry out than it gains.
        lead = max(self.delay, min(episode.lead, len(episode.chunk) // 2))
        return episode.cursor - episode.first >= share - lead

    def _plan(self, episodes: list[Episode], told: list[Observation]) -> np.ndarray:
        observation = batch(told)
        if self.noise_shape is not None and NOISE not in observation:
            observation[NOISE] = np.stack([e.rng.standard_normal(self.noise_shape, np.float32) for e in episodes])
        chunks = np.asarray(self.policy.act(observation, [e.thought for e in episodes]))
        if chunks.ndim != 3 or chunks.shape[::2] != (len(episodes), self.body.size) or not chunks.size:
            raise PolicyError(
                f"{type(self.policy).__name__}.act returned shape {chunks.shape}; "
                f"expected (B, H, A) = ({len(episodes)}, H, {self.body.size})"
            )
        if not np.isfinite(chunks).all():
            raise PolicyError(
                f"{type(self.policy).__name__}.act returned NaN or infinity: the robot must not follow that"
            )
        return chunks

    def _await(self, episode: Episode, chunk: np.ndarray) -> None:
        episode.waiting = (episode.steps + self.delay, _left(episode), chunk)


def _left(episode: Episode) -> int:
    """How many actions of the chunk have not been carried out."""
    return 0 if episode.chunk is None else max(len(episode.chunk) - episode.cursor, 0)


def batch(observations: Sequence[Observation]) -> Observation:
    """Observations of single robots → one with a leading axis; what is not an array becomes a list."""
    joined: dict[str, Any] = {}
    for key, first in observations[0].items():
        values = [o[key] for o in observations]
        # Truth has as many rows as its scene has parts: it stays a list.
        same = isinstance(first, np.ndarray) and all(np.shape(v) == first.shape for v in values)
        joined[key] = np.stack(values) if same else values
    return joined
