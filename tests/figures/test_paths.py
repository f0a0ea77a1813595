"""Paths hold where the tool tips were, in centimetres, and leave out the hand that waits."""

import numpy as np
import pytest

from pilab.contracts import PilabError
from pilab.figures.paths import paths
from pilab.world.bodies.duo import BODY
from pilab.world.kinematics import tips

THINGS = {"the mug": (0.1, -0.05, 0.03), "the tray": (-0.2, 0.14, 0.0)}


def run(moving: dict[str, float], steps: int = 5) -> np.ndarray:
    """(T, A): from home, the shoulder of each arm named turns by so many rad."""
    states = np.repeat(BODY.home[None].astype(float), steps, 0)
    for arm, angle in moving.items():
        states[:, BODY.slice(arm).start + 1] += np.linspace(0, angle, steps)
    return states


def lines(figure) -> list:
    return [trace for trace in figure.data if trace.mode == "lines"]


def test_a_path_is_that_of_the_tip():
    states = run({"left": 0.5})
    (line,) = lines(paths({"one": states}, BODY, THINGS))
    np.testing.assert_allclose(np.stack([line.x, line.y], -1), 100 * tips(BODY, states)[:, 0, :2])
    assert line.name == "one" and line.showlegend


def test_things_stand_where_they_are():
    things = paths({"one": run({"left": 0.5})}, BODY, THINGS).data[0]
    assert list(things.text) == list(THINGS)
    np.testing.assert_allclose(np.stack([things.x, things.y], -1), [[10, -5], [-20, 14]])


def test_start_and_lowest_point_are_marked():
    states = run({"right": 0.5})
    marks = next(t for t in paths({"one": states}, BODY, THINGS).data if t.mode == "markers")
    path = 100 * tips(BODY, states)[:, 1]
    np.testing.assert_allclose(np.stack([marks.x, marks.y], -1), path[[0, path[:, 2].argmin()], :2])
    assert list(marks.marker.symbol) == ["circle-open", "x"]


@pytest.mark.parametrize(
    ("moving", "count"), [({"left": 0.5}, 1), ({"left": 0.5, "right": -0.4}, 2), ({"left": 0.05}, 1)]
)
def test_hands_that_wait_are_left_out(moving, count):
    found = lines(paths({"one": run(moving)}, BODY, THINGS))
    assert len(found) == count
    assert [line.showlegend for line in found] == [True] + [False] * (count - 1)


def test_a_robot_that_does_not_move_has_paths_all_the_same():
    assert len(lines(paths({"one": run({})}, BODY, {}))) == 2
    assert len(lines(paths({"one": run({}, steps=1)}, BODY, {}))) == 2


def test_every_run_has_its_colour():
    found = lines(paths({"one": run({"left": 0.5}), "two": run({"left": 0.4})}, BODY, THINGS))
    assert [line.name for line in found] == ["one", "two"] and len({line.line.color for line in found}) == 2


@pytest.mark.parametrize(
    ("states", "reason"),
    [({}, "no paths"), ({"one": []}, r"'one' have shape \(0,\)"), ({"one": np.zeros((3, 7))}, r"expected \(T, 14\)")],
)
def test_errors_name_what_is_wrong(states, reason):
    with pytest.raises(PilabError, match=reason):
        paths(states, BODY, THINGS)
