"""Pictures to features, features to heat maps and points, masked losses, glimpses."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pilab.vla.grounding import (
    ROLES,
    Grounding,
    GroundingHead,
    cell_centres,
    glimpse,
    glimpse_pixels,
    grounding_losses,
)
from pilab.vla.vision import Vision

HEIGHT, WIDTH = 6, 8  # cells


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def found(logits):
    """A Grounding whose heat map has these logits (B, R, h, w)."""
    points = logits.flatten(2).softmax(-1) @ cell_centres(*logits.shape[2:])
    return Grounding(logits, points, torch.zeros(logits.shape[:2]), torch.zeros(*logits.shape[:2], 1))


# ------------------------------------------------------------------------------------------------------------- features
@pytest.mark.parametrize("coordinates", [True, False])
def test_left_and_right_are_learnt_from_coordinates_alone(coordinates):
    """Two equal spots, and words that mean one of them: a convolution alone cannot tell which is which."""
    torch.manual_seed(0)
    vision = Vision(24, 2, 8, 32, 1, 2, coordinates=coordinates)
    head, rng = GroundingHead(24, 1), np.random.default_rng(0)
    learning = torch.optim.Adam([*vision.parameters(), *head.parameters()], 4e-3)

    def draw(rows):
        images, wanted = torch.full((rows, 3, 48, 128), -1.0), torch.zeros(rows, 2)
        side = torch.eye(2)[rng.integers(2, size=rows)]  # left, right
        for row in range(rows):
            spots = rng.integers(24, 45), rng.integers(84, 105)  # out of each other's sight, and of the rims'
            v = rng.integers(20, 28)
            for u in spots:
                images[row, :, v - 2 : v + 2, u - 2 : u + 2] = 1
            wanted[row] = torch.tensor([spots[int(side[row, 1])] / 128, v / 48])
        return images, side, wanted

    def points(images, side):
        return head(vision(images, side)[0])

    for _ in range(150):
        images, side, wanted = draw(32)
        out = points(images, side)
        there = torch.zeros(32, 2)
        there[:, 0] = 1
        loss = grounding_losses(out, wanted[:, None].expand(-1, 2, -1), there, there)["heat"] / 32
        learning.zero_grad()
        loss.backward()
        learning.step()
    images, side, wanted = draw(200)
    with torch.no_grad():
        off = (points(images, side).points[:, 0, 0] - wanted[:, 0]).abs() * 128
    right = float((off < 2).float().mean())
    assert right > 0.9 if coordinates else right < 0.75, right


def test_a_longer_reach_sees_farther_and_keeps_the_grid():
    """What a cell's features depend on, in pixels to each side."""
    torch.manual_seed(0)
    seen = {}
    for reach in (1, 4):
        vision = Vision(24, 2, 8, 32, 1, 2, reach=reach)
        for block in vision.film:  # group norm sees everything: not what is asked here
            block.norm = torch.nn.Identity()
        vision.backbone = torch.nn.AvgPool2d(4)
        picture = torch.zeros(1, 24, 64, 64, requires_grad=True)
        features, _ = vision(picture + drawn(1, 24, 64, 64), torch.ones(1, 2))
        assert features.shape == (1, 24, 16, 16)
        features[0, :, 8, 8].square().sum().backward()
        touched = torch.nonzero(picture.grad[0].abs().sum((0, 1)))
        seen[reach] = int(touched.max() - touched.min() + 1) // 4
    assert seen == {1: 5, 4: 11}


# ------------------------------------------------------------------------------------------------------------ heat maps
def test_cells_are_counted_along_rows():
    torch.testing.assert_close(
        cell_centres(2, 4), torch.tensor([[u, v] for v in (0.25, 0.75) for u in (0.125, 0.375, 0.625, 0.875)])
    )


@pytest.mark.parametrize("window", [0, 1, 2])
def test_heat_is_a_distribution_and_its_mean_around_the_hottest_cell_the_point(window):
    out = GroundingHead(24, window)(drawn(3, 24, HEIGHT, WIDTH))
    assert out.logits.shape == out.heat.shape == (3, len(ROLES), HEIGHT, WIDTH)
    assert out.points.shape == (3, len(ROLES), 2)
    assert out.visible.shape == (3, len(ROLES))
    torch.testing.assert_close(out.heat.sum((2, 3)), torch.ones(3, len(ROLES)))
    for row, role in np.ndindex(3, len(ROLES)):
        heat = out.heat[row, role].detach().numpy()
        top, left = np.unravel_index(heat.argmax(), heat.shape)
        reach = window or max(HEIGHT, WIDTH)
        rows = slice(max(top - reach, 0), top + reach + 1)
        columns = slice(max(left - reach, 0), left + reach + 1)
        near = heat[rows, columns] / heat[rows, columns].sum()
        u = (near.sum(0) * (np.arange(WIDTH)[columns] + 0.5) / WIDTH).sum()
        v = (near.sum(1) * (np.arange(HEIGHT)[rows] + 0.5) / HEIGHT).sum()
        np.testing.assert_allclose(out.points[row, role].detach(), [u, v], atol=1e-5)


