"""What a linear read-out makes of features: of what is in them, what is not, and what is in them of one episode only."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from pilab.contracts import PilabError
from pilab.evaluation.information import _said, bent, chance, kernel, read_out

N, EPISODES = 300, np.repeat(np.arange(30), 10)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def scores(features, target, episodes=EPISODES):
    return [fold.score for fold in read_out(kernel(features), target, episodes)]


def test_what_is_there_is_found_and_what_is_not_is_not(rng):
    features = rng.standard_normal((N, 400))  # more of them than frames
    force = features[:, :5].sum(1)
    assert min(scores(np.c_[features, 4 * np.repeat(force[:, None], 40, 1)], force)) > 0.8
    assert max(scores(features, rng.standard_normal(N))) < 0.1
    assert min(scores(np.c_[features, np.repeat(force[:, None], 40, 1)], force > 0)) > 0.85
    chance = scores(features, rng.random(N) < 0.5)
    assert 0.3 < np.mean(chance) < 0.7


def test_every_frame_is_asked_once_and_never_with_its_own_episode(rng):
    folds = read_out(kernel(rng.standard_normal((N, 20))), rng.standard_normal(N), EPISODES)
    assert sorted(np.concatenate([fold.rows for fold in folds])) == list(range(N))
    asked = [set(EPISODES[fold.rows]) for fold in folds]
    assert sum(map(len, asked)) == 30 == len(set().union(*asked))


def test_what_tells_the_episode_tells_nothing(rng):
    """The target is one number an episode, and the features say which episode it is: to learn that is to know by heart."""
    features = np.eye(30)[EPISODES] + 0.01 * rng.standard_normal((N, 30))
    assert max(scores(features, rng.standard_normal(30)[EPISODES])) < 0.1
    assert min(scores(features, rng.standard_normal(30)[EPISODES], rng.permutation(EPISODES))) > 0.9


def test_the_dual_is_the_ridge_of_scikit_learn(rng):
    features, target = rng.standard_normal((40, 60)), rng.standard_normal(40)
    even = (features - features.mean(0)) / features.std(0)
    fitted, asked = np.arange(30), np.arange(30, 40)
    ours = _said(kernel(features), target, fitted, asked, 0.1)
    mean = target[fitted].mean()
    theirs = Ridge(alpha=0.1 * 60, fit_intercept=False).fit(even[fitted], target[fitted] - mean).predict(even[asked])
    np.testing.assert_allclose(ours, mean + theirs, atol=1e-8)


def test_what_cannot_be_asked_is_told_or_left_out(rng):
    alike = kernel(rng.standard_normal((N, 3)))
    with pytest.raises(PilabError, match="2 episodes in 5 folds"):
        read_out(alike, rng.standard_normal(N), np.repeat([0, 1], 150))
    with pytest.raises(PilabError, match="300 features, 2 targets, 300 episodes"):
        read_out(alike, np.zeros(2), EPISODES)
    seldom = np.zeros(N, bool)
    seldom[:25] = True  # in a few episodes only: in some folds there is none
    assert 0 < len(read_out(alike, seldom, EPISODES)) < 5


# ---------------------------------------------------------------------------------------------------- vectors and classes
NOUNS = np.array(["apple", "bowl", "cup", "drum"])


def test_a_class_that_is_there_is_found_and_one_of_the_episode_is_not(rng):
    nouns = NOUNS[rng.integers(4, size=N)]
    features = np.c_[rng.standard_normal((N, 50)), 3 * (nouns[:, None] == NOUNS)]
    folds = read_out(kernel(features), nouns, EPISODES)
    assert min(fold.score for fold in folds) > 0.95
    assert {fold.classes for fold in folds} == {tuple(NOUNS)} and folds[0].said.shape == (len(folds[0].rows), 4)
    assert np.mean(np.concatenate([NOUNS[f.said.argmax(1)] == nouns[f.rows] for f in folds])) > 0.9
    own = NOUNS[rng.integers(4, size=30)][
        EPISODES
    ]  # one an episode: who knows the episode knows nothing of another one
    by_heart = np.eye(30)[EPISODES] + 0.01 * rng.standard_normal((N, 30))
    assert max(scores(by_heart, own)) < 0.6
    assert min(scores(by_heart, own, rng.permutation(EPISODES))) > 0.95


def test_the_chance_of_classes_is_a_half_however_unequal_they_are(rng):
    seldom = np.where(rng.random(N) < 0.1, "cup", np.where(rng.random(N) < 0.2, "bowl", "apple"))
    assert abs(np.mean([scores(rng.standard_normal((N, 40)), rng.permutation(seldom)) for _ in range(4)]) - 0.5) < 0.06
    assert chance(seldom) == chance(seldom == "cup") == 0.5
    assert chance(rng.standard_normal(N)) == chance(rng.standard_normal((N, 3))) == chance(np.arange(3)) == 0.0


def test_a_class_that_is_absent_in_a_fold_does_not_count_there(rng):
    nouns = np.where(EPISODES < 15, "apple", "bowl").astype("<U5")
    nouns[EPISODES == 3] = "cup"  # asked for in one fold, in which nothing was fitted to it
    features = np.c_[rng.standard_normal((N, 10)), 3 * (nouns == "bowl")]
    assert min(scores(features, nouns)) > 0.9
    assert scores(features, np.full(N, "apple")) == []


def test_one_score_of_a_vector_whichever_way_the_axes_point(rng):
    features = rng.standard_normal((N, 20))
    vectors = np.c_[features[:, :2], np.zeros(N)] + 0.1 * rng.standard_normal((N, 3))  # little to know of the third
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    plain, turned = (read_out(kernel(features), x, EPISODES) for x in (vectors, vectors @ turn.T))
    assert min(fold.score for fold in plain) > 0.9
    np.testing.assert_allclose([f.score for f in plain], [f.score for f in turned], atol=1e-9)
    np.testing.assert_allclose(turned[0].said, plain[0].said @ turn.T, atol=1e-9)
    one, same = scores(features, vectors[:, 0]), scores(features, vectors[:, :1])
    np.testing.assert_allclose(one, same)


def test_who_may_bend_reads_what_is_no_line(rng):
    x = rng.uniform(-2, 2, (N, 2))
    target = x[:, 0] ** 2
    assert max(scores(x, target)) < 0.2 < 0.8 < min(scores(bent(x, rng), target))
    assert bent(x, rng, 7).shape == (N, 9)
