"""The dashboard of sensors: what is ticked is tried once, in the background, and shown."""

import threading

import plotly.graph_objects as go
import pytest

from pilab.contracts import Row
from pilab.evaluation.ablation import WHOLE
from pilab.widgets.ablation import Sensors
from pilab.world.bodies.duo import BODY


class World:
    """Succeeds on three of four scenes, as long as `base` is there. Says what it was asked for."""

    def __init__(self):
        self.asked, self.gate = [], threading.Event()
        self.gate.set()

    def __call__(self, taken):
        assert self.gate.wait(20)
        names = {sensor.name for sensor in taken.sensors} if taken else set()
        self.asked.append(names)
        if names == {"grippers"}:
            raise ValueError("<no> grippers")
        return [
            Row("episode", "mine", "put", "none", k, f"{k}", k % 4 > 0 and "base" not in names, {}, {})
            for k in range(8)
        ]


@pytest.fixture
def world():
    return World()


@pytest.fixture
def board(world):
    return Sensors(body=BODY, run=world)


def tick(board, *names):
    for name, box in board.boxes.items():
        box.value = name in names


def test_what_is_ticked_is_tried_once(board, world):
    board.begin()
    assert "tick a sensor" in board.told.value and not world.asked
    tick(board, "base", "left_wrist")
    board.begin()
    board.wait()
    assert world.asked == [set(), {"base"}, {"left_wrist"}, {"base", "left_wrist"}, set(board.known)]
    assert board.told.value == "done" and board.bar.value == board.bar.max == 5
    assert {row.arm for row in board.rows} >= {WHOLE, "black base", "black everything"}
    tick(board, "base", "joints")
    board.begin()
    board.wait()
    assert world.asked[5:] == [{"joints"}, {"base", "joints"}]
    board.begin()
    assert "nothing new" in board.told.value


def test_every_set_and_another_way(board):
    tick(board, "base", "left_wrist", "joints")
    assert [t.name for t in board.wanted][1:4] == ["black base", "black left_wrist", "black joints"]
    assert len(board.wanted) == 1 + 3 + 1 + 1
    board.all_sets.value = True
    assert len(board.wanted) == 1 + 7 + 1
    board.way.value = "blur"  # joints cannot be blurred
    names = ["blur base", "blur left_wrist", "blur base + left_wrist", "blur everything"]
    assert [t.name for t in board.wanted][1:] == names
    board.way.value = "contact"  # this body feels none
    board.begin()
    assert "choose another way" in board.told.value and not board.rows


def test_the_table_and_the_picture_are_of_the_rows(board):
    tick(board, "base")
    board.begin()
    board.wait()
    table = board.table.value
    assert all(text in table for text in ("black base", "(6/8)", "(0/8)", "-75.0 points")), table
    (figure,) = board.picture.children
    assert isinstance(figure, go.FigureWidget) and list(figure.data[0].y) == [0.75, 0.0, 0.0]


def test_it_stops_between_two_sets(board, world):
    world.gate.clear()
    tick(board, "base", "left_wrist")
    board.begin()
    assert board.start.disabled and not board.stop.disabled
    board.begin()  # a second click changes nothing
    board.stop.click()
    world.gate.set()
    board.wait()
    assert len(world.asked) == 1 and board.told.value == "stopped"
    assert not board.start.disabled and board.stop.disabled
    board.begin()  # it goes on
    board.wait()
    assert len(world.asked) == 5 and board.told.value == "done"


def test_what_goes_wrong_is_told_and_nothing_is_lost(board):
    tick(board, "grippers")
    board.begin()
    board.wait()
    assert "ValueError: &lt;no&gt; grippers" in board.told.value
    assert {row.arm for row in board.rows} == {WHOLE}
    assert not board.start.disabled


def test_a_policy_by_name_is_made_once_and_tried_in_our_world():
    board = Sensors("hold", suite="put", episodes=1, threads=1)
    tick(board, "base")
    board.begin()
    board.wait()
    assert board.told.value == "done" and len(board.rows) == 3
