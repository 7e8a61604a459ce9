"""Regions as models of their own, folded by the very code that folds them."""

from __future__ import annotations

import onnx_ir as ir

from normgraph.evidence import Modelled
from normgraph.execution import NotRunnable
from normgraph.facts import survey
from normgraph.folding.changes import Store
from normgraph.folding.directions import DIRECTIONS, apply
from normgraph.folding.plan import Refusal
from normgraph.fragments import Fragment
from normgraph.rewrite import Names, remove_dead


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
    let_go(model)
    return Modelled(folded)


def let_go(model: ir.Model) -> None:
    """Forget the constants of a graph: it is a cycle, which would hold them until it is collected."""
    for value in model.graph.initializers.values():
        value.const_value = None
