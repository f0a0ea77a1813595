"""Scores in their squares, controls beside them, and an episode in its phases."""

import dataclasses

import numpy as np
import pytest

from pilab.contracts import PilabError, Row, UnknownNameError
from pilab.evaluation.inside import Gaze
from pilab.figures.gaze import COLOURS, distances, glances, phases, scores, shares
from pilab.figures.theme import PALETTE
from pilab.world.scenes import REPORTED, sample_scene


def told(view, weights, quantity, control, *found, arm="vla"):
    chance = 0.0 if "frame" in quantity else 0.5
    return [
        Row("fold", arm, "inside", control, 0, f"inside-0-{k}", score > chance, {"score": score, "chance": chance},
            {"view": view, "weights": weights, "quantity": quantity, "fold": k})
        for k, score in enumerate(found)
    ]  # fmt: skip


ROWS = [
    *told("pixels", "none", "tip frame", "none", 0.1, 0.3),
    *told("pixels", "none", "contact", "none", 0.7, 0.8),
    *told("pixels", "none", "tip frame", "shuffled", -0.1, -0.2),
    *told("pixels", "none", "contact", "shuffled", 0.45, 0.5),
    *told("trunk", "trained", "tip frame", "none", 0.8, 0.9),
    *told("trunk", "trained", "contact", "none", 1.0, 1.0),
    *told("trunk", "random", "tip frame", "none", -1.0, -2.0),
]

KINDS = {"picture: base": 12, "words": 4, "own: object": 1, "own: plan": 4}


@pytest.fixture(scope="module")
def gaze():
    """Six moments in three phases; the place is out of sight at the third, and the policy says so at the fourth."""
    t = 6
    truth = np.tile(np.array([[0.5, 0.5, 1.0], [0.25, 0.25, 1.0]], np.float32), (t, 1, 1))
    truth[2, 1, 2] = 0
    points = truth.copy()
    points[..., 2] = 1
    points[:, 0, 0] += 0.125 * np.arange(t) / 5  # 16 px of 128 at the end
    points[3, 1, 2] = 0
    return Gaze(
        sample_scene(REPORTED.start, "put"), 0.5 * np.arange(t), ("pick up the cup",) * 3 + ("put the cup in the bowl",) * 2
        + ("leave the cup in the bowl",), {"base": np.full((t, 96, 128, 3), 120, np.uint8)},
        {"base": np.full((t, 2, 24, 32), 1 / 768, np.float32)}, {"base": points}, {"base": truth},
        {kind: np.full(t, x) for kind, x in zip(KINDS, (0.2, 0.1, 0.3, 0.4), strict=True)}, KINDS,
    )  # fmt: skip


def test_a_square_for_each_score_and_a_panel_for_each_control():
    figure = scores(ROWS)
    assert [trace.name for trace in figure.data] == ["as trained", "random weights", "shuffled targets"]
    for trace in figure.data:
        assert list(trace.x) == ["tip frame, R²", "contact, AUROC"] and list(trace.y) == ["pixels", "trunk"]
    trained, random, shuffled = figure.data
    assert [list(line) for line in trained.text] == [[".20", ".75"], [".85", "1.0"]]
    np.testing.assert_allclose(np.array(trained.z, float), [[0.2, 0.5], [0.85, 1.0]])  # from chance to perfect
    assert [list(line) for line in random.text] == [["", ""], ["−1.5", ""]] and random.z[1][0] == 0
    assert [list(line) for line in shuffled.text] == [["−.15", ".47"], ["", ""]] and shuffled.z[0][1] == 0
    only = scores([row for row in ROWS if row.control == "none" and row.clusters["weights"] != "random"])
    assert [trace.name for trace in only.data] == ["as trained"]


def test_arms_are_not_pooled():
    with pytest.raises(PilabError, match=r"rows of the arms \['other', 'vla'\]"):
        scores([*ROWS, *told("trunk", "trained", "verb", "none", 0.5, arm="other")])
    with pytest.raises(PilabError, match=r"rows of the arms \[\]"):
        scores([])


def test_distances_leave_gaps_and_tell_what_the_policy_says(gaze):
    thing, place, blind = distances(gaze).data
    assert thing.name == "object: the cup" and place.name.startswith("place: the ")
    np.testing.assert_allclose(thing.y, 16 * np.arange(6) / 5, atol=1e-4)
    assert list(thing.x) == list(gaze.seconds)
    assert np.isnan(place.y).tolist() == [False, False, True, False, False, False]
    assert blind.name == "place: not seen, it says" and blind.marker.color == "white"
    assert list(blind.x) == [1.5] and list(blind.y) == [place.y[3]]


def test_phases_are_the_background(gaze):
    assert list(phases(gaze)) == [
        (0.0, 1.5, "pick up the cup"), (1.5, 2.5, "put the cup in the bowl"), (2.5, 2.5, "leave the cup in the bowl"),
    ]  # fmt: skip
    figure = distances(gaze)
    spans = [(s.x0, s.x1) for s in figure.layout.shapes if s.type == "rect"]
    assert spans == [(0.0, 1.5), (1.5, 2.5), (2.5, 2.5)]
    texts = [a.text.replace("<br>", " ") for a in figure.layout.annotations]
    assert "pick up the cup" in texts and "leave the cup in the bowl" not in texts, "there is no room for it"
    (line,) = [s for s in figure.layout.shapes if s.type == "line"]
    assert line.y0 == 4.0  # px: a cell of the heat map


def test_what_is_never_seen_is_told(gaze):
    blind = dataclasses.replace(gaze, truth={"base": gaze.truth["base"] * [1, 1, 0]})
    figure = distances(blind)
    assert not figure.data and "ever comes into sight" in " ".join(a.text for a in figure.layout.annotations)


def test_shares_are_stacked_and_roles_keep_their_colour(gaze):
    figure = shares(gaze)
    assert [trace.name for trace in figure.data] == [
        "picture: base (12)",
        "words (4)",
        "own: object (1)",
        "own: plan (4)",
    ]
    assert {trace.stackgroup for trace in figure.data} == {"all"}
    assert figure.data[2].fillcolor == COLOURS["object"] == PALETTE[0]


def test_glances_show_moments_with_words_below(gaze):
    sheet = glances(gaze, count=4, columns=2)
    assert sheet.width > 2 * 250 and sheet.height > 2 * 192
    assert len(np.unique(np.asarray(sheet).reshape(-1, 3), axis=0)) > 20
    with pytest.raises(UnknownNameError, match="camera 'ceiling'"):
        glances(gaze, "ceiling")
    with pytest.raises(UnknownNameError, match="camera 'ceiling'"):
        distances(gaze, "ceiling")
