"""Folding: affine maps per channel go into the weights of a linear operator beside them.

One search for both directions: it pairs an `Affine` with a row of `normgraph.linear.LINEAR` and asks that row
for the new weights. Composed in float64 and rounded once to the weights' type.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from normgraph.affine import Affine, affine_maps, continues_affine, leads_to_scale, names_of, per_channel
from normgraph.axes import Dimension
from normgraph.constants import Array
from normgraph.diagnosis import Shortfall
from normgraph.execution import NotRunnable, Runner, runner_of
from normgraph.extraction import Fragment
from normgraph.facts import Facts, survey
from normgraph.interpret import interpret
from normgraph.linear import LINEAR, Float64, LinearOperator, Weights
from normgraph.rewrite import PROVENANCE, Names, forget, new_initializer, take_over
from normgraph.transfer import LAYOUT_OPERATORS


@dataclass(frozen=True)
class Linear:
    """A linear operator with constant weights.

    Attributes:
        node: the node.
        row: its row of the table.
        weights: the weights as they enter the arithmetic.
        dtype: the type in which they are stored.
    """

    node: ir.Node
    row: LinearOperator
    weights: Weights
    dtype: np.dtype

    @property
    def data(self) -> ir.Value:
        """The operand that the operator is linear in."""
        value = self.node.inputs[self.row.data]
        assert value is not None
        return value


@dataclass(frozen=True)
class FoldPlan:
    """An affine map and what it folds into.

    Attributes:
        affine: the map.
        linear: the operator; of several that read the map, one plan each is made.
        direction: "backward" into the operator before the map, "forward" into the one behind it.
        weight: the new weight, in the stored type.
        bias: the new bias; None where it is zero and the operator had none.
        base: the tensor from which the region is computed.
        output: the tensor that must stay the same.
        nodes: the region, in the order of the graph.
    """

    affine: Affine
    linear: Linear
    direction: str
    weight: Array
    bias: Array | None
    base: ir.Value
    output: ir.Value
    nodes: tuple[ir.Node, ...]

    @property
    def graph(self) -> ir.Graph | None:
        """The graph that the plan is for."""
        return self.linear.node.graph

    @property
    def assumed(self) -> tuple[tuple[int, int], ...]:
        """See `normgraph.region.Rewritable`: nothing is assumed."""
        return ()

    @property
    def axes(self) -> tuple[int, ...]:
        """See `normgraph.region.Rewritable`: there are no statistics."""
        return ()


def linear_of(node: ir.Node, facts: Facts) -> Linear | None:
    """The node as a linear operator with constant weights, or None."""
    if node.domain:
        return None
    for row in LINEAR.get(node.op_type, ()):
        if len(node.inputs) <= max(row.data, row.weight):
            continue
        data, weight = node.inputs[row.data], node.inputs[row.weight]
        if data is None or weight is None or facts.is_constant(data) or not facts.is_constant(weight):
            continue
        bias = node.inputs[row.bias] if row.bias is not None and len(node.inputs) > row.bias else None
        if bias is not None and not facts.is_constant(bias):
            return None
        stored = facts.constant(weight)
        if stored is None or stored.dtype.kind not in "fV" or stored.ndim < 2:
            return None
        exact = stored.astype(np.float64)
        channels = row.channels(node, exact)
        added = None if bias is None else facts.constant(bias)
        if bias is not None and (added is None or not _is_per_channel(added, channels)):
            return None
        shift = np.zeros(channels) if added is None else np.broadcast_to(added.astype(np.float64).reshape(-1), channels)
        return Linear(node, row, row.effective(node, Weights(exact, shift)), stored.dtype)
    return None


def _is_per_channel(bias: Array, channels: int) -> bool:
    """Whether a bias is one number, or a vector over the output's last or only axis of channels."""
    return bias.size == 1 or (bias.size == channels and bias.shape[-1] == channels)


def backward_plans(graph: ir.Graph, facts: Facts) -> Iterator[FoldPlan | tuple[Affine, Shortfall]]:
    """Affine maps behind a linear operator, each with its plan or the reason why there is none."""
    for node in graph:
        if node.op_type not in LINEAR or node.domain or not leads_to_scale(node.outputs[0], facts):
            continue
        interpretation = interpret(node.outputs[0], graph, facts)
        maps = () if interpretation is None else affine_maps(interpretation, facts, rearranged=True)
        affines = [affine for affine in maps if affine.is_normalization]
        linear = linear_of(node, facts) if affines else None
        if linear is None:
            continue
        for affine in reversed(affines):
            axis = linear.row.output_axis(node, len(affine.layout))
            vectors = _vectors(affine, affine.layout[axis], linear.weights.bias.size)
            if vectors is None:
                continue
            weights = linear.row.behind(node, linear.weights, *vectors)
            yield _plan(affine, linear, "backward", weights, linear.data, affine.output, (node, *affine.nodes))
            break


