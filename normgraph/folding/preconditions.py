"""The preconditions of a fold, established once more on the graph itself, whatever led to the plan."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from normgraph.constants import attribute
from normgraph.evidence import Precondition
from normgraph.facts import Facts
from normgraph.folding.plan import FoldPlan
from normgraph.wording import counted

_SHAPE_READERS = frozenset({"Shape", "Size"})


def established_of_plan(plan: FoldPlan, facts: Facts) -> tuple[Precondition, ...]:
    """What has to hold of a fold, besides what holds of each region that it leaves the same.

    Args:
        plan: the fold.
        facts: the facts about the graph.
    """
    found = (_constants(plan, facts), _inference(plan), _weights(plan, facts))
    if any(change.copied for change in plan.changes):
        return found  # what else reads the operator goes on reading it: a copy is changed
    return (*found, _readers(plan, facts))


def _constants(plan: FoldPlan, facts: Facts) -> Precondition:
    """The map's parameters and the operators' weights are the same in every run."""
    count = 0
    made = {plan.affine.base, *(value for node in plan.affine.nodes for value in node.outputs)}
    for node, data in zip(plan.affine.nodes, plan.affine.operands, strict=True):
        for position, value in enumerate(node.inputs):
            if value is None or position == data or value in made:
                continue
            if not facts.depends_on_shapes_only(value) or value.is_graph_input():
                statement = f"'{value.name}', which {node.op_type} reads, is neither constant nor made from shapes"
                return Precondition("constants", statement, holds=False)
            count += 1
    for change in plan.changes:
        weight = change.linear.node.inputs[change.linear.row.weight]
        if weight is None or not facts.is_constant(weight) or weight.is_graph_input():
            name = None if weight is None else weight.name
            return Precondition("constants", f"the weight '{name}' isn't constant", holds=False)
    statement = f"{counted(count, 'parameter')} and the weights are constants that no caller can change"
    return Precondition("constants", statement)


def _inference(plan: FoldPlan) -> Precondition:
    training = [node for node in plan.affine.nodes if attribute(node, "training_mode", 0)]
    if training:
        return Precondition("inference", f"'{training[0].name}' is in training mode", holds=False)
    return Precondition("inference", "nothing in the map is in training mode")


def _weights(plan: FoldPlan, facts: Facts) -> Precondition:
    """The new weights are stored as the old ones are, and a fold makes nothing infinite of what was finite."""
    shown = []
    for change in plan.changes:
        weight = change.linear.node.inputs[change.linear.row.weight]
        dtype = None if weight is None else facts.dtype(weight)
        where = f"{change.linear.node.op_type} '{change.linear.node.name}'"
        new = change.weight
        if dtype is None or new.dtype != dtype.numpy():
            return Precondition("weights", f"the weight of {where} would change its type", holds=False)
        for array in (new, change.bias):
            if array is not None and not np.isfinite(array).all():
                return Precondition("weights", f"a weight of {where} would not be finite", holds=False)
        shown.append(f"{where} {list(new.shape)}")
    return Precondition("weights", f"the new weights are finite and of the stored type: {', '.join(shown)}")


def _readers(plan: FoldPlan, facts: Facts) -> Precondition:
    """Nothing outside reads a value that the fold changes."""
    outputs = {region.output for region in plan.regions}
    for value in _changed(plan):
        if value in outputs:
            continue
        outside = {use.node for use in value.uses()} - plan.nodes - facts.dead
        needed = [reader for reader in outside if reader.op_type not in _SHAPE_READERS]
        if needed or value.is_graph_output():
            return Precondition("readers", f"'{value.name}', which would change, is needed elsewhere", holds=False)
    return Precondition("readers", f"nothing outside of {counted(len(plan.nodes), 'node')} reads what changes")


def _changed(plan: FoldPlan) -> Iterator[ir.Value]:
    """The values on the way to the regions' results."""
    for region in plan.regions:
        pending, seen = [region.output], {region.output, region.base}
        while pending:
            node = pending.pop().producer()
            for value in node.inputs if node is not None and node in region.nodes else ():
                producer = None if value is None else value.producer()
                if value is not None and value not in seen and producer in region.nodes:
                    seen.add(value)
                    pending.append(value)
                    yield value
