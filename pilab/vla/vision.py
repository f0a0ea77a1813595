"""From pixels to features that know what was asked.

Design choices
--------------
* The **stem and first stage are timm's** ResNet parts (He et al. 2016, arXiv:1512.03385) at stride 4, where an object of
  14 pixels still covers a dozen cells. Group norm instead of batch norm: nothing depends on the rest of a batch. The short
  cut averages before its 1 × 1 convolution (ResNet-D, He et al. 2018, arXiv:1812.01187): it throws no pixel away, and a
  1 × 1 convolution with stride 2 corrupts memory in the backward pass of torch 2.15 on CPUs (seen with 8 channels).
* **Language acts on vision** through FiLM (Perez et al. 2018, arXiv:1709.07871): two residual 3 × 3 convolutions whose
  channels the words scale and shift. The heat maps are read from what comes out.
* **Where is what?** A convolution does not know where in the picture it is: "the thing on the left" is then named at
  random. So the blocks may be told each cell's coordinates (CoordConv; Liu et al. 2018, arXiv:1807.03247), and the later
  ones may reach farther (dilation), for what stands beside a thing.
* **One set of weights for all cameras**, whatever their resolution; a camera that is missing is masked later on.
* The transformer receives a few **image tokens** per camera: mean features of squares of `patch` pixels.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from timm.layers import ConvNormAct, GroupNorm
from timm.models.resnet import BasicBlock, downsample_avg
from torch import Tensor, nn


class FiLMBlock(nn.Module):
    """x + ReLU((1 + a) · GroupNorm(conv(x)) + b), with a and b linear in the condition.

    reach: cells between the taps of the convolution. coordinates: it also reads where in the picture each cell is.
    """

    def __init__(self, channels: int, condition: int, reach: int = 1, coordinates: bool = False) -> None:
        super().__init__()
        read = channels + 2 * coordinates
        self.coordinates = coordinates
        self.conv = nn.Conv2d(read, channels, 3, padding=reach, dilation=reach, bias=False)
        self.norm = nn.GroupNorm(4, channels)
        self.modulation = nn.Linear(condition, 2 * channels)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        read = torch.cat([x, coordinates(x)], 1) if self.coordinates else x
        scale, shift = self.modulation(condition)[:, :, None, None].chunk(2, 1)
        return x + F.relu(torch.addcmul(shift, self.norm(self.conv(read)), 1 + scale))


class Vision(nn.Module):
    """Pictures and a condition → language-conditioned features at stride 4, and a few tokens."""

    def __init__(
        self, channels: int, condition: int, width: int, patch: int, blocks: int, film: int, reach: int = 1,
        coordinates: bool = False,
    ) -> None:  # fmt: skip
        """channels of the features, size of the condition, width of the tokens, pixels per token side, blocks of the stage,
        language-conditioned blocks, reach of those behind the first.
        """
        super().__init__()
        self.patch = patch
        norm, thin = partial(GroupNorm, num_groups=4), channels // 3
        first = BasicBlock(thin, channels, 2, downsample_avg(thin, channels, 1, 2, norm_layer=norm), norm_layer=norm)
        more = [BasicBlock(channels, channels, norm_layer=norm) for _ in range(blocks - 1)]
        self.backbone = nn.Sequential(ConvNormAct(3, thin, 3, stride=2, norm_layer=norm), first, *more)
        self.film = nn.ModuleList(FiLMBlock(channels, condition, reach if i else 1, coordinates) for i in range(film))
        self.project = nn.Linear(channels, width)

    def forward(self, images: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """images (B, 3, H, W) in −1 … 1, condition (B, c) → features (B, C, H/4, W/4), tokens (B, n, width)."""
        x = self.backbone(images)
        for block in self.film:
            x = block(x, condition)
        pooled = F.adaptive_avg_pool2d(x, self.grid(*images.shape[2:]))
        return x, self.project(pooled.flatten(2).transpose(1, 2))

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of tokens for a picture."""
        return max(1, round(height / self.patch)), max(1, round(width / self.patch))


def coordinates(x: Tensor) -> Tensor:
    """(B, C, h, w) → (B, 2, h, w): u and v of each cell's centre, −1 … 1 from the first to the last."""
    v, u = (torch.linspace(-1, 1, n, device=x.device, dtype=x.dtype) for n in x.shape[2:])
    return torch.stack(torch.meshgrid(u, v, indexing="xy")).expand(len(x), -1, -1, -1)
