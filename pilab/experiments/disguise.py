"""Is the wrist camera a touch sensor in disguise? How much of what the fingers feel is in what the cameras see.

A hand holds a thing more or less firmly, or presses more or less on a board whose stiffness nobody can see; on hard pads,
which do not give way, and on soft ones, which sink into their fingers before the wrist camera's eyes. What of the force, and
of whether there is contact at all, can be read from each camera, at which resolution, and from the joints? If the camera is a
touch sensor, it is so by what gives way: on hard pads it should say less.

Controls: the same network with random weights, whose features know of no robot; targets shuffled between frames.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from pilab.contracts import STATE, Embodiment, Row, Scale, image_key
from pilab.engine import provenance
from pilab.evaluation.information import bent, kernel, read_out
from pilab.evaluation.rollout import DEFAULT
from pilab.experiments import Experiment, Grid, keep_rows
from pilab.robots.executor import Executor
from pilab.robots.simulated import Trial, simulate
from pilab.vla.checkpoint import Checkpoint
from pilab.vla.model import VLA
from pilab.vla.policy import VLAPolicy
from pilab.vla.senses import OWN, feel
from pilab.world.demonstrators.script import Script
from pilab.world.environment import World
from pilab.world.scenes import REPORTED, find_body, sample_scene
from pilab.world.tasks import fragile, wipe

ARMS: Mapping[str, str] = {"hard pads": "duo_touch", "soft pads": "duo_soft"}
SEEDS = (0, 1, 2)
PIXELS = (24, 48, 96)  # to a side of the wrist's picture
USUAL = 48
NEAR = 0.06  # a frame counts when the hand is so near to the thing, m
FELT = 0.2  # N, beyond which there is contact
GRID = 12  # cells to a side of the features that are read


class Hold(fragile.CarryGently):
    """Holds with a force of its own in every scene, from hardly at all to all that the gripper can."""

    def grip(self, now, arm):
        firm = np.random.default_rng([now.scene.seed, 71]).uniform(-0.002, 0.020)  # m further than the thing is wide
        return max(0.0, (self.shape(now).grasp_width - firm) / arm.opening)


class Press(wipe.Rub):
    """Presses with a force of its own in every scene."""

    def wanted(self, now):
        return float(np.random.default_rng([now.scene.seed, 72]).uniform(1.0, 8.0))


SUITES: Mapping[str, tuple[str, type[Script]]] = {"hold": ("fragile", Hold), "press": ("wipe", Press)}


@dataclass(frozen=True)
class Frames:
    """Moments at which a hand is near its thing; N of them."""

    wrist: Mapping[int, np.ndarray]  # pixels to a side → (N, side, side, 3) uint8, of the hand that acts
    base: np.ndarray  # (N, H, W, 3) uint8
    state: np.ndarray  # (N, A)
    force: np.ndarray  # (N,) N: of the finger that is pressed most when something is held, of the wrist when it presses
    episode: np.ndarray  # (N,)


def watch(suite: str, body: str, first: int, episodes: int, most: int) -> Frames:
    """At most so many frames of so many scenes, from the seed `first` on."""
    task, script = SUITES[suite]
    hand, found = find_body(body), []

    def look(world: World, observation: Mapping[str, Any], command: Any) -> None:
        arm = command.thought.memory["arm"]
        i = [a.name for a in hand.arms].index(arm)
        thing = world.position(world.scene.goal.object)
        gap = world.tips()[i] - thing
        if (abs(gap[2]) if suite == "press" else np.linalg.norm(gap)) > NEAR:
            return
        camera = hand.camera(f"{arm}_wrist")
        wrist = {n: world.caster.look(world.data, dataclasses.replace(camera, height=n, width=n)).rgb for n in PIXELS}
        seen = world.observe(("base",))
        force = (
            seen["observation.touch"][2 * i : 2 * i + 2].max() if suite == "hold" else -seen["observation.force"][6 * i]
        )
        found.append((wrist, seen[image_key("base")], seen[STATE], max(float(force), 0.0), world.scene.seed))

    trials = (Trial(sample_scene(seed, task, body=body), watch=look) for seed in range(first, first + episodes))
    for _ in simulate(Executor(script(), hand, arm=suite), trials, batch=1, threads=1):
        pass
    kept = np.sort(np.random.default_rng([first, 75]).permutation(len(found))[:most])
    wrists, *columns = zip(*(found[i] for i in kept), strict=True)
    return Frames({n: np.stack([w[n] for w in wrists]) for n in PIXELS}, *map(np.array, columns))


def described(policy: VLAPolicy, pictures: np.ndarray, text: str) -> np.ndarray:
    """(N, D): the features of pictures (N, H, W, 3), on a grid of GRID × GRID cells whatever their size."""
    features = torch.from_numpy(policy.features(pictures, text))
    return F.adaptive_avg_pool2d(features, GRID).flatten(1).numpy()


def run(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """One kind of pads with one seed: frames, features, read-outs. config: arm, seed, episodes, frames, start, shipped."""
    body, seed = ARMS[config["arm"]], config["seed"]
    torch.manual_seed(seed)
    trained, plain = VLAPolicy(config["start"]), Checkpoint.load(config["start"])
    plain.model = VLA(plain.model.config)
    random, rows = VLAPolicy(plain), []
    for suite in SUITES:
        seen = watch(suite, body, REPORTED.start + 1000 * seed, config["episodes"], config["frames"])
        for view, features in _views(seen, suite, find_body(body), trained, random).items():
            rows += _rows(config, suite, view, kernel(features), seen, trained.fingerprint)
    keep_rows(folder, rows, config)
    return {"arm": config["arm"], "seed": seed, "folds": len(rows)}


def _views(seen: Frames, suite: str, body: Embodiment, trained: VLAPolicy, random: VLAPolicy) -> dict[str, np.ndarray]:
    """What each way to look at the frames has to say of them: name → (N, D)."""
    text = sample_scene(REPORTED.start, SUITES[suite][0]).instruction
    joints = feel(body, OWN, {STATE: seen.state.astype(float)})
    return {
        **{f"wrist, {n} pixels": described(trained, pictures, text) for n, pictures in seen.wrist.items()},
        "wrist, random weights": described(random, seen.wrist[USUAL], text),
        "base": described(trained, seen.base, text),
        "joints": bent(joints, np.random.default_rng(74)),
    }


def _rows(
    config: Mapping[str, Any], suite: str, view: str, alike: np.ndarray, seen: Frames, fingerprint: str
) -> list[Row]:
    """A row for each quantity, control and fold. How firm a contact is, is asked only where there is one."""
    seed, origin, rows = config["seed"], provenance(), []
    touches = seen.force > FELT
    asked = {"contact": (np.arange(len(touches)), touches), "force": (np.flatnonzero(touches), seen.force[touches])}
    controls = ("none", "shuffled") if view == f"wrist, {USUAL} pixels" else ("none",)
    for (quantity, (kept, target)), control in itertools.product(asked.items(), controls):
        if control == "shuffled":
            target = target[np.random.default_rng([seed, 73]).permutation(len(target))]
        for k, fold in enumerate(read_out(alike[np.ix_(kept, kept)], target, seen.episode[kept])):
            rows.append(Row(
                unit="fold", arm=config["arm"], suite=suite, control=control, seed=seed, scene=f"{suite}-{seed}-{k}",
                success=fold.score > (0.5 if quantity == "contact" else 0.0),  # says more than nothing would
                metrics={"score": fold.score, "frames": float(len(fold.rows))},
                clusters={"view": view, "quantity": quantity, "fold": k},
                checkpoint=fingerprint, commit=origin["commit"], versions=origin["versions"],
            ))  # fmt: skip
    return rows


def amounts(scale: Scale) -> dict[str, int]:
    """Episodes of each suite and frames of them that are read."""
    return {"episodes": 6, "frames": 120} if scale is Scale.SMOKE else {"episodes": 150, "frames": 1500}


def plan(scale: Scale) -> str:
    much = amounts(scale)
    minutes = "" if scale is Scale.SMOKE else ", some 10 minutes of a core each"
    return (
        f"{len(ARMS)} kinds of pads, {len(SEEDS)} seeds: {much['frames']} frames of {much['episodes']} episodes of each of "
        f"{len(SUITES)} suites, read out from {len(PIXELS) + 3} views in 5 folds{minutes}."
    )


def conduct(grid: Grid, scale: Scale) -> None:
    about = {"start": str(DEFAULT), "shipped": Checkpoint.load(DEFAULT).hash, **amounts(scale)}
    grid.run(f"{__name__}:run", [{"arm": arm, "seed": seed, **about} for seed in SEEDS for arm in ARMS])


EXPERIMENT = Experiment("07_disguise", plan, conduct)
