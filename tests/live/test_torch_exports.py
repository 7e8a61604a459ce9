"""PyTorch modules exported here and now, by both exporters: LayerNorms are fused, outputs stay the same."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

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


@pytest.fixture(autouse=True)
def written_out() -> Iterator[None]:
    """Without the fused encoder layer of PyTorch's CPU, which the TorchScript exporter can't take apart."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    yield
    torch.backends.mha.set_fastpath_enabled(enabled)


class HandWritten(nn.Module):
    """LayerNorm spelled out over any axes, for an input of the given size."""

    def __init__(self, shape: Sequence[int], axes: Sequence[int], spelling: str) -> None:
        super().__init__()
        self.axes = tuple(axes)
        self.spelling = spelling
        self.gain = nn.Parameter(torch.ones(shape))
        self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean(self.axes, keepdim=True)
        if self.spelling == "raw moments":
            variance = (x * x).mean(self.axes, keepdim=True) - mean * mean
            return (x - mean) * torch.rsqrt(variance + 1e-3) * self.gain + self.bias
        variance = ((x - mean) ** 2).mean(self.axes, keepdim=True)
        if self.spelling == "scale and shift":
            scale = self.gain / torch.sqrt(variance + 1e-3)
            return x * scale + (self.bias - mean * scale)
        return (x - mean) / (variance + 1e-3) ** 0.5 * self.gain + self.bias


class UnitDeviation(nn.Module):
    """No LayerNorm: epsilon is added to the standard deviation, outside the root."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return centred / ((centred**2).mean(-1, keepdim=True).sqrt() + 1e-3)


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(16), enable_nested_tensor=False)


def bert() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}
    config = transformers.BertConfig(vocab_size=50, attn_implementation="eager", **sizes)
    model = transformers.BertModel(config, add_pooling_layer=False)

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = model.encoder
            self.last = nn.LayerNorm(16, eps=1e-12)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.encoder(x).last_hidden_state)

    return Encoder()


def chain(*modules: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(16, 16), *modules, nn.Linear(16, 16))


MODULES = [
    pytest.param(lambda: chain(nn.LayerNorm(16)), (3, 4, 16), 1, id="LayerNorm"),
    pytest.param(lambda: nn.LayerNorm([5, 6, 16]), (2, 5, 6, 16), 1, id="LayerNorm over three axes"),
    pytest.param(lambda: chain(nn.LayerNorm(16, elementwise_affine=False)), (3, 4, 16), 1, id="LayerNorm without gain"),
    pytest.param(lambda: chain(HandWritten([16], [-1], "power")), (3, 4, 16), 1, id="power"),
    pytest.param(lambda: chain(HandWritten([16], [-1], "raw moments")), (3, 4, 16), 1, id="raw moments"),
    pytest.param(lambda: chain(HandWritten([16], [-1], "scale and shift")), (3, 4, 16), 1, id="scale and shift"),
    pytest.param(lambda: HandWritten([8, 1, 1], [1], "power"), (2, 8, 5, 6), 1, id="channels first"),
    pytest.param(encoder, (2, 7, 16), 5, id="transformer encoder"),
    pytest.param(bert, (2, 7, 16), 5, id="BERT"),
    pytest.param(lambda: chain(UnitDeviation()), (3, 4, 16), 0, id="near miss: epsilon outside the root"),
]


def randomized(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    module = make().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return module


def by_torchscript(module: nn.Module, x: torch.Tensor) -> onnx.ModelProto:
    file = io.BytesIO()
    axes = {"x": {0: "batch"}, "y": {0: "batch"}}
    with torch.no_grad():
        torch.onnx.export(
            module,
            (x,),
            file,
            opset_version=14,
            dynamo=False,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes=axes,
        )
    return onnx.load_from_string(file.getvalue())


def by_dynamo(module: nn.Module, x: torch.Tensor) -> torch.onnx.ONNXProgram:
    shapes = ({0: torch.export.Dim("batch")},)
    return torch.onnx.export(
        module,
        (x,),
        opset_version=18,
        dynamo=True,
        verbose=False,
        input_names=["x"],
        output_names=["y"],
        dynamic_shapes=shapes,
    )


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": x})
    return y


@pytest.mark.parametrize("export", [by_torchscript, by_dynamo])
@pytest.mark.parametrize(("make", "shape", "norms"), MODULES)
def test_every_layer_norm_is_fused_and_computes_what_pytorch_does(
    make: Callable[[], nn.Module],
    shape: tuple[int, ...],
    norms: int,
    export: Callable[[nn.Module, torch.Tensor], onnx.ModelProto | torch.onnx.ONNXProgram],
) -> None:
    module = randomized(make)
    source = export(module, torch.randn(shape))
    result = normgraph.optimize(source)
    optimized = ir.to_proto(result.model)
    onnx.checker.check_model(optimized, full_check=True)
    operators = Counter(node.op_type for node in optimized.graph.node)
    assert operators["LayerNormalization"] == norms
    if norms:
        assert not operators.keys() & {"ReduceMean", "Pow", "Reciprocal"}
    for batch in (shape[0], shape[0] + 2):
        x = torch.randn(batch, *shape[1:]) + 0.5
        with torch.no_grad():
            expected = module(x).numpy()
        np.testing.assert_allclose(run(optimized, x.numpy()), expected, rtol=1e-4, atol=1e-4)


def test_an_onnx_program_is_left_as_it_was() -> None:
    module = randomized(lambda: chain(HandWritten([16], [-1], "power")))
    program = by_dynamo(module, torch.randn(3, 4, 16))
    before = program.model_proto.SerializeToString(deterministic=True)
    result = normgraph.optimize(program)
    assert result.report.count("fused") == 1
    assert program.model_proto.SerializeToString(deterministic=True) == before
