"""Networks of many kinds of norms at narrow widths, in plain PyTorch: for each kind the places in which it is found."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate, relu, scaled_dot_product_attention, silu
from written_norms import (
    RMS_SPELLINGS,
    FrozenBatchNorm,
    GatedRMSNorm,
    SharedLayerNorm,
    Spelling,
    Statistics,
    UnitLengthNorm,
    WrittenInstanceNorm,
    WrittenRMSNorm,
    by_length,
    by_root_of_sum,
    epsilon_outside_root,
    functional,
)


class RootMeanSquares(nn.Module):
    """Every spelling of a root-mean-square norm in a residual chain, and a near miss at its end."""

    def __init__(self, width: int, spellings: Sequence[Spelling] = RMS_SPELLINGS, near_miss: bool = True) -> None:
        super().__init__()
        self.norms = nn.ModuleDict({spelling.__name__: WrittenRMSNorm(spelling, width) for spelling in spellings})
        if near_miss:
            reason = "epsilon is added to the root mean square"
            self.norms["paper"] = WrittenRMSNorm(epsilon_outside_root, width, near_miss=reason)
        self.mixes = nn.ModuleList(nn.Linear(width, width) for _ in self.norms)

    def forward(self, x: Tensor) -> Tensor:
        """N×T×width → N×T×width."""
        for norm, mix in zip(self.norms.values(), self.mixes, strict=True):
            x = x + torch.tanh(mix(norm(x)))
        return x


class Unmixed(nn.Module):
    """Root-mean-square norms summed up without any other operator: for types of which runtimes have few kernels."""

    def __init__(self, width: int, spellings: Sequence[Spelling]) -> None:
        super().__init__()
        self.norms = nn.ModuleDict({spelling.__name__: WrittenRMSNorm(spelling, width) for spelling in spellings})

    def forward(self, x: Tensor) -> Tensor:
        """N×T×width → N×T×width."""
        for norm in self.norms.values():
            x = x + norm(x)
        return x


class AdaptiveBlock(nn.Module):
    """A block of DiT: LayerNorms without parameters, scaled, shifted and gated by what is computed of a condition."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first_norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.second_norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.last_norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.modulation = nn.Linear(width, 8 * width)
        self.projection = nn.Linear(width, 3 * width)
        self.expand = nn.Linear(width, 2 * width)
        self.contract = nn.Linear(2 * width, width)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """N×T×width, N×width → N×T×width."""
        shift, scale, gate, shift_2, scale_2, gate_2, shift_3, scale_3 = (
            part.unsqueeze(1) for part in self.modulation(silu(condition)).chunk(8, dim=-1)
        )
        y = self.first_norm(x) * (1 + scale) + shift
        x = x + gate * self._attend(y)
        y = self.second_norm(x) * (1 + scale_2) + shift_2
        x = x + gate_2 * self.contract(gelu(self.expand(y), approximate="tanh"))
        return self.last_norm(x) * (1 + scale_3) + shift_3

    def _attend(self, x: Tensor) -> Tensor:
        n, t, width = x.shape
        parts = self.projection(x).reshape(n, t, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        return scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(n, t, width)


class GatedMixer(nn.Module):
    """What surrounds the norm in Mamba-2: a projection into a value and its gate, a causal convolution, the norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = WrittenRMSNorm(RMS_SPELLINGS[0], width)
        self.projection = nn.Linear(width, 2 * width)
        self.convolution = nn.Conv1d(width, width, 3, padding=2, groups=width)
        self.gated_norm = GatedRMSNorm(width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """N×T×width → N×T×width."""
        value, gate = self.projection(self.norm(x)).chunk(2, dim=-1)
        value = silu(self.convolution(value.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2))
        return x + self.output(self.gated_norm(value, gate))


class StyleTransfer(nn.Module):
    """Convolutions with InstanceNorm, PyTorch's and written by hand, a residual block, and an upsampling."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1)
        self.down_norm = nn.InstanceNorm2d(2 * channels, affine=True)
        self.first = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1)
        self.first_norm = WrittenInstanceNorm(2 * channels)
        self.second = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1)
        self.second_norm = nn.InstanceNorm2d(2 * channels)
        self.up = nn.Conv2d(2 * channels, channels, 3, padding=1)
        self.up_norm = WrittenInstanceNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W → N×C×H×W, H and W even."""
        y = relu(self.down_norm(self.down(x)))
        y = y + self.second_norm(self.second(relu(self.first_norm(self.first(y)))))
        return x + self.up_norm(self.up(interpolate(y, scale_factor=2.0, mode="nearest")))


class FrozenBackbone(nn.Module):
    """The stem and a block of a detector, whose BatchNorms were frozen into scales and shifts; one stands alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, stride=2, padding=1, bias=False)
        self.stem_norm = FrozenBatchNorm(channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.conv_norm = FrozenBatchNorm(channels)
        self.last_norm = FrozenBatchNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W → N×channels×(H/2)×(W/2)."""
        x = relu(self.stem_norm(self.stem(x)))
        return relu(self.last_norm(relu(x + self.conv_norm(self.conv(x)))))


class UnitLengths(nn.Module):
    """Embeddings of unit length, as contrastive models compare them: over the last axis, and over channels."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.mixes = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.functional = UnitLengthNorm(functional, -1, "below the norm")
        self.channels = UnitLengthNorm(functional, 1, "below the norm")
        self.by_length = UnitLengthNorm(by_length, -1, None)
        self.by_root_of_sum = UnitLengthNorm(by_root_of_sum, -1, "added to the power")

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×width → N×channels×width."""
        x = x + torch.tanh(self.mixes[0](self.functional(x)))
        x = x + torch.tanh(self.mixes[1](self.channels(x)))
        x = x + torch.tanh(self.mixes[2](self.by_length(x)))
        return self.by_root_of_sum(x)


class Intertwined(nn.Module):
    """Two LayerNorms of one x that share its statistics, and a LayerNorm of a LayerNorm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.statistics = Statistics()
        self.left_norm = SharedLayerNorm(width, self.statistics)
        self.right_norm = SharedLayerNorm(width, self.statistics)
        self.left = nn.Linear(width, width)
        self.right = nn.Linear(width, width)
        self.inner_norm = nn.LayerNorm(width)
        self.outer_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """N×T×width → N×T×width."""
        mean, reciprocal = self.statistics(x)
        left = self.left(self.left_norm(x, mean, reciprocal))
        right = self.right(self.right_norm(x, mean, reciprocal))
        return self.outer_norm(self.inner_norm(x + torch.tanh(left) * torch.sigmoid(right)))


class Volumes(nn.Module):
    """GroupNorm and InstanceNorm of tensors with three and with one dimension behind the channels."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.volume_groups = nn.GroupNorm(groups, channels)
        self.volume_instances = nn.InstanceNorm3d(channels, affine=True)
        self.convolution = nn.Conv3d(channels, channels, 3, padding=1)
        self.line_groups = nn.GroupNorm(groups, channels)
        self.line_instances = nn.InstanceNorm1d(channels, affine=True)
        self.line = nn.Conv1d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """N×C×D×H×W → N×C×D·H·W."""
        x = x + self.convolution(relu(self.volume_groups(x)))
        y = self.volume_instances(x).flatten(2)
        return y + self.line_instances(self.line(relu(self.line_groups(y))))
