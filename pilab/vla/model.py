"""The vision-language-action model: pixels, words and joints in; points, thoughts and actions out.

        ℓ ──► text encoder ──► words, summary, condition
                                  │ FiLM
    pictures ──► vision ──► features ──► heat maps ──► points ┐
                                  │                            │ (detached)
                       image tokens, state, summary            ▼
                                  └──► trunk ──► keys, values ──► expert ──► chunk of actions
                                         └──► thought, word by word

Design choices
--------------
* **One text ℓ conditions everything at an act**: the thought's subtask if there is one, else the instruction. It drives
  FiLM, heat maps, trunk and expert, as π(a | o, ℓ̂) in π0.5 (arXiv:2504.16054). A thought is written in a pass of its own,
  from the pictures and the instruction.
* **Knowledge insulation** (Driess et al. 2025, arXiv:2505.23705): grounding and language losses train the trunk; the
  expert attends to detached keys, values and points, so that noisy action gradients cannot make it forget the words.
  Where a dataset has no label that could train the trunk, `insulate=False` lets the flow's gradient in.
* **Everything is masked**: cameras that are missing, words that are padding, actions a body does not have, points nobody
  labelled. One model therefore drives bodies of different sizes, and one batch may hold text, pictures and robot data.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pilab.contracts import Embodiment, PolicyError, UnknownNameError, load
from pilab.vla.actions import find_space
from pilab.vla.flow import Context, Drawn, Expert, FlowHead, RegressionHead
from pilab.vla.grounding import ROLES, Glimpse, Grounding, GroundingHead, glimpse, grounding_losses
from pilab.vla.senses import OWN, slots
from pilab.vla.transformer import Cache, Transformer, block_mask
from pilab.vla.views import FEATURES, displacements
from pilab.vla.vision import Vision


@dataclass(frozen=True)
class VLAConfig:
    """The size of a VLA and what it is connected to. `VLAConfig.nano(body)` fits two CPU cores."""

    cameras: tuple[tuple[str, int, int], ...]  # name, height, width, in the order of the body
    body: str = "duo"  # a name for `find_body`
    action_space: str = "relative_pose"  # see actions.SPACES
    head: str = "flow"  # flow, or regression: the baseline
    vocabulary: int = 4096  # pieces of the tokenizer
    text_length: int = 40  # pieces of ℓ, at most
    answer_length: int = 72  # pieces of a thought, at most: a chain takes some thirty, a sign and a memory as many
    felt: tuple[str, ...] = OWN  # what the state holds, in order: see senses.feel
    # Camera or sense, and the share of the rows in which it is missing: it learns to do without.
    missing: tuple[tuple[str, float], ...] = ()
    state_slots: int = 32  # what is felt, padded
    action_slots: int = 16  # numbers per step, padded
    hands: int = 2  # tool tips from which points are seen; 0 leaves them as pixels
    horizon: int = 16  # steps of a chunk: 1.6 s at 10 Hz
    steps_per_token: int = 4  # of the chunk: a shorter sequence, the CPU's price
    summary: int = 4  # tokens that sum up ℓ for the trunk
    hear: int = 0  # the expert's own readings of ℓ; 0 leaves it with what the trunk's summary keeps, hardly the verb
    width: int = 128
    heads: int = 4
    layers: int = 3  # of trunk and expert alike: layer i of the expert reads layer i of the trunk
    channels: int = 48  # of the features
    depth: int = 1  # blocks of the vision backbone
    film: int = 2  # language-conditioned blocks behind it
    reach: int = 1  # cells between the taps of those behind the first: more see more of what stands around
    coordinates: bool = False  # they know where in the picture they are: what is left, and what is right
    patch: int = 32  # pixels to a side of what one image token sums up
    window: int = 2  # cells around the hottest one that a point is the mean of; 0 for the whole heat map
    image_tokens: bool = True  # False leaves the points as the only way from pixels to actions
    regions: bool = False  # the trunk also reads what each point is on: who looks at a thing can name it
    glimpse: int = 20  # pixels to a side of the patch around a point; 0 for none
    clean: bool = True  # predict the clean chunk rather than the velocity
    robust: float = 0.05  # c of the pseudo-Huber loss, in standard deviations; 0 for the mean square
    flow_samples: int = 1  # noisy chunks per observation in training
    flow_steps: int = 5  # Euler steps of sampling

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be built, with the reason."""
        for f in dataclasses.fields(self):
            value, least = getattr(self, f.name), 0 if f.name in ("glimpse", "film", "hands", "hear", "window") else 1
            if f.type == "int" and (type(value) is not int or value < least):
                raise PolicyError(f"{f.name} is {value!r}; expected a whole number of at least {least}")
        for name, of in (("steps_per_token", "horizon"), ("heads", "width")):
            if getattr(self, of) % getattr(self, name):
                raise PolicyError(f"{of} {getattr(self, of)} is not a multiple of {name} {getattr(self, name)}")
        if self.channels % 12:
            raise PolicyError(
                f"channels {self.channels} is not a multiple of 12: a third of them is normalised in four groups"
            )
        if self.glimpse % 4:
            raise PolicyError(f"glimpse {self.glimpse} is not a multiple of 4: it is halved twice")
        known = (*(camera for camera, _, _ in self.cameras), *self.felt)
        for name, share in self.missing:
            if name not in known:
                raise UnknownNameError("camera or sense that may be missing", name, known)
            least = 1 if name in OWN else 0  # a batch knows where the tips are, or does not
            if not max(least, 1e-9) <= share <= 1:
                expected = "1, or not to be named" if least else "above 0, and at most 1"
                raise PolicyError(f"the share of rows without {name!r} is {share!r}; expected {expected}")
        find_head(self.head)
        find_space(self.action_space)

    @classmethod
    def nano(cls, body: Embodiment, /, **changes: object) -> Self:
        """For a CPU: some 2.5 M parameters."""
        cameras = tuple((c.name, c.height, c.width) for c in body.cameras)
        # Room for two arms, so that small bodies share a checkpoint's shape; as much as it takes for larger ones.
        state, action = max(32, slots(body, changes.get("felt", OWN))), max(16, body.size)
        sizes = {"state_slots": state, "action_slots": action, "hands": len(body.arms)}
        known = {"cameras": cameras, "body": body.name, **sizes}
        return cls(**{**known, **changes})

    @classmethod
    def small(cls, body: Embodiment, /, **changes: object) -> Self:
        """For a GPU: some 30 M parameters."""
        size = {"width": 384, "heads": 6, "layers": 6, "channels": 96, "depth": 2, "steps_per_token": 1, "patch": 16}
        return cls.nano(body, **{**size, **changes})

    def to_json(self) -> dict[str, object]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, object]) -> Self:
        """Raises `PolicyError` for settings this version does not know."""
        try:
            cameras = tuple((str(n), int(h), int(w)) for n, h, w in values["cameras"])
            missing = tuple((str(name), float(share)) for name, share in values.get("missing", ()))
            return cls(**{**values, "cameras": cameras, "felt": tuple(values.get("felt", OWN)), "missing": missing})
        except PolicyError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise PolicyError(
                f"not the configuration of a VLA of this version: {error}; use the pilab it was made with"
            ) from error

    def fake_batch(self, rows: int = 3, seed: int = 0) -> Batch:
        """A batch of the right shapes with every kind of label, for tests and for measuring speed."""
        rng = torch.Generator().manual_seed(seed)
        number = lambda *shape: torch.rand(shape, generator=rng)  # noqa: E731
        words = lambda length: torch.randint(4, self.vocabulary, (rows, length), generator=rng)  # noqa: E731
        cameras, roles, g = len(self.cameras), len(ROLES), self.glimpse
        images = {n: (255 * number(rows, h, w, 3)).to(torch.uint8) for n, h, w in self.cameras}
        points = torch.cat([number(rows, cameras, roles, 2), (number(rows, cameras, roles, 1) > 0.3).float()], -1)
        return Batch(
            text=words(7), text_mask=torch.ones(rows, 7, dtype=torch.bool), state=number(rows, self.state_slots),
            images=images, camera_mask=torch.ones(rows, cameras, dtype=torch.bool), points=points,
            labelled=torch.ones(rows, cameras, roles), answer=words(5), answer_mask=torch.ones(rows, 5, dtype=torch.bool),
            actions=number(rows, self.horizon, self.action_slots),
            action_mask=torch.ones(rows, self.horizon, self.action_slots),
            glimpses=(255 * number(rows, cameras, roles, g, g, 3)).to(torch.uint8) if g else None,
            viewpoints=number(rows, cameras, 4, 3) - number(rows, cameras, 1, 3), tips=number(rows, max(self.hands, 1), 3),
        )  # fmt: skip


