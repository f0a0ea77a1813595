"""Objects: enough of them, told apart by their looks, large enough to be seen and small enough to be grasped."""

import mujoco
import numpy as np
import pytest

from pilab.contracts import UnknownNameError
from pilab.world import objects, places
from pilab.world.bodies import duo, solo
from pilab.world.environment import World
from pilab.world.objects import HANDLED, LOOKS, RESERVED, SHAPES, household, invented
from pilab.world.scenes import OBJECT_ZONE, sample_scene


def test_there_are_enough_of_them():
    assert len(HANDLED) >= 16
    assert len(RESERVED) >= 20
    assert not set(HANDLED) & set(RESERVED)
    assert len({fact.kind for fact in household().rows.values()}) >= 4
    assert len({household().rows[look].kind for look in HANDLED}) >= 4


def test_looks_are_told_apart_by_shape_and_main_colour():
    assert len({tuple(look.split("-")[:2]) for look in LOOKS}) == len(LOOKS)
    for look in LOOKS:
        shape, main, accent = look.split("-")
        assert shape in SHAPES
        assert main != accent
        assert {main, accent} <= set(objects.COLOURS)


def test_every_shape_and_every_colour_of_a_reserved_object_is_seen_in_training():
    """A reserved object is a new combination, not a new ingredient."""
    assert {k.split("-")[0] for k in RESERVED} <= {k.split("-")[0] for k in HANDLED}
    assert {c for k in RESERVED for c in k.split("-")[1:]} <= {c for k in HANDLED for c in k.split("-")[1:]}


@pytest.mark.parametrize("look", LOOKS)
def test_large_enough_in_the_base_view(look):
    """At least 12 pixels across wherever in the object zone it lies, and nothing of the robot at rest hides it."""
    world = World(sample_scene(0, "put").replace(parts=(objects.part(look, 0.0, 0.0, 0.0),)))
    at = world.model.joint(look).qposadr[0]
    (x0, x1), (y0, y1) = OBJECT_ZONE
    for x, y in ((x0, y0), (x1, y0), (x0, y1), (x1, y1), (0.0, (y0 + y1) / 2)):
        for yaw in (0.0, 0.7):
            height = objects.shape_of(look).height / 2
            world.data.qpos[at : at + 7] = [x, y, height, np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]
            mujoco.mj_forward(world.model, world.data)
            view = world.caster.look(world.data, duo.BASE_CAMERA)
            body = world.model.body(look).id
            pixels = np.argwhere((view.geom >= 0) & (world.model.geom_bodyid[view.geom] == body))
            assert (np.ptp(pixels, axis=0) + 1).max() >= 12, f"{look} at {x}, {y}, yaw {yaw}"


@pytest.mark.parametrize("name", SHAPES)
def test_six_to_seven_centimetres_and_grasped_with_room_to_spare(name):
    shape = SHAPES[name]
    assert 0.058 <= 2 * shape.radius <= 0.078  # corners and rims included
    for body in (duo.BODY, solo.BODY):
        for arm in body.arms:
            assert arm.opening - shape.grasp_width >= 0.035


@pytest.mark.parametrize("name", SHAPES)
def test_what_shapes_say_of_themselves_is_true(name):
    """`grasp_width` and `height` are those of the geoms, measured by rays against the model."""
    look = next(k for k in LOOKS if k.startswith(name))
    shape = SHAPES[name]
    world = World(sample_scene(0, "put").replace(parts=(objects.part(look, 0.0, 0.0, 0.0),)))
    model, data = world.model, world.data
    at = model.joint(look).qposadr[0]
    data.qpos[at : at + 7] = [0, 0, 2, 1, 0, 0, 0]
    mujoco.mj_forward(model, data)
    ids, hit = model.body(look).id, np.zeros(1, np.int32)

    def extent(direction):
        """Twice the distance from the middle to the surface, coming from outside."""
        start = data.xpos[ids] + 0.2 * np.asarray(direction, float)
        return 2 * (0.2 - mujoco.mj_ray(model, data, start, -np.asarray(direction, float), None, 1, -1, hit))

    if name != "dumbbell":  # whose ends stand higher than its middle
        assert extent((0, 0, 1)) == pytest.approx(shape.height, abs=1.5e-3)
    for yaw in shape.grasp_yaws:
        if name != "cross":  # held above its arms, which are what a ray from the side meets first
            assert extent((np.cos(yaw), np.sin(yaw), 0)) == pytest.approx(shape.grasp_width, abs=1.5e-3)


# ---------------------------------------------------------------------------------------------------------------- facts
@pytest.mark.parametrize("facts", [household(), invented(0), invented(1), invented(77)], ids=lambda f: f.name)
def test_a_table_names_every_look_once(facts):
    assert tuple(facts.rows) == LOOKS
    nouns = [f.noun for f in facts.rows.values()]
    assert len(set(nouns)) == len(nouns)
    assert all(noun.isascii() and noun.isalpha() and noun.islower() for noun in nouns)
    homes = {f.kind: f.home for f in facts.rows.values()}
    assert all(f.home == homes[f.kind] for f in facts.rows.values())  # one home for each kind
    assert set(homes.values()) == set(places.PLACES)  # no kind belongs where nothing can be put
    for look, fact in facts.rows.items():
        assert facts.look(fact.noun) == look == facts.look(look)
        assert facts.noun(look) == fact.noun


def test_invented_tables_are_seeded_and_differ():
    assert invented(5) == invented(5)
    assert invented(5).rows != invented(6).rows
    assert not {f.noun for f in invented(5).rows.values()} & {f.noun for f in household().rows.values()}
    assert len({tuple(sorted({f.kind: f.home for f in invented(s).rows.values()}.items())) for s in range(20)}) > 10


def test_invented_kinds_are_balanced_and_say_nothing_of_looks():
    tables = [invented(seed) for seed in range(200)]
    for facts in tables:
        counts = np.unique([f.kind for f in facts.rows.values()], return_counts=True)[1]
        assert counts.max() - counts.min() <= 1
    for look in LOOKS:  # over tables, every look is of every kind equally often: 200/5 ± 4 standard deviations
        counts = np.unique([t.rows[look].kind for t in tables], return_counts=True)[1]
        assert len(counts) == 5
        assert np.abs(counts - 40).max() < 4 * np.sqrt(200 * 0.2 * 0.8)


def test_unknown_nouns_and_looks_list_the_valid_ones():
    with pytest.raises(UnknownNameError, match="apple"):
        household().look("moon")
    with pytest.raises(UnknownNameError, match="ball-red-green"):
        objects.part("moon", 0, 0, 0)
