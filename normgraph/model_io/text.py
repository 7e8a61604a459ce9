"""Names are text: where they aren't UTF-8, Python's protobuf hands over bytes, and nothing writes these."""

from collections.abc import Iterable, Iterator, Mapping

import onnx_ir as ir

from normgraph.errors import BadModelError
from normgraph.model_io.walk import Owner, graphs_within

Metadata = Mapping[str, str]


def refuse_other_than_text(model: ir.Model, name: str) -> None:
    """Refuses a model with a name or the like that isn't UTF-8.

    Args:
        model: the model.
        name: what it is called in messages.

    Raises:
        BadModelError: it has one.
    """
    wrong = next((text for text in _texts(model) if isinstance(text, bytes)), None)
    if wrong is not None:
        raise BadModelError(f"names in a model must be UTF-8, and {wrong!r} isn't: {name}; export or copy it again")


def _texts(model: ir.Model) -> Iterator[object]:
    yield from (model.producer_name, model.producer_version, model.domain, model.doc_string)
    yield from _pairs(model.metadata_props)
    yield from model.opset_imports
    owners: list[Owner] = [model.graph, *model.functions.values()]
    for owner in owners:
        for graph in graphs_within(owner):
            yield from _of_graph(graph)


def _of_graph(graph: Owner) -> Iterator[object]:
    yield from (graph.name, graph.doc_string, *_pairs(graph.metadata_props))
    yield from _of_values(graph.inputs)
    if isinstance(graph, ir.Graph):
        yield from _of_values(graph.initializers.values())
    for node in graph:
        yield from (node.name, node.op_type, node.domain, node.overload, node.doc_string)
        yield from node.attributes.data
        yield from _pairs(node.metadata_props)
        yield from _of_values(node.outputs)
    yield from _of_values(graph.outputs)  # one may be made by nothing


def _of_values(values: Iterable[ir.Value]) -> Iterator[object]:
    for value in values:
        yield value.name
        yield value.doc_string
        if value.metadata_props:
            yield from _pairs(value.metadata_props)
        if value.shape is not None:
            yield from (dim.value for dim in value.shape if not isinstance(dim, int))


def _pairs(metadata: Metadata) -> Iterator[object]:
    yield from metadata
    yield from metadata.values()
