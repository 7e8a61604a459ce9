"""Graphs as data: a case is a few lines of ONNX text, built at whichever opset and dtype a test asks for.

A text is the body of a graph in ONNX's textual syntax, without inputs, outputs and initializers:

    m = ReduceMean<axes=[-1]>(x)  d = Sub(x, m)
    y = Mul(d, 0.5)

`x` is fed and `y` is the output unless a case says otherwise. A name that nothing produces is a constant: one
of the case's own, else a number written in place (`2.`, `[-1]`, `1e-5f32`), else random values for the last
axis of `x`.
"""

import ast
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx
import onnx.inliner
import onnx.parser
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
# A number, an array, a tuple that is the shape of random values, or a text that is read as a number in place.
Constant = float | list[float] | Array | tuple[int, ...] | str

OPSETS = (11, 13, 17, 18, 21, 23)
DTYPES: Mapping[str, npt.DTypeLike] = {
    "float": np.float32,
    "float16": np.float16,
    "double": np.float64,
    "bfloat16": ml_dtypes.bfloat16,
}
FLOATS = frozenset(
    {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16},
)

# Since when an operator takes its axes as an input: before, they are an attribute, as the texts write them.
_AXES_ARE_INPUT_SINCE = {"ReduceSum": 13, "Squeeze": 13, "Unsqueeze": 13} | dict.fromkeys(
    ("ReduceMean", "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceMax", "ReduceMin", "ReduceLogSum"), 18
)
_SUFFIXES = {"f16": "float16", "f32": "float", "f64": "double", "bf16": "bfloat16"}
_NUMBER = re.compile(r"(?P<value>\[.*\]|-?[\d.][\d.e+-]*)(?P<suffix>b?f\d\d)?")
# What a number in place is told from: a shaped type (`float[2, 3]`) and attributes (`<axes=[-1]>`).
_PLACES = re.compile(
    r"(?P<kept>\w+\[[^]]*\]|<[^<>]*>)|(?<=[(,\s])(?P<number>\[+[^]=]*\]+(?:b?f\d\d)?|-?\d[\w.+-]*)(?=\s*[,)])"
)


@dataclass(frozen=True, eq=False)
class Case:
    """A graph to be judged.

    Attributes:
        name: what is special about the graph.
        text: its nodes, in the syntax of this module.
        inputs: the dimensions of each input, separated by blanks, a name where a dimension is dynamic; an
            element type may stand in front, else it is the dtype asked for.
        outputs: names of the graph's outputs.
        constants: values of the names that nothing produces. Floating-point ones take the dtype asked for
            unless they are arrays of a type other than float64.
        overridable: constants that are inputs of the graph as well, so that a caller may feed others.
        functions: texts of model-local functions.
        expanded: operators that the ONNX standard defines by a function, to be replaced by its body.
        opsets: the first and the last opset at which the text means something.
        dtypes: the element types it is meant for.
        evaluated_in_double: whether ONNX Runtime or onnx's reference evaluator can do that, correctly.
    """

    name: str
    text: str
    _: KW_ONLY
    inputs: Mapping[str, str] = field(default_factory=lambda: {"x": "B S 8"})
    outputs: tuple[str, ...] = ("y",)
    constants: Mapping[str, Constant] = field(default_factory=dict)
    overridable: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    expanded: tuple[str, ...] = ()
    opsets: tuple[int, int] = (11, 23)
    dtypes: tuple[str, ...] = ("float",)
    evaluated_in_double: bool = True


@dataclass(frozen=True)
class Build:
    """How a case is built.

    Attributes:
        opset: version of the standard operators.
        dtype: element type of the case's inputs and float constants, and of `float` in its text, Casts'
            targets aside.
        sizes: the sizes to write in place of dynamic dimensions; none leaves them dynamic.
        constant_nodes: whether constants are Constant nodes instead of initializers.
        exact: whether everything is computed in double, on constants rounded to their own types first.
    """

    opset: int
    dtype: str = "float"
    sizes: Mapping[str, int] | None = None
    constant_nodes: bool = False
    exact: bool = False


