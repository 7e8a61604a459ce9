"""Norms written by hand of other kinds than LayerNormalization, as model code has them, and their modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, silu

Spelling = Callable[[Tensor, float, Tensor], Tensor]  # x, epsilon, gain; over the last axis
Length = Callable[[Tensor, tuple[int, ...], float], Tensor]  # x, axes, epsilon


def reciprocal_root(x: Tensor, epsilon: float, gain: Tensor) -> Tensor:
    """LLaMA's: x·rsqrt(mean(x²) + ε), then the gain."""
    return gain * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon))


def quotient(x: Tensor, epsilon: float, gain: Tensor) -> Tensor:
    """A product for the square, and a quotient by the root."""
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + epsilon) * gain


def gain_of_one_and_more(x: Tensor, epsilon: float, gain: Tensor) -> Tensor:
    """Gemma's: what is stored is the gain less one."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon) * (1.0 + (gain - 1.0))


def squared_length(x: Tensor, epsilon: float, gain: Tensor) -> Tensor:
    """The mean square as the square of the length, over the size."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x * (length.square() / x.shape[-1] + epsilon) ** -0.5 * gain


def sum_of_squares(x: Tensor, epsilon: float, gain: Tensor) -> Tensor:
    """A sum of squares over the size, and one divided by the root."""
    mean_square = (x**2).sum(-1, keepdim=True) / x.shape[-1]
    return x * (1.0 / torch.sqrt(mean_square + epsilon)) * gain


def float_inside(x: Tensor, epsilon: float, gain: Tensor) -> Tensor:
    """Computed in float32, and back before the gain."""
    wide = x.float()
    return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)).type_as(x) * gain


def float_throughout(x: Tensor, epsilon: float, gain: Tensor) -> Tensor:
    """Computed in float32, the gain too, and back after it."""
    wide = x.float()
    return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon) * gain.float()).to(x.dtype)


def epsilon_outside_root(x: Tensor, epsilon: float, gain: Tensor) -> Tensor:
    """No RMSNormalization, though the paper's own code has it: ε is added after the root."""
    length = x.norm(2, dim=-1, keepdim=True)
    return gain * (x / (length * x.shape[-1] ** -0.5 + epsilon))


RMS_SPELLINGS: tuple[Spelling, ...] = (
    reciprocal_root,
    quotient,
    gain_of_one_and_more,
    squared_length,
    sum_of_squares,
    float_inside,
    float_throughout,
)


class WrittenRMSNorm(nn.Module):
    """A root-mean-square norm over the last axis; `near_miss` says why the spelling is none, where it is none."""

    def __init__(self, spelling: Spelling, width: int, near_miss: str | None = None) -> None:
        super().__init__()
        self.spelling = spelling
        self.near_miss = near_miss
        self.eps = 1e-6
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape with that width, which the output keeps."""
        return self.spelling(x, self.eps, self.weight)


class GatedRMSNorm(WrittenRMSNorm):
    """As in Mamba-2: the norm of x·silu(gate)."""

    def __init__(self, width: int) -> None:
        super().__init__(float_inside, width)

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:  # type: ignore[override]
        """N×T×width, twice → N×T×width."""
        return super().forward(x * silu(gate))


def functional(x: Tensor, axes: tuple[int, ...], epsilon: float) -> Tensor:
    """torch.nn.functional.normalize: a length of at least ε."""
    (axis,) = axes
    return normalize(x, dim=axis, eps=epsilon)


def by_length(x: Tensor, axes: tuple[int, ...], epsilon: float) -> Tensor:
    """A quotient by the length, whatever that is."""
    return x / x.norm(p=2, dim=axes, keepdim=True)


def by_root_of_sum(x: Tensor, axes: tuple[int, ...], epsilon: float) -> Tensor:
    """ε is added to the sum of squares."""
    return x * torch.rsqrt(x.pow(2).sum(axes, keepdim=True) + epsilon)


class UnitLengthNorm(nn.Module):
    """Vectors along an axis, divided by their lengths; `guard` says how ε keeps these from zero."""

    def __init__(self, length: Length, axis: int, guard: str | None) -> None:
        super().__init__()
        self.length = length
        self.axes = (axis,)
        self.guard = guard
        self.stored = 1e-12

    @property
    def eps(self) -> float:
        """Zero without a guard."""
        return 0.0 if self.guard is None else self.stored

    @eps.setter
    def eps(self, value: float) -> None:
        self.stored = value

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, which the output keeps."""
        return self.length(x, self.axes, self.eps)


class WrittenInstanceNorm(nn.Module):
    """Mean and variance of each channel's plane, as in style transfer."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.eps = 1e-5
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W → N×C×H×W."""
        variance, mean = torch.var_mean(x, dim=(2, 3), correction=0, keepdim=True)
        normalized = (x - mean) / (variance + self.eps).sqrt()
        return normalized * self.weight[:, None, None] + self.bias[:, None, None]


class FrozenBatchNorm(nn.Module):
    """Stored statistics computed into a scale and a shift at every call, as in detectors."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.eps = 1e-5
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W → N×C×H×W."""
        weight, bias, mean, variance = (
            stored.reshape(1, -1, 1, 1) for stored in (self.weight, self.bias, self.running_mean, self.running_var)
        )
        scale = weight * (variance + self.eps).rsqrt()
        return x * scale + (bias - mean * scale)


class Statistics(nn.Module):
    """The mean and the reciprocal deviation over the last axis, for whoever needs them."""

    def __init__(self) -> None:
        super().__init__()
        self.eps = 1e-5

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """N×T×width → N×T×1, twice."""
        variance, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
        return mean, torch.rsqrt(variance + self.eps)


class SharedLayerNorm(nn.Module):
    """A LayerNorm whose statistics another module has computed, and with them ε."""

    def __init__(self, width: int, statistics: Statistics) -> None:
        super().__init__()
        self.statistics: Sequence[Statistics] = (statistics,)  # not a part of this module
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    @property
    def eps(self) -> float:
        """That of the statistics."""
        return self.statistics[0].eps

    @eps.setter
    def eps(self, value: float) -> None:
        self.statistics[0].eps = value

    def forward(self, x: Tensor, mean: Tensor, reciprocal: Tensor) -> Tensor:
        """N×T×width, N×T×1, N×T×1 → N×T×width."""
        return (x - mean) * reciprocal * self.weight + self.bias
