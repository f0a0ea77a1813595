"""Verdicts: every word by hand-made rows, pairing, conditions of entry, what people read."""

import dataclasses
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilab.contracts import PilabError, Row, UnknownNameError
from pilab.evaluation.statistics import paired_difference, seed_differences
from pilab.evaluation.verdict import (
    INCONCLUSIVE,
    NOT_SUPPORTED,
    NOT_TESTABLE,
    SEED,
    SUPPORTED,
    Entry,
    Verdict,
    shared,
    verdict,
)


def rows(successes, arm="VLA", control="none", seed=None, **changes) -> list[Row]:
    """One row for each success, on scenes 0, 1, …; `seed` is a training seed."""
    clusters = {"object": f"object {seed}"} | ({} if seed is None else {"training_seed": seed})
    row = Row("episode", arm, "all", control, 0, "", True, {}, clusters, checkpoint="c0ffee", commit="abc123")
    return [
        dataclasses.replace(row, scene=f"{i:012x}", success=bool(s), **{"metrics": {"followed": not s}, **changes})
        for i, s in enumerate(successes)
    ]


def pairs(both=0, only_a=0, only_b=0, neither=0, seed=None) -> tuple[list[Row], list[Row]]:
    a = [1] * (both + only_a) + [0] * (only_b + neither)
    b = [1] * both + [0] * only_a + [1] * only_b + [0] * neither
    return rows(a, "new", seed=seed), rows(b, "old", seed=seed)


def several(*tables) -> tuple[list[Row], list[Row]]:
    """One table of pairs for each training seed."""
    sides = zip(*(pairs(*table, seed=seed) for seed, table in enumerate(tables)), strict=True)
    return tuple([row for part in side for row in part] for side in sides)


def judge(sides, **options) -> Verdict:
    return verdict("new beats old", *sides, **{"scale": "laptop", **options})


def failed(found: Verdict) -> list[str]:
    return [entry.name for entry in found.entry if not entry.ok]


# ------------------------------------------------------------------------------------------------------- the four words
@pytest.mark.parametrize(
    ("table", "direction", "word"),
    [
        ((20, 25, 5, 50), "increase", SUPPORTED),
        ((20, 5, 25, 50), "increase", NOT_SUPPORTED),
        ((45, 2, 2, 51), "increase", NOT_SUPPORTED),  # no difference, and none of 10 points either
        ((100, 25, 5, 270), "increase", NOT_SUPPORTED),  # surely above 0, surely below 10 points
        ((20, 12, 5, 30), "increase", INCONCLUSIVE),  # reaches 10 points, and 0
        ((100, 40, 8, 200), "increase", INCONCLUSIVE),  # above 0, but 9.2 points
        ((30, 5, 25, 40), "decrease", SUPPORTED),
        ((50, 25, 5, 20), "decrease", NOT_SUPPORTED),
        ((30, 5, 12, 20), "decrease", INCONCLUSIVE),
        ((250, 10, 10, 130), "equal", SUPPORTED),
        ((250, 20, 90, 140), "equal", NOT_SUPPORTED),
        ((250, 90, 20, 140), "equal", NOT_SUPPORTED),
        ((220, 60, 25, 95), "equal", INCONCLUSIVE),
    ],
)
def test_words(table, direction, word):
    sides = pairs(*table)
    found = judge(sides, direction=direction)
    assert found.word == word
    assert failed(found) == []
    interval = paired_difference(*([row.success for row in side] for side in sides), found.confidence)
    assert (found.estimate, found.interval) == (interval.estimate, (interval.low, interval.high))
    assert found.confidence == (0.90 if direction == "equal" else 0.95)
    assert found.p == (interval.equivalence(0.10) if direction == "equal" else interval.p)
    assert found.n == sum(table)


def test_smallest_effect_is_part_of_the_claim():
    table = pairs(100, 40, 8, 200)  # 9.2 points
    assert [judge(table, smallest=d).word for d in (0.05, 0.10, 0.20)] == [SUPPORTED, INCONCLUSIVE, NOT_SUPPORTED]


def test_exactly_the_smallest_effect_is_enough():
    assert judge(pairs(0, 30, 0, 270)).word == SUPPORTED  # 30 / 300 is 0.10
    assert judge(pairs(0, 29, 0, 271)).word == INCONCLUSIVE


