"""Every tensor that a model holds: its initializers and its attributes, in sub-graphs and functions too."""

from collections.abc import Callable, Iterable, Iterator

import onnx_ir as ir

# Given a tensor and whether it may lie in external data, the tensor to have in its place, or itself.
# Readers look for external data in the initializers of the main graph and its sub-graphs, not in functions.
Replace = Callable[[ir.TensorProtocol, bool], ir.TensorProtocol]


def replace_tensors(model: ir.Model, replace: Replace) -> None:
    """Puts other tensors in the place of a model's; attributes whose tensors stay the same are left alone."""
    for graphs, may_be_external in ((model.graphs(), True), (_graphs_of_functions(model), False)):
        for value, tensor in _initialized(graphs):
            value.const_value = replace(tensor, may_be_external)
    owners: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    for owner in owners:
        for node in owner.all_nodes():
            for name, attribute in list(node.attributes.items()):
                if attribute.type in TENSORS_OF and not attribute.is_ref():
                    node.attributes[name] = _replaced(attribute, replace)


def initializers(model: ir.Model) -> Iterator[tuple[ir.Value, ir.TensorProtocol]]:
    """The initialized values of every graph with their tensors, those of graphs inside functions included."""
    yield from _initialized(model.graphs())
    yield from _initialized(_graphs_of_functions(model))


def _graphs_of_functions(model: ir.Model) -> Iterator[ir.Graph]:
    for function in model.functions.values():
        yield from function.subgraphs()


def _initialized(graphs: Iterable[ir.Graph]) -> Iterator[tuple[ir.Value, ir.TensorProtocol]]:
    for graph in graphs:
        for value in graph.initializers.values():
            if value.const_value is not None:
                yield value, value.const_value


def _replaced(attribute: ir.Attr, replace: Replace) -> ir.Attr:
    old = TENSORS_OF[attribute.type](attribute)
    new = [replace(tensor, False) for tensor in old]
    if all(after is before for after, before in zip(new, old, strict=True)):
        return attribute
    value = new[0] if attribute.type == ir.AttributeType.TENSOR else new
    return ir.Attr(attribute.name, attribute.type, value, doc_string=attribute.doc_string)


TENSORS_OF: dict[ir.AttributeType, Callable[[ir.Attr], list[ir.TensorProtocol]]] = {
    ir.AttributeType.TENSOR: lambda attribute: [attribute.value],
    ir.AttributeType.TENSORS: lambda attribute: list(attribute.value),
}
