"""Perception at every act: where in each picture is the object, and where the place, that the words name?

Design choices
--------------
* A **heat map** per role (object, place) over the cells of a feature map, made by a 1×1 convolution of language-conditioned
  features. Its softmax is a distribution over cells, its mean a point with sub-pixel precision: the soft arg-max of
  Levine et al. 2016 (arXiv:1504.00702), fed with labels.
* A role may be out of sight, so the features under the heat map also say whether it is **visible**.
* Losses are **masked**: what is not labelled, or not named by the words, is not learnt from.
* A **glimpse** is the patch of raw pixels around a point: the expert sees at full resolution what the words point at
  (how a bar lies, where its ends are), with weights of its own, whatever the trunk found worth keeping. With `regions`
  the trunk has one too, to say what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROLES = ("object", "place")


@dataclass
class Grounding:
    """Of one camera. Rows B, roles R, feature map h × w."""

    logits: Tensor  # (B, R, h, w): of the heat map
    points: Tensor  # (B, R, 2): u, v in 0 … 1
    visible: Tensor  # (B, R): logits
    under: Tensor  # (B, R, C): the features under the heat map

    @property
    def heat(self) -> Tensor:
        """(B, R, h, w) probabilities that sum to 1 over the cells."""
        return self.logits.flatten(2).softmax(-1).view_as(self.logits)


class GroundingHead(nn.Module):
    """Features (B, C, h, w) → Grounding. One head serves all cameras."""

    def __init__(self, channels: int, window: int) -> None:
        """window: cells to each side of the hottest one that a point is the mean of; 0 for all of them."""
        super().__init__()
        self.window = window
        self.heat = nn.Conv2d(channels, len(ROLES), 1)
        self.visible = nn.Linear(channels, len(ROLES))

    def forward(self, features: Tensor) -> Grounding:
        logits = self.heat(features)
        heat = logits.flatten(2).softmax(-1)  # (B, R, cells)
        cells = cell_centres(*features.shape[2:], device=features.device)
        points = local_mean(heat, cells, features.shape[2:], self.window) if self.window else heat @ cells
        under = torch.einsum("brn,bcn->brc", heat, features.flatten(2))  # features where each role is
        return Grounding(logits, points, torch.diagonal(self.visible(under), dim1=1, dim2=2), under)


def local_mean(heat: Tensor, cells: Tensor, size: Sequence[int], window: int) -> Tensor:
    """Heat (B, R, cells) → (B, R, 2): the mean over the cells within `window` of the hottest one.

    The mean over all cells would be pulled off the thing by a faint fog far away.
    """
    peak = cells[heat.argmax(-1)]  # (B, R, 2)
    off = (cells - peak[:, :, None]).abs() * cells.new_tensor([size[1], size[0]])
    near = heat * (off.amax(-1) < window + 0.5)
    return (near @ cells) / near.sum(-1, keepdim=True)


def cell_centres(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """(height · width, 2): u, v of every cell."""
    v, u = torch.meshgrid(
        (torch.arange(height, device=device) + 0.5) / height,
        (torch.arange(width, device=device) + 0.5) / width,
        indexing="ij",
    )
    return torch.stack([u.flatten(), v.flatten()], -1)


def grounding_losses(found: Grounding, points: Tensor, visible: Tensor, labelled: Tensor) -> dict[str, Tensor]:
    """Sums of three masked losses: points (B, R, 2), visible and labelled (B, R), floats 0 or 1.

    heat: cross entropy with the label spread over the four nearest cells; points: L1 distance of the mean, in widths
    and heights of the picture; visible: binary cross entropy.
    """
    height, width = found.logits.shape[2:]
    cells = cell_centres(height, width, points.device)
    size = points.new_tensor([width, height])
    near = (1 - ((cells - points[:, :, None]) * size).abs()).clamp(min=0).prod(-1)  # bilinear, (B, R, cells)
    target = near / near.sum(-1, keepdim=True).clamp(min=1e-6)
    there = visible * labelled
    heat = -(target * found.logits.flatten(2).log_softmax(-1)).sum(-1)
    off = (found.points - points).abs().sum(-1)
    seen = F.binary_cross_entropy_with_logits(found.visible, visible, reduction="none")
    return {
        "heat": (heat * there).sum(),
        "points": (off * there).sum(),
        "visible": (seen * labelled).sum(),
    }


class Glimpse(nn.Module):
    """A patch of raw pixels → a token: how the thing lies that the point is on."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 24, 4, stride=2, padding=1), nn.SiLU(), nn.Conv2d(24, 32, 3, stride=2, padding=1), nn.SiLU(),
            nn.Flatten(), nn.Linear(32 * (size // 4) ** 2, width),
        )  # fmt: skip

    def forward(self, patches: Tensor) -> Tensor:
        """(N, g, g, 3) uint8 → (N, width)."""
        return self.layers(patches.permute(0, 3, 1, 2).to(self.layers[0].weight.dtype) / 127.5 - 1)


def glimpse(images: Tensor, points: Tensor, size: int) -> Tensor:
    """Patches of `size` × `size` pixels around points: images (B, H, W, 3), points (B, R, 2) → (B, R, size, size, 3)."""
    rows, columns = glimpse_pixels(points, *images.shape[1:3], size)
    return images[torch.arange(len(images), device=images.device)[:, None, None, None], rows, columns]


def glimpse_pixels(points: Tensor, height: int, width: int, size: int) -> tuple[Tensor, Tensor]:
    """Rows (B, R, size, 1) and columns (B, R, 1, size) of the pixels around points (B, R, 2).

    The middle is the nearest pixel; beyond the rim of the picture the rim is repeated.
    """
    reach = torch.arange(size, device=points.device) - size // 2
    columns = ((points[..., 0] * width).long()[..., None] + reach).clamp(0, width - 1)
    rows = ((points[..., 1] * height).long()[..., None] + reach).clamp(0, height - 1)
    return rows[..., :, None], columns[..., None, :]
