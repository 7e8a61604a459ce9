"""The kernels against ONNX: the test data it comes with, its reference evaluator and ONNX Runtime.

One table of adapters reads a node and calls the kernel; what follows feeds it nodes from several sources.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.loader import load_model_tests
from onnx.reference import ReferenceEvaluator

from normgraph.kernels.batch_normalization import batch_normalization, batch_normalization_training
from normgraph.kernels.convolution import convolution
from normgraph.kernels.gemm import gemm
from normgraph.kernels.group_normalization import group_normalization
from normgraph.kernels.instance_normalization import instance_normalization
from normgraph.kernels.layer_normalization import layer_normalization
from normgraph.kernels.lp_normalization import lp_normalization
from normgraph.kernels.mean_variance_normalization import mean_variance_normalization
from normgraph.kernels.precision import Array
from normgraph.kernels.rms_normalization import rms_normalization
from normgraph.kernels.transposed_convolution import transposed_convolution

Attributes = dict[str, Any]
Arrays = Sequence[Array]


def batch(inputs: Arrays, attributes: Attributes) -> Arrays:
    attributes.pop("is_test", None)
    attributes.pop("spatial", None)
    if attributes.pop("training_mode", 0):
        return batch_normalization_training(*inputs, **attributes)
    attributes.pop("momentum", None)
    return [batch_normalization(*inputs, **attributes)]


def general_product(inputs: Arrays, attributes: Attributes) -> Arrays:
    product = gemm(
        *inputs,
        alpha=attributes.get("alpha", 1.0),
        beta=attributes.get("beta", 1.0),
        transpose_a=bool(attributes.get("transA")),
        transpose_b=bool(attributes.get("transB")),
    )
    return [product]


def single(kernel: Callable[..., Array], *ignored: str) -> Callable[[Arrays, Attributes], Arrays]:
    """An adapter for a kernel whose parameters are named as the operator's attributes are."""

    def adapter(inputs: Arrays, attributes: Attributes) -> Arrays:
        return [kernel(*inputs, **{k: v for k, v in attributes.items() if k not in ignored})]

    return adapter


ADAPTERS: dict[str, Callable[[Arrays, Attributes], Arrays]] = {
    "BatchNormalization": batch,
    "Conv": single(convolution, "kernel_shape"),
    "ConvTranspose": single(transposed_convolution, "kernel_shape"),
    "Gemm": general_product,
    "GroupNormalization": single(group_normalization, "stash_type"),
    "InstanceNormalization": single(instance_normalization),
    "LayerNormalization": single(layer_normalization, "stash_type"),
    "LpNormalization": single(lp_normalization),
    "MeanVarianceNormalization": single(mean_variance_normalization),
    "RMSNormalization": single(rms_normalization, "stash_type"),
}


def computed(node: onnx.NodeProto, inputs: Arrays) -> Arrays:
    """What the kernel gives for a node; as many outputs as it computes."""
    attributes = {}
    for attribute in node.attribute:
        value = helper.get_attribute_value(attribute)
        attributes[attribute.name] = value.decode() if isinstance(value, bytes) else value
    return ADAPTERS[node.op_type](inputs, attributes)


# Test data that comes with onnx


def backend_node_cases() -> Iterator[Any]:
    """The node tests of the operators at hand; loading all 1,900 would take several seconds."""
    cases = importlib.import_module("onnx.backend.test.case.node")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for module in pkgutil.iter_modules(cases.__path__):
            if re.search("norm|conv|gemm", module.name):
                importlib.import_module(f"{cases.__name__}.{module.name}")
    for case in cases._NodeTestCases:
        if len(case.model.graph.node) == 1 and case.model.graph.node[0].op_type in ADAPTERS:
            yield pytest.param(case, id=case.name)


