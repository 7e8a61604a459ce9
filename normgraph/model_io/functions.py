"""What a model's local functions come to once they stand in the place of their calls."""

from collections import Counter
from graphlib import CycleError, TopologicalSorter

import onnx_ir as ir

from normgraph.errors import BadModelError
from normgraph.model_io.walk import Owner, graphs_within

#: A few functions that call each other twice in a row come to more nodes than any memory holds.
MAX_NODES = 1_000_000


def check_calls(model: ir.Model, name: str) -> None:
    """Make sure that a model's functions can be put in the place of their calls, within bounded time and memory.

    Args:
        model: the model.
        name: what it is called in messages.

    Raises:
        BadModelError: they call each other in a circle, or come to more than a million nodes.
    """
    if not model.functions:
        return
    calls = {key: _calls(function, model) for key, function in model.functions.items()}
    sizes = {key: sum(len(graph) for graph in graphs_within(function)) for key, function in model.functions.items()}
    try:
        order = tuple(TopologicalSorter(calls).static_order())  # those that are called first
    except CycleError as error:
        circle = error.args[1]
        raise BadModelError(
            f"a model's functions may not call each other in a circle, and {circle[0][1]!r} does: {name}; "
            "export the model without local functions"
        ) from None
    for key in order:
        # What is beyond the limit is as good as the limit: numbers stay short.
        sizes[key] = min(sizes[key] + sum(count * sizes[called] for called, count in calls[key].items()), MAX_NODES + 1)
    total = sum(count * sizes[called] for called, count in _calls(model.graph, model).items())
    if total > MAX_NODES:
        raise BadModelError(
            f"a model's functions may come to {MAX_NODES:,} nodes in the place of their calls, and these come to more: "
            f"{name}; export the model without local functions"
        )


def _calls(owner: Owner, model: ir.Model) -> Counter[ir.OperatorIdentifier]:
    """How often each local function is called in a graph or function, sub-graphs included."""
    return Counter(
        key for graph in graphs_within(owner) for node in graph if (key := node.op_identifier()) in model.functions
    )
