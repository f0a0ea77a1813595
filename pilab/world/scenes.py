"""Scenes: how they are drawn, what is kept out of training, and how they become a MuJoCo model.

Design choices
--------------
* **Scenes are data.** `sample_scene(seed, task)` draws a frozen `Scene`; `build(scene)` compiles it. Perturbations, replays,
  rows and error messages are functions of scenes.
* The sampler rejects layouts **on geometry alone** (overlap, reach), never on anyone's success, and counts rejections.
* **Reserved from the first day**: about 15 % of the (verb, object, place) cells, more than half of the objects, and ranges
  of seeds never enter robot training data, so that "never seen" can be certified later.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from pilab.contracts import Embodiment, Goal, Part, ReservedError, Scene, SceneError, UnknownNameError, find, load
from pilab.world import objects, places
from pilab.world.kinematics import chain, top_down

if TYPE_CHECKING:
    from pilab.world.task import Task

TRAINING, VALIDATION, REPORTED = range(500_000), range(500_000, 600_000), range(600_000, 700_000)
OBJECT_ZONE = ((-0.26, 0.26), (-0.13, 0.03))  # where objects start, m
PLACE_ROW = ((-0.27, 0.27), (0.125, 0.165))  # where places and fixtures stand, m
SPACING = 0.092  # between object centres: the open hand must fit between any two, m
CLEARANCE = 0.066  # between an object's centre and the rim of a place, m
ATTEMPTS = 2000


class Rejected(Exception):  # noqa: N818 - not an error: the sampler draws again
    """A layout that geometry forbids. Tasks raise it while they lay out a scene."""


# ------------------------------------------------------------------------------------------------------ what is reserved
def is_reserved_cell(verb: str, look: str, place: str | None) -> bool:
    """Whether a (verb, object, place) combination is kept out of training: about 15 % of them, chosen by a hash.

    Of the four places an object loses at most one for each verb (seven in ten do), so that every object and every
    place stays well represented. Fixtures are never reserved: there are too few of them to spare one.
    """
    if look not in objects.LOOKS:
        return False
    if place in places.PLACES:
        lost = list(places.PLACES)[int(4 * _chance("which", verb, look))]
        return place == lost and _chance("whether", verb, look) < 0.7
    return _chance("cell", verb, look, str(place)) < 0.15


def _chance(*words: str) -> float:
    """0 … 1, the same for the same words on every machine."""
    return int.from_bytes(hashlib.sha256("|".join(words).encode()).digest()[:4], "big") / 2**32


def refuse_reserved(scene: Scene) -> None:
    """Raise `ReservedError` when a scene must not be turned into robot training data."""
    skill = find(scene.task, "pilab.world.tasks", "TASK", "task")
    for goal in skill.steps(scene.parts, scene.goal, objects.find_facts(scene.facts)):
        if is_reserved_cell(goal.verb, goal.object, goal.place):
            raise ReservedError(
                f"the cell ({goal.verb}, {goal.object}, {goal.place}) is reserved for testing: draw another"
            )
    shown = sorted(p.parameters["look"] for p in scene.parts if p.parameters.get("look") in objects.RESERVED)
    if shown:
        raise ReservedError(f"reserved objects in the scene: {', '.join(shown)}; training uses objects.HANDLED only")
    if scene.seed not in TRAINING:
        raise ReservedError(f"seed {scene.seed} is not a training seed; expected 0 … {TRAINING.stop - 1}")


# ------------------------------------------------------------------------------------------------------------- sampling
def sample_scene(
    seed: int,
    task: str = "put",
    *,
    body: str = "duo",
    facts: objects.Facts | None = None,
    pool: tuple[str, ...] = objects.HANDLED,
    cell: tuple[str, str | None] | None = None,
    reserved_cells: bool = False,
    hand: str | None = None,
) -> Scene:
    """Draw the scene of a seed.

    task, body: names for `find`. facts: what things are called. pool: the looks to draw from. cell: ask for this
    (object, place) instead of drawing one. reserved_cells: draw only from reserved cells (to probe them). hand: the arm that
    has to be able to do it, where it matters which.
    Raises `SceneError` when no layout fits, `UnknownNameError` for unknown names.
    """
    facts = facts or objects.household()
    skill = find(task, "pilab.world.tasks", "TASK", "task")
    embodiment = find_body(body)
    if len(embodiment.arms) < skill.arms:
        raise SceneError(
            f"task {task!r} needs {skill.arms} arms; body {body!r} has {len(embodiment.arms)}. Use body 'duo'"
        )
    if seed < 0:
        raise SceneError(f"seed {seed} is negative; expected 0 or more")
    if cell and cell[0] in objects.LOOKS and not skill.suits(cell[0]):
        raise SceneError(
            f"{cell[0]} cannot be asked for: its shape does not suit {skill.verb!r}. Ask for another object"
        )
    rng = np.random.default_rng([seed, int.from_bytes(hashlib.sha256(skill.name.encode()).digest()[:4], "big")])
    rejections = 0
    while True:
        try:
            parts, goal = skill.draw(rng, pool, cell, reserved_cells, facts)
            for step in skill.steps(parts, goal, facts):
                doer = skill if step == goal else find(step.verb, "pilab.world.tasks", "TASK", "task")
                check_reach(embodiment, doer.waypoints(parts, step), doer.arms, hand)
            nameable = not skill.swappable or goal.object not in objects.LOOKS
            if not nameable and not alternatives(embodiment, skill, parts, goal):  # nothing else to name for a swap
                raise Rejected
            break
        except Rejected:
            rejections += 1
            if rejections == ATTEMPTS:
                raise SceneError(
                    f"no layout for task {task!r} with seed {seed} in {ATTEMPTS} attempts; "
                    "ask for fewer objects, another cell or another seed"
                ) from None
    spec = embodiment.action
    is_joint = np.array([not name.endswith("gripper") for name in spec.names])
    start = embodiment.home + rng.normal(0, 0.03, embodiment.size) * is_joint
    azimuth, height = rng.uniform(0, 2 * np.pi), rng.uniform(1.2, 3.0)
    return Scene(
        seed=seed,
        task=task,
        body=body,
        goal=goal,
        instruction=skill.say(goal, facts, rng, skill.templates),
        parts=tuple(parts),
        start=tuple(np.clip(start, spec.low, spec.high).round(5).tolist()),
        light=(
            round(np.cos(azimuth), 4),
            round(np.sin(azimuth), 4),
            round(height, 4),
            round(rng.uniform(0.45, 0.6), 4),
        ),
        table=tuple((np.array([0.76, 0.64, 0.50]) * rng.uniform(0.88, 1.08)).round(4).tolist()),
        facts=facts.name,
        rejections=rejections,
    )


def find_body(name: str) -> Embodiment:
    return find(name, "pilab.world.bodies", "BODY", "body")


def draw_cell(
    rng: np.random.Generator,
    verb: str,
    looks: tuple[str, ...],
    goals: tuple[str | None, ...],
    reserved: bool,
    cell: tuple[str, str | None] | None = None,
) -> tuple[str, str | None]:
    """One (object, place) among those that are (not) reserved, every object equally often.

    cell: what was asked for; a place that was left open is drawn. Raises `SceneError` for what the verb cannot do.
    """
    if cell is not None:
        look, place = cell
        if place is not None:
            if place not in goals:
                raise UnknownNameError(f"place to {verb}", place, [g for g in goals if g])
            if place == look:
                raise SceneError(f"cannot {verb} {look!r} on itself; name another place")
            return look, place
        looks = (look,)
    open_cells = {a: [b for b in goals if a != b and is_reserved_cell(verb, a, b) == reserved] for a in looks}
    able = [look for look in looks if open_cells[look]]
    if not able:
        raise SceneError(f"no {'reserved' if reserved else 'open'} cell for {verb!r} among {', '.join(looks)}")
    look = able[rng.integers(len(able))]
    return look, open_cells[look][rng.integers(len(open_cells[look]))]


def draw_company(rng: np.random.Generator, chosen: list[str], pool: tuple[str, ...]) -> list[str]:
    """`chosen` and distractors, 3 to 5 objects in all, in random order.

    In half of the scenes at least one distractor shares the target's shape or a colour; in the others none does.
    """
    looks, target = list(chosen), chosen[0]
    total = max(int(rng.integers(3, 6)), len(looks))
    features = set(target.split("-"))
    others = [pool[i] for i in rng.permutation(len(pool)) if pool[i] not in looks]
    alike = [k for k in others if features & set(k.split("-"))]
    hard = rng.random() < 0.5
    rest = [k for k in others if hard or k not in alike]
    if hard and alike and len(looks) < total:
        looks.append(alike[0])
    looks += [k for k in rest if k not in looks][: total - len(looks)]
    return [looks[i] for i in rng.permutation(len(looks))]  # so that an object's place in the list says nothing


def scatter(rng: np.random.Generator, looks: list[str], standing: list[Part]) -> list[Part]:
    """Objects at random positions and yaws in the object zone, clear of one another and of what already stands."""
    parts: list[Part] = []
    (x0, x1), (y0, y1) = OBJECT_ZONE
    for look in looks:
        for _ in range(40):
            x, y = rng.uniform(x0, x1), rng.uniform(y0, y1)
            if all(np.hypot(x - p.position[0], y - p.position[1]) > SPACING for p in parts) and clear(x, y, standing):
                parts.append(objects.part(look, x, y, rng.uniform(-np.pi, np.pi)))
                break
        else:
            raise Rejected
    return parts


def clear(x: float, y: float, standing: list[Part], margin: float = CLEARANCE) -> bool:
    """Whether a point keeps `margin` from the rim of every place and from the ground a fixture's moving part needs."""
    for part in standing:
        dx, dy = x - part.position[0], y - part.position[1]
        if "place" in part.parameters:
            if np.hypot(dx, dy) < places.place_of(part).radius + margin:
                return False
        elif "fixture" in part.parameters:
            fixture = places.fixture_of(part)
            c, s = np.cos(part.yaw), np.sin(part.yaw)
            across, along = abs(c * dx + s * dy), -s * dx + c * dy  # in the fixture's frame; it opens towards −along
            if (
                across < fixture.half[0] + margin
                and -fixture.half[1] - fixture.reach - margin < along < fixture.half[1] + margin
            ):
                return False
    return True


