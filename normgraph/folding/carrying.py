"""Plans carried out on regions as models of their own, which what is written alike shares."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import onnx
import onnx_ir as ir

from normgraph.constants import Array
from normgraph.evidence import PLACES, Modelled
from normgraph.folding.alone import let_go
from normgraph.folding.changes import Store, apply_plan
from normgraph.folding.moves import Edit
from normgraph.folding.plan import Change, FoldPlan
from normgraph.fragments import Fragment, weights_among, without_epsilons
from normgraph.rewrite import Names, new_initializer, remove_dead

#: Operators for which it makes no difference whether weights are constants, by the first such operand.
WEIGHED: Mapping[str, int] = {**PLACES, "Conv": 1, "ConvTranspose": 1, "Gemm": 0, "MatMul": 0}


class Carrier:
    """Carries plans out on regions as models of their own.

    What becomes of a region follows from its nodes and from what a plan does to which of them, whatever its weights
    are, and whatever the epsilons of the BatchNormalizations, if none of these is left.  So where both are the same as
    before, the weights are all that is new.
    """

    def __init__(self) -> None:
        self._known: dict[Hashable, _Outcome] = {}

    def __call__(self, plan: FoldPlan, fragment: Fragment, nodes: tuple[ir.Node, ...]) -> Modelled | None:
        """The region with the plan carried out: with the very weights that the fold puts in.

        Args:
            plan: the fold.
            fragment: the region, its weights beside it.
            nodes: the nodes of the graph in the order of the fragment's.

        Returns:
            The model, the new weights beside it; None where the plan reaches beyond the fragment.
        """
        places = {node: place for place, node in enumerate(nodes)}
        there = _placed(plan, places)
        if there is None:
            return None
        key = (without_epsilons(fragment.model), there.key())
        outcome = self._known.get(key)
        if outcome is None:
            outcome, folded = _carried_out(there, fragment)
            if not outcome.stored and all(node.op_type != "BatchNormalization" for node in outcome.model.graph.node):
                self._known[key] = outcome
            return folded
        made = {name: getattr(there.changes[i], part) for name, (i, part) in outcome.made.items()}
        weights = {**{name: fragment.constants[name] for name in outcome.kept}, **made}
        return Modelled(Fragment(outcome.model, fragment.inputs, fragment.output, constants=weights))


@dataclass(frozen=True)
class _Placed:
    """A plan as far as it reaches into a fragment: what it does to the nodes at which places.

    Attributes:
        plan: the plan.
        affine: the places of the map's nodes.
        base: where the map's operand is read: a place and the position of an input.
        output: where its result is made: a place and the position of an output.
        changes: the changes.
        linear: for each of them the place of the operator, and of the Add that is its bias.
        edits: the edits of constants.
        edited: the place of each.
    """

    plan: FoldPlan
    affine: tuple[int, ...]
    base: tuple[int, int]
    output: tuple[int, int]
    changes: tuple[Change, ...]
    linear: tuple[tuple[int, int | None], ...]
    edits: tuple[Edit, ...]
    edited: tuple[int, ...]

    def key(self) -> Hashable:
        """What is the same for plans that do the same but for the numbers of their weights."""
        changes = [
            (c.linear.row.data, c.fill, c.weight.ndim, c.weight.dtype, None if c.bias is None else c.bias.ndim)
            for c in self.changes
        ]
        edits = [(edit.value.dtype, edit.value.tobytes()) for edit in self.edits]
        places = (self.affine, self.base, self.output, self.linear, self.edited)
        return (self.plan.direction, self.plan.affine.operands, places, tuple(changes), tuple(edits))

    def over(self, nodes: Sequence[ir.Node]) -> FoldPlan:
        """The same plan over the nodes of the fragment."""
        base, output = nodes[self.base[0]].inputs[self.base[1]], nodes[self.output[0]].outputs[self.output[1]]
        assert base is not None, "it is what the map reads"
        affine = replace(self.plan.affine, base=base, output=output, nodes=tuple(nodes[i] for i in self.affine))
        changes = tuple(
            replace(
                change,
                linear=replace(change.linear, node=nodes[place], addition=None if added is None else nodes[added]),
            )
            for change, (place, added) in zip(self.changes, self.linear, strict=True)
        )
        edits = tuple(replace(edit, node=nodes[place]) for edit, place in zip(self.edits, self.edited, strict=True))
        return replace(self.plan, affine=affine, changes=changes, edits=edits, regions=())


@dataclass(frozen=True)
class _Outcome:
    """What becomes of a fragment.

    Attributes:
        model: the model.
        kept: the weights that it has from the fragment.
        made: those that it has from the plan: the position of a change, and which part of it.
        stored: whether it holds some of these itself, so that it is good for no others.
    """

    model: onnx.ModelProto
    kept: tuple[str, ...]
    made: Mapping[str, tuple[int, str]]
    stored: bool


def _placed(plan: FoldPlan, places: Mapping[ir.Node, int]) -> _Placed | None:
    """A plan over the places of a fragment's nodes; None where it reaches beyond, or copies operators."""
    affine = plan.affine
    if any(change.copied for change in plan.changes) or any(node not in places for node in affine.nodes):
        return None
    base = next((places[n], i) for n in affine.nodes for i, value in enumerate(n.inputs) if value is affine.base)
    output = next((places[n], i) for n in affine.nodes for i, value in enumerate(n.outputs) if value is affine.output)
    changes = tuple(change for change in plan.changes if change.linear.node in places)
    additions = [change.linear.addition for change in changes]
    edits = tuple(edit for edit in plan.edits if edit.node in places)
    pairs = zip(changes, additions, strict=True)
    return _Placed(
        plan,
        tuple(places[node] for node in affine.nodes),
        base,
        output,
        changes,
        tuple((places[c.linear.node], None if a is None else places[a]) for c, a in pairs),
        edits,
        tuple(places[edit.node] for edit in edits),
    )


class _Separate(Store):
    """New initializers, one for each array: what is equal here may differ in the next region."""

    def __init__(self, names: Names) -> None:
        super().__init__(names)
        self.made: dict[str, Array] = {}

    def initializer(self, graph: ir.Graph, name: str, array: Array) -> ir.Value:
        """A new initializer of the graph."""
        value = new_initializer(graph, name, array, self.names)
        self.made[value.name or ""] = array
        return value


def _carried_out(there: _Placed, fragment: Fragment) -> tuple[_Outcome, Modelled]:
    """What becomes of a fragment, and the model with its weights beside it."""
    model = ir.from_proto(fragment.model)
    nodes = list(model.graph)
    plan = there.over(nodes)
    store = _Separate(Names(model))
    apply_plan(plan, store)
    remove_dead(plan.doomed, {node: position for position, node in enumerate(nodes)})
    weights = _put_beside(model.graph, fragment.constants)
    proto = ir.to_proto(model)
    let_go(model)
    parts = [((i, part), getattr(c, part)) for i, c in enumerate(there.changes) for part in ("weight", "bias")]
    made = {name: place for name, array in store.made.items() for place, part in parts if part is array}
    kept = tuple(name for name in weights if name in fragment.constants)
    outcome = _Outcome(proto, kept, made, stored=any(name not in weights for name in made))
    return outcome, Modelled(Fragment(proto, fragment.inputs, fragment.output, constants=weights))


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
