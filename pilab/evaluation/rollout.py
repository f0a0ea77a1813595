"""Measure a policy: trials → rows → rates with intervals.

Every figure goes through the Executor in simulated time, the demonstrator's included. Scenes are the seeds S … S+N−1,
dealt to the verbs of the suite in turn, so that arms and controls run on the very same scenes.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tqdm.auto import tqdm

from pilab.contracts import (
    Embodiment,
    Observation,
    Policy,
    PolicyError,
    Row,
    Scene,
    SceneError,
    UnknownNameError,
    load,
    names_in,
)
from pilab.engine import provenance
from pilab.evaluation.controls import CONTROLS
from pilab.evaluation.glasses import Pairs
from pilab.evaluation.perturbations import AXES, check, perturb, told
from pilab.evaluation.statistics import Rate, wilson
from pilab.robots.bridges.openpi import RemotePolicy
from pilab.robots.executor import Command, Executor
from pilab.robots.levels import TwoLevels
from pilab.robots.policies import Hold, Random, Replay
from pilab.robots.simulated import Outcome, Reel, Trial, simulate
from pilab.vla.policy import VLAPolicy
from pilab.world.demonstrators import CoverageNoise, Demonstrator
from pilab.world.environment import World
from pilab.world.scenes import REPORTED, find_body, sample_scene

ALL = ("put", "push", "open", "close")  # the suite "all"; stack and handover by name
METRICS = ("reached", "grasped_any", "grasped_right", "placed_right", "wrong_moved", "followed")
POLICIES = ("default", "demonstrator", "random", "hold")
DEFAULT = Path(__file__).parents[2] / "data_samples" / "checkpoint"  # the shipped one, in a checkout


class Watcher(Protocol):
    """Sees an episode before each of its steps, and has something to say of it."""

    def watch(self, world: World, observation: Observation, command: Command) -> None: ...

    def metrics(self) -> Mapping[str, bool | float | None]: ...


def make_policy(name: str, body: Embodiment) -> Policy:
    """A policy by name: `demonstrator`, `random`, `hold`, `default` (the shipped checkpoint), the folder of a checkpoint, the
    `ws://HOST:PORT` of a server (its token in $PILAB_TOKEN), or the reader's own `MODULE:OBJECT` (a policy or its class).
    HIGH+LOW are two of these: the first thinks, the second acts.
    Raises `UnknownNameError`, or `PolicyError` where there is no policy behind the name.
    """
    simple = {"demonstrator": Demonstrator, "random": lambda: Random(body.size), "hold": Hold}
    if name in simple:
        return simple[name]()
    if "+" in name and not Path(name).is_dir():
        return TwoLevels(*(make_policy(part, body) for part in name.split("+", 1)))
    if name == "default" and not DEFAULT.is_dir():
        raise PolicyError(
            f"the policy 'default' is the checkpoint in {DEFAULT}, and there is none: take it from a checkout of pilab, or "
            f"make one with `pilab train laptop --out {DEFAULT}`"
        )
    folder = DEFAULT if name == "default" else Path(name)
    if folder.is_dir():
        return VLAPolicy(folder, body)
    if name.startswith(("ws://", "wss://")):
        return RemotePolicy(name, os.environ.get("PILAB_TOKEN"))
    if ":" not in name:
        raise UnknownNameError(
            "policy", name, POLICIES, "or the folder of a checkpoint, or MODULE:OBJECT for one of your own"
        )
    found = load(name, "policy", POLICIES)
    policy = found() if isinstance(found, type) else found
    if not callable(getattr(policy, "act", None)):
        raise PolicyError(
            f"{name} is a {type(policy).__name__} without act(observation, thought); see contracts.Policy"
        )
    return policy


def suite_tasks(suite: str) -> tuple[str, ...]:
    """The tasks of a suite: `all`, a verb, or MODULE:TASK."""
    if suite == "all":
        return ALL
    if ":" not in suite and suite not in names_in("pilab.world.tasks"):
        raise UnknownNameError(
            "suite", suite, ["all", *names_in("pilab.world.tasks")], "or MODULE:TASK for one of your own"
        )
    return (suite,)


def suite_scenes(suite: str, episodes: int, seed: int = REPORTED.start, body: str = "duo") -> Iterator[Scene]:
    """The scenes of a suite: seeds seed … seed + episodes − 1, dealt to its tasks in turn."""
    tasks = itertools.cycle(suite_tasks(suite))
    return (sample_scene(seed + i, task, body=body) for i, task in zip(range(episodes), tasks, strict=False))


def evaluate(
    policy: Policy | str,
    suite: str = "all",
    episodes: int = 40,
    seed: int = REPORTED.start,
    *,
    control: str = "none",
    perturbed: Mapping[str, float] | None = None,
    glasses: Pairs | None = None,
    body: str = "duo",
    arm: str | None = None,
    scenes: Iterable[Scene] | None = None,
    on_episode: Callable[[Outcome, Reel], None] | None = None,
    watcher: Callable[[], Watcher] | None = None,
    replan_interval: int | None = None,
    batch: int = 8,
    threads: int | None = None,
    progress: bool = True,
) -> list[Row]:
    """Run a policy on a suite (or on given scenes) and return one row per episode, in the order of the scenes.

    arm: the name under which the rows stand; it also seeds the policy's noise. on_episode: called with every outcome and
    what a film of it needs. perturbed: axis of `perturbations` → severity; rows stand under a control of that name and with
    the scene as it was. glasses: what its observations look like, in every episode (see `ablation`). watcher: makes one for
    each episode, whose metrics stand in the row beside the others (see `judging`, `conduct`). replan_interval: steps executed
    of each chunk, if not as the policy says. Raises `UnknownNameError`, `PolicyError` where a control makes no sense for the
    policy, `SceneError` where a scene leaves no room for a perturbation.
    """
    if control not in CONTROLS:
        raise UnknownNameError("control", control, list(CONTROLS))
    severities = dict(perturbed or {})
    check(severities)
    if severities and control == "replay":
        raise PolicyError("replay plays back what was done in the plain scene; it says nothing about a perturbed one")
    wording = [name for name in severities if AXES[name].of == "words"]
    if len(wording) > 1 or (wording and control in ("swap", "scramble", "paraphrase")):
        both = (
            f"control {control!r} and the axis {wording[0]!r}"
            if len(wording) == 1
            else f"{wording[0]!r} and {wording[1]!r}"
        )
        raise PolicyError(f"{both} both change the words; choose one")
    embodiment = find_body(body)
    name = arm or (Path(policy).name if isinstance(policy, str) else type(policy).__name__)
    if isinstance(policy, str):
        policy = make_policy(policy, embodiment)
    if control == "black" and getattr(policy, "privileged", False):
        raise PolicyError(
            f"control 'black' says nothing about {name!r}: it is privileged and reads the simulator's truth, not the cameras. "
            "Use swap or replay, or a policy that looks"
        )
    if control == "scramble" and getattr(policy, "privileged", False):
        raise PolicyError(
            f"control 'scramble' says nothing about {name!r}: it is privileged and is handed the goal, not the words. "
            "Use swap or replay, or a policy that listens"
        )
    asked = list(scenes) if scenes is not None else list(suite_scenes(suite, episodes, seed, body))
    twice = [key for key, times in Counter(s.hash for s in asked).items() if times > 1]
    if twice:
        raise SceneError(f"scenes given more than once: {', '.join(twice)}; expected one row for each scene")
    threads = threads or min(os.cpu_count() or 1, batch)
    if control == "replay":
        policy, name = Replay(record(asked, batch=batch, threads=threads)), "replayed demonstrator"
    executor = Executor(policy, embodiment, replan_interval=replan_interval, arm=name)
    reels = {s.hash: Reel() for s in asked} if on_episode else {}
    watchers = {s.hash: watcher() for s in asked} if watcher else {}

    def trial(scene: Scene) -> Trial:
        watch = _watching(reels.get(scene.hash), watchers.get(scene.hash))
        cameras = None if glasses and glasses.always else executor.cameras if reels else ()
        plain = Trial(scene, view=glasses(scene.seed) if glasses else None, watch=watch, cameras=cameras)
        harder = perturb(plain, severities) if severities else plain
        return CONTROLS[control](harder, np.random.default_rng([scene.seed, zlib.crc32(control.encode())]))

    under = ", ".join(name for name in (control, told(severities)) if name != "none") or "none"
    order = {key: i for i, key in enumerate(s.hash for s in asked)}
    rows: list[Row | None] = [None] * len(asked)
    bar = tqdm(
        total=len(asked),
        desc=f"{name} · {suite}" + (f" · {under}" if under != "none" else ""),
        disable=not progress,
    )
    origin = provenance()
    with bar:
        for outcome in simulate(executor, map(trial, asked), batch=batch, threads=threads):
            key = (outcome.trial.of or outcome.trial.scene).hash
            row = make_row(outcome, name, suite, under, executor.privileged, origin)
            if watcher:
                row = dataclasses.replace(row, metrics={**row.metrics, **watchers.pop(key).metrics()})
            rows[order[key]] = dataclasses.replace(row, checkpoint=getattr(policy, "fingerprint", ""))
            if on_episode:
                on_episode(outcome, reels.pop(key))
            bar.update()
    return [row for row in rows if row is not None]


def _watching(*watchers: Reel | Watcher | None) -> Callable[..., None] | None:
    """All of those that are there, in one."""
    there = [watcher for watcher in watchers if watcher is not None]

    def watch(world: World, observation: Observation, command: Command) -> None:
        for watcher in there:
            watcher.watch(world, observation, command)

    return watch if there else None


def record(scenes: Sequence[Scene], **options: Any) -> dict[str, np.ndarray]:
    """The demonstrator's commands, disturbed as in a collection, by scene hash: (T, A) each."""
    commands: dict[str, list[np.ndarray]] = {s.hash: [] for s in scenes}
    executor = Executor(Demonstrator(), find_body(scenes[0].body), disturbance=CoverageNoise(), arm="recording")
    trials = (Trial(s, watch=lambda w, o, c: commands[w.scene.hash].append(c.executed)) for s in scenes)
    for _ in simulate(executor, trials, **options):
        pass
    return {key: np.stack(actions) for key, actions in commands.items()}