def forward_plans(graph: ir.Graph, facts: Facts) -> Iterator[list[FoldPlan] | tuple[Affine, Shortfall]]:
    """Affine maps all of whose readers are linear operators, each with its plans or the reason why there are none."""
    done: set[ir.Node] = set()
    for node in graph:
        if node in done or node.op_type not in ("BatchNormalization", "Mul", "Div", "Sub", "Add") or node.domain:
            continue
        base = next((v for v in node.inputs if v is not None and not facts.is_constant(v)), None)
        if base is None or continues_affine(base, facts) or not leads_to_scale(base, facts):
            continue
        interpretation = interpret(base, graph, facts)
        if interpretation is None:
            continue
        maps = [affine for affine in affine_maps(interpretation, facts) if affine.is_normalization]
        for affine in reversed(maps):
            result = _absorbed(affine, graph, facts)
            if result is not None:
                done.update(affine.nodes)
                yield result
                break


def _absorbed(affine: Affine, graph: ir.Graph, facts: Facts) -> list[FoldPlan] | tuple[Affine, Shortfall] | None:
    """The plans that take the map into every reader, the first reason why one can't, or None if one isn't linear."""
    interpretation = interpret(affine.output, graph, facts)
    if interpretation is None or affine.output.is_graph_output():
        return None
    plans: list[FoldPlan] = []
    pending: list[tuple[ir.Value, tuple[ir.Node, ...]]] = [(affine.output, ())]
    while pending:
        value, between = pending.pop()
        for reader in value.consumers():
            if reader in facts.dead:
                continue
            if reader.op_type in LAYOUT_OPERATORS and not reader.domain and reader.outputs[0] in interpretation.forms:
                if reader.outputs[0].is_graph_output():
                    return None
                pending.append((reader.outputs[0], (*between, reader)))
                continue
            linear = linear_of(reader, facts)
            if linear is None or linear.data is not value:
                return None
            layout = interpretation.forms[value].layout
            axis = linear.row.input_axis(reader, len(layout))
            dimension = _corresponding(layout[axis], interpretation.layout, affine)
            count = None if dimension is None else facts.shapes[value][axis].static
            vectors = None if dimension is None or count is None else _vectors(affine, dimension, count)
            if vectors is None:
                return affine, Shortfall("layout", f"its channels aren't those that {reader.op_type} sums over")
            weights = linear.row.before(reader, linear.weights, *vectors)
            if isinstance(weights, Shortfall):
                return affine, weights
            nodes = (*affine.nodes, *between, reader)
            plan = _plan(affine, linear, "forward", weights, affine.base, reader.outputs[0], nodes)
            if isinstance(plan, tuple):
                return plan
            plans.append(plan)
    return plans or None


def _corresponding(dimension: Dimension, layout: tuple[Dimension, ...], affine: Affine) -> Dimension | None:
    """The axes of a dimension of the map's output, as axes of the map's base, whose dimensions are the same."""
    translation = {
        axis: base_dimension
        for output_dimension, base_dimension in zip(layout, affine.layout, strict=True)
        for axis in output_dimension
        if len(output_dimension) == 1
    }
    if any(axis not in translation for axis in dimension):
        return None
    return tuple(part for axis in dimension for part in translation[axis])


def _vectors(affine: Affine, dimension: Dimension, channels: int) -> tuple[Float64, Float64] | None:
    scale = per_channel(affine.scale, dimension, channels)
    shift = per_channel(affine.shift, dimension, channels)
    return None if scale is None or shift is None else (scale, shift)


