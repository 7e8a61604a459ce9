"""Residual networks of any width and depth: ResNet of basic blocks and of bottlenecks, and with pre-activation."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu


class BasicBlock(nn.Module):
    """The residual block of ResNet-18: Conv–BN–ReLU–Conv–BN beside a shortcut, Conv–BN where sizes change."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """N×inputs×H×W → N×width×(H/stride)×(W/stride)."""
        y = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        return relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """The residual block of ResNet-50: a 3×3 convolution, which has the stride, between two of 1×1."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = self.expansion * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """N×inputs×H×W → N×(4·width)×(H/stride)×(W/stride)."""
        y = relu(self.bn2(self.conv2(relu(self.bn1(self.conv1(x))))))
        y = self.bn3(self.conv3(y))
        return relu(y + (x if self.downsample is None else self.downsample(x)))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))


class ResNet(nn.Module):
    """7×7 stem with BN and max pooling, layers of residual blocks, pooling, classifier.

    ResNet-18 has depths 2, 2, 2, 2 of basic blocks, ResNet-50 has 3, 4, 6, 3 of bottlenecks; both at widths 64 to 512.
    """

    def __init__(
        self,
        widths: Sequence[int],
        classes: int,
        depths: Sequence[int] = (2, 2, 2, 2),
        block: type[BasicBlock] | type[Bottleneck] = BasicBlock,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        layers = []
        inputs = widths[0]
        for index, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            blocks = []
            for position in range(depth):
                blocks.append(block(inputs, width, 2 if index > 0 and position == 0 else 1))
                inputs = block.expansion * width
            layers.append(nn.Sequential(*blocks))
        self.layers = nn.Sequential(*layers)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W → N×classes."""
        x = max_pool2d(relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        return self.fc(self.layers(x).mean((2, 3)))


class PreActivationBlock(nn.Module):
    """BN–ReLU–Conv, twice, beside a shortcut that begins behind the first ReLU where sizes change (ResNet v2)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        changes = stride != 1 or inputs != outputs
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        """N×inputs×H×W → N×outputs×(H/stride)×(W/stride)."""
        y = relu(self.bn1(x))
        z = self.conv2(relu(self.bn2(self.conv1(y))))
        return z + (x if self.shortcut is None else self.shortcut(y))


class PreActivationResNet(nn.Module):
    """ResNet v2: no norm after the stem, a last one behind all blocks."""

    def __init__(self, widths: Sequence[int], classes: int, depth: int = 2) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        blocks = []
        inputs = widths[0]
        for index, width in enumerate(widths):
            for position in range(depth):
                blocks.append(PreActivationBlock(inputs, width, 2 if index > 0 and position == 0 else 1))
                inputs = width
        self.blocks = nn.Sequential(*blocks)
        self.bn = nn.BatchNorm2d(inputs)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W → N×classes."""
        return self.fc(relu(self.bn(self.blocks(self.stem(x)))).mean((2, 3)))
