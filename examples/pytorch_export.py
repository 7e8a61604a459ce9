"""Export a network from PyTorch and optimize it in the same breath."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import torch

import normgraph
from normgraph.testing import assert_fused


class ByHand(torch.nn.Module):
    """A LayerNorm as people write it, which no exporter keeps in one piece."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.linspace(0.5, 1.5, width))
        self.bias = torch.nn.Parameter(torch.linspace(-1.0, 1.0, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalize the last dimension."""
        centred = x - x.mean(-1, keepdim=True)
        variance = centred.square().mean(-1, keepdim=True)
        return centred * torch.rsqrt(variance + 1e-5) * self.gain + self.bias


def network() -> torch.nn.Module:
    """Convolution, BatchNorm and two hand-written norms."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        ByHand(14),
        torch.nn.Linear(14, 16),
        ByHand(16),
    ).eval()


def main(folder: Path) -> torch.onnx.ONNXProgram:
    """Export, optimize, and compare with PyTorch."""
    torch_network, x = network(), torch.randn(2, 3, 16, 16)
    program = torch.onnx.export(torch_network, (x,), dynamo=True, verbose=False)
    assert program is not None
    program = normgraph.after_export(program, folder / "network.onnx", target="onnxruntime")

    assert_fused(program, "LayerNormalization", 2)
    assert_fused(folder / "network.onnx", "LayerNormalization", 2)
    (result,) = program(x)  # the program runs what it has become
    torch.testing.assert_close(result, torch_network(x), rtol=1e-4, atol=1e-5)
    return program


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("onnxscript").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder))
