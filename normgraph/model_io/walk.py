"""Every tensor that a model holds: its initializers and its attributes, in sub-graphs and functions too."""

from collections.abc import Callable, Iterator

import onnx_ir as ir

# Given a tensor and whether it is an initializer, the tensor to have in its place, which may be the same.
Replace = Callable[[ir.TensorProtocol, bool], ir.TensorProtocol]


def replace_tensors(model: ir.Model, replace: Replace) -> None:
    """Puts other tensors in the place of a model's; attributes whose tensors stay the same are left alone."""
    for tensor_value in initializers(model):
        assert tensor_value.const_value is not None
        tensor_value.const_value = replace(tensor_value.const_value, True)
    owners: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    for owner in owners:
        for node in owner.all_nodes():
            for name, attribute in list(node.attributes.items()):
                if attribute.type in TENSORS_OF and not attribute.is_ref():
                    node.attributes[name] = _replaced(attribute, replace)


def initializers(model: ir.Model) -> Iterator[ir.Value]:
    """The initialized values of the main graph and of every sub-graph, those inside functions included."""
    graphs = [
        *model.graphs(),
        *(graph for function in model.functions.values() for graph in function.subgraphs()),
    ]
    for graph in graphs:
        yield from (value for value in graph.initializers.values() if value.const_value is not None)


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
