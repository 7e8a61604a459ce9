"""LayerNorms written by hand, as model code has them: the spellings, and the modules that carry them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Axes = tuple[int, ...]
Spelling = Callable[[Tensor, Axes, float, Tensor, Tensor], Tensor]  # x, axes, epsilon, gain, bias


def _size(x: Tensor, axes: Axes) -> int:
    return math.prod(x.shape[axis] for axis in axes)


def _moments(x: Tensor, axes: Axes) -> tuple[Tensor, Tensor]:
    mean = x.mean(axes, keepdim=True)
    return mean, (x - mean).pow(2).mean(axes, keepdim=True)


def biased_variance(x: Tensor, axes: Axes, epsilon: float, gain: Tensor, bias: Tensor) -> Tensor:
    """γ·(x − μ) / √(Var[x] + ε) + β, with PyTorch's biased variance."""
    variance = x.var(axes, unbiased=False, keepdim=True)
    return gain * (x - x.mean(axes, keepdim=True)) / torch.sqrt(variance + epsilon) + bias


def joint_statistics(x: Tensor, axes: Axes, epsilon: float, gain: Tensor, bias: Tensor) -> Tensor:
    """Mean and variance from one call of torch.var_mean."""
    variance, mean = torch.var_mean(x, dim=axes, correction=0, keepdim=True)
    return (x - mean) * torch.rsqrt(variance + epsilon) * gain + bias


def deviation_squared(x: Tensor, axes: Axes, epsilon: float, gain: Tensor, bias: Tensor) -> Tensor:
    """The variance as the square of PyTorch's standard deviation."""
    deviation = x.std(axes, unbiased=False, keepdim=True)
    return (x - x.mean(axes, keepdim=True)) / torch.sqrt(deviation**2 + epsilon) * gain + bias


def reciprocal_root(x: Tensor, axes: Axes, epsilon: float, gain: Tensor, bias: Tensor) -> Tensor:
    """The centred value multiplied by itself, and by the reciprocal root."""
    centred = x - x.mean(axes, keepdim=True)
    return centred * torch.rsqrt((centred * centred).mean(axes, keepdim=True) + epsilon) * gain + bias


def half_power(x: Tensor, axes: Axes, epsilon: float, gain: Tensor, bias: Tensor) -> Tensor:
    """The root as a power of ½."""
    mean, variance = _moments(x, axes)
    return (x - mean) / (variance + epsilon) ** 0.5 * gain + bias


def negative_half_power(x: Tensor, axes: Axes, epsilon: float, gain: Tensor, bias: Tensor) -> Tensor:
    """The reciprocal root as a power of −½."""
    mean, variance = _moments(x, axes)
    return (x - mean) * (variance + epsilon).pow(-0.5) * gain + bias


def reciprocal(x: Tensor, axes: Axes, epsilon: float, gain: Tensor, bias: Tensor) -> Tensor:
    """One divided by the root, then a product."""
    mean, variance = _moments(x, axes)
    return (x - mean) * (1.0 / torch.sqrt(variance + epsilon)) * gain + bias


def raw_moments(x: Tensor, axes: Axes, epsilon: float, gain: Tensor, bias: Tensor) -> Tensor:
    """The variance as E[x²] − μ²."""
    mean = x.mean(axes, keepdim=True)
    variance = x.square().mean(axes, keepdim=True) - mean.square()
    return (x - mean) / torch.sqrt(variance + epsilon) * gain + bias


def clamped_moments(x: Tensor, axes: Axes, epsilon: float, gain: Tensor, bias: Tensor) -> Tensor:
    """E[x²] − μ², kept from going negative by rounding."""
    mean = x.mean(axes, keepdim=True)
    variance = (x.square().mean(axes, keepdim=True) - mean.square()).clamp(min=0.0)
    return (x - mean) * torch.rsqrt(variance + epsilon) * gain + bias


def scale_and_shift(x: Tensor, axes: Axes, epsilon: float, gain: Tensor, bias: Tensor) -> Tensor:
    """TensorFlow's x·(r·γ) + (β − μ·r·γ)."""
    mean, variance = _moments(x, axes)
    scale = torch.rsqrt(variance + epsilon) * gain
    return x * scale + (bias - mean * scale)


def bessel_corrected(x: Tensor, axes: Axes, epsilon: float, gain: Tensor, bias: Tensor) -> Tensor:
    """The unbiased variance times (n − 1)/n."""
    size = _size(x, axes)
    variance = x.var(axes, unbiased=True, keepdim=True) * ((size - 1) / size)
    return (x - x.mean(axes, keepdim=True)) / torch.sqrt(variance + epsilon) * gain + bias


