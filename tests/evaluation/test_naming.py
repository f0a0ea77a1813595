"""The naming probe: it is passed by who sees what is named, and failed by who does not listen."""

from types import SimpleNamespace

import numpy as np
import pytest

from pilab.contracts import SCENE, TASK, points_key
from pilab.evaluation.naming import NEAR, THRESHOLD, errors, naming_probe
from pilab.vla.grounding import ROLES
from pilab.world import objects
from pilab.world.bodies import duo
from pilab.world.scenes import VALIDATION, sample_scene
from pilab.world.task import facts_of, name_of

CELLS = (24, 32)  # of a heat map
SCENES = 6


class Seer:
    """Stands in for a policy: its heat map peaks where `choose` says, given the text, the scene and the points."""

    body, cameras, fingerprint = duo.BODY, ("base",), "0123456789ab"

    def __init__(self, choose):
        self.choose, self.heard = choose, []

    def look(self, observation, thought):
        assert len(thought) == len(observation[TASK])
        self.heard += observation[TASK]
        heats = []
        for text, scene, points in zip(
            observation[TASK], observation[SCENE], observation[points_key("base")], strict=True
        ):
            heat = np.zeros((len(ROLES), *CELLS))
            u, v = self.choose(text, scene, points)
            heat[ROLES.index("object"), int(v * CELLS[0]), int(u * CELLS[1])] = 1
            heat[ROLES.index("place"), 0, 0] = 5  # what the other role sees is nobody's business here
            heats.append(SimpleNamespace(heat={"base": heat}))
        return heats


def meant(text, scene):
    """The slot of the object that a text names."""
    facts = facts_of(scene)
    names = {name_of(p.name, facts, by_look): i for i, p in enumerate(scene.parts) for by_look in (False, True)}
    return names[text.removeprefix("pick up ")]


def probe(choose, **options):
    seer = Seer(choose)
    return naming_probe(seer, SCENES, progress=False, **options), seer


def test_who_sees_what_is_named_passes():
    rows, seer = probe(lambda text, scene, points: points[meant(text, scene), :2])
    scenes = [sample_scene(seed, "put") for seed in range(VALIDATION.start, VALIDATION.start + SCENES)]
    things = [(s, p.name) for s in scenes for p in s.parts if p.name in objects.LOOKS]
    assert all(row.success for row in rows) and errors(rows) == {}
    # Every object of every scene, by noun and by look.
    asked = [(row.scene, row.clusters["object"], row.metrics["by_look"]) for row in rows]
    assert asked == [(s.hash, name, by_look) for s, name in things for by_look in (False, True)]
    assert [row.instruction for row in rows] == seer.heard
    for row in rows:
        say = objects.describe if row.metrics["by_look"] else objects.household().noun
        assert row.instruction == f"pick up the {say(row.clusters['object'])}"
    assert {(row.unit, row.suite, row.checkpoint) for row in rows} == {("question", "naming", Seer.fingerprint)}
    assert [row.seed for row in rows] == sorted(row.seed for row in rows) and rows[0].seed == VALIDATION.start


def test_who_looks_at_a_place_fails():
    def place(text, scene, points):
        return points[next(i for i, p in enumerate(scene.parts) if "place" in p.parameters), :2]

    rows, _ = probe(place)
    assert not any(row.success for row in rows)
    scenes = {s.hash: s for s in (sample_scene(VALIDATION.start + k, "put") for k in range(SCENES))}
    for row in rows:
        first = next(p.name for p in scenes[row.scene].parts if "place" in p.parameters)
        assert row.clusters["answered"] == first
    assert sum(errors(rows).values()) == len(rows)


def test_who_does_not_listen_is_right_by_chance_only():
    def first(text, scene, points):
        return points[next(i for i, p in enumerate(scene.parts) if p.name in objects.LOOKS), :2]

    rows, _ = probe(first)
    assert sum(row.success for row in rows) == 2 * SCENES  # one object of each scene, by noun and by look
    assert len(rows) >= 2 * 3 * SCENES
    assert sum(row.success for row in rows) / len(rows) < 0.4 < THRESHOLD
    wrong = errors(rows)
    assert sum(wrong.values()) == len(rows) - 2 * SCENES
    assert list(wrong.values()) == sorted(wrong.values(), reverse=True)
    assert all(named != answered for named, answered in wrong)


def test_who_knows_nouns_but_no_looks_is_half_right():
    def nouns(text, scene, points):
        return (0.01, 0.01) if " and " in text else points[meant(text, scene), :2]

    rows, _ = probe(nouns)
    assert all(row.success is not row.metrics["by_look"] for row in rows)
    assert {row.clusters["answered"] for row in rows if row.metrics["by_look"]} == {""}  # the bare table


@pytest.mark.parametrize(("off", "right"), [(0.5, True), (1.5, False)])
def test_a_peak_has_to_be_near(off, right):
    """Upwards and away from everything else, by a share of the distance that counts."""

    def beside(text, scene, points):
        u, v = points[meant(text, scene), :2]
        return u, v - off * NEAR / duo.BODY.camera("base").height

    rows, _ = probe(beside)
    hits = [row.success for row in rows]
    assert all(hits) if right else not any(hits)


def test_seeds_and_scenes_are_as_asked():
    seer = Seer(lambda text, scene, points: points[0, :2])
    rows = naming_probe(seer, 2, 600_010, task="push", progress=False)
    assert {row.seed for row in rows} == {600_010, 600_011}
    assert {row.scene for row in rows} == {sample_scene(s, "push").hash for s in (600_010, 600_011)}


def test_the_pool_says_which_objects_are_named():
    seer = Seer(lambda text, scene, points: points[0, :2])
    rows = naming_probe(seer, 3, 600_010, pool=objects.RESERVED, arm="mine", progress=False)
    assert rows and all(row.metrics["reserved"] and row.arm == "mine" for row in rows)
    assert not any(row.metrics["reserved"] for row in naming_probe(seer, 3, 600_010, progress=False))
