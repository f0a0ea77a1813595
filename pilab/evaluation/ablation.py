"""What does a policy need of what it senses? Take sensors away, one by one and together, and count what still goes.

Works on any policy, in any world that gives episodes: ours, an environment of somebody else's, a policy at the other end of a
wire. Only what reaches the policy is changed.

Design choices
--------------
* **A sensor is a named part of the observation**: a camera, the joints, the grippers, whatever else the body reads.
* **A way to take it** (`WAYS`): `remove` leaves it out, and a policy that cannot do without says so itself; `black` is all
  zeros, as of a loose cable; `freeze` keeps what it read first; `noise`, `blur` and `delay` leave some of it. `contact` keeps,
  while fingers touch something, the picture from before: of bodies that feel touch, which says when.
* **Controls always run**: all sensors (what is lost is lost from there), and everything the body senses taken in each way: who
  does as well then does not sense at all, and the world, not the policy, does the task.
* Every arm has the same scenes and the same noise of the policy, so that arms are pairs. The rows of an arm are named by what
  was taken: `black left_wrist + right_wrist`.

A policy that was never without a sensor may fail for being surprised; what it could learn to do without, retraining tells. And
who acts relative to where its joints are, as the shipped policy does, is sent elsewhere by wrong ones.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pilab.contracts import STATE, Embodiment, Observation, PilabError, Policy, Row, UnknownNameError, image_key
from pilab.engine import Engine
from pilab.evaluation.glasses import Glasses, Where, averted, blurred, dimmed, grainy, late, over, stuttering
from pilab.evaluation.rollout import DEFAULT, evaluate, make_policy
from pilab.evaluation.rows import read_rows, write_rows
from pilab.evaluation.statistics import PairedDifference, Rate, holm, paired_difference, wilson
from pilab.evaluation.verdict import SEED
from pilab.vla.checkpoint import Checkpoint
from pilab.world.scenes import find_body

WHOLE = "all sensors"  # the arm from which nothing was taken
WAYS = ("remove", "black", "freeze", "noise", "blur", "delay", "contact")
LATE = 10  # control steps
TOUCH, TOUCHED = "touch", 0.2  # the sensor that says when there is contact, and from how many N on
GRAIN = {"picture": 50.0, "joints": 0.1, "other": 1.0}  # standard deviation: grey levels, rad, what it reads in


@dataclass(frozen=True)
class Sensor:
    """A part of the observation."""

    name: str
    key: str
    part: Any = ...  # an index into the value; ... for all of it
    kind: str = "other"  # "picture", "joints" or "other"


def sensors_of(body: Embodiment) -> dict[str, Sensor]:
    """What a body senses, by name: its cameras, its joints and grippers (or channels), its further readings."""
    found = [Sensor(camera.name, image_key(camera.name), kind="picture") for camera in body.cameras]
    grippers = np.array([name.endswith("_gripper") for name in body.action.names])
    if body.arms:
        found += [Sensor("joints", STATE, ~grippers, "joints"), Sensor("grippers", STATE, grippers, "joints")]
    elif body.action.names:
        found.append(Sensor("state", STATE, kind="joints"))
    found += [Sensor(reading.name, reading.key) for reading in body.sensors]
    return {sensor.name: sensor for sensor in found}


@dataclass(frozen=True)
class Taken:
    """These sensors, taken in a way."""

    sensors: tuple[Sensor, ...]
    way: str
    everything: bool = False  # the control: all that can be taken so

    @property
    def what(self) -> str:
        return "everything" if self.everything else " + ".join(sensor.name for sensor in self.sensors) or "nothing"

    @property
    def name(self) -> str:
        """Of the arm."""
        return f"{self.way} {self.what}" if self.sensors else WHOLE

    @property
    def always(self) -> bool:
        """Whether it has to see every step, looked at or not."""
        return self.way in ("freeze", "delay", "contact")

    def __call__(self, seed: int) -> Glasses:
        """A pair for one episode."""
        pairs = (self._one(sensor, np.random.default_rng([seed, k])) for k, sensor in enumerate(self.sensors))
        return functools.reduce(over, pairs)

    def _one(self, sensor: Sensor, rng: np.random.Generator) -> Glasses:
        where: Where = {sensor.key: sensor.part}.get
        if self.way == "remove":
            return lambda seen: {key: value for key, value in seen.items() if key != sensor.key}
        return {
            "black": lambda: dimmed(where, 0.0),
            "freeze": lambda: stuttering(where, lambda: False),
            "noise": lambda: grainy(where, GRAIN[sensor.kind], rng),
            "blur": lambda: blurred(where, 2.5),
            "delay": lambda: late(where, LATE),
            "contact": lambda: averted(where, _touched),
        }[self.way]()


def lattice(
    sensors: Mapping[str, Sensor], every: Mapping[str, Sensor], ways: Sequence[str] = ("black",), most: int = 1
) -> list[Taken]:
    """What to try: every set of at most so many sensors, in every way, and `every` sensor at once; first of all, nothing taken.

    Where a way makes no sense for a sensor (blurred joints, part of a state left out, contact that is not felt) that set is
    left out. Raises
    `UnknownNameError` for an unknown way, `PilabError` for no sensors.
    """
    if unknown := [way for way in ways if way not in WAYS]:
        raise UnknownNameError("way", unknown[0], list(WAYS))
    if not sensors or most < 1:
        raise PilabError(f"{len(sensors)} sensors, sets of at most {most}; expected at least one of each")
    found = [Taken((), "black")]
    for way in ways:
        able, whole = (tuple(s for s in some.values() if _able(s, way, every)) for some in (sensors, every))
        sets = (chosen for n in range(1, most + 1) for chosen in itertools.combinations(able, n) if chosen != whole)
        found += [Taken(chosen, way) for chosen in sets]
        found += [Taken(whole, way, everything=True)] if whole else []
    return found


def _able(sensor: Sensor, way: str, every: Mapping[str, Sensor]) -> bool:
    if way == "contact" and TOUCH not in every:
        return False
    return not (way in ("blur", "contact") and sensor.kind != "picture") and not (
        way == "remove" and sensor.part is not ...
    )


def _touched(seen: Observation) -> bool:
    """Whether any finger feels something."""
    return bool(np.max(seen[f"observation.{TOUCH}"]) > TOUCHED)


Run = Callable[[Taken | None], Sequence[Row]]


def ablate(
    policy: Policy | str | None = None, sensors: Iterable[str] = (), ways: Sequence[str] = ("black",), most: int = 1, *,
    body: str | Embodiment = "duo", run: Run | None = None, sets: Sequence[Taken] | None = None, engine: Engine | None = None,
    **episodes: Any,
) -> list[Row]:  # fmt: skip
    """Rows of a policy with all its sensors, and of it without each set of them.

    sensors: names of `sensors_of(body)`; by default all. ways, most: see `lattice`. episodes: what `rollout.evaluate` takes,
    such as suite, episodes, seed. run: a world of your own: given what is taken, which makes glasses for each seed (None for
    nothing), it returns its rows; then policy and episodes are its own affair. sets: what to take, instead of a lattice, whose
    controls are then left out. engine: each set is a run of it, resumable and with a process to itself; then the policy is a
    name. Raises `UnknownNameError` for a sensor that the body has not.

    `ablate("default", ["base", "left_wrist", "right_wrist"], ["black", "freeze"], most=3, suite="put", episodes=100)`
    """
    robot = find_body(body) if isinstance(body, str) else body
    known = sensors_of(robot)
    names = list(sensors) or list(known)
    if unknown := [name for name in names if name not in known]:
        raise UnknownNameError("sensor", unknown[0], list(known))
    tried = lattice({name: known[name] for name in names}, known, ways, most) if sets is None else sets
    if idle := [way for way in ways if sets is None and not any(t.way == way for t in tried if t.sensors)]:
        why = "nothing here feels touch" if idle[0] == "contact" else "no sensor here can be taken so"
        raise PilabError(f"way {idle[0]!r} on the body {robot.name!r}: {why}; choose another way or body")
    if run is None and not isinstance(body, str):
        raise PilabError(
            f"body {robot.name!r} as an object; to be simulated it needs a name, such as 'duo', or give run"
        )
    if engine is not None:
        if not isinstance(policy, str) or run is not None:
            raise PilabError(f"{policy!r} in a process of its own; expected a name, such as 'default' or MODULE:OBJECT")
        about = {"policy": policy, "weights": _weights(policy), "body": body, "suite": "put", **episodes}
        configs = [
            {**about, "taken": [s.name for s in t.sensors], "way": t.way, "everything": t.everything} for t in tried
        ]
        engine.map(f"{__name__}:trial", configs)
        return [row for c in configs for row in read_rows(engine.run(f"{__name__}:trial", c).folder / ROWS)]
    if run is None:
        if policy is None:
            raise PilabError("no policy and no run; expected a policy to evaluate, or a function that does")
        able, asked = make_policy(policy, robot) if isinstance(policy, str) else policy, {"suite": "put", **episodes}

        def run(taken: Taken | None) -> list[Row]:
            return evaluate(able, arm="ablated", glasses=taken, body=body, **asked)  # the same noise for all arms

    rows: list[Row] = []
    for taken in tried:
        about = {"taken": taken.what, "way": taken.way}
        rows += [
            dataclasses.replace(row, arm=taken.name, clusters={**row.clusters, **about})
            for row in run(taken if taken.sensors else None)
        ]
    return rows


ROWS = "rows.jsonl"  # in the folder of a trial


def _weights(policy: str) -> str:
    """What a name stands for today: other weights in the same folder are another policy. "" for what has none."""
    folders = [DEFAULT if name == "default" else Path(name) for name in policy.split("+")]
    return "+".join(Checkpoint.load(folder).hash for folder in folders if folder.is_dir())


def trial(config: Mapping[str, Any], folder: str | Path) -> dict[str, int]:
    """One set as a run of the engine. config: policy and its weights, body, taken, way, everything, what `evaluate` takes."""
    asked = {"threads": 1, "progress": False, **config}
    del asked["weights"]
    policy, body, taken, way, everything = (asked.pop(k) for k in ("policy", "body", "taken", "way", "everything"))
    known = sensors_of(find_body(body))
    one = Taken(tuple(known[name] for name in taken), way, everything)
    return {"rows": len(read_rows(write_rows(Path(folder) / ROWS, ablate(policy, body=body, sets=[one], **asked))))}


@dataclass(frozen=True)
class Loss:
    """What is lost, or gained, without some sensors: of the same scenes with all of them."""

    suite: str
    arm: str
    way: str
    taken: tuple[str, ...]
    rate: Rate
    difference: PairedDifference | None  # to all sensors; None for these themselves
    p: float | None  # McNemar's, of no difference, Holm's over the arms of the suite


def losses(rows: Iterable[Row]) -> list[Loss]:
    """Of each suite and arm of `ablate`, in the order of the rows. Raises `PilabError` where arms are no pairs."""
    cells: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if "taken" not in row.clusters:
            raise PilabError(f"the rows of {row.arm!r} do not say what was taken; expected rows of `ablate`")
        cells.setdefault((row.suite, row.arm), []).append(row)
    found = []
    for suite in dict.fromkeys(suite for suite, _ in cells):
        if (suite, WHOLE) not in cells:
            raise PilabError(f"no rows of {WHOLE!r} in {suite!r}: nothing to compare with")
        whole = {_trial(row): row.success for row in cells[suite, WHOLE]}
        arms = [(arm, some) for (of, arm), some in cells.items() if of == suite]
        pairs = [(arm, _against(some, whole)) for arm, some in arms if arm != WHOLE]
        adjusted = dict(zip((arm for arm, _ in pairs), holm([pair.p for _, pair in pairs]), strict=True))
        compared = dict(pairs)
        for arm, some in arms:
            about = some[0].clusters
            taken = () if arm == WHOLE else tuple(str(about["taken"]).split(" + "))
            rate = wilson(sum(row.success for row in some), len(some))
            found.append(Loss(suite, arm, str(about["way"]), taken, rate, compared.get(arm), adjusted.get(arm)))
    return found


def _trial(row: Row) -> tuple[str | int | None, str, int]:
    return row.clusters.get(SEED), row.scene, row.seed


def _against(rows: Sequence[Row], whole: Mapping[Any, bool]) -> PairedDifference:
    without = {_trial(row): row.success for row in rows}
    if without.keys() != whole.keys() or len(without) != len(rows):
        raise PilabError(f"{rows[0].arm!r} was tried on {len(rows)} scenes that are not the {len(whole)} of {WHOLE!r}")
    return paired_difference(list(without.values()), [whole[trial] for trial in without])
