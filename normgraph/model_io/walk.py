"""Every tensor that a model holds: its initializers and its attributes, in sub-graphs and functions too."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack

import onnx_ir as ir

# Given a tensor and whether it may lie in external data, the tensor to have in its place, or itself.
# Readers look for external data in the initializers of the main graph and its sub-graphs, not in functions.
Replace = Callable[[ir.TensorProtocol, bool], ir.TensorProtocol]
Owner = ir.Graph | ir.Function
# Enumerations are looked into slowly, and every node is asked for its graphs.
_GRAPH, _GRAPHS = ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS


def subgraphs_of(node: ir.Node) -> Sequence[ir.Graph]:
    """The graphs in the node's attributes (the branches of If, the bodies of Loop and Scan)."""
    attributes = node.attributes.data  # the plain dictionary within, whose iteration costs next to nothing
    if not attributes:
        return ()
    found: list[ir.Graph] = []
    for attr in attributes.values():
        kind = attr.type
        if kind == _GRAPH and not attr.is_ref():
            found.append(attr.value)
        elif kind == _GRAPHS and not attr.is_ref():
            found.extend(attr.value)
    return found


def graphs_within(owner: Owner) -> Iterator[Owner]:
    """A graph or function and all sub-graphs, each before those within it, in the order of the nodes that hold them."""
    yield owner
    for node in owner:
        for graph in subgraphs_of(node):
            yield from graphs_within(graph)


def replace_tensors(model: ir.Model, replace: Replace) -> Callable[[], None]:
    """Puts other tensors in the place of a model's; attributes whose tensors stay the same are left alone.

    Returns:
        What puts the earlier tensors back. Where `replace` raises an error, that is done before it is passed on.
    """
    owners = list(_owners(model))
    with ExitStack() as undo:
        for owner, may_be_external in owners:
            for value, tensor in _initialized(owner):
                replacement = replace(tensor, may_be_external)
                if replacement is not tensor:
                    value.const_value = replacement
                    undo.callback(setattr, value, "const_value", tensor)
        for owner, _ in owners:
            for node in owner:
                for name, attribute in tuple(node.attributes.data.items()):
                    if attribute.type in TENSORS_OF and not attribute.is_ref():
                        replaced = _replaced(attribute, replace)
                        if replaced is not attribute:
                            node.attributes[name] = replaced
                            undo.callback(node.attributes.__setitem__, name, attribute)
        return undo.pop_all().close


def initializers(model: ir.Model) -> Iterator[tuple[ir.Value, ir.TensorProtocol]]:
    """The initialized values of every graph with their tensors, those of graphs inside functions included."""
    for owner, _ in _owners(model):
        yield from _initialized(owner)


def _owners(model: ir.Model) -> Iterator[tuple[Owner, bool]]:
    """All that holds nodes, and whether its initializers may lie in external data."""
    for graph in graphs_within(model.graph):
        yield graph, True
    for function in model.functions.values():
        for owner in graphs_within(function):
            yield owner, False


def _initialized(owner: Owner) -> Iterable[tuple[ir.Value, ir.TensorProtocol]]:
    if isinstance(owner, ir.Graph):
        for value in owner.initializers.values():
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