@settings(deadline=None)
@given(st.tuples(*[st.integers(0, 80)] * 4).filter(any), st.sampled_from([0.05, 0.10, 0.30]))
def test_decrease_is_the_increase_of_the_other_side(table, smallest):
    new, old = pairs(*table)
    up = judge((new, old), smallest=smallest)
    down = judge((old, new), direction="decrease", smallest=smallest)
    assert [-down.estimate, -down.interval[1], -down.interval[0], down.p] == [up.estimate, *up.interval, up.p]
    if not failed(up) + failed(down):
        assert up.word == down.word


@settings(deadline=None)
@given(st.tuples(*[st.integers(0, 40)] * 4).filter(any), st.randoms(use_true_random=False))
def test_order_of_the_rows_does_not_matter(table, chance: random.Random):
    new, old = pairs(*table)
    assert judge((chance.sample(new, len(new)), chance.sample(old, len(old)))) == judge((new, old))


@settings(deadline=None)
@given(st.tuples(*[st.integers(0, 40)] * 4).filter(any))
def test_more_is_never_asked_in_vain(table):
    """Whoever supports a large effect supports a smaller one, and whoever rules out a small one rules out a larger."""
    rank = {SUPPORTED: 2, INCONCLUSIVE: 1, NOT_SUPPORTED: 0, NOT_TESTABLE: -1}
    ranks = [rank[judge(pairs(*table), smallest=d).word] for d in (0.05, 0.10, 0.20, 0.40)]
    assert ranks == sorted(ranks, reverse=True)


# ---------------------------------------------------------------------------------------------------- not testable here
def test_smoke_tests_nothing():
    found = judge(pairs(20, 25, 5, 50), scale="smoke")
    assert (found.word, failed(found)) == (NOT_TESTABLE, ["scale"])
    assert found.estimate == 0.2
    assert judge(pairs(1), scale="smoke", direction="equal").word == NOT_TESTABLE


@pytest.mark.parametrize(
    ("table", "direction", "names"),
    [
        ((97, 3, 0, 0), "increase", []),
        ((98, 2, 0, 0), "increase", ["ceiling"]),  # 98 % leave no room
        ((98, 0, 2, 0), "decrease", []),
        ((10, 0, 40, 50), "decrease", []),
        ((9, 0, 40, 51), "decrease", ["floor"]),  # 49 % is too little to lose
        ((140, 5, 5, 150), "equal", ["floor"]),
        ((150, 0, 0, 149), "equal", ["pairs"]),
        ((150, 0, 0, 150), "equal", []),
        ((0, 0, 0, 20), "equal", ["floor", "pairs"]),
        ((0, 30, 0, 70), "increase", []),  # a floor binds no increase
        ((400, 0, 0, 0), "equal", []),  # nor a ceiling equality
    ],
)
def test_room_and_pairs(table, direction, names):
    found = judge(pairs(*table), direction=direction)
    assert failed(found) == names
    assert (found.word == NOT_TESTABLE) == bool(names)
    assert all(name in found.sentence for name in names)


def test_declared_conditions_come_first():
    table = pairs(20, 25, 5, 50)
    good, bad = Entry("naming probe", True, "98 % of 200"), Entry("replay", False, "92 % of 50, expected 98 %")
    assert judge(table, entry=[good]).word == SUPPORTED
    found = judge(table, entry=[good, bad])
    assert (found.word, failed(found)) == (NOT_TESTABLE, ["replay"])
    assert found.entry[:2] == (good, bad)
    assert "Not met: replay (92 % of 50, expected 98 %)." in found.sentence


# ------------------------------------------------------------------------------------------------------- training seeds
def test_seeds_that_agree():
    sides = several((5, 12, 2, 21), (5, 14, 2, 19), (5, 13, 2, 20))
    found = judge(sides)
    assert found.word == SUPPORTED
    assert found.seeds == pytest.approx({0: 0.25, 1: 0.30, 2: 0.275})
    assert "120 pairs, training seeds +++, " in found.sentence


def test_the_widest_interval_decides():
    sides = several((5, 5, 1, 29), (5, 33, 1, 1), (5, 18, 1, 16))  # seeds vary far more than the scenes do
    assert judge(several((15, 56, 3, 46))).word == SUPPORTED  # the same pairs, of one model
    found = judge(sides)
    student = seed_differences(
        *({s: [r.success for r in side if r.clusters["training_seed"] == s] for s in range(3)} for side in sides)
    )
    assert found.word == INCONCLUSIVE
    assert found.interval == (max(-1, student.low), min(1, student.high))
    assert found.p == student.p
    assert "the interval does not exclude 0" in found.sentence


