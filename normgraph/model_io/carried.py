"""What onnx_ir leaves out of a model or adds to it, and how a written model gets it back or rid of it.

onnx_ir 1.1 has no place for training information and sparse initializers, declares a value_info for every
initializer whether or not the model had one, and writes the metadata of a tensor twice. Each would change a
model that is only read and written.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import onnx
import onnx_ir as ir

from normgraph.errors import BadModelError
from normgraph.model_io.walk import initializers, subgraphs_of

LEFT_OUT = "normgraph.model_io.left_out"
UNDECLARED = "normgraph.model_io.undeclared"


def carry(proto: onnx.ModelProto, model: ir.Model, name: str) -> None:
    """Notes on an IR model what the ModelProto it came from holds beyond it, or lacks.

    Raises:
        BadModelError: A sub-graph has sparse initializers, or two functions or two attributes of a node share a name,
            of which one would be lost.
    """
    functions = [(function.domain, function.name, function.overload) for function in proto.functions]
    if len(set(functions)) < len(functions):
        twice = next(key for key in functions if functions.count(key) > 1)
        raise BadModelError(
            f"a model's functions must differ in domain, name or overload, and two are called {twice[1]!r}: {name}; "
            "export the model again"
        )
    left_out = onnx.ModelProto(training_info=proto.training_info)
    if proto.graph.sparse_initializer:
        left_out.graph.sparse_initializer.extend(proto.graph.sparse_initializer)
    if left_out.ByteSize():
        model.graph.meta[LEFT_OUT] = left_out
    for graph_proto, graph in _pairs(proto, model, name):
        if graph_proto.sparse_initializer and graph is not model.graph:
            raise BadModelError(
                f"sparse initializers may only be in the main graph, and sub-graph {graph.name!r} has some: "
                f"{name}; make them dense"
            )
        declared = {info.name for info in (*graph_proto.value_info, *graph_proto.input, *graph_proto.output)}
        for key, value in graph.initializers.items():
            if key not in declared:
                value.meta[UNDECLARED] = True


def to_proto(model: ir.Model) -> onnx.ModelProto:
    """Serializes an IR model with what :func:`carry` noted."""
    with _undeclared(model):
        proto: onnx.ModelProto = ir.to_proto(model)
    for tensor in proto.graph.initializer:
        once = {entry.key: entry.value for entry in tensor.metadata_props}
        if len(once) < len(tensor.metadata_props):
            del tensor.metadata_props[:]
            for key, value in once.items():
                tensor.metadata_props.add(key=key, value=value)
    left_out = model.graph.meta.get(LEFT_OUT)
    if left_out is not None:
        proto.MergeFrom(left_out)
    return proto


@contextmanager
def _undeclared(model: ir.Model) -> Iterator[None]:
    """Hides the types and shapes that onnx_ir took from the tensors themselves, until the block ends."""
    hidden = [(value, value.type, value.shape) for value, _ in initializers(model) if UNDECLARED in value.meta]
    try:
        for value, _, _ in hidden:
            value.type, value.shape = None, None
        yield
    finally:
        for value, type_, shape in hidden:
            value.type, value.shape = type_, shape


def _pairs(proto: onnx.ModelProto, model: ir.Model, name: str) -> Iterator[tuple[onnx.GraphProto, ir.Graph]]:
    """Each graph and sub-graph of a model beside what it was read from."""
    yield proto.graph, model.graph
    if any(subgraphs_of(node) for node in model.graph):
        yield from _nested(proto.graph.node, model.graph, name)
    for function in proto.functions:
        body = model.functions[function.domain, function.name, function.overload]
        if any(subgraphs_of(node) for node in body):
            yield from _nested(function.node, body, name)


def _nested(
    protos: Iterable[onnx.NodeProto], nodes: Iterable[ir.Node], name: str
) -> Iterator[tuple[onnx.GraphProto, ir.Graph]]:
    for node_proto, node in zip(protos, nodes, strict=True):
        if len({attribute.name for attribute in node_proto.attribute}) < len(node_proto.attribute):
            raise BadModelError(
                f"a node's attributes must have different names, and two of {node.op_type} {node.name!r} share one: "
                f"{name}; export the model again"
            )
        for attribute in node_proto.attribute:
            held = node.attributes[attribute.name]
            if held.is_ref():
                continue
            graphs: list[tuple[onnx.GraphProto, ir.Graph]] = []
            if held.type == ir.AttributeType.GRAPH:
                graphs = [(attribute.g, held.as_graph())]
            elif held.type == ir.AttributeType.GRAPHS:
                graphs = list(zip(attribute.graphs, held.as_graphs(), strict=True))
            for pair in graphs:
                yield pair
                yield from _nested(pair[0].node, pair[1], name)
