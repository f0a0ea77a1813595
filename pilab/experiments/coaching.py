"""Does talking to a robot make it better, without a single new action?

A robot that tidies up is coached: an oracle says, throughout its own attempts, what comes next ("put the apple on the tray"),
and its high level learns the words (`recipes.coach`); its hands stay as they are. The same minutes of a person's time could be
spent on demonstrations instead. The claim is about **where the bottleneck is** (π0.5, arXiv:2504.16054; YAY Robot,
arXiv:2403.12910): words help where the hands are able and the head does not know what comes next, the more the longer the task;
demonstrations help where the hands are weak.

*Middle*: the shipped robot, which tidies up at home, in another home, where every kind of thing belongs elsewhere. *Low*: it is
at home, but its hands began anew and learnt from thirty demonstrations of put. `Arm` is what is done about it, in `MINUTES` of
a person's time: what a sentence and a demonstration cost is fixed beforehand (who coaches watches anyway; that costs nothing).
*Practice* is the control of demonstrations: the same steps, on nothing but what the hands know already.

Entry: at home, the head knows what comes next (`chosen` of *low: nothing*). A shipped checkpoint that never learnt to tidy up
fails it, and then no arm says anything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pilab.contracts import PilabError, Policy, Row, Scale, UnknownNameError
from pilab.data.lerobot import LeRobotDataset
from pilab.data.schema import SPEAKER, SUBTASK
from pilab.data.web.chains import HOPS
from pilab.evaluation.judging import Judge
from pilab.evaluation.rollout import DEFAULT, evaluate
from pilab.experiments import Experiment, Grid, keep_rows
from pilab.robots.collection import Recipe as Collection
from pilab.robots.levels import TwoLevels
from pilab.training.data import kept_back
from pilab.training.mixture import Rows
from pilab.training.recipes import Recipe, Stage, find_recipe
from pilab.training.thoughts import AT_ONCE, Thinking
from pilab.training.train import train
from pilab.vla.checkpoint import Checkpoint, Driving
from pilab.vla.policy import VLAPolicy
from pilab.world import objects
from pilab.world.scenes import REPORTED, sample_scene

VERSION = 1  # of what is no part of a recipe: who changes it makes new runs of all
LABEL, DEMONSTRATION = 5, 60  # seconds of a person that a sentence, and an episode, costs
MINUTES = 10  # that are spent on either
HORIZONS: Mapping[int, str] = {  # things to be put away, each a subtask or two
    number: f"pilab.world.tasks.tidy:{name}" for number, name in ((1, "ONE"), (2, "TWO"), (3, "THREE"))
}
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Arm:
    """Where the bottleneck is, and what is done about it."""

    bottleneck: str  # "middle": in another home; "low": weak hands
    help: str = "nothing"  # "labels", "demonstrations", "practice"
    chain: bool = False  # labels teach a chain that leads to what was said, and it thinks in chains
    babbled: bool = False  # as many labels, about anything: the control
    flat: bool = False  # it acts on the instruction: labels can only have made its trunk better

    @property
    def seconds(self) -> int:
        """What a label costs: a sentence, or as many as lead to it in a chain."""
        return LABEL * (1 + len(HOPS) * self.chain)

    @property
    def name(self) -> str:
        what = {"labels": "random labels" if self.babbled else "labels"}.get(self.help, self.help)
        return f"{self.bottleneck}{', flat' * self.flat}: {what}{', in chains' * self.chain}"


ARMS: Mapping[str, Arm] = {
    arm.name: arm
    for arm in (
        Arm("middle"), Arm("middle", "labels"), Arm("middle", "labels", chain=True), Arm("middle", "labels", babbled=True),
        Arm("middle", "demonstrations"), Arm("middle", flat=True), Arm("middle", "labels", flat=True),
        Arm("low"), Arm("low", "labels"), Arm("low", "demonstrations"), Arm("low", "practice"),
    )
}  # fmt: skip


def find_arm(name: str) -> Arm:
    if name not in ARMS:
        raise UnknownNameError("arm", name, list(ARMS))
    return ARMS[name]


def home(arm: Arm, seed: int) -> str:
    """The table of facts of the home it is in."""
    return f"moved-{seed}" if arm.bottleneck == "middle" else "household"


def helping(arm: Arm, scale: Scale) -> Recipe | None:
    """What is learnt from a person's minutes; None for nothing. The steps of the high level are the same for all."""
    if arm.help == "nothing":
        return None
    recipe = find_recipe("coach", scale)
    (stage,) = recipe.stages
    about = {"thinking": Thinking(chain=True) if arm.chain else AT_ONCE, "driving": Driving(chain=arm.chain)}
    if arm.help == "labels":
        return dataclasses.replace(recipe, babbled=arm.babbled, **about)
    practice = Stage(2, Rows(4, 0, 8), ("head",)) if scale is Scale.SMOKE else Stage(300, Rows(8, 0, 448), ("head",))
    return dataclasses.replace(recipe, corrections=False, stages=(stage, practice), **about)


