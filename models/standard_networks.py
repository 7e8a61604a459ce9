"""Networks of the normalizations of the ONNX standard itself, each an operator with settings, in a residual chain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import onnx
from exporting import Array
from manifest import Norm
from network import Call, Draw, Network, Sample, Site
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

EXPORTER = "onnx"
MVN = "MeanVarianceNormalization"
SENTENCES = (2, 4, 6)
IMAGES = (2, 6, 4, 5)
Attributes = Mapping[str, int | float | list[int]]


@dataclass(frozen=True)
class Operator:
    """A norm of the standard, with its settings, on tensors of a shape.

    Attributes:
        kind: the operator.
        settings: its attributes.
        parameters: its further operands by name: gain and bias.
        opset: of the model that it stands in.
    """

    kind: str
    settings: Attributes
    parameters: Mapping[str, Array]
    opset: int

    def node(self, x: str, y: str, prefix: str) -> onnx.NodeProto:
        """The operator as a node from x to y, its parameters' names begun by a prefix."""
        operands = [x, *(f"{prefix}.{name}" for name in self.parameters)]
        return helper.make_node(self.kind, operands, [y], name=prefix, **self.settings)

    def __call__(self, x: Array) -> Array:
        """The operator, computed by onnx's own evaluator in float64, or float32 where it's defined in that alone."""
        wide = np.dtype(np.float32 if self.kind == MVN else np.float64)
        if self.kind == "GroupNormalization" and self.opset < 21:  # the evaluator has a gain per channel
            repeats = x.shape[1] // next(iter(self.parameters.values())).size
            parameters = {name: np.repeat(array, repeats) for name, array in self.parameters.items()}
        else:
            parameters = dict(self.parameters)
        settings = {name: value for name, value in self.settings.items() if name != "stash_type"}
        exact = Operator(self.kind, settings, parameters, max(21, self.opset))
        element_type = helper.np_dtype_to_tensor_dtype(wide)
        graph = helper.make_graph(
            [exact.node("x", "y", "norm")],
            "norm",
            [helper.make_tensor_value_info("x", element_type, x.shape)],
            [helper.make_tensor_value_info("y", element_type, x.shape)],
            [numpy_helper.from_array(a.astype(wide), f"norm.{n}") for n, a in parameters.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", exact.opset)], ir_version=10)
        (y,) = ReferenceEvaluator(model).run(None, {"x": x.astype(wide)})
        return np.asarray(y).astype(x.dtype)


@dataclass(frozen=True)
class Setting:
    """What all operators of a network share: the opset, the element type, and where random numbers come from."""

    opset: int
    dtype: str
    draw: Draw

    def site(self, kind: str, over: Sequence[int], shapes: Sequence[Sequence[int]], **attributes: Any) -> Site:
        """An operator with random parameters of these shapes, gain and bias, and a random epsilon."""
        drawn = zip(("gain", "bias"), (self.draw.gain, self.draw.bias), shapes, strict=False)
        parameters = {name: make(*shape).astype(self.dtype) for name, make, shape in drawn}
        epsilon = self.draw.epsilon() if kind != MVN else 1e-9  # which it has no attribute for
        settings = {**attributes, **({"epsilon": epsilon} if kind != MVN else {})}
        norm = Norm(
            kind,
            tuple(over),
            epsilon,
            sum(array.size for array in parameters.values()),
            statistics="batch" if 0 in over else "sample",
            groups=attributes.get("num_groups"),
        )
        return Site(Operator(kind, settings, parameters, self.opset), norm)


def layers(common: Setting) -> dict[str, Site]:
    """LayerNormalization over the last axis, with and without a bias, and over two axes."""

    def over(axis: int, parameters: int) -> Site:
        return common.site("LayerNormalization", range(axis, 0), [SENTENCES[axis:]] * parameters, axis=axis)

    return {"last": over(-1, 2), "last_without_bias": over(-1, 1), "two": over(-2, 2)}


def root_mean_squares(common: Setting) -> dict[str, Site]:
    """RMSNormalization over the last axis, and over two."""
    kind = "RMSNormalization"
    return {
        name: common.site(kind, range(axis, 0), [SENTENCES[axis:]], axis=axis)
        for name, axis in (("last", -1), ("two", -2))
    }


def groups(common: Setting) -> dict[str, Site]:
    """GroupNormalization of two and of three groups; before opset 21, gain and bias are numbers per group."""

    def of(count: int) -> Site:
        shape = (IMAGES[1] if common.opset >= 21 else count,)
        return common.site("GroupNormalization", (1, 2, 3), [shape, shape], num_groups=count)

    return {"two": of(2), "three": of(3)}


def mean_variances(common: Setting) -> dict[str, Site]:
    """MeanVarianceNormalization over the batch and the image, and over the image."""
    return {
        "batch": common.site(MVN, (0, 2, 3), (), axes=[0, 2, 3]),
        "image": common.site(MVN, (2, 3), (), axes=[2, 3]),
    }


def network(sites: Callable[[Setting], dict[str, Site]], opset: int, dtype: str) -> Network:
    """A residual chain: each norm is that of the sum of x and all norms before it."""
    found = sites(Setting(opset, dtype, Draw(f"standard {sites.__name__}")))

    def forward(call: Call, x: Any) -> Any:
        for scope in found:
            x = x + call(scope, x)
        return x

    return Network(found, forward)


#: The networks, the shapes of their inputs, and the opsets at which the bodies of their operators differ, by type.
_TABLE: tuple[tuple[Callable[[Setting], dict[str, Site]], tuple[int, ...], Mapping[str, tuple[int, ...]]], ...] = (
    (layers, SENTENCES, {"float32": (17, 18, 25), "float16": (18,), "float64": (18,)}),
    (root_mean_squares, SENTENCES, {"float32": (23, 25), "float16": (23,), "float64": (23,)}),
    (groups, IMAGES, {"float32": (18, 21, 25), "float16": (21,), "float64": (21,)}),
    (mean_variances, IMAGES, {"float32": (9, 13, 18)}),
)
SHORT = {"float32": "", "float16": "_half", "float64": "_double"}
SAMPLES: tuple[Sample, ...] = tuple(
    Sample(
        f"standard_{sites.__name__}{SHORT[dtype]}",
        f"the standard's own functions: {sites.__name__.replace('_', ' ')}, {dtype}",
        partial(network, sites, opset, dtype),
        shape,
        ((EXPORTER, opset),),
        dtype,
    )
    for sites, shape, opsets in _TABLE
    for dtype, versions in opsets.items()
    for opset in versions
)
