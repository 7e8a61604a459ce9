"""Regions as models of their own, folded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import onnx_ir as ir

from normgraph.constants import Array
from normgraph.evidence import PLACES, Modelled
from normgraph.execution import NotRunnable
from normgraph.facts import survey
from normgraph.folding.changes import Store, apply_plan
from normgraph.folding.directions import DIRECTIONS, apply
from normgraph.folding.plan import FoldPlan, Refusal
from normgraph.fragments import Fragment, weights_among
from normgraph.rewrite import Names, remove_dead

#: Operators for which it makes no difference whether weights are constants, by the first such operand.
WEIGHED: Mapping[str, int] = {**PLACES, "Conv": 1, "ConvTranspose": 1, "Gemm": 0, "MatMul": 0}


def folded_alone(fragment: Fragment, direction: str) -> Modelled:
    """The region as a model of its own, folded by the very code that folds it.

    Raises:
        NotRunnable: there is nothing to fold in it.
    """
    model = ir.from_proto(fragment.model)
    for value, (_, _, shape) in zip(model.graph.inputs, fragment.inputs, strict=True):
        value.shape = ir.Shape([size.static if not size.symbols else str(size) for size in shape])
    facts = survey(model)
    plans = [plan for plan in DIRECTIONS[direction](model.graph, facts) if not isinstance(plan, Refusal)]
    if not plans:
        raise NotRunnable("the region by itself can't be folded")
    store = Store(Names(model))
    for plan in plans:
        apply(plan, store)
    remove_dead([node for plan in plans for node in plan.doomed], facts.positions)
    for value in (*model.graph.inputs, *model.graph.outputs):  # at other sizes, too, it is to be tried
        value.shape = None if value.shape is None else ir.Shape([None] * len(value.shape))
    folded = Fragment(ir.to_proto(model), fragment.inputs, fragment.output)
    _let_go(model)
    return Modelled(folded)


def carried_out(plan: FoldPlan, fragment: Fragment, nodes: tuple[ir.Node, ...]) -> Modelled | None:
    """The region as a model of its own, with the plan carried out: with the very weights that the fold puts in.

    Args:
        plan: the fold.
        fragment: the region, its weights beside it.
        nodes: the nodes of the graph in the order of the fragment's.

    Returns:
        The model, the new weights beside it; None where the plan reaches beyond the fragment.
    """
    model = ir.from_proto(fragment.model)
    own = dict(zip(nodes, model.graph, strict=True))
    moved = _moved(plan, own)
    if moved is None:
        return None
    positions = {node: position for position, node in enumerate(model.graph)}
    apply_plan(moved, Store(Names(model)))
    remove_dead(moved.doomed, positions)
    weights = _put_beside(model.graph, fragment.constants)
    folded = Fragment(ir.to_proto(model), fragment.inputs, fragment.output, constants=weights)
    _let_go(model)
    return Modelled(folded)


def _moved(plan: FoldPlan, own: Mapping[ir.Node, ir.Node]) -> FoldPlan | None:
    """The plan over the nodes of a fragment, as far as these reach; one that copies operators reaches beyond."""
    affine = plan.affine
    if any(change.copied for change in plan.changes) or any(node not in own for node in affine.nodes):
        return None
    base = [own[n].inputs[i] for n in affine.nodes for i, value in enumerate(n.inputs) if value is affine.base]
    output = [own[n].outputs[i] for n in affine.nodes for i, value in enumerate(n.outputs) if value is affine.output]
    if not base or base[0] is None or not output:
        return None
    changes = tuple(
        replace(change, linear=replace(change.linear, node=own[change.linear.node], addition=addition))
        for change in plan.changes
        if change.linear.node in own
        for addition in (None if change.linear.addition is None else own.get(change.linear.addition),)
    )
    edits = tuple(replace(edit, node=own[edit.node]) for edit in plan.edits if edit.node in own)
    nodes = tuple(own[node] for node in affine.nodes)
    there = replace(affine, base=base[0], output=output[0], nodes=nodes)
    return replace(plan, affine=there, changes=changes, edits=edits, regions=())


def _put_beside(graph: ir.Graph, before: Mapping[str, Array]) -> dict[str, Array]:
    """Make the new weights of a graph inputs, and take those out that nothing reads any more.

    Args:
        graph: the graph.
        before: the weights that are inputs already.

    Returns:
        All of its weights, by the names of their inputs.
    """
    made = {name: v.const_value.numpy() for name, v in graph.initializers.items() if v.const_value is not None}
    readers = [(node.domain, node.op_type, [(v and v.name) or "" for v in node.inputs]) for node in graph]
    fed = weights_among(made, readers, WEIGHED)
    for name, array in fed.items():
        value = graph.initializers.pop(name)
        value.const_value, value.shape = None, ir.Shape([None] * array.ndim)
        graph.inputs.append(value)
    weights = {**before, **fed}
    for value in list(graph.inputs):
        if value.name is not None and value.name in before and not value.uses():
            graph.inputs.remove(value)
            del weights[value.name]
    return weights


def _let_go(model: ir.Model) -> None:
    """Forget the constants of a graph: it is a cycle, which would hold them until it is collected."""
    for value in model.graph.initializers.values():
        value.const_value = None