def test_fog_far_away_does_not_move_a_point():
    head = GroundingHead(1, 2)
    with torch.no_grad():
        head.heat.weight.fill_(1.0)
    features = torch.full((1, 1, HEIGHT, WIDTH), -20.0)
    features[0, 0, 1, 1] = 3.0
    clear = head(features).points
    features[0, 0, :, -2:] = 2.0
    torch.testing.assert_close(head(features).points, clear)


def test_visibility_is_read_where_the_heat_is():
    """With all heat in one cell, features elsewhere do not count."""
    head = GroundingHead(4, 2)
    with torch.no_grad():
        head.heat.weight.zero_()[:, 0] = 1.0
    features = drawn(1, 4, HEIGHT, WIDTH)
    features[:, 0] = 0
    features[:, 0, 2, 3] = 100.0
    other = features.clone()
    other[:, 1:, 0, 0] += 5
    assert torch.equal(head(features).visible, head(other).visible)
    other[:, 1:, 2, 3] += 5
    assert not torch.allclose(head(features).visible, head(other).visible)
    torch.testing.assert_close(head(features).points[0, 0], torch.tensor([3.5 / WIDTH, 2.5 / HEIGHT]))


# --------------------------------------------------------------------------------------------------------------- losses
@settings(deadline=None, max_examples=60)
@given(st.floats(0, 1), st.floats(0, 1))
def test_the_label_is_spread_over_the_four_nearest_cells(u, v):
    """Read from the gradient of a cross entropy, which is softmax − target."""
    logits = torch.zeros(1, 1, HEIGHT, WIDTH, requires_grad=True)
    point = torch.tensor([[[u, v]]])
    grounding_losses(found(logits), point, torch.ones(1, 1), torch.ones(1, 1))["heat"].backward()
    target = (1 / (HEIGHT * WIDTH) - logits.grad).flatten()
    assert target.min() > -1e-6
    assert float(target.sum()) == pytest.approx(1, abs=1e-4)
    assert (target > 1e-6).sum() <= 4
    mean = target @ cell_centres(HEIGHT, WIDTH)
    margin = torch.tensor([0.5 / WIDTH, 0.5 / HEIGHT])  # the mean of centres cannot leave the outermost ones
    torch.testing.assert_close(mean, torch.minimum(torch.maximum(point[0, 0], margin), 1 - margin), atol=1e-4, rtol=0)


def test_a_heat_map_on_the_label_costs_nothing_and_elsewhere_much():
    logits = torch.zeros(1, 1, HEIGHT, WIDTH)
    logits[0, 0, 2, 3] = 30.0
    here, there = torch.tensor([[[3.5 / WIDTH, 2.5 / HEIGHT]]]), torch.tensor([[[6.5 / WIDTH, 2.5 / HEIGHT]]])
    one = torch.ones(1, 1)
    right, wrong = (grounding_losses(found(logits), at, one, one) for at in (here, there))
    assert right["heat"] < 1e-5 and right["points"] < 1e-5
    assert wrong["heat"] > 29
    assert float(wrong["points"]) == pytest.approx(3 / WIDTH, abs=1e-5)
    assert float(right["visible"]) == pytest.approx(math.log(2))  # of a logit of 0


def test_sums_of_masked_losses():
    """Four cells of (visible, labelled): points count where both hold, visibility where labelled."""
    logits, points = drawn(2, 2, HEIGHT, WIDTH), torch.full((2, 2, 2), 0.4)
    visible, labelled = torch.tensor([[1.0, 0], [1, 0]]), torch.tensor([[1.0, 1], [0, 0]])
    out = grounding_losses(found(logits), points, visible, labelled)
    alone = grounding_losses(found(logits[:1, :1]), points[:1, :1], visible[:1, :1], labelled[:1, :1])
    below = grounding_losses(found(logits[:1, 1:]), points[:1, 1:], visible[:1, 1:], labelled[:1, 1:])
    torch.testing.assert_close(out["heat"], alone["heat"])
    torch.testing.assert_close(out["points"], alone["points"])
    torch.testing.assert_close(out["visible"], alone["visible"] + below["visible"])