def test_seeds_of_one_mind_vary_less_than_chance_allows():
    sides = several(*[(2, 3, 1, 4)] * 3)  # Student's interval is a point
    found = judge(sides)
    pooled = paired_difference(*([row.success for row in side] for side in sides))
    assert found.interval == (pooled.low, pooled.high)
    assert (found.word, found.p) == (INCONCLUSIVE, pooled.p)


def test_one_seed_against_the_others_leaves_it_open():
    tables = [(10, 20, 4, 66), *[(10, 22, 2, 66)] * 30, (10, 2, 3, 85)]
    found = judge(several(*tables), smallest=0.10)
    assert found.interval[0] > 0
    assert found.estimate > 0.10
    assert found.word == INCONCLUSIVE
    assert "Undecided: the training seeds differ in sign." in found.sentence


def test_two_seeds_are_too_few():
    found = judge(several((5, 12, 2, 21), (5, 14, 2, 19)))
    assert (found.word, failed(found)) == (NOT_TESTABLE, ["training_seed"])


def test_equality_over_seeds():
    found = judge(several(*[(90, 5, 5, 20)] * 3), direction="equal")
    assert found.word == SUPPORTED
    spread = judge(several((80, 5, 15, 20), (80, 15, 5, 20), (90, 5, 5, 20)), direction="equal")
    assert (spread.word, spread.estimate) == (INCONCLUSIVE, 0)
    assert spread.p > 0.05 > found.p


def test_claims_about_objects():
    sides = several((5, 5, 1, 29), (5, 33, 1, 1), (5, 18, 1, 16))
    one = [
        [dataclasses.replace(r, scene=f"{i}", clusters={"object": r.clusters["object"]}) for i, r in enumerate(side)]
        for side in sides
    ]
    assert judge(one).word == SUPPORTED
    found = judge(one, cluster="object")
    assert (found.word, found.seeds) == (INCONCLUSIVE, {})
    assert found.interval == judge(sides).interval
    assert failed(judge(pairs(20, 25, 5, 50), cluster="object")) == ["object"]
    with pytest.raises(UnknownNameError, match="unknown cluster 'colour'; valid: object"):
        judge(one, cluster="colour")


# -------------------------------------------------------------------------------------------------- pairing and metrics
def test_rows_without_a_partner():
    new, old = pairs(20, 25, 5, 50)
    with pytest.raises(PilabError, match=r"100 rows of success of new, 97 .*: 3 scenes without a partner, 0 rows rep"):
        judge((new, old[3:]))
    with pytest.raises(PilabError, match="1 scenes without a partner"):
        judge((new[1:], old))
    with pytest.raises(PilabError, match="0 scenes without a partner, 2 rows repeated"):
        judge((new + new[:2], old))
    with pytest.raises(PilabError, match="200 scenes without a partner"):
        judge((pairs(20, 25, 5, 50, seed=0)[0], pairs(20, 25, 5, 50, seed=1)[1]))
    with pytest.raises(PilabError, match="0 rows of success of nobody"):
        judge(([], []))


def test_the_words_decide_what_moves():
    plain, swapped = rows([1] * 40 + [0] * 10), rows([1] * 5 + [0] * 45, control="swap")
    found = verdict(
        "the words decide what moves", plain, swapped, scale="laptop", entry=[Entry("replay", True, "50/50")]
    )
    assert (found.word, found.n) == (SUPPORTED, 50)
    assert "success of VLA 80.0 % [67.0, 88.8] (40/50)" in found.sentence
    assert "success of VLA under swap 10.0 %" in found.sentence
    deaf = rows([1] * 40 + [0] * 10, control="swap")
    assert verdict("the words decide what moves", plain, deaf, scale="laptop").word == NOT_SUPPORTED


def test_two_metrics_of_the_same_rows():
    swapped = rows([1] * 5 + [0] * 45, control="swap")
    found = verdict("it follows the words", swapped, swapped, metric=("followed", "success"), scale="gpu")
    assert (found.word, found.estimate) == (SUPPORTED, 0.8)
    assert "followed of VLA under swap 90.0 %" in found.sentence
    assert "success of VLA under swap 10.0 %" in found.sentence
    assert found == verdict("it follows the words", swapped, swapped[::-1], metric=("followed", "success"), scale="gpu")


def scores(*by_seed, arm="VLA") -> list[Row]:
    """Rows of folds: each seed's scores."""
    return [
        Row("fold", arm, "hold", "none", k, str(k), True, {"score": score}, {SEED: seed})
        for seed, found in enumerate(by_seed)
        for k, score in enumerate(found)
    ]


