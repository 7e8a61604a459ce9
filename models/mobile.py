"""MobileNet V2 and V3 and EfficientNet, of any width and depth: depthwise convolutions between pointwise ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor, nn

Activation = Callable[[], nn.Module]


class Convolution(nn.Sequential):
    """Conv–BN and an activation, if there is one; as much padding as keeps the size at stride 1."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: Activation | None = None,
    ) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        super().__init__(*layers, *([] if activation is None else [activation()]))


class SqueezeExcitation(nn.Module):
    """Scales each channel by a number computed from the means of all channels."""

    def __init__(self, channels: int, squeezed: int, activation: Activation, gate: Activation) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.activation = activation()
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.gate = gate()

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W → N×C×H×W."""
        means = x.mean((2, 3), keepdim=True)
        return x * self.gate(self.expand(self.activation(self.reduce(means))))


class Block(NamedTuple):
    """The sizes of an inverted residual block; `squeezed` is 0 where it has no squeeze-and-excitation."""

    kernel: int
    hidden: int
    outputs: int
    stride: int
    activation: Activation
    squeezed: int = 0
    gate: Activation = nn.Sigmoid


class InvertedResidual(nn.Module):
    """A pointwise expansion, a depthwise convolution and a linear pointwise projection, beside an identity."""

    def __init__(self, inputs: int, block: Block) -> None:
        super().__init__()
        kernel, hidden, outputs, stride, activation, squeezed, gate = block
        layers: list[nn.Module] = []
        if hidden != inputs:
            layers.append(Convolution(inputs, hidden, activation=activation))
        layers.append(Convolution(hidden, hidden, kernel, stride, hidden, activation))
        if squeezed:
            inner = nn.SiLU if activation is nn.SiLU else nn.ReLU
            layers.append(SqueezeExcitation(hidden, squeezed, inner, gate))
        layers.append(Convolution(hidden, outputs))
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """N×inputs×H×W → N×outputs×(H/stride)×(W/stride)."""
        y = self.layers(x)
        return x + y if self.residual else y


class MobileNet(nn.Module):
    """A stem, blocks, a last pointwise convolution, pooling and a classifier, of two layers if `hidden` isn't 0."""

    def __init__(
        self, stem: int, blocks: Sequence[Block], last: int, activation: Activation, classes: int, hidden: int = 0
    ) -> None:
        super().__init__()
        self.stem = Convolution(3, stem, 3, 2, activation=activation)
        widths = [stem, *(block.outputs for block in blocks)]
        self.blocks = nn.Sequential(
            *(InvertedResidual(inputs, block) for inputs, block in zip(widths[:-1], blocks, strict=True))
        )
        self.last = Convolution(widths[-1], last, activation=activation)
        first = [nn.Linear(last, hidden), activation()] if hidden else []
        self.classifier = nn.Sequential(*first, nn.Linear(hidden or last, classes))

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W → N×classes."""
        return self.classifier(self.last(self.blocks(self.stem(x))).mean((2, 3)))


def mobilenet_v2(stem: int, stages: Sequence[tuple[int, int, int, int]], last: int, classes: int) -> nn.Module:
    """MobileNet V2 from rows of (expansion, outputs, depth, stride), as its paper has them in table 2."""
    blocks: list[Block] = []
    inputs = stem
    for expansion, outputs, depth, stride in stages:
        for position in range(depth):
            blocks.append(Block(3, expansion * inputs, outputs, stride if position == 0 else 1, nn.ReLU6))
            inputs = outputs
    return MobileNet(stem, blocks, last, nn.ReLU6, classes)


def mobilenet_v3(
    stem: int, rows: Sequence[tuple[int, int, int, bool, bool, int]], last: int, hidden: int, classes: int
) -> nn.Module:
    """MobileNet V3 from rows of (kernel, hidden, outputs, squeeze, hardswish, stride), as its paper has them."""
    blocks = [
        Block(
            kernel,
            width,
            outputs,
            stride,
            nn.Hardswish if hardswish else nn.ReLU,
            width // 4 if squeeze else 0,
            nn.Hardsigmoid,
        )
        for kernel, width, outputs, squeeze, hardswish, stride in rows
    ]
    return MobileNet(stem, blocks, last, nn.Hardswish, classes, hidden)


def efficientnet(stem: int, stages: Sequence[tuple[int, int, int, int, int]], last: int, classes: int) -> nn.Module:
    """EfficientNet from rows of (expansion, kernel, stride, outputs, depth); squeezed to a quarter of the inputs."""
    blocks: list[Block] = []
    inputs = stem
    for expansion, kernel, stride, outputs, depth in stages:
        for position in range(depth):
            squeezed = max(1, inputs // 4)
            first = stride if position == 0 else 1
            blocks.append(Block(kernel, expansion * inputs, outputs, first, nn.SiLU, squeezed))
            inputs = outputs
    return MobileNet(stem, blocks, last, nn.SiLU, classes)