def weakening(scale: Scale) -> Recipe:
    """Hands that begin anew and learn from a few demonstrations of put, those that are rehearsed later."""
    stage = Stage(2, Rows(4, 0, 8), ("head",)) if scale is Scale.SMOKE else Stage(600, Rows(8, 0, 448), ("head",))
    return dataclasses.replace(find_recipe("practise", scale), stages=(stage,), anew=("head",), success_episodes=0)


def weaken(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """The shipped robot with weak hands. config: seed, scale, data; recipe and version."""
    recipe, where = weakening(Scale(config["scale"])), Path(folder) / "checkpoint"
    train(recipe, [config["data"]], where, seed=config["seed"], start=DEFAULT, progress=False, threads=1)
    return {}


def run(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """One arm with one seed: what it learns, then every horizon.

    config: arm, seed, scale, start (the robot before), data (what it learns from, what it rehearses), minutes (of a person),
    exams (horizon → episodes); recipe and version, which tell one run from another.
    """
    name, seed, folder = config["arm"], config["seed"], Path(folder)
    arm = find_arm(name)
    recipe, low = helping(arm, Scale(config["scale"])), Checkpoint.load(config["start"])
    high, minutes, spent = low, 0.0, 0.0
    if recipe is not None:
        if arm.help == "labels":
            most, labels = affordable(config["data"], config["minutes"], arm.seconds)
            recipe, spent = dataclasses.replace(recipe, most=most), labels * arm.seconds / 60
        if arm.help == "demonstrations":
            spent = len(LeRobotDataset(config["data"][0]).episodes) * DEMONSTRATION / 60
        high = train(
            recipe, config["data"], folder / "checkpoint", seed=seed, start=config["start"], progress=False, threads=1
        )
        minutes = high.origin["minutes"]
    policy, rows = drive(arm, high, low), []
    for horizon, episodes in config["exams"].items():
        rows += examine(policy, arm, int(horizon), episodes, seed)
    keep_rows(folder, rows, config, training_minutes=minutes, person_minutes=spent)
    return {"arm": name, "seed": seed, "rows": len(rows)}


def drive(arm: Arm, high: Checkpoint, low: Checkpoint) -> Policy:
    """Labels touch no hand: the old robot acts on what the coached one thinks. Demonstrations teach both."""
    driving = dataclasses.replace(low.driving, thinks=not arm.flat, chain=arm.chain, remembers=False)
    thinker = VLAPolicy(dataclasses.replace(high, driving=driving))
    if arm.flat or arm.help in ("demonstrations", "practice"):
        return thinker
    return TwoLevels(thinker, VLAPolicy(low))


def examine(policy: Policy, arm: Arm, horizon: int, episodes: int, seed: int) -> list[Row]:
    """Rows of so many things to be put away; the same scenes for all arms of a bottleneck."""
    facts = objects.find_facts(home(arm, seed))
    first = REPORTED.start + 1000 * seed
    scenes = [sample_scene(first + k, HORIZONS[horizon], facts=facts) for k in range(episodes)]
    rows = evaluate(policy, "tidy", scenes=scenes, arm=arm.name, watcher=Judge, threads=1, progress=False)
    about = {"bottleneck": arm.bottleneck, "help": arm.help, "horizon": horizon, "facts": facts.name}
    return [
        dataclasses.replace(
            row, clusters={**row.clusters, **about},
            metrics={**row.metrics, "progress": row.metrics.get("progress", float(row.success))},
        )
        for row in rows
    ]  # fmt: skip


def affordable(folders: Sequence[str], minutes: float, seconds: int = LABEL) -> tuple[int, int]:
    """How many attempts of the first dataset, of those that are learnt from and from the first on, a person can label in that
    time, and with how many labels of so many seconds: whenever something else is right, that costs one. Raises `PilabError`
    for too few.
    """
    labels = labels_of(folders[0])
    kept = kept_back([len(LeRobotDataset(folder).episodes) for folder in folders])
    spent = np.cumsum([many for k, many in enumerate(labels) if k not in kept])
    most, allowed = int(np.searchsorted(spent, minutes * 60 / seconds, side="right")), int(minutes * 60 / seconds)
    if not 0 < most < len(spent):
        raise PilabError(
            f"{len(spent)} attempts to learn from hold {spent[-1]} labels, the first of them {spent[0]}; {minutes} minutes are "
            f"{allowed} labels: collect more attempts, or spend another time"
        )
    return most, int(spent[most - 1])


def labels_of(folder: str | Path) -> list[int]:
    """How often the oracle said something new, in each episode."""
    data = LeRobotDataset(folder)
    found = []
    for episode in range(len(data.episodes)):
        columns = data.episode(episode, [SUBTASK, SPEAKER])
        said = np.where(np.asarray(columns[SPEAKER]) == "oracle", np.asarray(columns[SUBTASK]), "")
        found.append(int(said[0] != "") + int(((said[1:] != said[:-1]) & (said[1:] != "")).sum()))
    return found


def amounts(scale: Scale) -> dict[str, Any]:
    """Attempts that are overheard, demonstrations, episodes to rehearse, trials of each horizon, seeds. A GPU does as much."""
    if scale is Scale.SMOKE:
        exams = {"1": 1}
        return {"attempts": 3, "minutes": 1 / 12, "demonstrations": 2, "rehearsed": 6, "exams": exams, "seeds": (0,)}
    return {
        "attempts": 90, "minutes": MINUTES, "demonstrations": MINUTES * 60 // DEMONSTRATION, "rehearsed": 31,
        "exams": {str(horizon): 20 for horizon in HORIZONS}, "seeds": SEEDS,
    }  # fmt: skip


def runs(grid: Grid, scale: Scale, arms: Iterable[str], seed: int) -> None:
    """These arms with one seed: first weak hands, demonstrations and attempts to be labelled, as far as they are needed."""
    names = [arm["arm"] for arm in grid.missing({"arm": name, "seed": seed} for name in arms)]
    if not names:
        return
    much, shipped = amounts(scale), Checkpoint.load(DEFAULT).hash  # another one is another experiment
    about = {"seed": seed, "scale": scale.value, "version": VERSION, "shipped": shipped}
    rehearsed = grid.demonstrations("rehearsed", much["rehearsed"], Collection(("put",), noise=1.0, close=0.5))
    robots = {"middle": str(DEFAULT)}
    if any(find_arm(name).bottleneck == "low" for name in names):
        weak = {**about, "data": rehearsed, "recipe": dataclasses.asdict(weakening(scale))}
        grid.prepare(f"{__name__}:weaken", [weak])
        robots["low"] = str(grid.folder(f"{__name__}:weaken", weak) / "checkpoint")
    configs = []
    for name in names:
        arm = find_arm(name)
        start, recipe = robots[arm.bottleneck], helping(arm, scale)
        data = [rehearsed] if recipe else []
        if arm.help in ("labels", "demonstrations"):
            data = [gathered(grid, arm, start, seed, much), rehearsed]
        fixed = {"start": start, "data": data, "minutes": much["minutes"], "exams": much["exams"]}
        configs.append({"arm": name, **about, **fixed, "recipe": recipe and dataclasses.asdict(recipe)})
    grid.run(f"{__name__}:run", configs)


def gathered(grid: Grid, arm: Arm, robot: str, seed: int, much: Mapping[str, Any]) -> str:
    """The folder of what a person's minutes bring, in the home of an arm."""
    place = {"facts": home(arm, seed), "seed": 20_000 * (seed + 1)}
    if arm.help == "labels":
        heard = Collection(tuple(HORIZONS.values()), driver=robot, overheard=True, outcome="any", **place)
        return grid.demonstrations(f"{arm.bottleneck}-overheard-{seed}", much["attempts"], heard)
    shown = Collection(tuple(HORIZONS.values()), noise=1.0, close=0.5, **place)
    return grid.demonstrations(f"{arm.bottleneck}-shown-{seed}", much["demonstrations"], shown)


def plan(scale: Scale) -> str:
    much, chained = amounts(scale), ARMS["middle: labels, in chains"].seconds
    return (
        f"{len(ARMS)} arms with {len(much['seeds'])} seeds: {'; '.join(ARMS)}.\n"
        f"{MINUTES} minutes of a person: a label costs {LABEL} s, a demonstration {DEMONSTRATION} s, "
        f"a label in a chain {chained} s.\n"
        f"Episodes of each number of things: {', '.join(f'{k}: {n}' for k, n in much['exams'].items())}."
    )


def conduct(grid: Grid, scale: Scale) -> None:
    for seed in amounts(scale)["seeds"]:
        runs(grid, scale, ARMS, seed)


EXPERIMENT = Experiment("05", plan, conduct)
