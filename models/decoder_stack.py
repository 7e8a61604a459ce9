"""Transformer layers of any number and width, built node by node: models for which no framework has to be asked.

Each layer is written as PyTorch's TorchScript exporter writes one below opset 17, with both LayerNorms spelled out in
nine operators and their constants as nodes.  Weights stand in the file, or in external data beside it; there, large
matrices may be holes of a sparse file.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

FloatArray = npt.NDArray[np.float32]
OPSET = 13
EPSILON = 1e-5
#: Weights of fewer bytes are stored in the model's file, not beside it, and are never holes.
SMALL = 64 * 1024
#: External data begins at multiples of this, so that they can be mapped.
PAGE = 4096


@dataclass(frozen=True)
class Stack:
    """The sizes of a stack: float32, batch and sequence dynamic.

    Attributes:
        layers: how many, of two LayerNorms each.
        width: of the tensors between the layers, a multiple of `heads`.
        hidden: of the two-layer perceptron in each layer.
        heads: of the attention.
    """

    layers: int
    width: int
    hidden: int
    heads: int

    def matrices(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """The weight matrices of one layer: name and shape."""
        for name in ("query", "key", "value", "attention_output"):
            yield name, (self.width, self.width)
        yield "expand", (self.width, self.hidden)
        yield "project", (self.hidden, self.width)

    @property
    def parameters(self) -> int:
        """How many numbers are stored."""
        matrices = sum(rows * columns + columns for _, (rows, columns) in self.matrices())
        return self.layers * (matrices + 4 * self.width)


@dataclass
class _Graph:
    """The nodes and initializers built so far."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[TensorProto] = field(default_factory=list)

    def add(self, operator: str, inputs: Sequence[str], scope: str, **attributes: Any) -> str:
        """Append a node; returns the name of its output."""
        name = f"/{scope}/{operator}_{len(self.nodes)}"
        output = f"{name}_output_0"
        self.nodes.append(helper.make_node(operator, inputs, [output], name, **attributes))
        return output

    def constant(self, value: float | Sequence[int], scope: str) -> str:
        """Append a Constant node: a float32 scalar, or a list of int64."""
        array = np.asarray(value, np.float32 if isinstance(value, float) else np.int64)
        return self.add("Constant", [], scope, value=numpy_helper.from_array(array))


class Weights:
    """Where the numbers of the stack go: into the model's file, or beside it.

    Args:
        beside: the file of external data, open for writing; None for none.
        location: its name, as the model gives it.
        dense: whether large matrices of external data hold random numbers; else they are holes, which read as zeros.
    """

    def __init__(self, beside: BinaryIO | None = None, location: str = "", dense: bool = True) -> None:
        self._beside, self._location, self._dense = beside, location, dense
        self._end = 0

    def tensor(self, name: str, shape: tuple[int, ...], mean: float = 0.0, deviation: float = 0.02) -> TensorProto:
        """An initializer of random numbers, the same for the same name and shape."""
        count = math.prod(shape)
        if self._beside is None or 4 * count < SMALL:
            random = np.random.default_rng(zlib.crc32(name.encode()))
            values = mean + deviation * random.standard_normal(shape, np.float32)
            return numpy_helper.from_array(values.astype(np.float32), name)
        begin = -(-self._end // PAGE) * PAGE
        self._end = begin + 4 * count
        self._beside.truncate(self._end)
        if self._dense:
            self._beside.seek(begin)
            for chunk in _chunks(name, count, deviation):
                self._beside.write(chunk.tobytes())
        tensor = TensorProto(name=name, dims=shape, data_type=TensorProto.FLOAT)
        tensor.data_location = TensorProto.EXTERNAL
        entries = {"location": self._location, "offset": str(begin), "length": str(4 * count)}
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=value)
        return tensor


def _chunks(name: str, count: int, deviation: float, size: int = 1 << 22) -> Iterator[FloatArray]:
    random = np.random.default_rng(zlib.crc32(name.encode()))
    for begin in range(0, count, size):
        yield deviation * random.standard_normal(min(size, count - begin), np.float32)


def stack_model(stack: Stack, weights: Weights) -> onnx.ModelProto:
    """The model: hidden_states, N×T×width → output, N×T×width, LayerNorms before attention and perceptron."""
    graph = _Graph()
    x = "hidden_states"
    for number in range(stack.layers):
        x = _layer(graph, stack, weights, f"layers.{number}", x)
    graph.nodes[-1].output[0] = "output"
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "sequence", stack.width])
        for name in ("hidden_states", "output")
    ]
    built = helper.make_graph(graph.nodes, "stack", ends[:1], ends[1:], graph.initializers)
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(built, opset_imports=[opset], ir_version=8, producer_name="models/large.py")