def stand(rng: np.random.Generator, names: list[str], values: dict[str, float] | None = None) -> list[Part]:
    """Places and fixtures side by side, in random order, with random gaps, depths and small turns."""
    if unknown := [n for n in names if n not in places.PLACES and n not in places.FIXTURES]:
        raise UnknownNameError("place", unknown[0], [*places.PLACES, *places.FIXTURES])
    order = [names[i] for i in rng.permutation(len(names))]
    widths = [
        2 * (places.PLACES[n].radius if n in places.PLACES else places.FIXTURES[n].half[0] + 0.006) for n in order
    ]
    (x0, x1), (y0, y1) = PLACE_ROW
    slack = x1 - x0 - sum(widths) - 0.012 * (len(order) - 1)
    gaps = np.diff(np.sort(np.concatenate([[0.0], rng.uniform(0, slack, len(order)), [slack]])))
    x, parts = x0, []
    for name, width, gap in zip(order, widths, gaps, strict=False):
        x += gap
        centre, turn = x + width / 2, rng.uniform(-0.15, 0.15)
        if name in places.FIXTURES:
            value = (values or {}).get(name, 0.0)
            parts.append(places.fixture_part(name, centre, rng.uniform(0.185, 0.20), turn, value))
        else:
            parts.append(places.place_part(name, centre, rng.uniform(y0, y1), turn))
        x += width + 0.012
    return parts