def constant(case: Case, name: str, dtype: str) -> Array:
    """The value of one of a case's constants, in the type that the graph stores.

    Raises:
        KeyError: `name` is neither a constant of the case nor a number.
    """
    value: Constant = case.constants.get(name, name)
    if isinstance(value, str):
        if (number := _NUMBER.fullmatch(value)) is None:
            if value not in ("gamma", "beta"):
                raise KeyError(f"{case.name}: nothing produces {value!r}, and it is no constant of the case")
            value = (int(case.inputs["x"].split()[-1]),)
        else:
            dtype = _SUFFIXES[number["suffix"]] if number["suffix"] else dtype
            value = np.asarray(ast.literal_eval(number["value"]))
    array = weights(name, value) if isinstance(value, tuple) else np.asarray(value)
    return array.astype(DTYPES[dtype]) if array.dtype == np.float64 else array


def build(case: Case, how: Build) -> onnx.ModelProto:
    """The model of a case; equal arguments give equal bytes.

    Raises:
        onnx.parser.ParseError: The text isn't in ONNX's syntax.
        KeyError: A name in the text is neither produced, fed nor a constant.
    """
    inputs = ", ".join(_declaration(name, dims, how.sizes) for name, dims in case.inputs.items())
    text = f"g ({inputs}) => ({', '.join(case.outputs)}) {{ {_quoted(case.text)} }}"
    graph = onnx.parser.parse_graph(text)
    functions = [onnx.parser.parse_function(_quoted(text)) for text in case.functions]
    lists = [*_node_lists(graph), *(function.node for function in functions)]
    for index, node in enumerate(node for nodes in lists for node in nodes):
        node.name = f"{node.op_type}_{index}"
        _place_axes(node, how.opset)
    _retype(graph, how.dtype)

    names = [name for name in dict.fromkeys(_free_names(graph.node, set())) if name not in case.inputs]
    tensors = {name: constant(case, name, how.dtype) for name in names}
    for name in case.overridable:
        dims = tensors[name].shape
        kind = helper.np_dtype_to_tensor_dtype(tensors[name].dtype)
        graph.input.append(helper.make_tensor_value_info(name, kind, dims))
    as_nodes = [name for name in names if how.constant_nodes and name not in case.overridable]
    graph.initializer.extend(_tensor(name, tensors[name]) for name in names if name not in as_nodes)
    _prepend(graph.node, {name: tensors[name] for name in as_nodes})
    for function in functions:
        inside = _free_names(function.node, set(function.input))
        _prepend(function.node, {name: constant(case, name, how.dtype) for name in dict.fromkeys(inside)})

    imports = [helper.make_opsetid("", how.opset)]
    imports += [helper.make_opsetid(domain, 1) for domain in dict.fromkeys(f.domain for f in functions)]
    for function in functions:
        del function.opset_import[:]
        function.opset_import.extend(imports)
    model = helper.make_model(
        graph,
        functions=functions,
        opset_imports=imports,
        ir_version=max(8 if functions else 4, helper.find_min_ir_version_for(imports[:1])),
        producer_name="normgraph-tests",
    )
    # MeanVarianceNormalization's body is in float whatever it is fed: made exact, it has to be seen.
    seen = {*case.expanded, *(["MeanVarianceNormalization"] if how.exact else [])}
    if operators := [("", node.op_type) for node in graph.node if node.op_type in seen]:
        # The inliner wants every type said, and sees none in an initializer.
        types = [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in graph.initializer]
        model.graph.value_info.extend(types)
        model = onnx.inliner.inline_selected_functions(model, operators, inline_schema_functions=True)
        del model.graph.value_info[:]
    if how.exact:
        _make_exact(model)
    _type_outputs(model)
    return model


def _type_outputs(model: onnx.ModelProto) -> None:
    """Gives the outputs the types that a valid model must say and a text needn't."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    del model.graph.output[:]
    model.graph.output.extend(inferred.graph.output)
    for output in model.graph.output:
        # What can't be inferred is like the first input.
        first = model.graph.input[0].type.tensor_type
        if not output.type.tensor_type.elem_type:
            output.type.tensor_type.elem_type = first.elem_type
        if not output.type.tensor_type.HasField("shape"):
            for _ in first.shape.dim:
                output.type.tensor_type.shape.dim.add()


def weights(name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Random values of both signs, away from zero, that every element type but bfloat16 holds exactly."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    values: npt.NDArray[np.float64] = random.integers(8, 48, size=shape) / 32
    values *= random.choice([-1, 1], size=shape)
    return values


def _quoted(text: str) -> str:
    """The text with each number in place quoted, which makes it a name to ONNX's parser."""
    return _PLACES.sub(lambda m: m["kept"] or f'"{m["number"]}"', text)


