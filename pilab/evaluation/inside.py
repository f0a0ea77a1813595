"""What does a policy know, where in it, and in which frame? Linear read-outs of its features, and where it looks over time.

Design choices
--------------
* **Nothing is added to the network**: hooks listen while it acts. What is read are the words as the network sums them up, its
  pictures before and after the words had their say (FiLM), the points that the expert is told, the values that the trunk
  hands to the expert, and the expert itself; beside them pixels and joints, for what they tell needs no network.
* **The demonstrator drives**, so that the frames are the same however well the policy acts; any other policy may.
* **Two frames, one place**: where the thing is that a hand has to go to, once as seen from the tool tip and once on the table,
  on which the bases of the arms stand. It is asked until the thing is first touched: what a hand has, or had, is where the
  hand is. No rotation changes a distance, so errors in cm compare. R² compares with how much there was to know, and that
  differs: the thing lies still while the hand comes. Few frames of many episodes are therefore the fairer question.
* **The hand that acts** is the one that moves farthest; "wrist" is its camera. Hands have slots of their own inside, so there
  is a read-out for each and one for all, added up: a kernel for several tasks (as features: Daumé 2007, arXiv:0907.1815).
* **Controls**: the same network with random weights, and shuffled targets. What is the same for a whole episode is shuffled
  between episodes: what is random is then as often alike as what is true (Hewitt and Liang 2019, arXiv:1909.03368).
* A probe says what could be read (Alain and Bengio 2016, arXiv:1610.01644), and attention what is looked at (Jain and
  Wallace 2019, arXiv:1902.10186); neither says what is used.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pilab.contracts import (
    NOISE,
    STATE,
    Arm,
    Embodiment,
    Observation,
    PilabError,
    Policy,
    PolicyError,
    Row,
    Scene,
    Thought,
    image_key,
    points_key,
)
from pilab.engine import provenance
from pilab.evaluation.information import bent, chance, kernel, read_out
from pilab.robots.executor import Command, Executor, batch, unprivileged
from pilab.robots.simulated import Reel, Trial, simulate
from pilab.vla.flow import Expert
from pilab.vla.grounding import ROLES
from pilab.vla.model import VLA
from pilab.vla.policy import VLAPolicy
from pilab.vla.transformer import Block, rotate
from pilab.world.demonstrators import Demonstrator
from pilab.world.environment import World
from pilab.world.kinematics import chain, tips
from pilab.world.task import facts_of, name_of, task_of

SUITE = "inside"
GRID = 12  # cells to a side of the pictures, and of their features, that are read
WORDED = " + words"  # behind the name of a picture: its features after FiLM
TRAINED, RANDOM, NONE = "trained", "random", "none"  # the weights behind a feature; none behind pixels and joints
POSITIONS = ("tip frame", "base frame")
CONTROLS = ("none", "shuffled")
OWN = "own: "  # in front of a kind of token: it is the expert's, not the trunk's
PLAN = f"{OWN}plan"  # the chunk of actions that is being made


@dataclass(frozen=True)
class Frames:
    """Moments of episodes: what a policy holds, and what there is to know. All arrays have N rows."""

    features: Mapping[tuple[str, str], np.ndarray]  # (what, weights) → (N, D)
    targets: Mapping[str, np.ndarray]  # positions (N, 3) in m; yes or no (N,); classes (N,)
    asked: Mapping[str, np.ndarray]  # target → (N,) bool: where it makes sense
    episode: np.ndarray  # which frames belong together
    hand: np.ndarray  # the arm that acts, by its number
    seconds: np.ndarray  # since the episode began
    fingerprint: str  # of the policy's weights

    def __len__(self) -> int:
        return len(self.episode)


@dataclass(frozen=True)
class Gaze:
    """Where a policy looks during an episode, at T moments. R roles; cameras are all that it has."""

    scene: Scene
    seconds: np.ndarray  # (T,)
    subtasks: tuple[str, ...]  # of each moment, the right one in words
    pictures: Mapping[str, np.ndarray]  # camera → (T, H, W, 3) uint8
    heat: Mapping[str, np.ndarray]  # camera → (T, R, h, w) probabilities
    points: Mapping[str, np.ndarray]  # camera → (T, R, 3): u and v of the peak, 1 where it says that it sees the role
    truth: Mapping[str, np.ndarray]  # camera → (T, R, 3): u, v, visible
    attention: Mapping[str, np.ndarray]  # kind of token → (T,): its share in what the plan attends to; they sum to 1
    tokens: Mapping[str, int]  # kind of token → how many there are

    def off(self, camera: str) -> np.ndarray:
        """(T, R) px from the peak to the truth; NaN for what is out of sight or plays no part."""
        height, width = self.pictures[camera].shape[1:3]
        gap = (self.points[camera] - self.truth[camera])[..., :2] * [width, height]
        return np.where(self.truth[camera][..., 2] > 0, np.linalg.norm(gap, axis=-1), np.nan)


# ---------------------------------------------------------------------------------------------------------- what it knows
def look_inside(
    policy: Policy, scenes: Iterable[Scene], *, frames: int = 4, driver: Policy | None = None, thoughts: bool = False,
    seed: int = 0,
) -> Frames:  # fmt: skip
    """Drive through scenes and keep some frames of each: one, at random, of each of `frames` equal parts.

    driver: the demonstrator if nobody is named. thoughts: the policy hears the subtask that the driver has in mind instead of
    the instruction. seed: of the random weights. A frame takes some 0.4 MB. Raises `PolicyError` for a policy without features,
    `PilabError` for no scenes, no frames, a scene twice, or scenes of another body.

    `look_inside(VLAPolicy("data_samples/checkpoint"), suite_scenes("all", 100))`
    """
    if frames < 1:
        raise PilabError(f"{frames} frames of each episode; expected at least one")
    trained = _opened(policy)
    random, found = blank(trained, seed), []
    for number, (world, reel) in enumerate(_drive(trained, scenes, driver)):
        steps = _some(len(reel.snapshots), frames, world.scene.seed)
        hand = acting(world.body, np.array([o[STATE] for o in reel.observations]))
        seen, told = [], []
        for now in _revisit(world, reel, steps):
            seen.append(now.observe(trained.cameras, points=True))
            told.append({**to_know(now, hand), "seconds": now.time, "episode": number, "hand": hand})
        coming = [not any(reel.touched[: step + 1]) for step in steps]
        heard = [_heard(reel.thoughts[step], thoughts) for step in steps]
        features = {(what, NONE): x for what, x in _plain(trained, seen, hand).items()}
        for weights, one in ((TRAINED, trained), (RANDOM, random)):
            features |= {(what, weights): x for what, x in _held(one, seen, heard, hand).items()}
        found.append((features, told, coming))
    if not found:
        raise PilabError("no scenes to look at; expected at least one")
    features = {key: np.concatenate([some[key] for some, _, _ in found]) for key in found[0][0]}
    features["joints", NONE] = bent(features["joints", NONE], np.random.default_rng(74))
    rows = [row for _, told, _ in found for row in told]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    seconds, episode, hands = (columns.pop(name) for name in ("seconds", "episode", "hand"))
    coming = np.concatenate([some for _, _, some in found])
    asked = {name: coming if name in POSITIONS else np.ones(len(rows), bool) for name in columns}
    return Frames(features, columns, asked, episode, hands, seconds, trained.fingerprint)


def questions(
    frames: Frames, *, arm: str = "vla", seed: int = 0, controls: Sequence[str] = CONTROLS, folds: int = 5
) -> list[Row]:  # fmt: skip
    """A row for each feature, target, control and fold. Of random weights no shuffled targets are asked: they are a control.

    `clusters` say which: view (what is read), weights, quantity (the target), fold. `metrics`: score, the chance of who knows
    nothing, frames asked; of positions also error_cm, and spread_cm: the error of who says the mean. Raises `PilabError` for
    fewer episodes than folds, and for controls that do not exist.
    """
    if unknown := set(controls) - set(CONTROLS):
        raise PilabError(f"unknown controls {sorted(unknown)}; expected some of {', '.join(CONTROLS)}")
    origin, rows, rng = provenance(), [], np.random.default_rng([seed, 73])
    same = frames.hand[:, None] == frames.hand
    for (view, weights), features in frames.features.items():
        alike = kernel(features) * (1 + same) / 2
        for (quantity, target), control in itertools.product(frames.targets.items(), controls):
            if control == "shuffled" and weights == RANDOM:
                continue
            kept = np.flatnonzero(frames.asked[quantity])
            target, episode = target[kept], frames.episode[kept]
            if control == "shuffled":
                target = shuffled(target, episode, rng)  # anew for each: else all are lucky at once
            for k, fold in enumerate(read_out(alike[np.ix_(kept, kept)], target, episode, folds)):
                least = chance(target)
                rows.append(Row(
                    unit="fold", arm=arm, suite=SUITE, control=control, seed=seed, scene=f"{SUITE}-{seed}-{k}",
                    success=fold.score > least,
                    metrics={
                        "score": fold.score, "chance": least, "frames": float(len(fold.rows)),
                        **(_in_cm(target[fold.rows], fold.said) if quantity in POSITIONS else {}),
                    },
                    clusters={"view": view, "weights": weights, "quantity": quantity, "fold": k},
                    checkpoint=frames.fingerprint, commit=origin["commit"], versions=origin["versions"],
                ))  # fmt: skip
    return rows


def shuffled(target: np.ndarray, episode: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The targets (N, …) of other frames; where every episode (N,) has one target throughout, those of other episodes."""
    _, first, back = np.unique(episode, return_index=True, return_inverse=True)
    own = target[first]  # of each episode
    if (own[back] == target).all():
        return own[rng.permutation(len(own))][back]
    return target[rng.permutation(len(target))]