def make_row(outcome: Outcome, arm: str, suite: str, control: str, privileged: bool, origin: dict[str, Any]) -> Row:
    """The row of one episode."""
    scene, monitor = outcome.trial.scene, outcome.monitor
    said = outcome.trial.spoken or scene
    heard = "scramble" not in control  # else nothing was said that could be followed
    return Row(
        unit="episode",
        arm=arm,
        suite=suite,
        control=control,
        seed=scene.seed,
        scene=(outcome.trial.of or scene).hash,  # as it was, so that a perturbed trial and the plain one are a pair
        success=monitor.success,
        metrics={**monitor.metrics(), "followed": outcome.followed.success if heard else None},
        clusters={"verb": scene.goal.verb, "object": scene.goal.object, "place": scene.goal.place or ""},
        failure=monitor.failure(),
        privileged=privileged,
        commit=origin["commit"],
        versions=origin["versions"],
        instruction=said.instruction,
        steps=outcome.steps,
        seconds=round(outcome.seconds, 3),
    )


def rate_of(rows: Iterable[Row], metric: str = "success") -> Rate:
    """How often `metric` ("success", or a key of `Row.metrics`) is true; rows where it does not apply do not count."""
    values = [row.success if metric == "success" else row.metrics.get(metric) for row in rows]
    counted = [bool(value) for value in values if value is not None]
    return wilson(sum(counted), len(counted))