def test_unlabelled_points_change_no_bit_and_get_no_gradient():
    logits, seen = drawn(2, 2, HEIGHT, WIDTH).requires_grad_(), drawn(2, 2, seed=1).requires_grad_()
    labelled, visible, points = torch.tensor([[1.0, 0], [1, 1]]), torch.ones(2, 2), torch.full((2, 2, 2), 0.4)
    hidden, moved = visible.clone(), points.clone()
    hidden[0, 1], moved[0, 1] = 0, torch.tensor([0.9, -3.0])  # out of the picture
    out = dataclasses.replace(found(logits), visible=seen)
    a, b = grounding_losses(out, points, visible, labelled), grounding_losses(out, moved, hidden, labelled)
    for term in a:
        assert torch.equal(a[term], b[term])
    sum(b.values()).backward()
    assert not logits.grad[0, 1].any() and not seen.grad[0, 1]
    assert logits.grad[0, 0].any() and seen.grad[0, 0] and torch.isfinite(logits.grad).all()


def test_nothing_visible_is_finite():
    labels = torch.full((2, 2, 2), -5.0), torch.zeros(2, 2), torch.ones(2, 2)
    out = grounding_losses(found(drawn(2, 2, HEIGHT, WIDTH)), *labels)
    assert out["heat"] == out["points"] == 0
    assert all(torch.isfinite(total) for total in out.values())


# ------------------------------------------------------------------------------------------------------------- glimpses
def test_a_glimpse_is_the_pixels_around_the_point():
    image = torch.arange(10 * 12, dtype=torch.uint8).reshape(1, 10, 12, 1).expand(1, 10, 12, 3)
    at = torch.tensor([[[6.5 / 12, 3.5 / 10], [0.0, 1.0]]])  # the middle of pixel (row 3, column 6), and a corner
    patch = glimpse(image, at, 4)
    assert patch.shape == (1, 2, 4, 4, 3) and patch.dtype == torch.uint8
    assert torch.equal(patch[0, 0], image[0, 1:5, 4:8])
    assert patch[0, 0, 2, 2, 0] == 3 * 12 + 6
    # Beyond the rim the rim is repeated.
    assert torch.equal(patch[0, 1, :, :, 0], image[0, [8, 9, 9, 9]][:, [0, 0, 0, 1], 0])


@settings(deadline=None, max_examples=60)
@given(st.floats(-0.5, 1.5), st.floats(-0.5, 1.5))
def test_glimpses_never_leave_the_picture(u, v):
    rows, columns = glimpse_pixels(torch.tensor([[[u, v]]]), 10, 12, 6)
    assert rows.shape == (1, 1, 6, 1) and columns.shape == (1, 1, 1, 6)
    assert rows.min() >= 0 and rows.max() <= 9
    assert columns.min() >= 0 and columns.max() <= 11


# --------------------------------------------------------------------------------------------------------------- vision
@pytest.fixture(scope="module")
def vision():
    torch.manual_seed(0)
    return Vision(channels=24, condition=16, width=32, patch=32, blocks=1, film=2)


@pytest.mark.parametrize(("height", "width"), [(96, 128), (48, 48), (64, 64)])
def test_features_at_stride_four_and_a_few_tokens(vision, height, width):
    features, tokens = vision(drawn(2, 3, height, width), drawn(2, 16))
    assert features.shape == (2, 24, height // 4, width // 4)
    rows, columns = vision.grid(height, width)
    assert tokens.shape == (2, rows * columns, 32)
    assert (rows, columns) == (round(height / 32), round(width / 32))


def test_words_reach_the_features(vision):
    """Same picture, other condition, other features: within every row of one batch, and only there."""
    picture, condition = drawn(1, 3, 48, 48).expand(2, -1, -1, -1), drawn(2, 16)
    features, tokens = vision(picture, condition)
    assert not torch.allclose(features[0], features[1], atol=1e-3)
    assert not torch.allclose(tokens[0], tokens[1], atol=1e-3)
    same, _ = vision(picture, condition[:1].expand(2, -1))
    torch.testing.assert_close(same[0], same[1])


def test_pictures_of_a_batch_do_not_meet(vision):
    pictures, condition = drawn(5, 3, 48, 64), drawn(5, 16)
    whole = vision(pictures, condition)
    for i in range(5):
        alone = vision(pictures[i : i + 1], condition[i : i + 1])
        for a, b in zip(alone, whole, strict=True):
            torch.testing.assert_close(a[0], b[i], atol=1e-5, rtol=1e-4)
