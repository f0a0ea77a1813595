"""Action heads: from what the trunk made of the scene to a chunk of actions.

`FlowHead` is conditional flow matching (Lipman et al. 2023, arXiv:2210.02747) as π0 uses it (arXiv:2410.24164): the
straight path x_τ = τ a + (1 − τ) ε from noise (τ = 0) to the actions a (τ = 1), whose velocity is u = a − ε. More weight on
noisy times: τ = s (1 − t), t ~ Beta(1.5, 1), s = 0.999. Actions are sampled by Euler steps from noise.

`RegressionHead` is the baseline of ACT (Zhao et al. 2023, arXiv:2304.13705) without its latent: learned queries, an L1
loss, one pass. It shares everything else with the flow: the same expert, context and data.

Both drive the same network, `Expert`: a transformer with weights of its own that reads the trunk's keys and values layer by
layer. Its tokens are the state and the points, one for each role, and the chunk, some steps to a token.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pilab.vla.grounding import ROLES, Glimpse
from pilab.vla.transformer import Cache, Transformer

Drawn = tuple[Tensor, Tensor]  # noise (B, samples, H, D) and time (B, samples) of the flow


@dataclass
class Context:
    """What an action is conditioned on. B rows, C cameras, R roles."""

    cache: Cache  # the trunk's keys and values
    present: Tensor  # (B, T) bool: which of them count
    state: Tensor  # (B, S) normalised proprioception
    points: Tensor  # (B, C, R, 3): u, v in 0 … 1, visible 0 or 1
    displaced: Tensor  # (B, C, R, F): from each tool tip to what they point at; see views.displacements
    words: Tensor  # (B, L, width) as the text encoder reads them
    spoken: Tensor  # (B, L) bool: which of them are words
    glimpses: Tensor | None  # (B, C, R, g, g, 3) uint8 around the points

    def repeat(self, times: int) -> Context:
        """Every row `times` times."""
        again = lambda x: x.repeat_interleave(times, 0)  # noqa: E731
        cache = [(again(k), again(v)) for k, v in self.cache]
        glimpses = None if self.glimpses is None else again(self.glimpses)
        rows = (self.present, self.state, self.points, self.displaced, self.words, self.spoken)
        return Context(cache, *map(again, rows), glimpses)


class Expert(nn.Module):
    """Tokens (state and points · one per role · the chunk) → outputs (B, H, D) of the chunk.

    The first token also joins the flow's time as the condition of every norm: the shortest way for a few numbers to all
    layers (as in DiT, Peebles & Xie 2023, arXiv:2212.09748).
    """

    def __init__(
        self, width: int, heads: int, layers: int, state: int, action: int, horizon: int, steps_per_token: int,
        cameras: int, displaced: int, glimpse: int, hear: int,
    ) -> None:  # fmt: skip
        super().__init__()
        slots, point = cameras * len(ROLES), 3 + displaced
        self.horizon, self.action, self.tokens = horizon, action, horizon // steps_per_token
        self.read_state = nn.Sequential(
            nn.Linear(state + point * slots, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )
        self.read_point = nn.Linear(point, width)
        self.slot = nn.Parameter(0.02 * torch.randn(slots, width))
        self.read_glimpse = Glimpse(glimpse, width) if glimpse else None
        self.listen = nn.Linear(width, hear, bias=False) if hear else None
        self.hear = nn.Sequential(nn.Linear(hear * width, width), nn.SiLU(), nn.Linear(width, width)) if hear else None
        self.read_chunk = nn.Linear(steps_per_token * action, width)
        self.place_in_chunk = nn.Parameter(0.02 * torch.randn(self.tokens, width))
        self.read_time = nn.Sequential(nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.transformer = Transformer(width, heads, layers, conditioned=True)
        self.write_chunk = nn.Linear(width, steps_per_token * action)
        nn.init.zeros_(self.write_chunk.weight)
        nn.init.zeros_(self.write_chunk.bias)

    def look(self, context: Context) -> Tensor:
        """The tokens that do not depend on the chunk, (B, 1 + roles, width): what all cameras show of a role is added up."""
        where, visible = context.points[..., :2].flatten(1, 2), context.points[..., 2:].flatten(1, 2)
        displaced = context.displaced.flatten(1, 2) * visible
        points = torch.cat([(2 * where - 1) * visible, 2 * visible - 1, displaced], -1)  # (B, slots, 3 + F)
        first = self.read_state(torch.cat([context.state, points.flatten(1)], -1))
        if self.listen is not None:
            weight = self.listen(context.words).masked_fill(~context.spoken[..., None], -torch.inf).softmax(1)
            first = first + self.hear(torch.einsum("blq,bld->bqd", weight, context.words).flatten(1))
        tokens = self.read_point(points) + self.slot
        if context.glimpses is not None:
            shown = visible[..., 0] > 0  # the others would cost as much and count for nothing
            seen = self.read_glimpse(context.glimpses.flatten(1, 2)[shown])
            tokens = tokens.index_put(
                (shown,), seen.to(tokens.dtype), accumulate=True
            )  # autocast may halve one of them
        tokens = tokens.unflatten(1, context.points.shape[1:3]).sum(1)
        return torch.cat([first[:, None], tokens], 1)

    def forward(self, context: Context, look: Tensor, chunk: Tensor, time: Tensor) -> Tensor:
        """context and its `look`, chunk (B, H, D), time (B,) in 0 … 1 → (B, H, D)."""
        tokens = self.read_chunk(chunk.reshape(len(chunk), self.tokens, -1)) + self.place_in_chunk
        x = torch.cat([look, tokens], 1)
        here = torch.arange(x.shape[1], device=x.device).expand(len(x), -1)
        seen = torch.cat([context.present, context.present.new_ones(x.shape[:2])], 1)[:, None, None]
        condition = self.read_time(time_embedding(time)) + look[:, 0]
        x, _ = self.transformer(x, here, seen, context.cache, condition)
        return self.write_chunk(x[:, -self.tokens :]).reshape(chunk.shape)


def time_embedding(time: Tensor, size: int = 64, shortest: float = 4e-3, longest: float = 4.0) -> Tensor:
    """(B,) → (B, size): sines and cosines with periods from `shortest` to `longest`, as in π0."""
    period = shortest * (longest / shortest) ** torch.linspace(0, 1, size // 2, device=time.device)
    angle = 2 * math.pi * time[:, None] / period
    return torch.cat([angle.sin(), angle.cos()], -1)


class FlowHead(nn.Module):
    """Flow matching.

    clean: the network predicts the clean chunk instead of the velocity, from which the velocity follows:
    v = (x̂ − x_τ) / (1 − τ). robust: c of the pseudo-Huber loss √(e² + c²) − c (Song & Dhariwal 2023, arXiv:2310.14189),
    with which the moments at which nobody could tell what comes next do not drown the many that need precision; 0 for
    the mean square of π0. samples: noisy chunks per observation in a training step. steps: of Euler's method.
    """

    def __init__(self, expert: Expert, clean: bool, robust: float, samples: int, steps: int) -> None:
        super().__init__()
        self.expert, self.clean, self.robust, self.samples, self.steps = expert, clean, robust, samples, steps

    def draw(self, actions: Tensor) -> Drawn:
        """Noise and time for a batch of actions (B, H, D)."""
        noise = torch.randn(len(actions), self.samples, *actions.shape[1:], device=actions.device)
        # t ~ Beta(1.5, 1) by its inverse distribution function, t = U^(1/1.5)
        return noise, 0.999 * (1 - torch.rand(noise.shape[:2], device=actions.device) ** (1 / 1.5))

    def loss(
        self, context: Context, actions: Tensor, mask: Tensor, count: Tensor, drawn: Drawn | None = None
    ) -> Tensor:
        """Masked mean error over `count` numbers: actions and mask (B, H, D). drawn: from `draw`."""
        noise, time = (x.flatten(0, 1) for x in (drawn or self.draw(actions)))
        context = context.repeat(self.samples)
        actions, mask = (x.repeat_interleave(self.samples, 0) for x in (actions, mask))
        τ = time[:, None, None]
        noisy = (τ * actions + (1 - τ) * noise) * mask
        out = self.expert(context, self.expert.look(context), noisy, time)
        # Both errors are those of one quantity: the velocity's is the clean chunk's divided by 1 − τ.
        target = actions if self.clean else actions - noise
        error = (
            ((out - target).square() + self.robust**2).sqrt() - self.robust if self.robust else (out - target).square()
        )
        return (error * mask).sum() / (count * self.samples)

    def sample(self, context: Context, noise: Tensor, mask: Tensor) -> Tensor:
        """Chunk (B, H, D) from noise of the same shape, by Euler steps; 0 where the mask (B, H, D) is."""
        look, x = self.expert.look(context), noise * mask
        for i in range(self.steps):
            now = i / self.steps
            out = self.expert(context, look, x, x.new_full((len(x),), now))
            velocity = (out - x) / (1 - now) if self.clean else out
            x = x + mask * velocity / self.steps
        return x


class RegressionHead(nn.Module):
    """The mean chunk at once: L1 loss, no noise. `sample` ignores its noise."""

    def __init__(self, expert: Expert) -> None:
        super().__init__()
        self.expert = expert

    def draw(self, actions: Tensor) -> Drawn:
        """Nothing is left to chance."""
        return actions.new_zeros(len(actions), 1), actions.new_zeros(len(actions), 1)

    def loss(
        self, context: Context, actions: Tensor, mask: Tensor, count: Tensor, drawn: Drawn | None = None
    ) -> Tensor:
        """Masked mean absolute error over `count` numbers."""
        error = F.l1_loss(self.sample(context, actions, mask), actions, reduction="none")
        return (error * mask).sum() / count

    def sample(self, context: Context, noise: Tensor, mask: Tensor) -> Tensor:
        empty = torch.zeros_like(noise)
        return mask * self.expert(context, self.expert.look(context), empty, empty.new_ones(len(empty)))
