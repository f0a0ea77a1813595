"""Can it combine what it has learnt? The same robot, of which some combinations were kept from the first day.

The interview: "you've learned a repertoire of skills and now you can combine and mix those skills to solve new problems." On
real robots nobody can say what was never shown; here every training counts what it learnt from, and a run whose certificate
does not hold ends with an error instead of rows.

Design choices
--------------
* **Three kinds of combining**: things with places (pairs that nobody showed, at four densities), verbs with pairs (what was
  only ever put is to be pushed), and manners with things (slowly, from above, left-handed: shown with four things of eighteen,
  as phonetic script stands for single words in a dictionary).
* **Matched difficulty**: densities are nested, so what one arm never saw another has seen, and both are asked in the very same
  scenes. What a combination loses for being new is a difference of pairs, whatever its difficulty.
* **The same number of demonstrations** for every arm, drawn from what it may see; the same eyes before it, which learnt from
  text and pictures of the web and saw no robot.
* Ways to help: think aloud before acting, be told each step by an oracle (both the same weights, asked otherwise), words that
  say another place while that makes no difference (`Recipe.relabelled`), a piece of its own for a manner instead of words.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pilab.contracts import PilabError, Policy, Row, Scale, UnknownNameError
from pilab.evaluation.probe import certify, probe
from pilab.experiments import Experiment, Grid, keep_rows
from pilab.robots.collection import Recipe as Collection
from pilab.robots.oracle import Oracle
from pilab.training.mixture import Rows
from pilab.training.recipes import LOOKING, SHORT, TINY, Recipe, Stage, find_recipe
from pilab.training.train import train
from pilab.vla.checkpoint import Checkpoint, Driving
from pilab.vla.policy import VLAPolicy
from pilab.vla.tokenizer import manner_piece
from pilab.world.combinations import USUAL, Combination, dictionary, grid, one_each, thinned

VERSION = 1  # of what is no part of a recipe: who changes it makes new runs of all
VERBS = ("put", "push")
MANNERS = (USUAL, "slow", "from above", "left-handed", "right-handed")
KNOWN = 4  # things with which manners are shown
PLAIN, MANNERED = "plain", "mannered"  # datasets


@dataclass(frozen=True)
class Arm:
    """What is held out from it, and how it is helped."""

    density: float | None = None  # share of the pairs of thing and place that are shown
    verbs: bool = False  # each pair is shown with one verb
    manners: str = ""  # how a manner is said, "words" or "pieces"; "" where there are none
    recipe: Mapping[str, Any] = field(default_factory=dict)
    weights: str | None = None  # the arm that was trained so: it is only asked otherwise
    thinks: bool = False
    told: bool = False  # each step, by an oracle


HALF, MOST = "50 % of the pairs", "90 % of the pairs"
WORDS, PIECES = "manners in words", "manners in pieces"
THINKING, TOLD, OTHERWISE, ONE_VERB = (
    "50 %, thinking",
    "50 %, told each step",
    "50 %, said otherwise",
    "one verb for each pair",
)
ARMS: Mapping[str, Arm] = {
    HALF: Arm(0.5),
    MOST: Arm(0.9),
    THINKING: Arm(0.5, weights=HALF, thinks=True),
    TOLD: Arm(0.5, weights=HALF, told=True),
    ONE_VERB: Arm(verbs=True),
    WORDS: Arm(manners="words"),
    OTHERWISE: Arm(0.5, recipe={"relabelled": 0.5}),
    "30 % of the pairs": Arm(0.3),
    "70 % of the pairs": Arm(0.7),
    PIECES: Arm(manners="pieces"),
}
SEEDS = (0, 1, 2)
ONCE = (
    OTHERWISE,
    "30 % of the pairs",
    "70 % of the pairs",
    PIECES,
)  # with the first seed alone: where to look, no verdict


def arms_of(seed: int) -> list[str]:
    """The arms that a seed is trained for."""
    return [name for name in ARMS if seed == SEEDS[0] or name not in ONCE]


def find_arm(name: str) -> Arm:
    if name not in ARMS:
        raise UnknownNameError("arm", name, list(ARMS))
    return ARMS[name]


def held_out(arm: Arm, seed: int) -> list[Combination]:
    """Patterns of what an arm never sees with a seed."""
    if arm.density is not None:
        return thinned(grid(VERBS), arm.density, seed)
    if arm.verbs:
        return one_each(grid(VERBS), seed)
    return dictionary(grid(("put",), manners=MANNERS), KNOWN, seed)


def asked(arm: Arm, scale: Scale) -> list[Combination]:
    """What an arm is asked for: all that it may have seen or not; of manners, a place for each thing and manner."""
    if not arm.manners:
        cells = grid(VERBS)
        return cells[:2] + cells[-1:] if scale is Scale.SMOKE else cells
    places: dict[str, list[str]] = {}
    for cell in grid(("put",)):
        places.setdefault(cell.object, []).append(cell.place)
    spots = {thing: here[k % len(here)] for k, (thing, here) in enumerate(places.items())}
    cells = [Combination("put", thing, spot, manner=manner) for thing, spot in spots.items() for manner in MANNERS]
    return cells[:5] + cells[-5:] if scale is Scale.SMOKE else cells


def eyes(scale: Scale) -> Recipe:
    """What all share: text, then pictures, of the web alone."""
    known = [find_recipe(name, Scale.SMOKE if scale is Scale.SMOKE else Scale.LAPTOP) for name in ("text", "images")]
    return dataclasses.replace(_plain(scale), stages=tuple(recipe.stages[0] for recipe in known), pointing_scenes=0)


def hands(arm: Arm, seed: int, scale: Scale) -> Recipe:
    """The robot's own two stages: to see and name, then to act."""
    if scale is Scale.SMOKE:
        stages = Stage(1, Rows(4, 2, 0, 2, 2)), Stage(1, Rows(2, 0, 4), ("head",))
    else:
        stages = Stage(700, Rows(24, 16, 0, 8, 4)), Stage(1500, Rows(4, 0, 448), ("head",))
    return dataclasses.replace(
        _plain(scale), stages=stages, without=tuple(held_out(arm, seed)), manners=arm.manners,
        most=0 if scale is Scale.SMOKE else amounts(scale)["learnt"], driving=Driving(thinks=False), **arm.recipe,
    )  # fmt: skip


