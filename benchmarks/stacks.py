"""Large graphs made of a small real one: what stands between two tensors of one shape and type, many times over."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from normgraph.facts import survey


def stacked(model: onnx.ModelProto, nodes: int) -> onnx.ModelProto:
    """The model with its inner part repeated, each copy fed with what the copy before it makes.

    The inner part lies between the model's first output and the first value, in the order of the graph, that has the
    same shape and type: in an encoder, all its layers.  Each copy has nodes, names and weights of its own, as the
    layers of a deep network have, so that nothing but its structure is shared.

    Args:
        model: the small model.
        nodes: how many nodes the result is to have, about.

    Raises:
        ValueError: no inner value has the shape and type of the output.
    """
    start, end = _ends(model)
    inside = _between(model.graph, start)
    copies = max(1, round((nodes - len(model.graph.node)) / len(inside)) + 1)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    result = onnx.ModelProto()
    result.CopyFrom(model)
    del result.graph.value_info[:]
    for number in range(1, copies):
        made = {name for node in inside for name in node.output}
        read = {name for node in inside for name in node.input}
        renamed = {name: f"copy{number}/{name}" for name in made | (read & weights.keys())}
        renamed[start] = end
        for name in sorted(read & weights.keys()):
            result.graph.initializer.append(weights[name])
            result.graph.initializer[-1].name = renamed[name]
        for node in inside:
            copy = result.graph.node.add()
            copy.CopyFrom(node)
            copy.name = f"copy{number}/{node.name}"
            copy.input[:] = [renamed.get(name, name) for name in node.input]
            copy.output[:] = [renamed[name] for name in node.output]
        end = renamed[model.graph.output[0].name]
    result.graph.output[0].name = end
    del result.graph.output[1:]
    return result


def _ends(model: onnx.ModelProto) -> tuple[str, str]:
    graph = ir.from_proto(model)
    facts = survey(graph)
    output = graph.graph.outputs[0]
    for node in graph.graph:
        for value in node.outputs:
            same_shape = facts.shape(value) is not None and facts.shape(value) == facts.shape(output)
            if same_shape and facts.dtype(value) == facts.dtype(output) and value is not output:
                return value.name or "", output.name or ""
    raise ValueError("no inner value has the shape and type of the model's first output")


def _between(graph: onnx.GraphProto, start: str) -> list[onnx.NodeProto]:
    """The nodes that depend on a value, and the Constant nodes that only they read."""
    reached = {start}
    dependent: list[onnx.NodeProto] = []
    for node in graph.node:
        if reached.intersection(node.input):
            reached.update(node.output)
            dependent.append(node)
    outputs = {name for node in dependent for name in node.output}
    elsewhere = {name for node in graph.node if outputs.isdisjoint(node.output) for name in node.input}
    read = {name for node in dependent for name in node.input} - elsewhere
    constants = [node for node in graph.node if node.op_type == "Constant" and node.output[0] in read]
    names = outputs | {node.output[0] for node in constants}
    return [node for node in graph.node if not names.isdisjoint(node.output)]
