"""Muon: orthogonal steps for matrices, AdamW's for the rest, and the same after a resume."""

from __future__ import annotations

import copy

import pytest
import torch

from pilab.training.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(8, 32), (32, 8), (16, 16), (4, 128)])
def test_all_directions_count_alike(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape) @ torch.diag(torch.logspace(0, -1, shape[1]))
    (found,) = orthogonal([matrix])
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.4 and values.max() < 1.3
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    assert torch.nn.functional.cosine_similarity(found.flatten(), (u @ v).flatten(), dim=0) > 0.95


def test_matrices_together_are_each_as_alone():
    torch.manual_seed(0)
    matrices = [torch.randn(shape) for shape in ((8, 32), (32, 8), (16, 16), (8, 32), (5, 7))]
    for matrix, found in zip(matrices, orthogonal(matrices), strict=True):
        assert found.shape == matrix.shape
        torch.testing.assert_close(found, orthogonal([matrix])[0])


def weights() -> list[torch.nn.Parameter]:
    torch.manual_seed(1)
    return [torch.nn.Parameter(torch.randn(12, 20)), torch.nn.Parameter(torch.randn(20))]


def go(optimiser, parameters, steps: int, start: int = 0) -> None:
    for step in range(start, start + steps):
        torch.manual_seed(step)
        for p in parameters:
            p.grad = torch.randn_like(p)
        optimiser.step()


def test_the_rest_is_adamw():
    own, theirs = weights(), weights()
    go(Muon([{"params": own, "weight_decay": 0.1}], 0.01), own, 20)
    go(torch.optim.AdamW(theirs, 0.01, betas=(0.9, 0.98), weight_decay=0.1), theirs, 20)
    for a, b in zip(own, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon to compare with")
def test_matrices_move_as_torch_moves_them():
    """Up to the bfloat16 that torch orthogonalises in."""
    own, theirs = weights()[:1], weights()[:1]
    before = own[0].detach().clone()
    go(Muon([{"params": own, "muon": True, "weight_decay": 0.1}], 0.01), own, 10)
    peer = torch.optim.Muon(theirs, 0.01, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    go(peer, theirs, 10)
    assert (own[0] - theirs[0]).norm() < 0.05 * (own[0] - before).norm()


def test_a_resumed_optimiser_goes_on():
    straight, resumed = weights(), weights()
    groups = lambda ps: [{"params": ps[:1], "muon": True}, {"params": ps[1:]}]  # noqa: E731
    go(Muon(groups(straight), 0.01), straight, 8)
    first = Muon(groups(resumed), 0.01)
    go(first, resumed, 4)
    second = Muon(groups(resumed), 0.01)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    go(second, resumed, 4, start=4)
    for a, b in zip(straight, resumed, strict=True):
        assert torch.equal(a, b)


def test_a_closure_is_evaluated_with_gradients():
    p = torch.nn.Parameter(torch.ones(3, 3))
    optimiser = Muon([{"params": [p], "muon": True}], 0.1)

    def closure():
        optimiser.zero_grad()
        loss = p.square().sum()
        loss.backward()
        return loss

    assert optimiser.step(closure).item() == pytest.approx(9.0)
    assert not torch.equal(p, torch.ones(3, 3))
