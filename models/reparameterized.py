"""Networks with branches that are added, as they are trained, before anyone has merged them: RepVGG and MobileOne."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import relu


class Branch(nn.Sequential):
    """Conv–BN, padded so that the size stays at stride 1."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
        )


class RepVGGBlock(nn.Module):
    """3×3–BN, 1×1–BN and, where sizes agree, a BN alone, added, and a ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.dense = Branch(inputs, outputs, 3, stride)
        self.pointwise = Branch(inputs, outputs, 1, stride)
        self.identity = nn.BatchNorm2d(inputs) if inputs == outputs and stride == 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """N×inputs×H×W → N×outputs×(H/stride)×(W/stride)."""
        y = self.dense(x) + self.pointwise(x)
        return relu(y if self.identity is None else y + self.identity(x))


class RepVGG(nn.Module):
    """RepVGG-A0 has a stem of 48, widths 48, 96, 192, 1280 and depths 2, 4, 14, 1."""

    def __init__(self, stem: int, widths: Sequence[int], depths: Sequence[int], classes: int) -> None:
        super().__init__()
        blocks = [RepVGGBlock(3, stem, 2)]
        inputs = stem
        for width, depth in zip(widths, depths, strict=True):
            for position in range(depth):
                blocks.append(RepVGGBlock(inputs, width, 2 if position == 0 else 1))
                inputs = width
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W → N×classes."""
        return self.fc(self.blocks(x).mean((2, 3)))


class MobileOneBlock(nn.Module):
    """Several Conv–BN of the same size, a 1×1 beside larger ones, a BN alone where sizes agree, added, and a ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, groups: int, branches: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(Branch(inputs, outputs, kernel, stride, groups) for _ in range(branches))
        self.scale = Branch(inputs, outputs, 1, stride, groups) if kernel > 1 else None
        self.skip = nn.BatchNorm2d(inputs) if inputs == outputs and stride == 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """N×inputs×H×W → N×outputs×(H/stride)×(W/stride)."""
        extra = [branch for branch in (self.scale, self.skip) if branch is not None]
        first, *others = [*extra, *self.branches]
        y = first(x)
        for branch in others:
            y = y + branch(x)
        return relu(y)


class MobileOne(nn.Module):
    """MobileOne-S0 has a stem of 48, widths 48, 128, 256, 1024, depths 2, 8, 10, 1 and 4 branches."""

    def __init__(self, stem: int, widths: Sequence[int], depths: Sequence[int], classes: int, branches: int) -> None:
        super().__init__()
        blocks = [MobileOneBlock(3, stem, 3, 2, 1, 1)]
        inputs = stem
        for width, depth in zip(widths, depths, strict=True):
            for position in range(depth):
                stride = 2 if position == 0 else 1
                blocks.append(MobileOneBlock(inputs, inputs, 3, stride, inputs, branches))
                blocks.append(MobileOneBlock(inputs, width, 1, 1, 1, branches))
                inputs = width
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W → N×classes."""
        return self.fc(self.blocks(x).mean((2, 3)))