@dataclass
class Batch:
    """What goes in: B rows, C cameras in the order of the config, R roles, H steps, D and S slots. None: there is none."""

    text: Tensor  # (B, L) pieces of ℓ
    text_mask: Tensor  # (B, L) bool
    state: Tensor | None = None  # (B, S) normalised
    viewpoints: Tensor | None = None  # (B, C, 4, 3) m: see views.viewpoints; None where nobody knows
    tips: Tensor | None = None  # (B, hands, 3) m
    images: dict[str, Tensor] | None = None  # camera → (B, H, W, 3), uint8 or float 0 … 255
    camera_mask: Tensor | None = None  # (B, C) bool: pictures that are there; None for all
    points: Tensor | None = (
        None  # (B, C, R, 3): u, v, visible; labels where there are images, else what the expert is told
    )
    labelled: Tensor | None = None  # (B, C, R) 0 or 1
    glimpses: Tensor | None = None  # (B, C, R, g, g, 3) uint8, where there are no images to take them from
    answer: Tensor | None = None  # (B, M) pieces: the thought, from its first piece to the end piece
    answer_mask: Tensor | None = None  # (B, M) bool
    learnt: Tensor | None = None  # (B, M) bool: pieces of it that are learnt; what was put into its mouth is only read
    actions: Tensor | None = None  # (B, H, D) normalised
    action_mask: Tensor | None = None  # (B, H, D) 0 or 1

    def to(self, device: torch.device | str) -> Batch:
        """Everything on another device."""
        move = lambda x: {k: v.to(device) for k, v in x.items()} if isinstance(x, dict) else x.to(device)  # noqa: E731
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return Batch(**{name: None if x is None else move(x) for name, x in values.items()})

    def part(self, index: int, parts: int) -> Batch:
        """Rows `index`, `index` + `parts`, …: what one process of several sees, or one turn."""
        return self.rows(slice(index, None, parts))

    def rows(self, which: slice | Tensor) -> Batch:
        """Some of the rows."""
        take = lambda x: {k: v[which] for k, v in x.items()} if isinstance(x, dict) else x[which]  # noqa: E731
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return Batch(**{name: None if x is None else take(x) for name, x in values.items()})

    def counts(self, parts: int = 1) -> dict[str, Tensor]:
        """Labels of each kind, at least one, over `parts`: visible, heat and points of each camera (C,), language, action ().

        The losses of parts that are divided by these have the loss of the whole as their mean, however unequal the labels
        are that fell to them.
        """
        found = {}
        if self.labelled is not None and self.points is not None:
            found["visible"] = self.known.sum((0, 2))
            found["heat"] = found["points"] = (self.known * self.points[..., 2]).sum((0, 2))
        if self.answer_mask is not None:
            found["language"] = self.spoken.sum()
        if self.action_mask is not None:
            found["action"] = self.action_mask.sum()
        return {name: count.clamp(min=1) / parts for name, count in found.items()}

    @property
    def spoken(self) -> Tensor:
        """(B, M − 1) bool: pieces of the answer that are learnt. The first one is given."""
        return (self.answer_mask if self.learnt is None else self.learnt & self.answer_mask)[:, 1:]

    @property
    def known(self) -> Tensor:
        """(B, C, R) 0 or 1: points with a label, in pictures that are there."""
        return self.labelled if self.camera_mask is None else self.labelled * self.camera_mask[..., None]


