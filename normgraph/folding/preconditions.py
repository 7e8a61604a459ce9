"""The preconditions of a fold, established once more on the graph itself, whatever led to the plan."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from normgraph.constants import attribute
from normgraph.evidence import Precondition
from normgraph.facts import Facts
from normgraph.folding.linear import Linear
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
    """The map's parameters and the operators' weights and biases are the same in every run."""
    count = 0
    made = {plan.affine.base, *(value for node in plan.affine.nodes for value in node.outputs)}
    for node in plan.affine.nodes:
        for value in node.inputs:
            if value is None or value in made:
                continue
            if not facts.depends_on_shapes_only(value) or value.is_graph_input():
                statement = f"'{value.name}', which {node.op_type} reads, is neither constant nor made from shapes"
                return Precondition("constants", statement, holds=False)
            count += 1
    for change in plan.changes:
        for value, role in _stored(change.linear):
            if not facts.is_constant(value) or value.is_graph_input():
                return Precondition("constants", f"the {role} '{value.name}' isn't constant", holds=False)
    statement = f"{counted(count, 'parameter')} and the weights are constants that no caller can change"
    return Precondition("constants", statement)


def _stored(linear: Linear) -> Iterator[tuple[ir.Value, str]]:
    """What a linear operator reads beside its data operand, and the Add that is its bias beside the operator."""
    read = [(value, position == linear.row.weight) for position, value in enumerate(linear.node.inputs)]
    del read[linear.row.data]
    if linear.addition is not None:
        read += [(value, False) for value in linear.addition.inputs if value is not linear.node.outputs[0]]
    yield from ((value, "weight" if is_weight else "bias") for value, is_weight in read if value is not None)


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
    for value in _changed(plan):
        outside = {use.node for use in value.uses()} - plan.nodes - facts.dead
        needed = [reader for reader in outside if reader.domain or reader.op_type not in _SHAPE_READERS]
        if needed or value.is_graph_output():
            return Precondition("readers", f"'{value.name}', which would change, is needed elsewhere", holds=False)
    return Precondition("readers", f"nothing outside of {counted(len(plan.nodes), 'node')} reads what changes")


def _changed(plan: FoldPlan) -> Iterator[ir.Value]:
    """The values that the regions' nodes hand on to each other, on the way to the regions' results."""
    for region in plan.regions:
        handed_on = (value for node in region.nodes for value in node.inputs if value is not None)
        yield from dict.fromkeys(value for value in handed_on if value.producer() in region.nodes)
