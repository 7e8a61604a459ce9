"""Networks whose branches are concatenated, of any width and depth: DenseNet, Inception and a U-Net."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d, relu


class DenseLayer(nn.Module):
    """BN–ReLU–Conv 1×1 – BN–ReLU–Conv 3×3 on all that came before, appended to it."""

    def __init__(self, inputs: int, growth: int, bottleneck: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, bottleneck * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(bottleneck * growth)
        self.conv2 = nn.Conv2d(bottleneck * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """N×inputs×H×W → N×(inputs + growth)×H×W."""
        return torch.cat([x, self.conv2(relu(self.bn2(self.conv1(relu(self.bn1(x))))))], 1)


class Transition(nn.Module):
    """BN–ReLU–Conv 1×1 and pooling, to half of the channels and half of the size."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(inputs)
        self.conv = nn.Conv2d(inputs, inputs // 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """N×inputs×H×W → N×(inputs/2)×(H/2)×(W/2)."""
        return avg_pool2d(self.conv(relu(self.bn(x))), 2)


class DenseNet(nn.Module):
    """DenseNet-121 has growth 32, depths 6, 12, 24, 16 and a stem of 64."""

    def __init__(self, stem: int, growth: int, depths: Sequence[int], classes: int, bottleneck: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, stem, 7, stride=2, padding=3, bias=False)
        self.stem_bn = nn.BatchNorm2d(stem)
        stages: list[nn.Module] = []
        channels = stem
        for index, depth in enumerate(depths):
            if index > 0:
                stages.append(Transition(channels))
                channels //= 2
            stages.append(nn.Sequential(*(DenseLayer(channels + i * growth, growth, bottleneck) for i in range(depth))))
            channels += depth * growth
        self.stages = nn.Sequential(*stages)
        self.bn = nn.BatchNorm2d(channels)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W → N×classes."""
        x = max_pool2d(relu(self.stem_bn(self.stem(x))), 3, stride=2, padding=1)
        return self.fc(relu(self.bn(self.stages(x))).mean((2, 3)))


class Convolution(nn.Module):
    """Conv–BN–ReLU, padded so that the size stays at stride 1."""

    def __init__(self, inputs: int, outputs: int, kernel: int | tuple[int, int], stride: int = 1) -> None:
        super().__init__()
        sizes = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = ((sizes[0] - 1) // 2, (sizes[1] - 1) // 2)
        self.conv = nn.Conv2d(inputs, outputs, sizes, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """N×inputs×H×W → N×outputs×(H/stride)×(W/stride)."""
        return relu(self.bn(self.conv(x)))


class InceptionA(nn.Module):
    """Inception v3's block of 1×1, 5×5, twice 3×3 and pooling, concatenated."""

    def __init__(self, inputs: int, unit: int, pooled: int) -> None:
        super().__init__()
        self.one = Convolution(inputs, 4 * unit, 1)
        self.five = nn.Sequential(Convolution(inputs, 3 * unit, 1), Convolution(3 * unit, 4 * unit, 5))
        self.three = nn.Sequential(
            Convolution(inputs, 4 * unit, 1), Convolution(4 * unit, 6 * unit, 3), Convolution(6 * unit, 6 * unit, 3)
        )
        self.pool = Convolution(inputs, pooled, 1)
        self.outputs = 14 * unit + pooled

    def forward(self, x: Tensor) -> Tensor:
        """N×inputs×H×W → N×outputs×H×W."""
        pooled = self.pool(avg_pool2d(x, 3, stride=1, padding=1))
        return torch.cat([self.one(x), self.five(x), self.three(x), pooled], 1)


class InceptionC(nn.Module):
    """Inception v3's block of 7×7 convolutions, each in two: 1×7 and 7×1."""

    def __init__(self, inputs: int, inner: int, outputs: int) -> None:
        super().__init__()
        self.one = Convolution(inputs, outputs, 1)
        self.seven = nn.Sequential(
            Convolution(inputs, inner, 1), Convolution(inner, inner, (1, 7)), Convolution(inner, outputs, (7, 1))
        )
        self.seven_twice = nn.Sequential(
            Convolution(inputs, inner, 1),
            Convolution(inner, inner, (7, 1)),
            Convolution(inner, inner, (1, 7)),
            Convolution(inner, inner, (7, 1)),
            Convolution(inner, outputs, (1, 7)),
        )
        self.pool = Convolution(inputs, outputs, 1)
        self.outputs = 4 * outputs

    def forward(self, x: Tensor) -> Tensor:
        """N×inputs×H×W → N×(4·outputs)×H×W."""
        pooled = self.pool(avg_pool2d(x, 3, stride=1, padding=1))
        return torch.cat([self.one(x), self.seven(x), self.seven_twice(x), pooled], 1)


class InceptionReduction(nn.Module):
    """Half of the size: a 3×3 convolution with stride, twice 3×3, and maxima, concatenated."""

    def __init__(self, inputs: int, unit: int) -> None:
        super().__init__()
        self.three = Convolution(inputs, 24 * unit, 3, 2)
        self.three_twice = nn.Sequential(
            Convolution(inputs, 4 * unit, 1), Convolution(4 * unit, 6 * unit, 3), Convolution(6 * unit, 6 * unit, 3, 2)
        )
        self.outputs = 30 * unit + inputs

    def forward(self, x: Tensor) -> Tensor:
        """N×inputs×H×W → N×outputs×(H/2)×(W/2)."""
        return torch.cat([self.three(x), self.three_twice(x), max_pool2d(x, 3, stride=2, padding=1)], 1)


class Inception(nn.Module):
    """The stem and the first two stages of Inception v3 with their blocks; its unit is 16 channels."""

    def __init__(self, unit: int, classes: int, depths: tuple[int, int] = (3, 4)) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            Convolution(3, 2 * unit, 3, 2), Convolution(2 * unit, 2 * unit, 3), Convolution(2 * unit, 4 * unit, 3)
        )
        self.stem_last = nn.Sequential(Convolution(4 * unit, 5 * unit, 1), Convolution(5 * unit, 12 * unit, 3))
        blocks: list[nn.Module] = []
        channels = 12 * unit
        for index in range(depths[0]):
            block = InceptionA(channels, unit, 2 * unit if index == 0 else 4 * unit)
            blocks.append(block)
            channels = block.outputs
        reduction = InceptionReduction(channels, unit)
        blocks.append(reduction)
        channels = reduction.outputs
        for index in range(depths[1]):
            last = InceptionC(channels, (8, 10, 10, 12)[min(index, 3)] * unit, 12 * unit)
            blocks.append(last)
            channels = last.outputs
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W → N×classes."""
        x = self.stem_last(max_pool2d(self.stem(x), 3, stride=2, padding=1))
        return self.fc(self.blocks(x).mean((2, 3)))


class DoubleConvolution(nn.Sequential):
    """Conv 3×3 with bias, BN, ReLU, twice."""

    def __init__(self, inputs: int, outputs: int) -> None:
        layers: list[nn.Module] = []
        for channels in (inputs, outputs):
            layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
        super().__init__(*layers)


class UpConvolution(nn.Module):
    """Twice the size by ConvTranspose–BN–ReLU, beside what the encoder had at that size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, outputs, 2, stride=2)
        self.bn = nn.BatchNorm2d(outputs)
        self.mix = DoubleConvolution(2 * outputs, outputs)

    def forward(self, x: Tensor, skipped: Tensor) -> Tensor:
        """N×inputs×H×W, N×outputs×2H×2W → N×outputs×2H×2W."""
        return self.mix(torch.cat([skipped, relu(self.bn(self.up(x)))], 1))


class UNet(nn.Module):
    """A U-Net: double convolutions on the way down and up, and a BN on the images themselves."""

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.input_bn = nn.BatchNorm2d(3)
        self.first = DoubleConvolution(3, widths[0])
        self.down = nn.ModuleList(DoubleConvolution(a, b) for a, b in itertools.pairwise(widths))
        self.up = nn.ModuleList(UpConvolution(b, a) for a, b in reversed(list(itertools.pairwise(widths))))
        self.last = nn.Conv2d(widths[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W → N×classes×H×W, H and W divisible by as many twos as there are ways down."""
        levels = [self.first(self.input_bn(x))]
        for down in self.down:
            levels.append(down(max_pool2d(levels[-1], 2)))
        y = levels.pop()
        for up in self.up:
            y = up(y, levels.pop())
        return self.last(y)
