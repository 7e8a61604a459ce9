"""One network of all kinds of norms, exported by PyTorch at every opset that it reaches: none gets lost at any."""

from __future__ import annotations

import io
import logging
from collections import Counter
from collections.abc import Iterator

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

import normgraph

torch = pytest.importorskip("torch")
nn = torch.nn

# The exporters themselves warn, about tracing and about what they deprecate.
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("default")]

TORCHSCRIPT = range(11, 21)
DYNAMO = range(18, 26)
NEWEST = 25  # of the opsets that ONNX Runtime computes
#: The norms of the network, by the operators of the standard that compute them.
NORMS = {"LayerNormalization": 4, "RMSNormalization": 3, "GroupNormalization": 1, "InstanceNormalization": 2}
#: No norm: ε is added to the deviation.
NEAR_MISSES = 1


class Written(nn.Module):
    """LayerNorm over the last axis, written by hand."""

    def __init__(self, spelling: str) -> None:
        super().__init__()
        self.spelling = spelling
        self.gain = nn.Parameter(torch.ones(12))
        self.bias = nn.Parameter(torch.zeros(12))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean(-1, keepdim=True)
        if self.spelling == "tutorial":
            return self.gain * (x - mean) / (x.std(-1, keepdim=True) + 1e-3) + self.bias
        if self.spelling == "variance":
            return (x - mean) * torch.rsqrt(x.var(-1, unbiased=False, keepdim=True) + 1e-3) * self.gain + self.bias
        centred = x - mean
        return centred / torch.sqrt(centred.pow(2).mean(-1, keepdim=True) + 1e-3) * self.gain + self.bias


class RootMeanSquare(nn.Module):
    """LLaMA's, Gemma's with its gain of one and more, and one that computes in float64."""

    def __init__(self, spelling: str) -> None:
        super().__init__()
        self.spelling = spelling
        self.gain = nn.Parameter(torch.ones(12))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = x.double() if self.spelling == "wide" else x
        normalized = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-3)
        return normalized.to(x.dtype) * (1 + self.gain if self.spelling == "more" else self.gain)


class Network(nn.Module):
    """Norms of sequences, and of what they are as images, and linear layers between them."""

    def __init__(self) -> None:
        super().__init__()
        sequences = [nn.LayerNorm(12), *map(Written, ("power", "variance", "tutorial"))]
        self.sequences = nn.ModuleList([*sequences, *map(RootMeanSquare, ("plain", "more", "wide")), nn.LayerNorm(12)])
        self.mixes = nn.ModuleList(nn.Linear(12, 12) for _ in self.sequences)
        images = (nn.GroupNorm(2, 6), nn.InstanceNorm2d(6, affine=True), nn.InstanceNorm2d(6))
        self.images = nn.ModuleList(images)
        # Behind a convolution, the TorchScript exporter knows how many channels there are, which it asks for.
        self.convolutions = nn.ModuleList(nn.Conv2d(6, 6, 1) for _ in images)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for norm, mix in zip(self.sequences, self.mixes, strict=True):
            x = x + torch.tanh(mix(norm(x)))
        image = x.reshape(-1, 6, 4, 4)
        for norm, convolution in zip(self.images, self.convolutions, strict=True):
            image = image + norm(torch.tanh(convolution(image)))
        return image


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    network = Network().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return network


@pytest.fixture(scope="module")
def traced(network: nn.Module) -> torch.export.ExportedProgram:
    return torch.export.export(network, (example(2),), dynamic_shapes=({0: torch.export.Dim("batch", max=9)},))


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def example(batch: int) -> torch.Tensor:
    return torch.randn(batch, 8, 12, generator=torch.Generator().manual_seed(batch)) + 0.5


def check(source: onnx.ModelProto, network: nn.Module, opset: int) -> None:
    """All norms of the network are in the source, as operators or spelled out, and leave it as operators."""
    assert [entry.version for entry in source.opset_import if not entry.domain] == [opset]
    result = normgraph.optimize(source, target="onnx", opset=NEWEST)
    sites = result.report.sites
    assert Counter(site.kind for site in sites if site.kind) == NORMS
    assert [site.rule for site in sites if site.kind is None] == ["epsilon-outside"] * NEAR_MISSES
    assert all(site.status in ("native", "fused") for site in sites if site.kind), [site.reason for site in sites]
    model = ir.to_proto(result.model)
    operators = Counter(node.op_type for node in model.graph.node)
    assert {kind: operators[kind] for kind in NORMS} == NORMS
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for batch in (2, 5):
        with torch.no_grad():
            expected = network(example(batch)).numpy()
        (found,) = session.run(None, {"x": example(batch).numpy()})
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("opset", TORCHSCRIPT)
def test_every_norm_is_found_in_what_torchscript_writes(network: nn.Module, opset: int) -> None:
    file = io.BytesIO()
    axes = {"x": {0: "batch"}}
    torch.onnx.export(
        network, (example(2),), file, opset_version=opset, dynamo=False, input_names=["x"], dynamic_axes=axes
    )
    check(onnx.load_from_string(file.getvalue()), network, opset)


@pytest.mark.parametrize("optimize", [True, False], ids=["optimized", "as traced"])
@pytest.mark.parametrize("opset", DYNAMO)
def test_every_norm_is_found_in_what_dynamo_writes(
    network: nn.Module, traced: torch.export.ExportedProgram, opset: int, optimize: bool
) -> None:
    program = torch.onnx.export(
        traced, opset_version=opset, dynamo=True, optimize=optimize, verbose=False, input_names=["x"]
    )
    assert program is not None
    check(program.model_proto, network, opset)