def alternatives(body: Embodiment, task: Task, parts: list[Part], goal: Goal) -> list[Goal]:
    """The task's alternative goals that `body` can reach in this layout: what the swap control may say instead."""
    able = []
    for other in task.alternatives(parts, goal):
        with contextlib.suppress(Rejected):
            check_reach(body, task.waypoints(parts, other), task.arms)
            able.append(other)
    return able


def check_reach(
    body: Embodiment, waypoints: list[tuple[float, float, float]], arms: int, hand: str | None = None
) -> None:
    """Raise `Rejected` unless one arm (the one named, or every arm, for tasks that need both) can point straight down at all
    waypoints.
    """
    able = 0
    for arm in body.arms if hand is None else (body.arm(hand),):
        targets = np.array(waypoints)
        home = np.broadcast_to(arm.home, (len(targets), len(arm.home)))
        _, miss = chain(arm).inverse(
            targets, np.broadcast_to(top_down(np.pi), (len(targets), 3, 3)), home, iterations=40
        )
        able += bool((miss < 1e-3).all())
    if able < arms:
        raise Rejected


# ------------------------------------------------------------------------------------------------------------- building
def build(scene: Scene, tune: Callable[[mujoco.MjSpec], None] | None = None) -> mujoco.MjModel:
    """Compile a scene. `tune` may change the spec before it is compiled (perturbations do).

    Raises `SceneError` naming the part that cannot be built.
    """
    body = find_body(scene.body)
    for name, values, count in (
        ("start", scene.start, body.size),
        ("light", scene.light, 4),
        ("table", scene.table, 3),
    ):
        if np.shape(values) != (count,) or not np.isfinite(values).all():
            raise SceneError(f"{name} {values!r} of scene {scene.hash} is not {count} finite numbers")
    spec = mujoco.MjSpec()
    spec.modelname = f"pilab-{scene.hash}"
    spec.compiler.degree = False
    spec.nuserdata = len(scene.parts)  # what the world remembers of each, see `World.openings`
    option = spec.option
    option.timestep = 1 / body.physics_hz
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    option.impratio = 10
    plane, box = mujoco.mjtGeom.mjGEOM_PLANE, mujoco.mjtGeom.mjGEOM_BOX
    spec.worldbody.add_geom(name="floor", type=plane, size=(0, 0, 1), pos=(0, 0, -0.5), rgba=(0.50, 0.52, 0.56, 1))
    spec.worldbody.add_geom(
        name="table", type=box, size=(0.62, 0.46, 0.02), pos=(0, 0, -0.02), rgba=(*scene.table, 1), friction=(0.5, 0.01, 0.0015)
    )  # fmt: skip
    for part in scene.parts:
        try:
            if not np.isfinite([*part.position, part.yaw]).all():
                raise ValueError(f"it stands at {part.position}, yaw {part.yaw}")
            load(part.kind, "kind of part")(spec, part)
        except (KeyError, TypeError, ValueError) as error:
            raise SceneError(f"part {part.name!r} of kind {part.kind!r} cannot be built: {error}") from error
    load(body.build, "builder of a body")(spec, body)
    if tune:
        tune(spec)
    try:
        return spec.compile()
    except ValueError as error:
        raise SceneError(f"scene {scene.hash} does not compile: {error}") from error
