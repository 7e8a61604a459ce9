"""Mutants: small models with one thing changed, as a mistaken matcher would not notice it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# Operators that take the place of each other; those that no transfer function knows are there to be lost at.
FAMILIES: tuple[tuple[str, ...], ...] = (
    ("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min"),
    ("Sqrt", "Reciprocal", "Neg", "Abs", "Relu", "Identity", "Exp", "Log", "Sign"),
    ("ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL2", "ReduceL1", "ReduceMax", "ReduceMin"),
)
FACTORS = (-1.0, 0.0, 0.5, 2.0, 1.01, 0.99, 1.25, 1e-3, 10.0)
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


@dataclass(frozen=True)
class Subject:
    """A model with a region to be mutated.

    Attributes:
        name: where it comes from.
        model: the model, all of it double.
        region: the positions of the region's nodes in the graph, and of the constants they read.
    """

    name: str
    model: onnx.ModelProto
    region: tuple[int, ...]


@dataclass(frozen=True)
class Mutant:
    """A model with one thing changed; `change` says what."""

    model: onnx.ModelProto
    change: str


def mutate(subject: Subject, random: Random) -> Mutant | None:
    """One mutant; None where the change chosen doesn't apply to the node chosen."""
    model = onnx.ModelProto()
    model.CopyFrom(subject.model)
    node = model.graph.node[random.choice(subject.region)]
    before = str(node)
    mutation = random.choice(MUTATIONS)
    change = mutation(model.graph, node, random)
    if change is None or (change == "" and str(node) == before):
        return None
    return Mutant(model, f"{mutation.__name__.strip('_')} {node.op_type} {node.output[0]} {change}")


Mutation = Callable[[onnx.GraphProto, onnx.NodeProto, Random], str | None]


def _swap_operands(graph: onnx.GraphProto, node: onnx.NodeProto, random: Random) -> str | None:
    if len(node.input) < 2:
        return None
    i, j = random.sample(range(len(node.input)), 2)
    node.input[i], node.input[j] = node.input[j], node.input[i]
    return ""


def _change_operator(graph: onnx.GraphProto, node: onnx.NodeProto, random: Random) -> str | None:
    family = next((family for family in FAMILIES if node.op_type in family), None)
    if family is None:
        return None
    node.op_type = random.choice([other for other in family if other != node.op_type])
    return ""


def _change_axes(graph: onnx.GraphProto, node: onnx.NodeProto, random: Random) -> str | None:
    """Other axes, another number of axes, another order of dimensions."""
    attribute = next((a for a in node.attribute if a.name in ("axes", "perm", "axis")), None)
    if attribute is not None and attribute.name == "perm":
        random.shuffle(attribute.ints)
    elif attribute is not None and attribute.name == "axes":
        others = _other_axes(list(attribute.ints), random)
        if node.op_type == "Unsqueeze" and _may_repeat(others):
            return None
        attribute.ints[:] = others
    elif attribute is not None:
        attribute.i = random.randint(-2, 2)
    elif len(node.input) > 1 and (tensor := _constant(graph, node.input[1])) is not None:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.int64 or values.ndim != 1:
            return None
        others = _other_axes(values.tolist(), random)
        if node.op_type == "Unsqueeze" and _may_repeat(others):
            return None
        changed = np.asarray(others, np.int64)
        node.input[1] = _with_constant(graph, changed, random)
        return str(changed.tolist())
    else:
        return None
    return ""


def _may_repeat(axes: list[int]) -> bool:
    """Whether one axis may be named from both ends, which is invalid for Unsqueeze and which onnx lets pass."""
    return bool(axes) and min(axes) < 0 <= max(axes)


def _other_axes(axes: list[int], random: Random) -> list[int]:
    kind = random.randrange(3)
    if kind == 0 or not axes:
        return [*axes, random.randint(-3, 2)]
    if kind == 1 and len(axes) > 1:
        return random.sample(axes, len(axes) - 1)
    changed = list(axes)
    changed[random.randrange(len(axes))] = random.randint(-3, 2)
    return changed