def _plain(scale: Scale) -> Recipe:
    smoke = scale is Scale.SMOKE
    model = {**SHORT, **LOOKING, **(TINY if smoke else {})}
    return Recipe(
        (), success_episodes=0, model=model, pointing_scenes=8 if smoke else 8000, web_pictures=12 if smoke else 12_000,
        validate_every=1 if smoke else 250, warm_up=1 if smoke else 60, per_step_statistics=False,
    )  # fmt: skip


def see(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """The eyes that arms share. config: seed, scale; recipe and version, which tell runs apart."""
    recipe = eyes(Scale(config["scale"]))
    done = train(recipe, [], Path(folder) / "checkpoint", seed=config["seed"], progress=False, threads=1)
    return {"minutes": done.origin["minutes"]}


def learn(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """The hands of an arm with a seed. config: arm, seed, scale, data, start; recipe and version.

    Raises `PilabError` where it was shown what it must not see.
    """
    recipe = hands(find_arm(config["arm"]), config["seed"], Scale(config["scale"]))
    done = train(
        recipe, config["data"], Path(folder) / "checkpoint", seed=config["seed"], start=config["start"], progress=False,
        threads=1,
    )  # fmt: skip
    certificate = certify(done, recipe.without)
    if not certificate.holds:
        raise PilabError(f"arm {config['arm']!r}, seed {config['seed']}: {certificate.text()}")
    return {"minutes": done.origin["minutes"], "certificate": certificate.text()}


def run(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """The probe of an arm with a seed. config: arm, seed, scale, weights (the folder of a run of `learn`), episodes; recipe and
    version.
    """
    arm, seed, name = find_arm(config["arm"]), config["seed"], config["arm"]
    checkpoint = Checkpoint.load(Path(config["weights"]) / "checkpoint")
    rows = examine(checkpoint, arm, name, seed, Scale(config["scale"]), config["episodes"])
    keep_rows(folder, rows, config)
    return {"arm": name, "seed": seed, "rows": len(rows)}


def examine(checkpoint: Checkpoint, arm: Arm, name: str, seed: int, scale: Scale, episodes: int) -> list[Row]:
    """Rows of everything an arm is asked for; what it never saw is marked."""
    about = {"held_out": held_out(arm, seed), "arm": name, "threads": 1, "progress": False}
    cells = asked(arm, scale)
    if arm.manners != "pieces":
        return probe(driven(checkpoint, arm), cells, episodes, **about)
    rows = []
    for manner in MANNERS:
        some = [cell for cell in cells if cell.manner == manner]
        if some:
            rows += probe(driven(checkpoint, arm, manner), some, episodes, spoken=False, **about)
    return rows


def driven(checkpoint: Checkpoint, arm: Arm, manner: str = USUAL) -> Policy:
    """The policy of an arm."""
    before = (manner_piece(manner),) if arm.manners == "pieces" else ()
    driving = dataclasses.replace(checkpoint.driving, thinks=arm.thinks, before=before)
    policy = VLAPolicy(dataclasses.replace(checkpoint, driving=driving))
    return Oracle(policy) if arm.told else policy


def amounts(scale: Scale) -> dict[str, int]:
    """Demonstrations that are there, and how many of the plain ones an arm learns from; episodes of each combination."""
    if scale is Scale.SMOKE:
        return {PLAIN: 24, MANNERED: 10, "learnt": 0, "episodes": 1}
    return {PLAIN: 1600, MANNERED: 600, "learnt": 420, "episodes": 3}


def plan(scale: Scale) -> str:
    much = amounts(scale)
    trained = [name for name, arm in ARMS.items() if arm.weights is None]
    seeds = SEEDS if scale is not Scale.SMOKE else SEEDS[:1]
    minutes = "" if scale is Scale.SMOKE else ", some 15 minutes of a core each and 7 to examine it"
    once = "" if len(seeds) == 1 else f" ({', '.join(ONCE)}: with one)"
    return (
        f"{len(trained)} trainings ({'; '.join(trained)}) with {len(seeds)} seeds{once}{minutes}; {len(ARMS) - len(trained)} "
        f"more arms ask one of them otherwise. {much[PLAIN]} plain demonstrations, of which each learns from "
        f"{much['learnt'] or 'all'} that it may see, {much[MANNERED]} in manners; {much['episodes']} episodes of each "
        "combination."
    )


def configs(grid: Grid, scale: Scale, data: Mapping[str, str], arms: Iterable[str], seed: int) -> list[dict[str, Any]]:
    """Of the runs of these arms; what they start from is trained first."""
    about, names = {"scale": scale.value, "version": VERSION}, list(arms)
    seen = {"seed": 0, **about, "recipe": dataclasses.asdict(eyes(scale))}
    grid.prepare(f"{__name__}:see", [seen] if names else [])

    def learning(name: str) -> dict[str, Any]:
        arm = find_arm(name)
        return {
            "arm": name, "seed": seed, **about, "data": [data[PLAIN], *([data[MANNERED]] if arm.manners else [])],
            "start": str(grid.folder(f"{__name__}:see", seen) / "checkpoint"),
            "recipe": dataclasses.asdict(hands(arm, seed, scale)),
        }  # fmt: skip

    trained = {name: learning(find_arm(name).weights or name) for name in names}
    grid.prepare(f"{__name__}:learn", list({str(config): config for config in trained.values()}.values()))
    return [
        {
            "arm": name, "seed": seed, **about, "weights": str(grid.folder(f"{__name__}:learn", trained[name])),
            "recipe": trained[name]["recipe"], "episodes": amounts(scale)["episodes"],
        }
        for name in names
    ]  # fmt: skip


def conduct(grid: Grid, scale: Scale) -> None:
    """A whole seed after the other."""
    for seed in SEEDS if scale is not Scale.SMOKE else SEEDS[:1]:
        todo = [run["arm"] for run in grid.missing({"arm": name, "seed": seed} for name in arms_of(seed))]
        data = {name: demonstrations(grid, name, scale) for name in (PLAIN, MANNERED)} if todo else {}
        grid.run(f"{__name__}:run", configs(grid, scale, data, todo, seed))


def demonstrations(grid: Grid, name: str, scale: Scale) -> str:
    """The folder of a dataset."""
    clean = {"noise": Recipe(()).noise, "close": Recipe(()).close}
    recipe = Collection(VERBS, **clean)
    if name == MANNERED:
        recipe = Collection(("put",), seed=100_000, manners=MANNERS[1:], **clean)
    return grid.demonstrations(name, amounts(scale)[name], recipe)


EXPERIMENT = Experiment("06", plan, conduct)