def _in_cm(truth: np.ndarray, said: np.ndarray) -> dict[str, float]:
    """Root mean squares of distances, from (n, 3) m."""
    error, spread = (100 * math.sqrt((gap**2).sum(1).mean()) for gap in (truth - said, truth - truth.mean(0)))
    return {"error_cm": error, "spread_cm": spread}


# --------------------------------------------------------------------------------------------------------- where it looks
def where(
    policy: Policy, scenes: Iterable[Scene], *, every: int = 1, driver: Policy | None = None, thoughts: bool = False
) -> list[Gaze]:
    """Drive through scenes and note, every so many control steps, where the policy sees what the words name, and what the part
    of it that plans attends to. The rest as for `look_inside`.
    """
    seen, found = _opened(policy), []
    if every < 1:
        raise PilabError(f"every {every} steps; expected at least 1")
    for world, reel in _drive(seen, scenes, driver):
        steps = list(range(0, len(reel.snapshots), every))
        shown, truth, seconds, subtasks = [], defaultdict(list), [], []
        task, scene = task_of(world.scene), world.scene
        for now in _revisit(world, reel, steps):
            shown.append(now.observe(seen.cameras, points=True))
            seconds.append(now.time)
            subtasks.append(task.subtasks(scene, facts_of(scene))[task.stage(now, scene.goal)])
            for camera in seen.cameras:
                truth[camera].append(_of_roles(scene, shown[-1][points_key(camera)]))
        kept = _listen(seen, shown, [_heard(reel.thoughts[step], thoughts) for step in steps])
        looks = _by_camera(seen, [out for _, out in kept["grounding"]], "heat", "points", "visible")
        shares, tokens = _shares(seen, kept["blocks"])
        found.append(Gaze(
            scene, np.array(seconds), tuple(subtasks),
            {camera: np.stack([one[image_key(camera)] for one in shown]) for camera in seen.cameras},
            {camera: looks[camera][0].numpy() for camera in seen.cameras},
            {
                camera: torch.cat([looks[camera][1], (looks[camera][2] > 0)[..., None]], -1).numpy()
                for camera in seen.cameras
            },
            {camera: np.array(points) for camera, points in truth.items()}, shares, tokens,
        ))  # fmt: skip
    return found


