"""The dashboard of combinations: what is ticked is tried once, in the background, and shown."""

import plotly.graph_objects as go
import pytest

from pilab.evaluation import probe as probing
from pilab.robots.policies import Hold
from pilab.widgets import combinations
from pilab.widgets.combinations import Combinations
from pilab.world.combinations import Combination
from pilab.world.demonstrators import Demonstrator

THINGS = ("ball-red-green", "disc-white-red")


@pytest.fixture
def asked(monkeypatch):
    """What was probed, in order."""
    calls = []

    def counted(policy, cells, episodes, **options):
        calls.append((list(cells), episodes))
        return probing.probe(policy, cells, episodes, **options)

    monkeypatch.setattr(combinations, "probe", counted)
    return calls


def test_what_is_ticked_is_tried_once(asked):
    board = Combinations(Demonstrator(), verbs=("put",), things=THINGS, held_out=[Combination(place="tray")])
    board.spots.value, board.things.value = ("bowl", "tray"), THINGS[:1]
    board.begin()
    board.wait()
    assert board.told.value == "done" and board.bar.value == 2
    (cells, episodes), = asked  # fmt: skip
    assert [(c.object, c.place) for c in cells] == [(THINGS[0], "bowl"), (THINGS[0], "tray")] and episodes == 1
    (figure,) = board.picture.children
    assert isinstance(figure, go.FigureWidget) and len(figure.layout.shapes) == 1
    assert "never shown" in board.table.value and "lost" in board.table.value
    board.begin()
    assert "nothing new to try" in board.told.value
    board.things.value = THINGS
    board.begin()
    board.wait()
    assert {c.object for c in asked[-1][0]} == {THINGS[1]} and len(board.rows) == 4
    board.episodes.value = 2  # of all of them: as many as are asked for, not more
    board.begin()
    board.wait()
    assert len(board.rows) == 8


def test_manners_stand_side_by_side(asked):
    board = Combinations(Demonstrator(manner="slow"), verbs=("put",), things=THINGS[:1])
    board.spots.value, board.manners.value = ("bowl",), ("normal", "slow")
    board.begin()
    board.wait()
    assert [trace.name for trace in board.picture.children[0].data] == ["normal", "slow"]
    board.metric.value = "obeyed"
    assert [trace.name for trace in board.picture.children[0].data] == ["slow"]
    assert "obeyed" in board.table.value


def test_what_goes_wrong_is_said(asked):
    class Broken(Hold):
        def act(self, observation, thought):
            raise ValueError("<no> hands")

    board = Combinations(Broken(), verbs=("put",), things=THINGS[:1])
    board.begin()
    board.wait()
    assert "ValueError: &lt;no&gt; hands" in board.told.value and not board.start.disabled
    board.verbs.value = ()
    assert board.wanted == []


def test_by_default_it_never_saw_what_is_reserved():
    board = Combinations(Demonstrator(), verbs=("put", "push"))
    assert board.held_out and all(cell.reserved for cell in board.held_out)