@dataclass
class Perception:
    """What the trunk made of a batch."""

    cache: Cache  # keys and values of the prefix, and of the words where they were asked for
    present: Tensor  # (B, T) bool
    grounding: dict[str, Grounding] = field(default_factory=dict)  # by camera; empty without images
    answer: Tensor | None = None  # (B, M, width): outputs at the pieces of the answer
    words: Tensor | None = None  # (B, L, width): the words of ℓ as the text encoder reads them


class TextEncoder(nn.Module):
    """Pieces → a vector each, a summary of a few vectors, and one condition: learned queries over a bidirectional layer.

    The summary is all that the expert hears of ℓ: four tokens instead of twenty make an act cheap.
    """

    def __init__(self, vocabulary: int, width: int, heads: int, queries: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.embed.weight, std=0.05)
        self.mix = Transformer(width, heads, 1)
        self.queries = nn.Linear(width, queries, bias=False)
        self.condition = nn.Sequential(nn.Linear(queries * width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, text: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """text and mask (B, L) → words (B, L, width), summary (B, queries, width), condition (B, width)."""
        if not self.training:
            return self._read(text, mask)
        # Of hundreds of rows many say the same: each text is read once. (Rounding then depends on the rest of the batch.)
        unique, rows = torch.unique(text.masked_fill(~mask, -1), dim=0, return_inverse=True)
        return tuple(part[rows] for part in self._read(unique.clamp(min=0), unique >= 0))

    def _read(self, text: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        positions = torch.arange(text.shape[1], device=text.device).expand_as(text)
        words, _ = self.mix(self.embed(text), positions, mask[:, None, None])
        weight = self.queries(words).masked_fill(~mask[..., None], -torch.inf).softmax(1)  # (B, L, queries)
        summary = torch.einsum("blq,bld->bqd", weight, words)
        return words, summary, self.condition(summary.flatten(1))


class VLA(nn.Module):
    """See the module's docstring. `loss`, `act` and `think` are the three things it does."""

    def __init__(self, config: VLAConfig) -> None:
        super().__init__()
        c = self.config = config
        self.text = TextEncoder(c.vocabulary, c.width, c.heads, c.summary)
        self.vision = Vision(c.channels, c.width, c.width, c.patch, c.depth, c.film, c.reach, c.coordinates)
        self.grounding = GroundingHead(c.channels, c.window)
        counts = [rows * columns for rows, columns in (self.vision.grid(h, w) for _, h, w in c.cameras)]
        self.place = nn.ParameterList(nn.Parameter(0.02 * torch.randn(n, c.width)) for n in counts)
        self.state = nn.Sequential(nn.Linear(c.state_slots, c.width), nn.SiLU(), nn.Linear(c.width, c.width))
        if c.regions:
            self.region = nn.Linear(c.channels, c.width)
            self.fovea = Glimpse(c.glimpse, c.width) if c.glimpse else None
            self.region_of = nn.Parameter(0.02 * torch.randn(len(c.cameras), len(ROLES), c.width))
        self.trunk = Transformer(c.width, c.heads, c.layers)
        looked_at = len(c.cameras) * len(ROLES) if c.regions else 0
        # Position of the first word: behind image tokens, state, summary, and what is looked at.
        self.start = sum(counts) + 1 + c.summary + looked_at
        expert = Expert(
            c.width, c.heads, c.layers, c.state_slots, c.action_slots, c.horizon, c.steps_per_token, len(c.cameras),
            FEATURES * c.hands, c.glimpse, c.hear,
        )  # fmt: skip
        self.head = find_head(c.head)(expert, c)

    # ------------------------------------------------------------------------------------------------------- perception
    def perceive(self, batch: Batch, words: bool = False) -> Perception:
        """Run text encoder, vision and trunk.

        The prefix is block 0: image tokens, state, summary of ℓ; it is all an act needs. The words themselves are block 1,
        for a thought to copy from, present when there is an answer or `words` asks for them. The answer follows causally.
        """
        read, summary, condition = self.text(batch.text, batch.text_mask)
        rows, device, c = len(read), read.device, self.config
        everywhere = torch.ones(rows, 1, dtype=torch.bool, device=device)
        parts: list[tuple[Tensor, Tensor, int, int]] = []  # tokens, which are present, first position, block
        grounding, first, looks = {}, 0, self._look(batch, condition)
        for i, (name, _, _) in enumerate(c.cameras):
            if name in looks:
                grounding[name], seen = looks[name]
                there = everywhere if batch.camera_mask is None else batch.camera_mask[:, i, None]
                if c.image_tokens:
                    parts.append((seen + self.place[i], there, first, 0))
            first += len(self.place[i])
        if batch.answer is None and batch.state is None and not words:
            return Perception([], everywhere[:, :0], grounding, words=read)  # nobody asks the trunk
        if batch.state is not None:
            parts.append((self.state(batch.state)[:, None], everywhere, first, 0))
        parts.append((summary, everywhere, first + 1, 0))
        if c.regions:
            parts += self._looked_at(batch, grounding, everywhere, first + 1 + c.summary)
        prefix = sum(tokens.shape[1] for tokens, *_ in parts)
        if words or batch.answer is not None:
            parts.append((read, batch.text_mask, self.start, 1))
        if batch.answer is not None:  # the last piece is only ever predicted, never read
            parts.append(
                (self.text.embed(batch.answer[:, :-1]), batch.answer_mask[:, :-1], self.start + c.text_length, 2)
            )
        x = torch.cat([tokens for tokens, *_ in parts], 1)
        present = torch.cat([there.expand(tokens.shape[:2]) for tokens, there, *_ in parts], 1)
        where = torch.cat([self._count(position, tokens) for tokens, _, position, _ in parts], 1)
        block = torch.cat(
            [
                self._count(2, tokens) if b == 2 else torch.full_like(self._count(0, tokens), b)
                for tokens, _, _, b in parts
            ],
            1,
        )
        out, cache = self.trunk(x, where, block_mask(block, block, present))
        answer = out[:, -batch.answer.shape[1] + 1 :] if batch.answer is not None else None
        kept = x.shape[1] if words else prefix
        cache = [(k[:, :, :kept], v[:, :, :kept]) for k, v in cache]
        return Perception(cache, present[:, :kept], grounding, answer, read)

    def _look(self, batch: Batch, condition: Tensor) -> dict[str, tuple[Grounding, Tensor]]:
        """Camera → grounding and image tokens, where there is a picture; those of one size go through the network together."""
        sizes: dict[tuple[int, int], list[str]] = {}
        for name, height, width in self.config.cameras:
            if batch.images is not None and name in batch.images:
                sizes.setdefault((height, width), []).append(name)
        looks = {}
        for names in sizes.values():
            pictures = torch.cat([batch.images[name] for name in names])
            features, tokens = self.vision(pixels(pictures), condition.repeat(len(names), 1))
            g = self.grounding(features)
            each = zip(*(x.chunk(len(names)) for x in (g.logits, g.points, g.visible, g.under, tokens)), strict=True)
            looks |= {name: (Grounding(*found), own) for name, (*found, own) in zip(names, each, strict=True)}
        return looks

    def _looked_at(
        self, batch: Batch, grounding: dict[str, Grounding], everywhere: Tensor, first: int
    ) -> list[tuple[Tensor, Tensor, int, int]]:
        """A token for each role and camera with a picture: the features under the heat map and the glimpse at its point, as
        far as the role is in sight.

        Who learns to speak glimpses where the label is: what a thing is called can be learnt before it can be found. Who
        learns to act glimpses where it found something, as at work: the expert reads these tokens too.
        """
        parts = []
        for i, (name, _, _) in enumerate(self.config.cameras):
            if name in grounding:
                found = grounding[name]
                tokens = self.region(found.under)
                if self.fovea is not None:
                    points = found.points.detach()
                    if self.training and batch.labelled is not None and batch.actions is None:
                        told = batch.labelled[:, i] * batch.points[:, i, :, 2] > 0
                        points = torch.where(told[..., None], batch.points[:, i, :, :2], points)
                    patches = glimpse(batch.images[name], points, self.config.glimpse)
                    tokens = tokens + self.fovea(patches.flatten(0, 1)).unflatten(0, tokens.shape[:2])
                tokens = tokens * found.visible.sigmoid()[..., None] + self.region_of[i]
                there = everywhere if batch.camera_mask is None else batch.camera_mask[:, i, None]
                parts.append((tokens, there, first + i * len(ROLES), 0))
        return parts

    def _count(self, first: int, like: Tensor) -> Tensor:
        """(B, n): first, first + 1, …"""
        return torch.arange(first, first + like.shape[1], device=like.device).expand(like.shape[:2])

    def context(self, batch: Batch, seen: Perception, insulate: bool = True) -> Context:
        """What the expert is conditioned on: points from the heat maps where there are pictures, else those of the batch."""
        points, glimpses = batch.points, batch.glimpses
        if seen.grounding:
            columns, patches = [], []
            for i, (name, _, _) in enumerate(self.config.cameras):
                if name not in seen.grounding:
                    columns.append(batch.text.new_zeros(len(batch.text), len(ROLES), 3, dtype=torch.float32))
                else:
                    found = seen.grounding[name]
                    visible = (found.visible > 0).float()
                    if batch.camera_mask is not None:
                        visible = visible * batch.camera_mask[:, i, None]
                    columns.append(torch.cat([found.points, visible[..., None]], -1))
                if self.config.glimpse:
                    patches.append(self._glimpse(batch, name, columns[-1]))
            points = torch.stack(columns, 1)
            glimpses = torch.stack(patches, 1) if self.config.glimpse else None
        if points is None or batch.state is None:
            raise PolicyError("actions need a state and points, or pictures to find them in; this batch has neither")
        cache, words = seen.cache, seen.words
        if insulate:
            points, words = points.detach(), words.detach()
            cache = [(k.detach(), v.detach()) for k, v in cache]
        glimpses = glimpses if self.config.glimpse else None
        return Context(
            cache, seen.present, batch.state, points, self._displaced(batch, points), words, batch.text_mask, glimpses
        )

    def _displaced(self, batch: Batch, points: Tensor) -> Tensor:
        """How far each tip is from what the points point at, (B, C, R, 4 · hands); zeros where nobody knows."""
        hands = self.config.hands
        if not hands or batch.viewpoints is None or batch.tips is None:
            return points.new_zeros(*points.shape[:3], FEATURES * hands)
        return displacements(points[..., :2], batch.viewpoints, batch.tips)

    def _glimpse(self, batch: Batch, name: str, points: Tensor) -> Tensor:
        size = self.config.glimpse
        if name not in batch.images:
            return points.new_zeros(*points.shape[:2], size, size, 3)
        return glimpse(batch.images[name], points[..., :2].detach(), size)

    # ---------------------------------------------------------------------------------------------------------- learning
    def loss(
        self,
        batch: Batch,
        insulate: bool = True,
        drawn: Drawn | None = None,
        counts: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Named, masked mean losses: action, heat, points, visible, language; those the batch has labels for.

        drawn: what the head's loss draws at random, from `head.draw`; drawn anew if it is not given. counts: of the batch
        that this is a part of, from `Batch.counts`.
        """
        counts = batch.counts() if counts is None else counts
        # Without a label of its own the insulated trunk learns nothing from a batch: no need to remember how it saw.
        learns = not insulate or batch.answer is not None or (batch.labelled is not None and batch.images is not None)
        with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
            seen = self.perceive(batch)
        losses = {}
        if batch.labelled is not None and seen.grounding:
            # Every camera counts alike, however often the thing is in its view.
            for i, (name, _, _) in enumerate(self.config.cameras):
                if name in seen.grounding:
                    labels = batch.points[:, i]
                    sums = grounding_losses(seen.grounding[name], labels[..., :2], labels[..., 2], batch.known[:, i])
                    for term, total in sums.items():
                        losses[term] = losses.get(term, 0.0) + total / counts[term][i] / len(seen.grounding)
        if batch.answer is not None:
            logits = seen.answer @ self.text.embed.weight.T
            each = F.cross_entropy(logits.transpose(1, 2), batch.answer[:, 1:], reduction="none")
            losses["language"] = (each * batch.spoken).sum() / counts["language"]
        if batch.actions is not None:
            context = self.context(batch, seen, insulate)
            losses["action"] = self.head.loss(context, batch.actions, batch.action_mask, counts["action"], drawn)
        return losses

    # ------------------------------------------------------------------------------------------------------------ acting
    @torch.no_grad()
    def act(self, batch: Batch, noise: Tensor) -> tuple[Tensor, Perception]:
        """Chunk (B, H, D) in normalised units from noise of that shape, and what was perceived.

        Where the batch labels points (a thought's), they override the heat maps'. Its action mask says which numbers of a
        step the body has; all, if there is none.
        """
        seen = self.perceive(batch)
        context = self.context(batch, seen)
        if batch.labelled is not None:
            told = batch.labelled[..., None] > 0
            context.points = torch.where(told, batch.points, context.points)
            context.displaced = self._displaced(batch, context.points)
            if self.config.glimpse:
                names = [name for name, _, _ in self.config.cameras]
                context.glimpses = torch.stack(
                    [self._glimpse(batch, n, context.points[:, i]) for i, n in enumerate(names)], 1
                )
        mask = torch.ones_like(noise) if batch.action_mask is None else batch.action_mask
        return self.head.sample(context, noise, mask), seen

    @torch.no_grad()
    def think(
        self, batch: Batch, first: int, end: int, most: int | None = None, begun: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """The thought, greedily, piece by piece: (B, at most `most`) pieces after `first`, `end` and beyond included.

        most: answer_length, if it is not given. begun: pieces (B, n) and mask (B, n) that it begins with, whatever would have
        come to mind.
        """
        seen = self.perceive(batch, words=True)
        rows = len(batch.text)
        piece = batch.text.new_full((rows, 1), first)
        cache, present, pieces = seen.cache, seen.present, []
        done = torch.zeros(rows, dtype=torch.bool, device=piece.device)
        for i in range(self.config.answer_length if most is None else most):
            x = self.text.embed(piece)
            present = torch.cat([present, present.new_ones(rows, 1)], 1)
            where = self._count(self.start + self.config.text_length + i, x)
            out, own = self.trunk(x, where, present[:, None, None], cache)
            cache = [
                tuple(torch.cat(pair, 2) for pair in zip(old, new, strict=True))
                for old, new in zip(cache, own, strict=True)
            ]
            piece = (out @ self.text.embed.weight.T).argmax(-1)
            if begun is not None and i < begun[0].shape[1]:
                piece = torch.where(begun[1][:, i, None], begun[0][:, i, None], piece)
            pieces.append(piece.masked_fill(done[:, None], end))
            done |= piece[:, 0] == end
            if done.all():
                break
        return torch.cat(pieces, 1)


HEADS = {
    "flow": lambda expert, c: FlowHead(expert, c.clean, c.robust, c.flow_samples, c.flow_steps),
    "regression": lambda expert, c: RegressionHead(expert),
}


def find_head(name: str) -> Callable[[Expert, VLAConfig], nn.Module]:
    """What makes an action head from its expert and the config; one of your own is `MODULE:FUNCTION`.

    A head has the methods `draw`, `loss` and `sample` of `flow.FlowHead`.
    """
    if ":" in name:
        return load(name, "action head", list(HEADS))
    if name not in HEADS:
        raise UnknownNameError("action head", name, list(HEADS), "or MODULE:FUNCTION for one of your own")
    return HEADS[name]


def pixels(images: Tensor) -> Tensor:
    """(B, H, W, 3) of 0 … 255 → (B, 3, H, W) of −1 … 1."""
    return images.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1
