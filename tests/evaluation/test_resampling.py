"""Bootstrap and permutation over clusters: against what can be counted, and by how often they are right."""

import itertools

import numpy as np
import pytest

from pilab.contracts import PilabError
from pilab.evaluation.resampling import cluster_bootstrap, permutation
from pilab.evaluation.statistics import seed_differences

# Darwin's maize, in eighths of an inch: crossed less self-fertilised, 15 pairs (Fisher 1935, section 17; table 3). Of the 2¹⁵
# ways to deal the signs, Fisher counted 863 with a sum at least as large as 314, and as many below −314.
MAIZE = (49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48)


def test_fisher_counted_by_hand():
    """1726 of 32768: all of them are tried."""
    a = {i: [float(gap)] for i, gap in enumerate(MAIZE)}
    assert permutation(a, {i: [0.0] for i in a}, samples=2**16) == pytest.approx(1726 / 32768, abs=1e-9)


def test_clusters_change_sides_as_wholes():
    """With three clusters, all apart, one deal of eight is as extreme on either side: no number of trials makes it rarer."""
    a = {key: [1.0] * 100 for key in "abc"}
    assert permutation(a, {key: [0.0] * 100 for key in "abc"}) == pytest.approx(2 / 8)
    with pytest.raises(PilabError, match="same on both sides"):
        permutation(a, {"a": [1.0]})


def test_a_mean_over_clusters():
    """About as wide as Student's interval where clusters are many and tame; wider than that of all trials where they differ."""
    rng = np.random.default_rng(0)
    tame = {i: rng.normal(0.5, 0.1, 10) for i in range(60)}
    found = cluster_bootstrap(tame)
    student = seed_differences(tame, {i: [0.0] for i in tame})
    assert found.clusters == 60 and found.estimate == pytest.approx(student.estimate)
    assert (found.low, found.high) == (pytest.approx(student.low, abs=3e-3), pytest.approx(student.high, abs=3e-3))
    apart = {i: [float(i % 2)] * 50 for i in range(10)}
    found = cluster_bootstrap(apart)
    assert found.low < 0.3 and found.high > 0.7  # of 500 trials alone it would be 0.46 … 0.54


def test_clusters_count_as_much_as_they_hold():
    found = cluster_bootstrap({"many": [1.0] * 9, "one": [0.0]})
    assert found.estimate == pytest.approx(0.9)


def test_where_nothing_varies():
    found = cluster_bootstrap({i: [1.0, 1.0] for i in range(4)})
    assert (found.low, found.estimate, found.high) == (1.0, 1.0, 1.0)
    with pytest.raises(PilabError, match="at least 2"):
        cluster_bootstrap({"alone": [1.0]})


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng, held = np.random.default_rng(2), 0
    for k in range(100):
        data = {i: rng.normal(rng.normal(0, 1), 1, 5) for i in range(25)}
        found = cluster_bootstrap(data, samples=999, seed=k)
        held += found.low <= 0 <= found.high
    assert 87 <= held <= 100  # 95 expected; 25 clusters make it a little optimistic


def test_all_ways_are_tried():
    """Against every deal of the signs, counted here."""
    gaps = [0.3, -0.1, 0.4, 0.2, 0.25]
    sums = [abs(sum(s * g for s, g in zip(signs, gaps, strict=True))) for signs in itertools.product((1, -1), repeat=5)]
    right = sum(total >= abs(sum(gaps)) - 1e-12 for total in sums) / len(sums)
    assert permutation({i: [g] for i, g in enumerate(gaps)}, {i: [0.0] for i in range(5)}) == pytest.approx(right)
