"""What can be read from each view: means over seeds that a reader can recompute, and controls told apart."""

import pytest

from pilab.contracts import PilabError, Row
from pilab.figures.readings import readings


def fold(arm, view, quantity, score, seed=0, control="none", suite="hold"):
    about = {"view": view, "quantity": quantity, "training_seed": seed}
    return Row("fold", arm, suite, control, seed, "s", True, {"score": score}, about)


ROWS = [
    fold("hard pads", "wrist", "force", 0.2), fold("hard pads", "wrist", "force", 0.4),
    fold("hard pads", "wrist", "force", 0.9, seed=1), fold("soft pads", "wrist", "force", 0.8),
    fold("soft pads", "base", "force", 0.1), fold("soft pads", "wrist", "force", -0.1, control="shuffled"),
    fold("hard pads", "wrist", "contact", 0.7), fold("soft pads", "base", "contact", 0.6),
]  # fmt: skip


def test_a_mark_is_the_mean_of_its_seeds():
    figure = readings(ROWS, "What can be read")
    hard, soft, shuffled = (
        next(t for t in figure.data if t.name == name and t.showlegend)
        for name in ("hard pads", "soft pads", "soft pads, shuffled")
    )
    assert hard.x == pytest.approx([(0.3 + 0.9) / 2])
    assert soft.x == pytest.approx([0.8, 0.1]) and shuffled.x == pytest.approx([-0.1])
    assert hard.y[0] < 0 < soft.y[0] and list(figure.layout.yaxis.ticktext) == ["wrist", "base"]
    rings = [t for t in figure.data if t.name is None]
    assert sorted(rings[0].x) == pytest.approx([0.3, 0.9])
    assert [a.text for a in figure.layout.annotations] == ["force, R²", "contact, AUROC"]
    assert [shape.x0 for shape in figure.layout.shapes] == [0.0, 0.5]  # who knows nothing


def test_suites_are_not_pooled():
    with pytest.raises(PilabError, match=r"suites \['hold', 'press'\]"):
        readings([*ROWS, fold("hard pads", "wrist", "force", 0.2, suite="press")], "")
    with pytest.raises(PilabError, match=r"suites \[\]"):
        readings([], "")