def summary(rows: Sequence[Row], seconds: float = 0.0) -> dict[str, Any]:
    """What `pilab evaluate --json` prints: success, metrics and verbs, each as k, n, rate, low, high (Wilson, 95 %)."""
    verbs = dict.fromkeys(row.clusters["verb"] for row in rows)
    return {
        "suite": rows[0].suite,
        "control": rows[0].control,
        "success": asdict(rate_of(rows)),
        "metrics": {m: asdict(rate_of(rows, m)) for m in METRICS},
        "per_verb": {v: asdict(rate_of([r for r in rows if r.clusters["verb"] == v])) for v in verbs},
        "seconds": round(seconds, 2),
    }


def table(digest: dict[str, Any]) -> str:
    """A summary for people."""
    lines = [f"suite {digest['suite']}, control {digest['control']}, {digest['seconds']:.1f} s"]
    parts = {"success": digest["success"], **{f"  {v}": r for v, r in digest["per_verb"].items()}, **digest["metrics"]}
    for name, r in parts.items():
        if r["n"]:
            lines.append(
                f"{name:16s} {100 * r['rate']:5.1f} %  [{100 * r['low']:5.1f}, {100 * r['high']:5.1f}]  {r['k']}/{r['n']}"
            )
    return "\n".join(lines)