def sums(x: Tensor, axes: Axes, epsilon: float, gain: Tensor, bias: Tensor) -> Tensor:
    """Sums divided by the size."""
    size = _size(x, axes)
    centred = x - x.sum(axes, keepdim=True) / size
    return centred / torch.sqrt(centred.square().sum(axes, keepdim=True) / size + epsilon) * gain + bias


def mean_written_twice(x: Tensor, axes: Axes, epsilon: float, gain: Tensor, bias: Tensor) -> Tensor:
    """μ computed twice, and the square taken of μ − x."""
    variance = (x.mean(axes, keepdim=True) - x).pow(2).mean(axes, keepdim=True)
    return (x - x.mean(axes, keepdim=True)) / (variance + epsilon).sqrt() * gain + bias


def squeezed_statistics(x: Tensor, axes: Axes, epsilon: float, gain: Tensor, bias: Tensor) -> Tensor:
    """Statistics without the reduced axis, put back by unsqueeze."""
    (axis,) = axes
    mean = x.mean(axis)
    variance = x.var(axis, unbiased=False)
    return (x - mean.unsqueeze(axis)) / (variance + epsilon).sqrt().unsqueeze(axis) * gain + bias


def float_inside(x: Tensor, axes: Axes, epsilon: float, gain: Tensor, bias: Tensor) -> Tensor:
    """Normalized in float32, gain and bias in the input's type."""
    wide = x.float()
    mean, variance = _moments(wide, axes)
    return ((wide - mean) * torch.rsqrt(variance + epsilon)).to(x.dtype) * gain + bias


def without_gain_and_bias(x: Tensor, axes: Axes, epsilon: float, gain: Tensor, bias: Tensor) -> Tensor:
    """Normalized and no more."""
    mean, variance = _moments(x, axes)
    return (x - mean) / torch.sqrt(variance + epsilon)


def without_bias(x: Tensor, axes: Axes, epsilon: float, gain: Tensor, bias: Tensor) -> Tensor:
    """A gain and no bias."""
    return without_gain_and_bias(x, axes, epsilon, gain, bias) * gain


def epsilon_outside_root(x: Tensor, axes: Axes, epsilon: float, gain: Tensor, bias: Tensor) -> Tensor:
    """No LayerNormalization, though often taken for one: unbiased deviation, ε added after the root."""
    return gain * (x - x.mean(axes, keepdim=True)) / (x.std(axes, keepdim=True) + epsilon) + bias


SPELLINGS: tuple[Spelling, ...] = (
    biased_variance,
    joint_statistics,
    deviation_squared,
    reciprocal_root,
    half_power,
    negative_half_power,
    reciprocal,
    raw_moments,
    clamped_moments,
    scale_and_shift,
    bessel_corrected,
    sums,
    mean_written_twice,
    squeezed_statistics,
    without_gain_and_bias,
    without_bias,
)


class WrittenNorm(nn.Module):
    """A LayerNormalization written out by hand over `axes` of its input.

    `shape` is that of gain and bias: it broadcasts against the input from the right, so a channels-first norm
    of N×C×H×W takes (C, 1, 1). `near_miss` says why the spelling is no LayerNormalization, where it is none.
    """

    def __init__(
        self,
        spelling: Spelling,
        shape: Sequence[int],
        axes: Sequence[int] = (-1,),
        near_miss: str | None = None,
    ) -> None:
        super().__init__()
        self.spelling = spelling
        self.axes = tuple(axes)
        self.near_miss = near_miss
        self.eps = 1e-5
        self.register_parameter("weight", None)
        self.register_parameter("bias", None)
        if spelling is not without_gain_and_bias:
            self.weight = nn.Parameter(torch.ones(tuple(shape)))
        if spelling not in (without_gain_and_bias, without_bias):
            self.bias = nn.Parameter(torch.zeros(tuple(shape)))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, which the output keeps."""
        return self.spelling(x, self.axes, self.eps, self.weight, self.bias)


class ChannelsLayerNorm(nn.Module):
    """LayerNorm over the channels of N×C×H×W, in the arithmetic that the ConvNeXt authors use."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.axes = (1,)
        self.near_miss = None
        self.eps = 1e-6
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W → N×C×H×W."""
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).pow(2).mean(1, keepdim=True)
        normalized = (x - mean) / torch.sqrt(variance + self.eps)
        return self.weight[:, None, None] * normalized + self.bias[:, None, None]