def test_a_score_is_judged_over_training_seeds():
    more, less = ((0.5, 0.6), (0.7, 0.6), (0.6, 0.7)), ((0.2, 0.1), (0.3, 0.2), (0.1, 0.2))
    found = verdict("it says more", scores(*more), scores(*less, arm="hard"), metric="score", scale="laptop")
    right = seed_differences(dict(enumerate(more)), dict(enumerate(less)))
    assert (found.word, found.n, found.estimate) == (SUPPORTED, 6, pytest.approx(right.estimate))
    assert found.interval == pytest.approx((right.low, right.high))
    assert found.p == pytest.approx(right.p)
    assert "score of VLA 0.62; score of hard 0.18; difference +0.43 [" in found.sentence
    assert "reaches the 0.1 that matters" in found.sentence
    wide = verdict("it says more", scores(*more), scores(*less), metric="score", smallest=5, scale="laptop")
    assert wide.word == NOT_SUPPORTED  # in the unit of the score


def test_a_score_of_one_training_says_nothing_of_others():
    with pytest.raises(PilabError, match="score of VLA is a score of one training seed; expected rows of several"):
        verdict("it says more", scores((0.5, 0.6)), scores((0.1, 0.2)), metric="score", scale="laptop")
    found = verdict("it says more", scores((0.5,), (0.6,)), scores((0.1,), (0.2,)), metric="score", scale="laptop")
    assert (found.word, failed(found)) == (NOT_TESTABLE, [SEED])


def test_a_score_against_an_outcome():
    some = [dataclasses.replace(row, metrics={"score": 0.5, "won": True}) for row in scores((0.5,), (0.5,), (0.5,))]
    with pytest.raises(PilabError, match=r"score of VLA is 0\.5 and won of VLA True; expected True or False in both"):
        verdict("it says more", some, some, metric=("score", "won"), scale="laptop")


@pytest.mark.parametrize(("metrics", "shown"), [({"followed": None}, "None"), ({"followed": 0.5}, "0.5"), ({}, "None")])
def test_what_is_not_true_or_false(metrics, shown):
    some = rows([1, 0], metrics=metrics) + [dataclasses.replace(rows([1])[0], scene="last")]
    with pytest.raises(PilabError, match=f"followed of VLA: {shown} in 2 of 3 rows; expected True or False"):
        verdict("it follows", some, some, metric="followed", scale="laptop")


def test_refuses_what_is_no_claim():
    table = pairs(20, 25, 5, 50)
    with pytest.raises(UnknownNameError, match="unknown direction 'up'; valid: increase, decrease, equal"):
        judge(table, direction="up")
    with pytest.raises(UnknownNameError, match="unknown scale 'huge'"):
        judge(table, scale="huge")
    for smallest in (0, 10):
        with pytest.raises(PilabError, match=f"smallest effect {smallest}"):
            judge(table, smallest=smallest)


# --------------------------------------------------------------------------------------------------------- what is read
def test_what_people_read():
    found = judge(pairs(20, 25, 5, 50))
    assert found.sentence == (
        "success of new 45.0 % [35.6, 54.8] (45/100); success of old 25.0 % [17.5, 34.3] (25/100); difference "
        "+20.0 points [10.0, 30.3] (95 % interval, 100 pairs, p < 0.001). "
        "The interval excludes 0 and the estimate reaches the 10 points that matter."
    )
    assert found.provenance == "scale laptop, checkpoint c0ffee, commit abc123"
    assert found.text() == f"SUPPORTED: new beats old. {found.sentence} ({found.provenance})"
    assert found._repr_markdown_() == f"**supported**: new beats old. {found.sentence}\n\n*{found.provenance}*"


# --------------------------------------------------------------------------------------------------- scenes in common
def test_groups_are_cut_down_to_the_scenes_they_share():
    many, few = rows([1, 0, 1, 1]), rows([0, 1], control="scramble")[::-1]
    left, right = shared(many, few)
    assert left == many[:2] and right == few  # each in its own order
    assert judge((left, right)).n == 2
    assert shared(many) == [many]


def test_training_seeds_are_not_mixed_up():
    left, right = shared(rows([1, 1], seed=0) + rows([1], seed=1), rows([0, 0], seed=1))
    assert [row.clusters["training_seed"] for row in left + right] == [1, 1]


@pytest.mark.parametrize("groups", [(rows([1]), []), (rows([1], seed=0), rows([1], seed=1))])
def test_nothing_in_common_is_an_error(groups):
    with pytest.raises(PilabError, match="no scene in common"):
        shared(*groups)
