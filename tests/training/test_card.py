"""The card of a checkpoint is written from its files, and every rate in it is the rate of its rows."""

import dataclasses
import re

import pytest

from pilab.contracts import PolicyError, Row
from pilab.evaluation.statistics import wilson
from pilab.training.card import STAGE, write_card
from pilab.vla.checkpoint import CARD, Checkpoint, Driving


@pytest.fixture
def folder(trained, tmp_path):
    """The finished run's checkpoint, elsewhere."""
    checkpoint = Checkpoint.load(trained[0])
    checkpoint.origin["minutes"] = 61.5
    return checkpoint.save(tmp_path / "checkpoint")


def rows(fingerprint, control="none", suite="all", every=3, count=20):
    """Twenty episodes of two verbs, every third of them a success; what was spoken followed in every fourth."""
    return [
        Row(
            unit="episode", arm="vla", suite=suite, control=control, seed=500_000 + i, scene=f"{i:012d}",
            success=i % every == 0, metrics={"followed": i % 4 == 0},
            clusters={"verb": ("put", "push")[i % 2], "object": "ball-red-green", "place": "bowl"},
            checkpoint=fingerprint,
        )
        for i in range(count)
    ]  # fmt: skip


def table(text):
    """(suite, control, what) → the rate as it is written."""
    head, _, *body = ([c.strip() for c in x.strip("|").split("|")] for x in text.splitlines() if x.startswith("|"))
    lines = [dict(zip(head, cells, strict=True)) for cells in body]
    found = {(x["suite"], x["control"], x["what"]): x["rate [95 % Wilson interval]"] for x in lines}
    assert len(found) == len(lines), "two lines say the same of different rows"
    return found


def test_what_stands_in_a_card(folder, smoke):
    text = write_card(folder).read_text(encoding="utf-8")
    checkpoint = Checkpoint.load(folder)
    assert f"`{checkpoint.hash}`" in text and f"{checkpoint.origin['parameters']:,} parameters" in text
    size = (folder / "model.safetensors").stat().st_size / 1e6
    assert f"{size:.1f} MB" in text
    assert "`relative_pose`" in text and "`flow`" in text
    assert "base 128×96" in text and "no touch, no force" in text
    assert "demonstrations (54 episodes, 2,724 frames)" in text
    assert "labels: points, subtasks, scenes" in text and "8 pointing scenes" in text
    assert "2 steps of 4 demonstrations + 4 pointing rows, then 2 steps of 4 demonstrations + 8 point-only rows" in text
    assert "(head only)" in text and "seed 0" in text
    assert f"learning rate {smoke.learning_rate}" in text and "was insulated from the trunk" in text
    assert "61.5 minutes" in text
    for package, version in checkpoint.origin["versions"].items():
        assert f"{package} {version}" in text
    assert (
        "## Limits" in text
        and f"It knows {len(checkpoint.words)} words" in text
        and "0 of its training episodes" in text
    )
    assert "## Measured" not in text  # nothing was


def test_every_rate_is_the_rate_of_its_rows(folder):
    mine = Checkpoint.load(folder).hash
    groups = {
        ("all", "none"): rows(mine),
        ("all", "swap"): rows(mine, "swap", every=7),
        ("all", "black"): rows(mine, "black", every=19),
    }
    others = rows("0123456789ab", every=1)  # another checkpoint, which always succeeds
    given = [row for group in groups.values() for row in group] + others
    found = table(write_card(folder, given).read_text(encoding="utf-8"))
    expected = {}
    for (suite, control), group in groups.items():
        parts = {"success": group} | {v: [r for r in group if r.clusters["verb"] == v] for v in ("put", "push")}
        for what, some in parts.items():
            expected[suite, control, what] = wilson(sum(r.success for r in some), len(some)).text()
    expected["all", "swap", "followed the spoken words"] = wilson(5, 20).text()
    assert found == expected
    assert found["all", "none", "success"] == "35.0 % [18.1, 56.7] (7/20)"


def test_one_verb_has_no_line_of_its_own(folder):
    mine = [row for row in rows(Checkpoint.load(folder).hash) if row.clusters["verb"] == "put"]
    text = write_card(folder, mine).read_text(encoding="utf-8")
    assert set(table(text)) == {("all", "none", "success")}


def test_what_each_stage_bought(folder):
    checkpoint = Checkpoint.load(folder)
    checkpoint.origin["start"] = {"hash": "b4b4b4b4b4b4", "start": {"hash": "a4a4a4a4a4a4"}}
    checkpoint.save(folder)
    mine = Checkpoint.load(folder).hash

    def staged(fingerprint, stage, suite, every):
        some = rows(fingerprint, suite=suite, every=every)
        return [dataclasses.replace(row, clusters={**row.clusters, STAGE: stage}) for row in some]

    found = [
        *staged("a4a4a4a4a4a4", "text", "facts", 2), *staged("b4b4b4b4b4b4", "images", "facts", 4),
        *staged("c4c4c4c4c4c4", "nobody's", "facts", 1), *staged(mine, "robot", "put", 1),
    ]  # fmt: skip
    text = write_card(folder, found).read_text(encoding="utf-8")
    assert "| stage | facts | put |" in text
    assert (
        "| text | 50 % of 20 |  |" in text
        and "| images | 25 % of 20 |  |" in text
        and "| robot |  | 100 % of 20 |" in text
    )
    assert "nobody's" not in text and "## Measured" not in text


def test_rows_of_other_weights_are_left_out(folder):
    text = write_card(folder, rows("0123456789ab")).read_text(encoding="utf-8")
    assert "## Measured" not in text and not re.search(r"\d/20", text)


def test_the_card_follows_the_checkpoint(folder):
    checkpoint = Checkpoint.load(folder)
    checkpoint.driving = Driving(replan_interval=8, thinks=False)
    checkpoint.origin = {**checkpoint.origin, "insulated": False, "labels": {"points": False}, "data": []}
    checkpoint.save(folder)
    text = write_card(folder).read_text(encoding="utf-8")
    assert "at temperature 1; a new chunk every 8 control steps and no thought" in text
    assert "was not insulated" in text and "labels: none" in text and "**Data** no demonstrations" in text
    assert (folder / CARD).read_text(encoding="utf-8") == text


def test_no_card_without_a_checkpoint(tmp_path):
    with pytest.raises(PolicyError, match="is not a checkpoint"):
        write_card(tmp_path)
    assert not (tmp_path / CARD).exists()