def pytorch_cases() -> Iterator[Any]:
    """The models that PyTorch once exported, with inputs and outputs on disk."""
    for kind in ("pytorch-converted", "pytorch-operator"):
        for case in sorted(load_model_tests(kind=kind), key=lambda case: case.name):
            model = onnx.load(Path(case.model_dir or "") / "model.onnx")
            if len(model.graph.node) == 1 and model.graph.node[0].op_type in ADAPTERS:
                yield pytest.param(model, Path(case.model_dir or ""), id=case.name)


BACKEND_NODE_CASES = list(backend_node_cases())
PYTORCH_CASES = list(pytorch_cases())


def test_the_data_of_onnx_covers_every_operator() -> None:
    nodes = {param.values[0].model.graph.node[0].op_type for param in BACKEND_NODE_CASES}
    assert nodes == set(ADAPTERS)
    assert len(BACKEND_NODE_CASES) >= 70
    models = {param.values[0].graph.node[0].op_type for param in PYTORCH_CASES}
    assert models == {"BatchNormalization", "Conv", "ConvTranspose", "Gemm", "InstanceNormalization"}
    assert len(PYTORCH_CASES) >= 37


@pytest.mark.parametrize("case", BACKEND_NODE_CASES)
def test_onnx_node_test_data(case: Any) -> None:
    (node,) = case.model.graph.node
    for inputs, expected in case.data_sets:
        actual = computed(node, inputs)
        assert len(actual) >= len(expected) or node.op_type == "LayerNormalization"
        for got, wanted in zip(actual, expected, strict=False):
            assert got.dtype == wanted.dtype
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("model", "folder"), PYTORCH_CASES)
def test_stored_results_of_pytorch(model: onnx.ModelProto, folder: Path) -> None:
    graph = model.graph
    (node,) = graph.node
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    data_sets = sorted(folder.glob("test_data_set_*"))
    assert data_sets
    for data_set in data_sets:
        fed = [value.name for value in graph.input if value.name not in values]
        inputs = {name: read(data_set / f"input_{i}.pb") for i, name in enumerate(fed)}
        (got, *_) = computed(node, [(values | inputs)[name] for name in node.input])
        np.testing.assert_allclose(got, read(data_set / "output_0.pb"), rtol=1e-4, atol=1e-5)


def read(path: Path) -> Array:
    return numpy_helper.to_array(TensorProto.FromString(path.read_bytes()))


# Other implementations, over shapes, axes and dtypes

#: rtol and atol: half-precision results are rounded once here, several times there.
TOLERANCES = {
    "float64": (1e-12, 1e-12),
    "float32": (1e-5, 1e-5),
    "float16": (2e-3, 2e-3),
    "bfloat16": (1.6e-2, 1.6e-2),
}


ELEMENT_TYPES = {
    "float64": TensorProto.DOUBLE,
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "bfloat16": TensorProto.BFLOAT16,
}