def _toggle_flag(graph: onnx.GraphProto, node: onnx.NodeProto, random: Random) -> str | None:
    """keepdims and the like."""
    flags = [a for a in node.attribute if a.name in ("keepdims", "noop_with_empty_axes", "training_mode", "allowzero")]
    if flags:
        flag = random.choice(flags)
        flag.i = 1 - flag.i
        return ""
    if node.op_type.startswith("Reduce"):
        node.attribute.append(helper.make_attribute("keepdims", 0))
        return ""
    return None


def _perturb_constant(graph: onnx.GraphProto, node: onnx.NodeProto, random: Random) -> str | None:
    """A number changed everywhere, or in one place."""
    floating = [
        (position, numpy_helper.to_array(tensor))
        for position, name in enumerate(node.input)
        if (tensor := _constant(graph, name)) is not None and tensor.data_type in _FLOATS
    ]
    if not floating:
        return None
    position, values = random.choice(floating)
    factor = random.choice(FACTORS)
    changed = np.array(values)
    if changed.size > 1 and random.random() < 0.5:
        changed.reshape(-1)[random.randrange(changed.size)] *= factor
    else:
        changed = np.asarray(values * factor)
    node.input[position] = _with_constant(graph, changed, random)
    return f"times {factor}"


def _reshape_constant(graph: onnx.GraphProto, node: onnx.NodeProto, random: Random) -> str | None:
    """A constant that broadcasts along another dimension."""
    shaped = [
        (position, numpy_helper.to_array(tensor))
        for position, name in enumerate(node.input)
        if (tensor := _constant(graph, name)) is not None and tensor.data_type in _FLOATS
    ]
    if not shaped:
        return None
    position, values = random.choice(shaped)
    other = list(values.shape)
    if random.random() < 0.5 and len(other) < 4:
        other.insert(random.randrange(len(other) + 1), 1)
    else:
        random.shuffle(other)
    node.input[position] = _with_constant(graph, values.reshape(other), random)
    return f"as {other}"


def _change_epsilon(graph: onnx.GraphProto, node: onnx.NodeProto, random: Random) -> str | None:
    attribute = next((a for a in node.attribute if a.name == "epsilon"), None)
    if attribute is None:
        return None
    attribute.f *= random.choice([0.5, 2.0, 1e3])
    return ""


def _bypass(graph: onnx.GraphProto, node: onnx.NodeProto, random: Random) -> str | None:
    """The node's readers read one of its operands instead."""
    operand = random.choice(list(node.input))
    for reader in graph.node:
        for position, name in enumerate(reader.input):
            if name == node.output[0]:
                reader.input[position] = operand
    return f"to {operand}"


def _rewire(graph: onnx.GraphProto, node: onnx.NodeProto, random: Random) -> str | None:
    """One operand becomes another value that is there already."""
    earlier: list[str] = [value.name for value in graph.input]
    for other in graph.node:
        if other.output[0] == node.output[0]:
            break
        earlier.append(other.output[0])
    position = random.randrange(len(node.input))
    node.input[position] = random.choice(earlier)
    return ""


MUTATIONS: Sequence[Mutation] = (
    _swap_operands,
    _change_operator,
    _change_operator,
    _change_axes,
    _toggle_flag,
    _perturb_constant,
    _perturb_constant,
    _reshape_constant,
    _change_epsilon,
    _bypass,
    _rewire,
    _rewire,
)


def _tensors(graph: onnx.GraphProto) -> Iterator[tuple[str, TensorProto]]:
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            yield node.output[0], node.attribute[0].t


def _constant(graph: onnx.GraphProto, name: str) -> TensorProto | None:
    return next((tensor for other, tensor in _tensors(graph) if other == name), None)


def _with_constant(graph: onnx.GraphProto, values: np.ndarray, random: Random) -> str:
    """A new initializer, so that others that read the old constant go on reading it."""
    name = f"mutant_{len(graph.initializer)}"
    graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    return name
