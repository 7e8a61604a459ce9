"""Providers and sessions: what is asked of ONNX Runtime, on a machine with a GPU (a stand-in) and on this one."""

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest

from normgraph.cli.options import bench as options
from normgraph.cli.options import shared
from normgraph.errors import MissingProviderError, RefusedError, UsageError
from normgraph.providers import PROVIDERS, present, provider_named
from normgraph.sessions import LEVELS, OpenedModel, Setting
from normgraph.targets import TARGETS
from tests.timing import fake_runtime

FEED = {"x": np.ones((2, 3), np.float32), "s": np.array(["a", "b"])}


def opened(name: str, monkeypatch: pytest.MonkeyPatch, **setting: Any) -> tuple[Any, OpenedModel]:
    runtime = fake_runtime.install(monkeypatch)
    model = OpenedModel(Path("model.onnx"), FEED, Setting(provider_named(name), **setting))
    model.run()
    return runtime, model


def test_command_line_knows_the_tables() -> None:
    assert tuple(PROVIDERS) == shared.PROVIDERS
    assert tuple(LEVELS) == options.LEVELS
    assert {provider.target for provider in PROVIDERS.values()} <= TARGETS.keys()


@pytest.mark.parametrize(
    ("name", "chain"),
    [
        pytest.param("cpu", ["CPUExecutionProvider"], id="cpu"),
        pytest.param("cuda", [("CUDAExecutionProvider", {"device_id": "0"}), "CPUExecutionProvider"], id="cuda"),
        pytest.param(
            "tensorrt",
            [("TensorrtExecutionProvider", {"device_id": "0"}), "CUDAExecutionProvider", "CPUExecutionProvider"],
            id="tensorrt leaves nodes to cuda",
        ),
    ],
)
def test_provider_comes_first_and_the_cpu_last(name: str, chain: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, _ = opened(name, monkeypatch, level="disabled", threads=3)
    (session,) = runtime.sessions
    assert session.providers == chain
    assert session.further == {"enable_fallback": 0}
    assert session.source == "model.onnx"
    assert session.options.graph_optimization_level == "off"
    assert session.options.intra_op_num_threads == 3
    assert session.options.entries["session.force_spinning_stop"] == "1"


def test_inputs_and_outputs_lie_on_the_device_and_texts_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, model = opened("cuda", monkeypatch)
    binding = runtime.sessions[0].binding
    assert {name: value.device for name, value in binding.inputs.items()} == {"x": "cuda", "s": "cpu"}
    assert binding.outputs == {"y": "cuda"}
    assert binding.synchronized == 1
    assert model.placement() == {"CUDAExecutionProvider": 8, "CPUExecutionProvider": 2}


def test_types_that_numpy_lacks_are_fed_as_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = fake_runtime.install(monkeypatch)
    OpenedModel(Path("m.onnx"), {**FEED, "x": np.ones(2, ml_dtypes.bfloat16)}, Setting(PROVIDERS["cuda"]))
    value = runtime.sessions[0].binding.inputs["x"]
    assert (value.onnx_type, value.array.dtype, value.array.tolist()) == (16, np.uint16, [0x3F80, 0x3F80])


def test_cuda_graphs_are_captured_at_fixed_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, _ = opened("cuda", monkeypatch, graphs=True)
    (session,) = runtime.sessions
    assert session.providers[0][1] == {"device_id": "0", "enable_cuda_graph": "1"}
    fixed = session.binding.outputs["y"]
    assert (fixed.device, fixed.shape(), fixed.onnx_type) == ("cuda", [2, 3], 10)
    # The run that shows how large the outputs are isn't captured, the others are.
    assert session.runs == [{"gpu_graph_id": "-1"}, {}]


@pytest.mark.parametrize("name", ["cpu", "openvino", "coreml", "dml"])
def test_cuda_graphs_need_cuda(name: str) -> None:
    with pytest.raises(UsageError, match=rf"cuda, tensorrt, and '{name}' is asked for"):
        Setting(PROVIDERS[name], graphs=True)


@pytest.mark.parametrize(("name", "times"), [("cpu", 0), ("cuda", 1), ("tensorrt", 1)])
def test_cuda_libraries_are_loaded_and_what_that_prints_is_no_output(
    name: str, times: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runtime = fake_runtime.install(monkeypatch)
    provider_named(name)
    assert runtime.preloaded == times
    assert capsys.readouterr().out == ""
    del runtime.preload_dlls  # before ONNX Runtime 1.21
    provider_named(name)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        pytest.param(
            "cuda", r"1\.31\.0 has cpu; install 'normgraph\[gpu\]', after `pip uninstall onnxruntime`", id="cuda"
        ),
        pytest.param("openvino", r"has cpu; install 'onnxruntime-openvino'", id="openvino"),
        pytest.param("coreml", r"has cpu; install 'normgraph\[cpu\]' on macOS", id="coreml"),
    ],
)
def test_a_provider_that_is_absent_is_named_with_what_brings_it(
    name: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_runtime.install(monkeypatch, built=("AzureExecutionProvider", "CPUExecutionProvider"))
    assert present() == ["cpu"]
    with pytest.raises(MissingProviderError, match=advice):
        provider_named(name)


def test_a_provider_that_does_not_start_is_an_error_and_no_slow_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime itself would go on with the CPU's."""
    fake_runtime.install(monkeypatch, startable=("CPUExecutionProvider",))
    with pytest.raises(MissingProviderError, match=r"'cuda' doesn't: .*nvidia-smi"):
        OpenedModel(Path("m.onnx"), FEED, Setting(provider_named("cuda")))


@pytest.mark.parametrize(
    ("source", "feed", "error", "message"),
    [
        pytest.param("refused.onnx", FEED, RefusedError, r"refused.onnx \(it is bad\)", id="bad model"),
        pytest.param("m.onnx", {"x": FEED["x"]}, UsageError, "'s' isn't: m.onnx", id="missing input"),
    ],
)
def test_what_cannot_be_opened_is_an_error_in_one_line(
    source: str, feed: dict[str, Any], error: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_runtime.install(monkeypatch)
    with pytest.raises(error, match=message):
        OpenedModel(Path(source), feed, Setting())


SUM = onnx.parser.parse_model("""
    <ir_version: 8, opset_import: ["" : 17]>
    sum (float[N, 3] x, bfloat16[N] b) => (float[N] y, bfloat16[N] c) {
        y = ReduceSum<keepdims = 0>(x, axes)  c = Identity(b)
    }""")
SUM.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1]), "axes"))