def _layer(graph: _Graph, stack: Stack, weights: Weights, scope: str, x: str) -> str:
    shapes = dict(stack.matrices())

    def linear(name: str, value: str) -> str:
        matrix = weights.tensor(f"{scope}.{name}.weight", shapes[name])
        bias = weights.tensor(f"{scope}.{name}.bias", shapes[name][1:])
        graph.initializers += [matrix, bias]
        product = graph.add("MatMul", [value, matrix.name], f"{scope}/{name}")
        return graph.add("Add", [product, bias.name], f"{scope}/{name}")

    def heads(name: str, value: str, order: Sequence[int]) -> str:
        shape = graph.constant([0, 0, stack.heads, stack.width // stack.heads], f"{scope}/{name}")
        split = graph.add("Reshape", [linear(name, value), shape], f"{scope}/{name}")
        return graph.add("Transpose", [split], f"{scope}/{name}", perm=order)

    normalized = _norm(graph, stack, weights, f"{scope}.attention_norm", x)
    query, value = (heads(name, normalized, (0, 2, 1, 3)) for name in ("query", "value"))
    scores = graph.add("MatMul", [query, heads("key", normalized, (0, 2, 3, 1))], f"{scope}/attention")
    root = graph.constant(math.sqrt(stack.width / stack.heads), f"{scope}/attention")
    scores = graph.add("Div", [scores, root], f"{scope}/attention")
    scores = graph.add("Softmax", [scores], f"{scope}/attention", axis=-1)
    mixed = graph.add("MatMul", [scores, value], f"{scope}/attention")
    mixed = graph.add("Transpose", [mixed], f"{scope}/attention", perm=(0, 2, 1, 3))
    shape = graph.constant([0, 0, stack.width], f"{scope}/attention")
    mixed = graph.add("Reshape", [mixed, shape], f"{scope}/attention")
    x = graph.add("Add", [x, linear("attention_output", mixed)], scope)
    y = linear("expand", _norm(graph, stack, weights, f"{scope}.perceptron_norm", x))
    return graph.add("Add", [x, linear("project", _gelu(graph, f"{scope}/activation", y))], scope)


def _gelu(graph: _Graph, scope: str, x: str) -> str:
    """x·(1 + erf(x/√2))/2, as it is spelled out before opset 20."""
    inner = graph.add("Div", [x, graph.constant(math.sqrt(2.0), scope)], scope)
    inner = graph.add("Erf", [inner], scope)
    inner = graph.add("Add", [inner, graph.constant(1.0, scope)], scope)
    inner = graph.add("Mul", [x, inner], scope)
    return graph.add("Mul", [inner, graph.constant(0.5, scope)], scope)


def _norm(graph: _Graph, stack: Stack, weights: Weights, scope: str, x: str) -> str:
    """LayerNorm over the last axis: (x − E[x]) / √(E[(x − E[x])²] + ε)·γ + β."""
    gain = weights.tensor(f"{scope}.weight", (stack.width,), 1.0, 0.3)
    bias = weights.tensor(f"{scope}.bias", (stack.width,), 0.0, 0.5)
    graph.initializers += [gain, bias]
    mean = graph.add("ReduceMean", [x], scope, axes=[-1])
    centred = graph.add("Sub", [x, mean], scope)
    square = graph.add("Pow", [centred, graph.constant(2.0, scope)], scope)
    variance = graph.add("ReduceMean", [square], scope, axes=[-1])
    shifted = graph.add("Add", [variance, graph.constant(EPSILON, scope)], scope)
    y = graph.add("Div", [centred, graph.add("Sqrt", [shifted], scope)], scope)
    return graph.add("Add", [graph.add("Mul", [y, gain.name], scope), bias.name], scope)


def write_stack(stack: Stack, path: Path, external: bool, dense: bool) -> None:
    """Write the model to a path, and external data to PATH.data where that is asked for."""
    beside = path.with_name(path.name + ".data")
    if external:
        with beside.open("wb") as file:
            model = stack_model(stack, Weights(file, beside.name, dense))
    else:
        model = stack_model(stack, Weights())
    path.write_bytes(model.SerializeToString(deterministic=True))