@dataclass(frozen=True)
class Case:
    """A node with the shapes of its inputs, and who is known to implement it rightly."""

    operator: str
    opset: int
    shapes: tuple[tuple[int, ...], ...]
    attributes: Attributes = field(default_factory=dict)
    dtype: str = "float32"
    outputs: int = 1
    runtime: bool = True
    reference: bool = True

    def __str__(self) -> str:
        attributes = ",".join(f"{name}={value}" for name, value in self.attributes.items())
        shapes = "+".join("x".join(map(str, shape)) or "scalar" for shape in self.shapes)
        return f"{self.operator}-{self.opset}[{shapes}]({attributes}){self.dtype}"

    def inputs(self) -> Arrays:
        """Values around 1 with both signs; the last input of BatchNormalization is a variance."""
        random = np.random.default_rng(len(str(self)))
        arrays = [random.normal(1.0, 2.0, shape) for shape in self.shapes]
        if self.operator == "BatchNormalization":
            arrays[4] = np.abs(arrays[4])
        kind = ml_dtypes.bfloat16 if self.dtype == "bfloat16" else self.dtype
        return [array.astype(kind) for array in arrays]

    def model(self) -> onnx.ModelProto:
        """The node alone; bfloat16 goes in and out as float32, because NumPy doesn't know it."""
        names = [f"x{i}" for i in range(len(self.shapes))]
        results = [f"y{i}" for i in range(self.outputs)]
        node = helper.make_node(self.operator, names, results, **self.attributes)
        nodes, kind = [node], ELEMENT_TYPES[self.dtype]
        boundary = kind
        if self.dtype == "bfloat16":
            boundary = TensorProto.FLOAT
            node.input[:] = [f"{name}_half" for name in names]
            node.output[:] = [f"{name}_half" for name in results]
            before = [helper.make_node("Cast", [name], [f"{name}_half"], to=kind) for name in names]
            behind = [helper.make_node("Cast", [f"{name}_half"], [name], to=boundary) for name in results]
            nodes = [*before, node, *behind]
        graph = helper.make_graph(
            nodes,
            "case",
            [helper.make_tensor_value_info(n, boundary, s) for n, s in zip(names, self.shapes, strict=True)],
            [helper.make_tensor_value_info(n, boundary, None) for n in results],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=10)


def layer(shape: tuple[int, ...], axis: int, scale: tuple[int, ...], **options: Any) -> Case:
    bias = options.pop("bias", scale)
    shapes = (shape, scale) if bias is None else (shape, scale, bias)
    epsilon = options.pop("epsilon", 1e-5)
    return Case("LayerNormalization", 17, shapes, {"axis": axis, "epsilon": epsilon}, **options)


def rms(shape: tuple[int, ...], axis: int, scale: tuple[int, ...], **options: Any) -> Case:
    return Case("RMSNormalization", 23, (shape, scale), {"axis": axis, "epsilon": 1e-3}, **options)


def batched(opset: int, shape: tuple[int, ...], attributes: Attributes, **options: Any) -> Case:
    channels = (shape[1] if len(shape) > 1 else 1,)
    return Case("BatchNormalization", opset, (shape, *4 * [channels]), attributes, **options)


def conv(x: tuple[int, ...], weight: tuple[int, ...], **attributes: Any) -> Case:
    return Case("Conv", 11, (x, weight, weight[:1]), attributes)


def transposed(x: tuple[int, ...], weight: tuple[int, ...], **attributes: Any) -> Case:
    """onnx's reference fails on groups of several channels, and where output_shape stands without SAME."""
    group = attributes.get("group", 1)
    sound = group == 1 and ("output_shape" not in attributes or "auto_pad" in attributes)
    return Case("ConvTranspose", 11, (x, weight, (weight[1] * group,)), attributes, reference=sound)


def normalized(name: str, opset: int, shape: tuple[int, ...], **attributes: Any) -> Case:
    return Case(name, opset, (shape,), attributes)