def _plan(
    affine: Affine,
    linear: Linear,
    direction: str,
    weights: Weights,
    base: ir.Value,
    output: ir.Value,
    nodes: tuple[ir.Node, ...],
) -> FoldPlan | tuple[Affine, Shortfall]:
    """Round the new weights once to the stored type, and refuse where they don't fit."""
    with np.errstate(over="ignore", under="ignore"):
        weight = weights.weight.astype(linear.dtype)
        bias = weights.bias.astype(linear.dtype)
    for name, array, exact in (("weight", weight, weights.weight), ("bias", bias, weights.bias)):
        largest = float(np.max(np.abs(exact), initial=0.0))
        if not np.all(np.isfinite(array.astype(np.float64))):
            return affine, Shortfall("parameter-range", f"the {name} would reach {largest:.3g}, beyond {linear.dtype}")
    had_bias = linear.row.bias is not None and len(linear.node.inputs) > linear.row.bias
    needed = bool(np.any(bias.astype(np.float64) != 0)) or had_bias
    return FoldPlan(affine, linear, direction, weight, bias if needed else None, base, output, nodes)


def apply_plan(plan: FoldPlan, names: Names) -> list[ir.Node]:
    """Give the linear operator its new weights and let the readers of the map read what they are to read now.

    The map's nodes stay behind without readers, for `normgraph.rewrite.remove_dead` to take.

    Returns:
        The new nodes.
    """
    node, row = plan.linear.node, plan.linear.row
    graph = node.graph
    assert graph is not None
    made: list[ir.Node] = []
    unused = [node.inputs[row.weight], node.inputs[row.bias] if row.bias and len(node.inputs) > row.bias else None]
    stem = (unused[0].name if unused[0] is not None else None) or node.name or node.op_type
    node.replace_input_with(row.weight, new_initializer(graph, f"{stem}.folded", plan.weight, names))
    for attribute_name in ("alpha", "beta"):
        node.attributes.pop(attribute_name, None)
    result = node.outputs[0]
    if plan.bias is not None and row.bias is not None:
        bias = new_initializer(graph, f"{stem}.folded_bias", plan.bias, names)
        if len(node.inputs) <= row.bias:
            node.resize_inputs(row.bias + 1)
        node.replace_input_with(row.bias, bias)
    elif plan.bias is not None:
        axis = row.output_axis(node, len(plan.affine.layout))
        shape = [-1 if position == axis else 1 for position in range(axis, len(plan.affine.layout))]
        bias = new_initializer(graph, f"{stem}.folded_bias", plan.bias.reshape(shape), names)
        made.append(ir.node("Add", [None, bias], name=names.unique(f"{node.name or stem}/Add")))
    node.metadata_props[PROVENANCE] = ", ".join(names_of(plan.affine.nodes))
    if plan.direction == "forward":
        plan.affine.output.replace_all_uses_with(plan.affine.base)
    if made:
        moved = plan.output if plan.direction == "forward" else result
        take_over(moved, made[0].outputs[0], names)
        made[0].replace_input_with(0, result)
        graph.insert_after(node, made)
    if plan.direction == "backward":
        _bypass(plan.affine, names)
    forget(unused)
    return made


def _bypass(affine: Affine, names: Names) -> None:
    """Let what reads a node of the map read the node's operand instead; what only moves elements stays."""
    for node, position in zip(affine.nodes, affine.operands, strict=True):
        operand = node.inputs[position]
        if node.op_type in LAYOUT_OPERATORS or operand is None:
            continue
        if node.outputs[0] is affine.output:
            take_over(affine.output, operand, names)
        else:
            node.outputs[0].replace_all_uses_with(operand)


def folded_alone(fragment: Fragment, direction: str) -> Runner:
    """The region as a model of its own, folded by the very code that folds it in the graph.

    Raises:
        NotRunnable: there is nothing to fold in it.
    """
    model = ir.from_proto(fragment.model)
    for value, (_, _, shape) in zip(model.graph.inputs, fragment.inputs, strict=True):
        value.shape = ir.Shape([size.static if not size.symbols else str(size) for size in shape])
    facts = survey(model)
    plans = list(plans_for(direction, model.graph, facts))
    names = Names(model)
    for group in plans:
        for plan in group if isinstance(group, list) else ():
            apply_plan(plan, names)
    if not any(isinstance(group, list) for group in plans):
        raise NotRunnable("the region by itself can't be folded")
    return runner_of(ir.to_proto(model))


def plans_for(direction: str, graph: ir.Graph, facts: Facts) -> Iterator[list[FoldPlan] | tuple[Affine, Shortfall]]:
    """All plans of a direction; those in one list stand or fall together."""
    if direction == "forward":
        yield from forward_plans(graph, facts)
        return
    for plan in backward_plans(graph, facts):
        yield plan if isinstance(plan, tuple) else [plan]