@torch.no_grad()
def attended(
    block: Block, x: Tensor, turns: tuple[Tensor, Tensor], mask: Tensor, context: tuple[Tensor, Tensor] | None = None,
    condition: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """What each token of a block attends to, from what the block was called with: (B, heads, T, C + T), sums of 1."""
    h = block.before_attention(x, condition)[0] if block.conditioned else block.before_attention(x)
    q, k, _ = block.qkv(h).unflatten(-1, (3, block.heads, -1)).permute(2, 0, 3, 1, 4)
    q, k = rotate(q, turns), rotate(k, turns)
    keys = k if context is None else torch.cat([context[0], k], 2)
    return (q @ keys.mT / q.shape[-1] ** 0.5 + mask).softmax(-1)


def _shares(policy: VLAPolicy, calls: Sequence[tuple[Block, tuple]]) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Of each kind of token, its share (T,) in what the plan's tokens attend to, the mean over layers, heads and steps of the
    flow; and how many there are.
    """
    c, model = policy.config, policy.model
    pictures = zip(c.cameras, model.place, strict=True) if c.image_tokens else ()
    kinds = {f"picture: {name}": len(place) for (name, _, _), place in pictures}
    kinds |= {"joints": 1, "words": c.summary}
    kinds |= {"what points are on": len(c.cameras) * len(ROLES)} if c.regions else {}
    plan = c.horizon // c.steps_per_token
    # The expert's first token is all that it is told but for the glimpses: joints, points, and words if it hears any.
    kinds |= {f"{OWN}state": 1, **{f"{OWN}{role}": 1 for role in ROLES}, PLAN: plan}
    mean = torch.stack([attended(block, *args)[:, :, -plan:].mean((1, 2)) for block, args in calls]).mean(0).cpu()
    if mean.shape[1] != sum(kinds.values()):
        raise PolicyError(
            f"the expert attends to {mean.shape[1]} tokens, of which {sum(kinds.values())} are known: {kinds}; "
            "add what is new to the kinds in evaluation.inside"
        )
    parts = mean.split(list(kinds.values()), 1)
    return {kind: part.sum(1).numpy() for kind, part in zip(kinds, parts, strict=True)}, kinds


# --------------------------------------------------------------------------------------------------------------- episodes
@dataclass
class _Episode(Reel):
    """Also when the thing was touched."""

    touched: list[bool] = field(default_factory=list)

    def watch(self, world: World, observation: Observation, command: Command) -> None:
        super().watch(world, observation, command)
        self.touched.append(world.touched(world.scene.goal.object))


def _drive(policy: VLAPolicy, scenes: Iterable[Scene], driver: Policy | None) -> Iterator[tuple[World, _Episode]]:
    """Episodes, one after the other, each with its world as the end left it."""
    reels: dict[str, _Episode] = {}

    def trials() -> Iterator[Trial]:
        for scene in scenes:
            if scene.body != policy.body.name:
                raise PilabError(
                    f"scene {scene.hash} is of the body {scene.body!r}; the policy drives {policy.body.name!r}"
                )
            if scene.hash in reels:
                raise PilabError(f"scene {scene.hash} is there twice: one episode would be asked what the other told")
            reels[scene.hash] = _Episode()
            yield Trial(scene, watch=reels[scene.hash].watch)

    executor = Executor(Demonstrator() if driver is None else driver, policy.body, arm=SUITE)
    for outcome in simulate(executor, trials(), batch=1, threads=1):
        yield outcome.world, reels[outcome.trial.scene.hash]
        reels[outcome.trial.scene.hash] = _Episode()  # what is known suffices to refuse it a second time


def _revisit(world: World, reel: Reel, steps: Iterable[int]) -> Iterator[World]:
    """The world as it was before each of the steps."""
    for step in steps:
        world.restore(reel.snapshots[step])
        yield world


def _some(length: int, count: int, seed: int) -> list[int]:
    """A step out of each of `count` equal parts of an episode; all of them of one that is shorter."""
    rng = np.random.default_rng([seed, 76])
    return [int(rng.choice(part)) for part in np.array_split(np.arange(length), min(count, length))]


def _heard(thought: Thought, thoughts: bool) -> Thought:
    """Words only: the points of a driver's thought would override those that are to be looked at."""
    return Thought(subtask=thought.subtask) if thoughts else Thought.nothing()


def acting(body: Embodiment, states: np.ndarray) -> int:
    """Number of the arm whose tool tip went farthest, from the states (T, A) of an episode."""
    return int(np.linalg.norm(np.diff(tips(body, states.astype(float)), axis=0), axis=-1).sum(0).argmax())


def from_tip(arm: Arm, joints: np.ndarray, place: np.ndarray) -> np.ndarray:
    """A place (3,) in the world, m → as seen from the tool tip (3,): along the hand, along the way of its fingers, across."""
    tip, rotation, _, _ = chain(arm).forward(joints)
    return rotation.T @ (place - tip)


def to_know(world: World, hand: int) -> dict[str, Any]:
    """The targets, as the world is now, of a hand by its number."""
    scene, task = world.scene, task_of(world.scene)
    goal, arm = scene.goal, world.body.arms[hand]
    place = task.target(world, goal)
    fingers = world.touching().get(goal.object, set())
    return {
        "tip frame": from_tip(arm, world.state[world.body.slice(arm.name)][:-1], place),
        "base frame": place,
        "contact": bool(fingers & {2 * hand, 2 * hand + 1}),
        "subtask": f"step {task.stage(world, goal) + 1}",
        "verb": goal.verb,
        "noun": name_of(goal.object, facts_of(scene)).removeprefix("the "),
    }


def _of_roles(scene: Scene, points: np.ndarray) -> np.ndarray:
    """Of the points of all parts (slots, 3), those of the roles (R, 3); not visible for a role that nothing plays."""
    order = [part.name for part in scene.parts]
    parts = (scene.goal.object, scene.goal.place)
    return np.stack([points[order.index(part)] if part in order else np.zeros(3, np.float32) for part in parts])


# --------------------------------------------------------------------------------------------------------------- features
def _opened(policy: Policy) -> VLAPolicy:
    """The policy, if there is something to look into, else a `PolicyError`."""
    name = type(policy).__name__
    if not isinstance(policy, VLAPolicy):
        raise PolicyError(
            f"{name} has no features to look into; expected a VLAPolicy: load a checkpoint with VLAPolicy(FOLDER)"
        )
    if not isinstance(getattr(policy.model.head, "expert", None), Expert):
        raise PolicyError(
            f"the action head {policy.config.head!r} has no expert to look into; expected one with a flow.Expert as `expert`"
        )
    return policy


def blank(policy: VLAPolicy, seed: int = 0) -> VLAPolicy:
    """The same network with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = VLA(policy.config).to(policy.device)
    return VLAPolicy(dataclasses.replace(policy.checkpoint, model=model), policy.body)


def _named(policy: VLAPolicy, hand: int) -> dict[str, str]:
    """Cameras by what they are to the hand that acts: its own is the wrist's, another hand's the other wrist's."""
    own, found = policy.body.arms[hand].name, {}
    for name in policy.cameras:
        mount = policy.body.camera(name).mount
        plain = name.removeprefix(f"{mount}_")
        found.setdefault(name if mount == "world" else plain if mount == own else f"other {plain}", name)
    return found


def _plain(policy: VLAPolicy, seen: Sequence[Observation], hand: int) -> dict[str, np.ndarray]:
    """What there is before any network: pictures on a coarse grid, and joints, (n, D) each."""
    pictures = [
        F.adaptive_avg_pool2d(
            torch.from_numpy(np.stack([o[image_key(name)] for o in seen])).permute(0, 3, 1, 2).float(), GRID
        )
        for name in _named(policy, hand).values()
    ]
    return {
        "pixels": torch.cat([p.flatten(1) for p in pictures], 1).numpy(),
        "joints": np.stack([o[STATE] for o in seen]),
    }


def _held(policy: VLAPolicy, seen: Sequence[Observation], heard: Sequence[Thought], hand: int) -> dict[str, np.ndarray]:
    """What the network makes of frames, name → (n, D), in the order in which it is made."""
    kept = _listen(policy, seen, heard)
    before = _by_camera(policy, [out for _, out in kept["pictures"]])
    after = _by_camera(policy, [out[0] for _, out in kept["worded"]])
    found = {"words": kept["words"][0][1][1].flatten(1)}
    for name, camera in _named(policy, hand).items():
        for label, (maps,) in ((name, before[camera]), (name + WORDED, after[camera])):
            found[label] = F.adaptive_avg_pool2d(maps, GRID).flatten(1)
    (state_and_points,), _ = kept["told"][0]
    found["points"] = state_and_points[:, policy.config.state_slots :]
    _, (_, cache) = kept["trunk"][0]
    found["trunk"] = torch.cat([values.transpose(1, 2).flatten(1) for _, values in cache], 1)
    found["expert"] = kept["expert"][-1][1][0].flatten(1)
    return {name: x.float().cpu().numpy() for name, x in found.items()}


def _listen(
    policy: VLAPolicy, seen: Sequence[Observation], heard: Sequence[Thought]
) -> dict[str, list[tuple[Any, Any]]]:
    """What goes in and out of the parts of the network while it acts: part → (in, out) of each call, on the CPU.

    Its noise is zero: what it would do on average, as far as a flow has an average.
    """
    model, kept, hooks = policy.model, defaultdict(list), []
    expert = model.head.expert
    parts = {
        "words": model.text, "pictures": model.vision.backbone, "worded": model.vision, "grounding": model.grounding,
        "trunk": model.trunk, "told": expert.read_state, "expert": expert.transformer,
    }  # fmt: skip
    observation = batch([unprivileged(one) for one in seen])
    observation[NOISE] = np.zeros((len(seen), *policy.noise_shape), np.float32)
    with contextlib.ExitStack() as stack:
        for name, part in parts.items():
            hooks.append(part.register_forward_hook(lambda _, args, out, name=name: kept[name].append((args, out))))
        for block in expert.transformer.blocks:
            hooks.append(block.register_forward_hook(lambda block, args, _: kept["blocks"].append((block, args))))
        for hook in hooks:
            stack.callback(hook.remove)
        policy.act(observation, heard)
    return kept


def _by_camera(policy: VLAPolicy, outputs: Sequence[Any], *fields: str) -> dict[str, tuple[Tensor, ...]]:
    """Camera → its rows of the outputs, or of fields of theirs: pictures of one size go through the network together."""
    sizes: dict[tuple[int, int], list[str]] = {}
    for name, height, width in policy.config.cameras:
        sizes.setdefault((height, width), []).append(name)
    found = {}
    for names, out in zip(sizes.values(), outputs, strict=True):
        values = [getattr(out, field) for field in fields] if fields else [out]
        each = zip(*(x.cpu().chunk(len(names)) for x in values), strict=True)
        found |= dict(zip(names, each, strict=True))
    return found