CASES = [
    layer((4, 6), -1, (6,)),
    layer((4, 6), -1, (6,), bias=None),
    layer((4, 6), 0, (4, 6)),
    layer((2, 3, 5), -1, (5,), epsilon=0.1),
    layer((2, 3, 5), 1, (3, 5)),
    layer((2, 3, 5), 1, (5,)),
    layer((2, 3, 5), -1, (3, 1)),
    layer((2, 3, 5), -1, (2, 1, 5)),
    layer((2, 3, 5), -2, (3, 5), bias=(1, 5)),
    layer((20, 5, 10, 10), 1, (5, 10, 10)),
    layer((1, 1), -1, (1,)),
    layer((3, 769), -1, (769,)),
    layer((0, 6), -1, (6,)),
    layer((4, 6), -1, (6,), dtype="float64"),
    layer((2, 3, 5), 1, (3, 5), dtype="float64"),
    layer((4, 64), -1, (64,), dtype="float16"),
    # onnx's reference computes its half-precision means in half precision.
    layer((4, 64), -1, (64,), dtype="bfloat16", reference=False),
    rms((4, 6), -1, (6,)),
    rms((2, 3, 5), 1, (3, 5)),
    rms((2, 3, 5), -3, (2, 3, 5)),
    rms((2, 3, 5), 1, (1,)),
    rms((4, 6), -1, (6,), dtype="float64"),
    rms((4, 64), -1, (64,), dtype="float16"),
    Case("InstanceNormalization", 6, ((2, 3, 4, 5), (3,), (3,)), {"epsilon": 1e-2}),
    Case("InstanceNormalization", 6, ((2, 3, 7), (3,), (3,))),
    Case("InstanceNormalization", 22, ((1, 2, 3, 2, 2), (2,), (2,))),
    Case("GroupNormalization", 18, ((2, 6, 4, 3), (3,), (3,)), {"num_groups": 3}),
    Case("GroupNormalization", 21, ((2, 6, 4, 3), (6,), (6,)), {"num_groups": 3, "epsilon": 1e-2}),
    Case("GroupNormalization", 21, ((2, 6, 4), (6,), (6,)), {"num_groups": 1}),
    Case("GroupNormalization", 21, ((2, 6, 4), (6,), (6,)), {"num_groups": 6}),
    Case("GroupNormalization", 21, ((2, 6, 4), (6,), (6,)), {"num_groups": 2}, dtype="float16"),
    normalized("LpNormalization", 1, (4, 6)),
    normalized("LpNormalization", 22, (2, 3, 5), axis=1, p=2),
    normalized("LpNormalization", 22, (2, 3, 5), axis=0, p=2),
    # onnx's reference sums the elements, not their absolute values.
    Case("LpNormalization", 22, ((2, 3, 5),), {"axis": -2, "p": 1}, reference=False),
    Case("LpNormalization", 22, ((2, 3, 5),), {"axis": 2}, dtype="float64"),
    normalized("MeanVarianceNormalization", 9, (2, 3, 4, 5)),
    normalized("MeanVarianceNormalization", 13, (2, 3, 4, 5), axes=[0, 2, 3]),
    normalized("MeanVarianceNormalization", 13, (2, 3, 4, 5), axes=[2, 3]),
    # onnx's reference takes momentum, which has a default, for a sign of training.
    batched(9, (2, 3, 4, 5), {"epsilon": 1e-3}, reference=False),
    batched(13, (2, 3, 4, 5), {}, reference=False),
    batched(14, (2, 3, 4, 5), {"epsilon": 1e-3}),
    batched(15, (2, 3), {}),
    batched(15, (7,), {}),
    batched(15, (2, 3, 4, 2, 2), {}),
    batched(15, (2, 3, 4), {}, dtype="float64"),
    batched(14, (5, 3, 4), {"training_mode": 1, "momentum": 0.75}, outputs=3),
    batched(15, (5, 3, 4, 2), {"training_mode": 1, "epsilon": 1e-2}, outputs=3),
    batched(15, (5, 3), {"training_mode": 1}, outputs=3),
    conv((2, 3, 8), (4, 3, 3)),
    conv((2, 3, 8, 9), (4, 3, 3, 2), strides=[2, 3]),
    conv((2, 3, 8, 9), (4, 3, 3, 2), pads=[1, 0, 2, 3], dilations=[2, 1]),
    conv((2, 4, 8, 9), (6, 2, 3, 3), group=2, pads=[1, 1, 1, 1]),
    conv((2, 4, 8, 9), (8, 1, 3, 3), group=4, strides=[2, 2]),
    conv((1, 2, 5, 6, 7), (3, 2, 2, 3, 2), strides=[1, 2, 1]),
    conv((1, 2, 7, 8), (3, 2, 3, 4), auto_pad="SAME_UPPER", strides=[2, 3]),
    conv((1, 2, 7, 8), (3, 2, 3, 4), auto_pad="SAME_LOWER", strides=[2, 3]),
    conv((1, 2, 7, 8), (3, 2, 2, 4), auto_pad="SAME_LOWER"),
    conv((1, 2, 7, 8), (3, 2, 3, 4), auto_pad="VALID", dilations=[2, 1]),
    conv((1, 2, 5), (3, 2, 2), strides=[4]),
    transposed((2, 3, 5), (3, 4, 3)),
    transposed((2, 3, 4, 5), (3, 4, 3, 2), strides=[2, 3]),
    transposed((2, 3, 4, 5), (3, 4, 3, 2), pads=[1, 0, 2, 1], dilations=[2, 1]),
    transposed((2, 3, 4, 5), (3, 4, 3, 3), strides=[3, 2], output_padding=[2, 1]),
    transposed((2, 4, 4, 5), (4, 3, 3, 3), group=2, pads=[1, 1, 1, 1]),
    transposed((2, 4, 6), (4, 1, 3), group=4, strides=[2]),
    transposed((1, 2, 3, 2, 4), (2, 3, 2, 2, 2), strides=[2, 1, 2]),
    transposed((1, 2, 3, 4), (2, 3, 4, 3), strides=[3, 2], auto_pad="SAME_UPPER"),
    transposed((1, 2, 3, 4), (2, 3, 4, 3), strides=[3, 2], auto_pad="SAME_LOWER"),
    transposed((1, 2, 3, 4), (2, 3, 4, 3), strides=[3, 2], auto_pad="VALID"),
    transposed((1, 2, 3), (2, 3, 3), strides=[2], output_shape=[6]),
    transposed((1, 2, 3), (2, 3, 3), strides=[2], output_shape=[4]),
    transposed((1, 2, 3), (2, 3, 3), strides=[2], output_shape=[6], auto_pad="SAME_UPPER"),
    transposed((1, 2, 3), (2, 3, 3), strides=[4], output_shape=[13]),
    transposed((1, 2, 3), (2, 3, 3), strides=[4], output_shape=[14]),
    transposed((1, 2, 3), (2, 3, 3), strides=[2], output_shape=[7], output_padding=[1]),
    Case("Gemm", 13, ((3, 4), (4, 5)), {}),
    Case("Gemm", 11, ((3, 4), (4, 5), (5,)), {"alpha": 0.5, "beta": -2.0}),
    Case("Gemm", 13, ((4, 3), (5, 4), (3, 1)), {"transA": 1, "transB": 1}),
    Case("Gemm", 13, ((3, 4), (5, 4), ()), {"transB": 1, "beta": 0.25}),
    Case("Gemm", 13, ((4, 3), (4, 5), (3, 5)), {"transA": 1}, dtype="float64"),
]


def check(case: Case, expected: Arrays) -> None:
    node = next(node for node in case.model().graph.node if node.op_type == case.operator)
    rtol, atol = TOLERANCES[case.dtype]
    actual = computed(node, case.inputs())
    assert len(actual) == len(expected)
    for got, wanted in zip(actual, expected, strict=True):
        assert got.dtype == case.inputs()[0].dtype
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got.astype(np.float64), wanted.astype(np.float64), rtol=rtol, atol=atol)


def feeds(case: Case) -> dict[str, Array]:
    boundary = "float32" if case.dtype == "bfloat16" else case.dtype
    return {f"x{i}": array.astype(boundary) for i, array in enumerate(case.inputs())}


@pytest.mark.parametrize("case", [case for case in CASES if case.runtime], ids=str)
def test_onnx_runtime_agrees(case: Case) -> None:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    model = case.model().SerializeToString()
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    check(case, session.run(None, feeds(case)))


@pytest.mark.parametrize("case", [case for case in CASES if case.reference], ids=str)
def test_the_reference_evaluator_agrees(case: Case) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        expected = ReferenceEvaluator(case.model()).run(None, feeds(case))
    assert isinstance(expected, list)
    check(case, expected)