def test_on_this_machine_a_model_runs_on_what_it_is_fed() -> None:
    feed = {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(2, ml_dtypes.bfloat16)}
    model = OpenedModel(SUM.SerializeToString(), feed, Setting(provider_named("cpu"), threads=1))
    model.run()
    assert model.shapes() == {"y": (2,), "c": (2,)}
    assert model.placement() == {}
    del SUM.graph.output[1:], SUM.graph.node[1:]
    alone = OpenedModel(SUM.SerializeToString(), feed, Setting())
    alone.run()
    assert [array.tolist() for array in alone.outputs()] == [[3.0, 12.0]]


def test_on_this_machine_inputs_that_do_not_fit_are_refused() -> None:
    feed = {"x": np.ones((2, 4), np.float32), "b": np.ones(2, ml_dtypes.bfloat16)}
    with pytest.raises(RefusedError, match="a model must run on the provider cpu"):
        OpenedModel(SUM.SerializeToString(), feed, Setting(), "sum").run()


@pytest.mark.cuda
@pytest.mark.parametrize("graphs", [False, True])
def test_on_a_gpu_the_results_are_those_of_the_cpu(graphs: bool) -> None:
    try:
        provider = provider_named("cuda")
    except MissingProviderError as error:
        pytest.skip(str(error))
    sample = Path(__file__).resolve().parents[2] / "models" / "samples" / "vit_torchscript_13.onnx"
    random = np.random.default_rng(1)
    inputs = onnx.load(sample).graph.input
    shapes = {value.name: [d.dim_value or 2 for d in value.type.tensor_type.shape.dim] for value in inputs}
    feed = {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    results = []
    for setting in (Setting(), Setting(provider, graphs=graphs)):
        model = OpenedModel(sample, feed, setting)
        for _ in range(3):
            model.run()
        results.append(model.outputs())
    for expected, found in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)  # TF32
