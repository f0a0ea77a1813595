"""The transformer that both experts share: rotary positions, RMSNorm, SwiGLU, one attention mask made of blocks.

Design choices
--------------
* **Block attention** (π0, arXiv:2410.24164, §IV): every token carries a block number and attends to tokens of its own and of
  earlier blocks. Pictures, state and the summary of ℓ are block 0, its words block 1; each piece of a thought is a block
  of its own, hence causal.
* **Keys and values are handed out**, so that a thought can be continued word by word, and so that the action expert can
  attend to what the trunk made of the scene without being able to change it.
* **adaRMS** (π0.5, arXiv:2504.16054): the flow's time enters every layer of the expert as scale, shift and gate of the
  norm. Scale and shift start at zero and, unlike there, the gate at one: a small expert that starts as the identity
  loses its first hundred steps.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Cache = list[tuple[Tensor, Tensor]]  # of each layer: keys and values (B, heads, T, d / heads)


def block_mask(query: Tensor, key: Tensor, present: Tensor) -> Tensor:
    """Who attends to whom: query blocks (B, Q), key blocks (B, K), keys present (B, K) → (B, 1, Q, K), True = attend."""
    return ((key[:, None] <= query[:, :, None]) & present[:, None])[:, None]


def turns(positions: Tensor, size: int, base: float = 1000.0) -> tuple[Tensor, Tensor]:
    """Cosines and sines, (B, 1, T, size) each, by which `rotate` turns what stands at positions (B, T)."""
    half = size // 2
    frequency = base ** (-torch.arange(half, device=positions.device, dtype=torch.float32) / half)
    angle = positions[:, None, :, None] * frequency
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)


def rotate(x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary position embedding (Su et al. 2021, arXiv:2104.09864): x (B, heads, T, D) → x turned.

    Number i and number i + D/2 are the two coordinates that turn together.
    """
    cos, sin = turns
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


class AdaRMSNorm(nn.Module):
    """RMSNorm whose scale and shift, and the gate of the branch behind it, are functions of a condition (B, d)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width, eps=1e-6, elementwise_affine=False)
        self.modulation = nn.Linear(width, 3 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        nn.init.ones_(self.modulation.bias[2 * width :])

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift, gate = self.modulation(condition)[:, None].chunk(3, -1)
        return torch.addcmul(shift, self.norm(x), 1 + scale), gate


class Block(nn.Module):
    """Attention and SwiGLU (Shazeer 2020, arXiv:2002.05202), each behind a norm and added to its input.

    conditioned: norms are adaRMS and `forward` needs the condition.
    """

    def __init__(self, width: int, heads: int, conditioned: bool = False) -> None:
        super().__init__()
        self.heads, self.conditioned = heads, conditioned
        hidden = int(8 * width / 3 / 16) * 16  # as many multiplications as an MLP four times as wide
        norm = (lambda: AdaRMSNorm(width)) if conditioned else (lambda: nn.RMSNorm(width, eps=1e-6))
        self.before_attention, self.before_mlp = norm(), norm()
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 2 * hidden, bias=False), nn.Linear(hidden, width, bias=False)

    def forward(
        self,
        x: Tensor,
        turns: tuple[Tensor, Tensor],
        mask: Tensor,
        context: tuple[Tensor, Tensor] | None = None,
        condition: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """x (B, T, d), its `turns`, mask (B, 1, T, C + T), context: C keys and values to attend to besides.

        Returns the new x and this layer's own keys and values.
        """
        h, gate = self._norm(self.before_attention, x, condition)
        q, k, v = self.qkv(h).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (B, heads, T, d / heads) each
        q, k = rotate(q, turns), rotate(k, turns)
        keys, values = (
            (k, v) if context is None else (torch.cat([c, t], 2) for c, t in zip(context, (k, v), strict=True))
        )
        h = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask).transpose(1, 2).flatten(2)
        x = self._add(x, gate, self.out(h))
        h, gate = self._norm(self.before_mlp, x, condition)
        up, through = self.up(h).chunk(2, -1)
        return self._add(x, gate, self.down(F.silu(up) * through)), (k, v)

    def _norm(self, norm: nn.Module, x: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return norm(x, condition) if self.conditioned else (norm(x), None)

    def _add(self, x: Tensor, gate: Tensor | None, branch: Tensor) -> Tensor:
        return x + branch if gate is None else torch.addcmul(x, gate, branch)


class Transformer(nn.Module):
    """A stack of blocks and a last norm."""

    def __init__(self, width: int, heads: int, layers: int, conditioned: bool = False) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads, conditioned) for _ in range(layers))
        self.norm = nn.RMSNorm(width, eps=1e-6)

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        mask: Tensor,
        context: Cache | None = None,
        condition: Tensor | None = None,
    ) -> tuple[Tensor, Cache]:
        """x (B, T, d) at positions (B, T), the rest as for `Block`, the context with one entry for each layer.

        Returns (B, T, d) and the new cache.
        """
        cache: Cache = []
        where = turns(positions, x.shape[-1] // self.blocks[0].heads)
        mask = torch.zeros_like(mask, dtype=x.dtype).masked_fill_(~mask, -torch.inf)  # once, not in every layer
        for i, block in enumerate(self.blocks):
            x, own = block(x, where, mask, None if context is None else context[i], condition)
            cache.append(own)
        return self.norm(x), cache
