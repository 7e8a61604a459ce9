"""True architectures at narrow widths, in plain PyTorch, for what transformers does not hold.

Networks of hand-written norms, and the published blocks of ConvNeXt and a diffusion U-Net.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from spellings import (
    SPELLINGS,
    ChannelsLayerNorm,
    Spelling,
    WrittenNorm,
    epsilon_outside_root,
    float_inside,
    joint_statistics,
    raw_moments,
    reciprocal_root,
    scale_and_shift,
)
from torch import Tensor, nn
from torch.nn.functional import gelu, relu, silu


class Spellings(nn.Module):
    """Every spelling of SPELLINGS in a residual chain over N×T×width."""

    def __init__(self, width: int, spellings: Sequence[Spelling] = SPELLINGS) -> None:
        super().__init__()
        self.norms = nn.ModuleDict({s.__name__: WrittenNorm(s, (width,)) for s in spellings})
        self.mixes = nn.ModuleList(nn.Linear(width, width) for _ in spellings)

    def forward(self, x: Tensor) -> Tensor:
        """N×T×width → N×T×width."""
        for norm, mix in zip(self.norms.values(), self.mixes, strict=True):
            x = x + torch.tanh(mix(norm(x)))
        return x


class ImageSpellings(nn.Module):
    """Hand-written norms of N×C×H×W over channels, over the plane and over everything but the batch."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.channels = WrittenNorm(raw_moments, (channels, 1, 1), (1,))
        self.channels_negative = WrittenNorm(scale_and_shift, (channels, 1, 1), (-3,))
        self.plane = WrittenNorm(reciprocal_root, (side, side), (-2, -1))
        self.image = WrittenNorm(joint_statistics, (channels, side, side), (1, 2, 3))
        self.mixes = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """N×C×side×side → N×C×side×side."""
        norms = (self.channels, self.channels_negative, self.plane, self.image)
        for norm, mix in zip(norms, self.mixes, strict=True):
            x = x + torch.tanh(mix(norm(x)))
        return x


class HalfSpellings(nn.Module):
    """Half-precision norms: PyTorch's own, one that computes in float32 inside, one that stays in half."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.own = nn.LayerNorm(width)
        self.float_inside = WrittenNorm(float_inside, (width,))
        self.all_half = WrittenNorm(reciprocal_root, (width,))
        self.mixes = nn.ModuleList(nn.Linear(width, width) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """N×T×width → N×T×width, float16."""
        for norm, mix in zip((self.own, self.float_inside, self.all_half), self.mixes, strict=True):
            x = x + torch.tanh(mix(norm(x)))
        return x


class NearMisses(nn.Module):
    """Divides by (unbiased deviation + ε), beside one true LayerNorm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        reason = "epsilon outside the square root, on the unbiased deviation"
        self.tutorial = WrittenNorm(epsilon_outside_root, (width,), near_miss=reason)
        self.mix = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """N×T×width → N×T×width."""
        return self.norm(x + torch.tanh(self.mix(self.tutorial(x))))


class ConvNeXtBlock(nn.Module):
    """Depthwise 7×7, LN on the permuted (channels-last) tensor, pointwise layers, layer scale, residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.expand = nn.Linear(channels, 4 * channels)
        self.project = nn.Linear(4 * channels, channels)
        self.layer_scale = nn.Parameter(torch.full((channels,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W → N×C×H×W."""
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.layer_scale * self.project(gelu(self.expand(y)))
        return x + y.permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    """LN channels-first in stem and downsampling, permuted in blocks, and on the pooled features."""

    def __init__(self, widths: Sequence[int], depths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, widths[0], 4, stride=4), ChannelsLayerNorm(widths[0]))
        self.downsample = nn.ModuleList(
            nn.Sequential(ChannelsLayerNorm(a), nn.Conv2d(a, b, 2, stride=2)) for a, b in itertools.pairwise(widths)
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*(ConvNeXtBlock(width) for _ in range(depth)))
            for width, depth in zip(widths, depths, strict=True)
        )
        self.norm = nn.LayerNorm(widths[-1])
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W → N×classes."""
        x = self.stages[0](self.stem(x))
        for downsample, stage in zip(self.downsample, self.stages[1:], strict=True):
            x = stage(downsample(x))
        return self.head(self.norm(x.mean((-2, -1))))


class UNetBlock(nn.Module):
    """A diffusion U-Net's block (GroupNorm–SiLU–Conv, twice), then Conv–InstanceNorm as in style transfer."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, channels)
        self.conv1 = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, 2 * channels)
        self.conv2 = nn.Conv2d(2 * channels, channels, 3, padding=1)
        self.down = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.instance_norm = nn.InstanceNorm2d(channels, affine=True)
        self.up = nn.ConvTranspose2d(channels, channels, 2, stride=2)
        self.plain_instance_norm = nn.InstanceNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W → N×C×H×W, H and W even."""
        y = self.conv1(silu(self.norm1(x)))
        x = x + self.conv2(silu(self.norm2(y)))
        z = relu(self.instance_norm(self.down(x)))
        return x + self.plain_instance_norm(self.up(z))


class Conditional(nn.Module):
    """A LayerNorm in each branch of a data-dependent condition, and one after it; can be scripted."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, width)
        self.positive_norm = nn.LayerNorm(width)
        self.negative_norm = nn.LayerNorm(width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """N×width → N×width."""
        if bool(x.sum() > 0):
            y = self.positive_norm(self.project(x))
        else:
            y = self.project(self.negative_norm(x))
        return self.norm(x + y)


class ExportedConditional(Conditional):
    """The same with torch.cond while it is exported, which becomes an If; plain Python otherwise."""

    def forward(self, x: Tensor) -> Tensor:
        """N×width → N×width."""
        if not torch.compiler.is_exporting():
            return super().forward(x)
        y = torch.cond(
            x.sum() > 0,
            lambda x: self.positive_norm(self.project(x)),
            lambda x: self.project(self.negative_norm(x)),
            (x,),
        )
        return self.norm(x + y)


class Perceptron(nn.Module):
    """Linear, LayerNorm, GELU, twice: for an export in which each LayerNorm is a call of a local function."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.first_norm = nn.LayerNorm(width)
        self.second = nn.Linear(width, width)
        self.second_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """N×width → N×width."""
        x = gelu(self.first_norm(self.first(x)))
        return gelu(self.second_norm(self.second(x)))
