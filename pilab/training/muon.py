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
            weights = [weight for weight in group["params"] if weight.grad is not None]
            directions = self._muon(weights, group) if group["muon"] else [self._adam(w, group) for w in weights]
            for weight, direction in zip(weights, directions, strict=True):
                weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-group["lr"])
        return loss

    def _muon(self, weights: list[Tensor], group: dict) -> list[Tensor]:
        ahead = []
        for weight in weights:
            state = self.state[weight]
            if not state:
                state["momentum"] = torch.zeros_like(weight)
            state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
            ahead.append(weight.grad.lerp(state["momentum"], group["momentum"]))  # Nesterov's
        return [d.mul_(0.2 * max(d.shape) ** 0.5) for d in orthogonal(ahead)]

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


def orthogonal(matrices: list[Tensor]) -> list[Tensor]:
    """The nearest matrices with singular values of about 1, by Newton–Schulz iterations in float32, each (m, n) → (m, n).

    Matrices of one shape go through the iterations together: one large product is faster than many small ones.
    """
    a, b, c = NEWTON_SCHULZ
    wide = [m if len(m) <= m.shape[1] else m.T for m in matrices]
    found: list[Tensor | None] = [None] * len(wide)
    for shape in dict.fromkeys(m.shape for m in wide):
        which = [i for i, m in enumerate(wide) if m.shape == shape]
        x = torch.stack([wide[i] for i in which]).float()
        x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
        for _ in range(ITERATIONS):
            gram = x @ x.mT
            x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
        for i, one in zip(which, x, strict=True):
            found[i] = (one if wide[i] is matrices[i] else one.T).to(matrices[i].dtype)
    return found
