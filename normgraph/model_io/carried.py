"""What onnx_ir leaves out of a model or adds to it, and how a written model gets it back or rid of it.

onnx_ir has no place for training information and sparse initializers, and declares a value_info for every
initializer whether or not the model had one. Both would change a model that is only read and written.
"""

from collections.abc import Iterable, Iterator

import onnx
import onnx_ir as ir

from normgraph.errors import BadModelError

LEFT_OUT = "normgraph.model_io.left_out"
UNDECLARED = "normgraph.model_io.undeclared"


def carry(proto: onnx.ModelProto, model: ir.Model, name: str) -> None:
    """Notes on an IR model what the ModelProto it came from holds beyond it.

    Raises:
        BadModelError: A sub-graph has sparse initializers, which would be lost.
    """
    left_out = onnx.ModelProto(training_info=proto.training_info)
    if proto.graph.sparse_initializer:
        left_out.graph.sparse_initializer.extend(proto.graph.sparse_initializer)
    if left_out.ByteSize():
        model.graph.meta[LEFT_OUT] = left_out
    if any(True for _ in model.graph.subgraphs()) and any(
        graph.sparse_initializer for graph in _nested(proto.graph.node)
    ):
        raise BadModelError(
            f"sparse initializers are only supported in the main graph, and a sub-graph has some: {name}; "
            "make them dense"
        )
    declared = {info.name for info in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output)}
    for key, value in model.graph.initializers.items():
        if key not in declared:
            value.meta[UNDECLARED] = True


def restore(model: ir.Model, proto: onnx.ModelProto) -> None:
    """Gives a ModelProto made from an IR model what :func:`carry` noted."""
    undeclared = {key for key, value in model.graph.initializers.items() if value.meta.get(UNDECLARED)}
    if undeclared:
        kept = [info for info in proto.graph.value_info if info.name not in undeclared]
        del proto.graph.value_info[:]
        proto.graph.value_info.extend(kept)
    left_out = model.graph.meta.get(LEFT_OUT)
    if left_out is not None:
        proto.MergeFrom(left_out)


def _nested(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.GraphProto]:
    for node in nodes:
        for attribute in node.attribute:
            for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield graph
                yield from _nested(graph.node)
