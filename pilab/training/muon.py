"""Muon for matrices, AdamW for the rest: one optimiser that needs far fewer steps than AdamW alone.

The momentum of a matrix is replaced by the nearest matrix with equal singular values (Jordan et al. 2024, "Muon: An
optimizer for hidden layers in neural networks", https://kellerjordan.github.io/posts/muon/): directions that rarely get a
gradient move as far as those that always do. Scaled by 0.2 √max(rows, columns) its steps are as large as AdamW's, so that
one learning rate serves both (Liu et al. 2025, arXiv:2502.16982, §2.2).

Why not `torch.optim.Muon`: it orthogonalises in bfloat16, which CPUs without such units emulate a hundred times slower;
and Lightning steps one optimiser, not two.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # of the quintic a X + b (X Xᵀ) X + c (X Xᵀ)² X, by Jordan et al.
ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Groups with `muon: True` hold matrices and are orthogonalised; others are AdamW's.

    lr, weight_decay (decoupled) and betas as in AdamW; momentum: of the matrices.
    """

    def __init__(
        self, groups: list[dict], lr: float = 1e-3, *, betas: tuple[float, float] = (0.9, 0.98), eps: float = 1e-8,
        momentum: float = 0.95, weight_decay: float = 0.0,
    ) -> None:  # fmt: skip
        known = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "muon": False,
        }
        super().__init__(groups, known)

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """One step; `closure` is evaluated first, as Lightning wants it."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    direction = self._muon(weight, group) if group["muon"] else self._adam(weight, group)
                    weight.add_(direction, alpha=-group["lr"])
        return loss

    def _muon(self, weight: Tensor, group: dict) -> Tensor:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
        ahead = weight.grad.lerp(state["momentum"], group["momentum"])  # Nesterov's
        return orthogonal(ahead).mul_(0.2 * max(weight.shape) ** 0.5)

    def _adam(self, weight: Tensor, group: dict) -> Tensor:
        state, (first, second) = self.state[weight], group["betas"]
        if not state:
            state["step"] = torch.zeros(())
            state["mean"], state["square"] = torch.zeros_like(weight), torch.zeros_like(weight)
        state["step"] += 1
        state["mean"].lerp_(weight.grad, 1 - first)
        state["square"].lerp_(weight.grad.square(), 1 - second)
        steps = float(state["step"])
        deviation = (state["square"] / (1 - second**steps)).sqrt_().add_(group["eps"])
        return state["mean"] / (1 - first**steps) / deviation


def orthogonal(matrix: Tensor) -> Tensor:
    """The nearest matrix with singular values of about 1, by Newton–Schulz iterations in float32, (m, n) → (m, n)."""
    a, b, c = NEWTON_SCHULZ
    wide = matrix if len(matrix) <= matrix.shape[1] else matrix.T
    x = wide.float() / wide.float().norm().clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x if len(matrix) <= matrix.shape[1] else x.T).to(matrix.dtype)
