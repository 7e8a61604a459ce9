"""Operators that the ONNX standard defines by functions, with the bodies of these in their place."""

import itertools
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx.inliner
from onnx import helper, numpy_helper

from tests.cases import DTYPES, Array

#: The opsets at which a function's body may differ: those of the operator and of what its body is written in.
OPSETS: Mapping[str, tuple[int, ...]] = {
    "LayerNormalization": (17, 18, 21, 23, 25, 28),
    "RMSNormalization": (23, 25, 28),
    "GroupNormalization": (18, 21, 23, 28),
    "MeanVarianceNormalization": (9, 13, 18, 23, 28),
}
FLOAT, HALF, BFLOAT = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16
Attributes = Mapping[str, int | float | list[int]]


@dataclass(frozen=True, eq=False)
class Body:
    """An operator, what it is fed and with what it is set: to be written out as the standard does.

    Attributes:
        operator: of the standard's default domain.
        opset: its version.
        dtype: the element type of all its operands.
        dims: of its first operand, a name where dynamic.
        attributes: of the node.
        parameters: the shapes of its further operands, which are constants.
    """

    operator: str
    opset: int
    dtype: str
    dims: tuple[int | str, ...]
    attributes: Attributes = field(default_factory=dict)
    parameters: tuple[tuple[int, ...], ...] = ()

    def __str__(self) -> str:
        settings = "-".join(f"{name}={value}" for name, value in self.attributes.items())
        dims = "x".join(map(str, self.dims))
        return f"{self.operator}-{self.opset}-{self.dtype}-{dims}-{settings}-{len(self.parameters)}"

    @property
    def constants(self) -> dict[str, Array]:
        """Random values for the further operands, by name."""
        random = np.random.default_rng(zlib.crc32(str(self.parameters).encode()))
        # Eighths, which every type holds: what is then computed in another type begins at the same numbers.
        drawn = [random.integers(-12, 13, shape) / 8 for shape in self.parameters]
        return {name: array.astype(DTYPES[self.dtype]) for name, array in zip("wb", drawn, strict=False)}

    @property
    def group_size(self) -> int | None:
        """How many channels share their statistics; None for what isn't a GroupNormalization."""
        groups = self.attributes.get("num_groups")
        return self.dims[1] // groups if isinstance(groups, int) and isinstance(self.dims[1], int) else None


def native(body: Body, dtype: str | None = None) -> onnx.ModelProto:
    """The operator as one node, of another element type if that is asked for."""
    constants = {name: array.astype(DTYPES[dtype or body.dtype]) for name, array in body.constants.items()}
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(DTYPES[dtype or body.dtype]))
    attributes = {n: v for n, v in body.attributes.items() if n != "stash_type" or dtype is None}
    graph = helper.make_graph(
        [helper.make_node(body.operator, ["x", *constants], ["y"], name="norm", **attributes)],
        "g",
        [helper.make_tensor_value_info("x", kind, body.dims)],
        [helper.make_tensor_value_info("y", kind, body.dims)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
        value_info=[helper.make_tensor_value_info(name, kind, array.shape) for name, array in constants.items()],
    )
    imports = [helper.make_opsetid("", body.opset)]
    return helper.make_model(
        graph, opset_imports=imports, ir_version=max(4, helper.find_min_ir_version_for(imports, ignore_unknown=True))
    )


def expanded(body: Body) -> onnx.ModelProto:
    """The operator written out by onnx itself, without what nothing reads."""
    model = onnx.inliner.inline_selected_functions(native(body), [("", body.operator)], inline_schema_functions=True)
    assert all(node.op_type != body.operator for node in model.graph.node), f"{body} has no body"
    remove_unread(model)
    return model


def remove_unread(model: onnx.ModelProto) -> None:
    """Remove the nodes and values that lead to no output: a body computes its optional outputs wanted or not."""
    read = {output.name for output in model.graph.output}
    for node in reversed(list(model.graph.node)):
        if read.isdisjoint(node.output):
            model.graph.node.remove(node)
        else:
            read.update(node.input)
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in read]:
        model.graph.initializer.remove(tensor)
    del model.graph.value_info[:]


def layer_norms(opset: int) -> Iterator[Body]:
    kind = "LayerNormalization"
    layouts = ((("N", 6), -1), (("N", "S", 6), 2), (("N", 3, 6), 1), ((2, 3, 6), -2), ((2, 3, 4, 5), 0))
    for dtype, (dims, axis) in itertools.product(DTYPES, layouts):
        shape = tuple(size for size in dims[axis:] if isinstance(size, int))
        yield Body(kind, opset, dtype, dims, {"axis": axis, "epsilon": 1e-3}, (shape,))
        for stash in (FLOAT, BFLOAT) if dtype in ("float16", "bfloat16") else (FLOAT,):
            yield Body(kind, opset, dtype, dims, {"axis": axis, "stash_type": stash}, (shape, shape))


def rms_norms(opset: int) -> Iterator[Body]:
    layouts = ((("N", 6), -1), (("N", "S", 6), 2), (("N", 3, 6), 1), ((2, 3, 6), -2), ((2, 3, 4, 5), 0))
    for dtype, (dims, axis) in itertools.product(DTYPES, layouts):
        shape = tuple(size for size in dims[axis:] if isinstance(size, int))
        for stash in (FLOAT, HALF, BFLOAT) if dtype in ("float16", "bfloat16") else (FLOAT,):
            attributes = {"axis": axis, "stash_type": stash, "epsilon": 1e-3}
            yield Body("RMSNormalization", opset, dtype, dims, attributes, (shape,))


def group_norms(opset: int) -> Iterator[Body]:
    layouts = (("N", 6, 4, 5), (2, 6, 4, 5), ("N", 6, "H", "W"), (2, 6, 5), (2, 6, 2, 3, 4))
    for dtype, dims, groups in itertools.product(DTYPES, layouts, (1, 2, 3, 6)):
        shape = (6 if opset >= 21 else groups,)  # before, there is one gain a group
        stashes = (FLOAT, BFLOAT) if dtype in ("float16", "bfloat16") and opset >= 21 else (None,)
        for stash in stashes:
            stashed = {} if stash is None else {"stash_type": stash}
            attributes = {"num_groups": groups, "epsilon": 1e-3, **stashed}
            yield Body("GroupNormalization", opset, dtype, dims, attributes, (shape, shape))


def mean_variance_norms(opset: int) -> Iterator[Body]:
    """In float32 alone: the body's constants are of that type, whatever the operator's."""
    layouts = (
        (("N", 4, 5, 6), [0, 2, 3]),
        ((2, 4, 5, 6), [2, 3]),
        ((2, 4, 6), [-1]),
        ((2, 4, 5, 6), [0, 1, 2, 3]),
    )
    for dims, axes in layouts:
        yield Body("MeanVarianceNormalization", opset, "float", dims, {"axes": axes})


_TABLE = (
    ("LayerNormalization", layer_norms),
    ("RMSNormalization", rms_norms),
    ("GroupNormalization", group_norms),
    ("MeanVarianceNormalization", mean_variance_norms),
)
BODIES: tuple[Body, ...] = tuple(
    body for operator, bodies in _TABLE for opset in OPSETS[operator] for body in bodies(opset)
)