def _declaration(name: str, dims: str, sizes: Mapping[str, int] | None) -> str:
    first, *rest = [*dims.split(), ""]
    typed = TensorProto.DataType.keys()
    kind, shape = (first, rest) if first.upper() in typed else ("float", [first, *rest])
    written = [str(dim if sizes is None else sizes.get(dim, dim)) for dim in shape if dim]
    return f"{kind}[{','.join(written)}] {name}" if written else f"{kind} {name}"


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    return (a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH)


def _node_lists(graph: onnx.GraphProto) -> Iterator[list[onnx.NodeProto]]:
    yield graph.node
    for node in graph.node:
        for inner in _subgraphs(node):
            yield from _node_lists(inner)


def _free_names(nodes: list[onnx.NodeProto], bound: set[str]) -> Iterator[str]:
    """Names that the nodes read and nothing in sight produces."""
    bound = set(bound)
    for node in nodes:
        yield from (name for name in node.input if name and name not in bound)
        for inner in _subgraphs(node):
            yield from _free_names(inner.node, bound | {i.name for i in inner.input})
        bound.update(node.output)


def _place_axes(node: onnx.NodeProto, opset: int) -> None:
    if opset < _AXES_ARE_INPUT_SINCE.get(node.op_type, opset + 1):
        return
    for attribute in node.attribute:
        if attribute.name == "axes":
            node.input.append(str(list(attribute.ints)))
            node.attribute.remove(attribute)
            return


def _retype(graph: onnx.GraphProto, dtype: str) -> None:
    """Lets `float` in types and tensors stand for the dtype asked for."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(DTYPES[dtype]))
    for info in [*graph.input, *graph.output, *graph.value_info]:
        if info.type.tensor_type.elem_type == TensorProto.FLOAT:
            info.type.tensor_type.elem_type = kind
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR and attribute.t.data_type == TensorProto.FLOAT:
                attribute.t.CopyFrom(_tensor("", numpy_helper.to_array(attribute.t).astype(DTYPES[dtype])))
        for inner in _subgraphs(node):
            _retype(inner, dtype)


def _make_exact(model: onnx.ModelProto) -> None:
    """Widens every floating-point type of the model to double."""
    for nodes in [*_node_lists(model.graph), *(function.node for function in model.functions)]:
        for node in nodes:
            for attribute in node.attribute:
                if attribute.name == "to" and attribute.i in FLOATS:
                    attribute.i = TensorProto.DOUBLE
                elif attribute.name == "value_float":
                    attribute.CopyFrom(helper.make_attribute("value", _tensor("", np.asarray(attribute.f, np.float64))))
                elif attribute.type == onnx.AttributeProto.TENSOR:
                    _widen(attribute.t)
    for tensor in model.graph.initializer:
        _widen(tensor)
    for graph in _graphs(model.graph):
        for info in [*graph.input, *graph.output, *graph.value_info]:
            if info.type.tensor_type.elem_type in FLOATS:
                info.type.tensor_type.elem_type = TensorProto.DOUBLE


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for inner in _subgraphs(node):
            yield from _graphs(inner)


def _widen(tensor: TensorProto) -> None:
    if tensor.data_type in FLOATS:
        tensor.CopyFrom(_tensor(tensor.name, numpy_helper.to_array(tensor).astype(np.float64)))


def _tensor(name: str, array: Array) -> TensorProto:
    return numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)


def _prepend(nodes: list[onnx.NodeProto], tensors: Mapping[str, Array]) -> None:
    made = [
        helper.make_node("Constant", [], [name], name=f"Constant_{index}", value=_tensor("", array))
        for index, (name, array) in enumerate(tensors.items())
    ]
    rest = list(nodes)
    del nodes[:]
    nodes.extend([*made, *rest])
