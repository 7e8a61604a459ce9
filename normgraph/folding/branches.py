"""Branches: linear operators on one input whose results are added become one, as RepVGG and MobileOne do by hand.

U·x + V·x + a·x + b = (U + V + diag(a))·x + b. Kernels of different sizes are laid over each other where their outputs
stand, an identity is a kernel with a single tap, and a BatchNormalization of x another.  It is done where the one
operator multiplies no more often than its parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from normgraph.affine import AFFINE_OPERATORS, affine_maps
from normgraph.constants import attribute
from normgraph.diagnosis import Shortfall
from normgraph.facts import FLOATING, Facts
from normgraph.folding.channel_map import ChannelMap, Float64, identity, over_base
from normgraph.folding.convolutions import group_of
from normgraph.folding.geometry import Geometry, attributes_of, geometry_of, laid_over, placed, pointwise
from normgraph.folding.linear import Linear, linear_of
from normgraph.folding.linear_operator import Weights, along
from normgraph.folding.merging import Bypass, Cut, MergePlan
from normgraph.folding.plan import Change, Region
from normgraph.folding.precision import rounded
from normgraph.folding.sums import is_addition
from normgraph.interpret import Interpretation, interpret

PARALLEL = "parallel"
_MERGED = frozenset({"Conv", "Gemm", "MatMul"})


@dataclass(frozen=True, eq=False)
class Term:
    """A summand.

    Attributes:
        node: the Add or Sum that adds it.
        position: which input of that it is.
        value: the summand.
    """

    node: ir.Node
    position: int
    value: ir.Value


@dataclass(frozen=True, eq=False)
class Branch:
    """A summand that is linear in the common input.

    Attributes:
        term: the summand.
        linear: the operator; None for the input itself or a map of it.
        mapped: that map.
        nodes: the nodes between the input and the sum.
    """

    term: Term
    linear: Linear | None
    mapped: ChannelMap
    nodes: tuple[ir.Node, ...]

    def order(self, facts: Facts) -> int:
        """Its place in the graph."""
        return facts.positions[self.nodes[0] if self.nodes else self.term.node]


def parallel_plans(graph: ir.Graph, facts: Facts) -> Iterator[MergePlan]:
    """Sums of which several terms become one linear operator."""
    inner: set[ir.Node] = set()
    for root in reversed(list(graph)):
        if not is_addition(root) or root in inner or root in facts.dead:
            continue
        terms, additions = _terms(root, facts)
        inner.update(additions)
        if facts.dtype(root.outputs[0]) not in FLOATING:
            continue
        for source in dict.fromkeys(_sources(terms, facts)):
            plan = _merged(root, additions, source, terms, facts)
            if plan is not None:
                yield plan
                break


def _terms(root: ir.Node, facts: Facts) -> tuple[list[Term], list[ir.Node]]:
    """The summands of a tree of Adds and Sums, and these, the root first."""
    terms: list[Term] = []
    additions = [root]
    for node in additions:  # grows on the way
        for position, value in enumerate(node.inputs):
            if value is None:
                continue
            producer = value.producer()
            if is_addition(producer) and _read_once(value, facts):
                additions.append(producer)
            else:
                terms.append(Term(node, position, value))
    return terms, additions


def _read_once(value: ir.Value, facts: Facts) -> bool:
    return len([use for use in value.uses() if use.node not in facts.dead]) == 1 and not value.is_graph_output()


def _operator(term: Term, facts: Facts) -> Linear | None:
    """The linear operator that makes a term and nothing else."""
    producer = term.value.producer()
    if producer is None or producer.op_type not in _MERGED or not _read_once(term.value, facts):
        return None
    linear = linear_of(producer, facts)
    return linear if linear is not None and linear.row.data == 0 else None


def _sources(terms: Sequence[Term], facts: Facts) -> Iterator[ir.Value]:
    """The operands of the linear operators among the terms."""
    for term in terms:
        linear = _operator(term, facts)
        if linear is not None:
            yield linear.data


def _merged(
    root: ir.Node, additions: Sequence[ir.Node], source: ir.Value, terms: Sequence[Term], facts: Facts
) -> MergePlan | None:
    """The plan that makes one operator of all terms that are linear in the source, which one of them reads at least."""
    graph = root.graph
    assert graph is not None
    interpretation: Interpretation | None = None
    branches: list[Branch] = []
    shape = facts.shape(source)
    if shape is None:
        return None
    for term in terms:
        linear = _operator(term, facts)
        producer = term.value.producer()
        if linear is not None and linear.data is source:
            branches.append(Branch(term, linear, identity(len(shape)), (linear.node,)))
        elif term.value is source:
            branches.append(Branch(term, None, identity(len(shape)), ()))
        elif producer is not None and producer.op_type in AFFINE_OPERATORS and _read_once(term.value, facts):
            interpretation = interpretation or interpret(source, graph, facts)
            branch = None if interpretation is None else _map_of_source(term, interpretation, facts)
            branches += [] if branch is None else [branch]
    kept = max((b.linear for b in branches if b.linear is not None), key=_size)
    usable = [branch for branch in branches if branch.linear is None or _alike(branch.linear, kept)]
    if len(usable) < 2:
        return None
    combined = _convolutions(kept, usable) if kept.node.op_type == "Conv" else _products(kept, usable)
    stored = None if combined is None else rounded(kept, combined[0])
    if combined is None or stored is None or isinstance(stored, Shortfall):
        return None
    weight, bias = stored
    change = Change(kept, weight, bias)  # takes an Add at most, and as many go
    others = [branch for branch in usable if branch.linear is not kept]
    bypasses, cuts, narrowed = _without(additions, others)
    absorbed = tuple((*branch.nodes, branch.term.node) for branch in sorted(others, key=lambda b: b.order(facts)))
    nodes = {*additions, *(node for branch in usable for node in branch.nodes)}
    region = Region(source, root.outputs[0], tuple(sorted(nodes, key=facts.positions.__getitem__)), graph, kept.channel)
    return MergePlan(PARALLEL, change, combined[1], absorbed, bypasses, (region,), cuts, narrowed)


def _without(
    additions: Sequence[ir.Node], gone: Sequence[Branch]
) -> tuple[tuple[Bypass, ...], tuple[Cut, ...], tuple[ir.Value, ...]]:
    """How a sum is made without some of its terms: what adds one term only is passed by, and goes if that is lost.

    Returns:
        What is passed by, what adds fewer terms, and the inner sums that stay and add up less.
    """
    lost = {(branch.term.node, branch.term.position) for branch in gone}
    bypasses: list[Bypass] = []
    cuts: list[Cut] = []
    less: set[ir.Value | None] = set()
    for node in reversed(additions):  # inner ones first
        kept = tuple(position for position in range(len(node.inputs)) if (node, position) not in lost)
        if len(kept) == len(node.inputs) and less.isdisjoint(node.inputs):
            continue
        less.add(node.outputs[0])
        if not kept:
            lost.update((use.node, use.idx) for use in node.outputs[0].uses())
        elif len(kept) == 1:
            bypasses.append(Bypass(node.outputs[0], (node, kept[0])))
        elif len(kept) < len(node.inputs):
            cuts.append(Cut(node, kept))
    passed = {bypass.value for bypass in bypasses}
    inner = (node.outputs[0] for node in additions[1:])
    return tuple(bypasses), tuple(cuts), tuple(v for v in inner if v in less and v not in passed)


def _map_of_source(term: Term, interpretation: Interpretation, facts: Facts) -> Branch | None:
    for affine in affine_maps(interpretation, facts):
        if affine.output is term.value:
            mapped = over_base(affine)
            return None if mapped is None else Branch(term, None, mapped, affine.nodes)
    return None


def _size(linear: Linear) -> int:
    return linear.outline.weight.size


def _alike(a: Linear, b: Linear) -> bool:
    """Whether two operators are of one kind."""
    return (
        a.row is b.row
        and a.dtype == b.dtype
        and group_of(a.node) == group_of(b.node)
        and a.outline.weight.ndim == b.outline.weight.ndim
    )


def _convolutions(kept: Linear, branches: Sequence[Branch]) -> tuple[Weights, dict[str, tuple[int, ...]]] | None:
    """Kernels laid over each other; None where that doesn't work out or multiplies more often."""
    outputs, width = kept.outline.weight.shape[:2]
    spatial = kept.outline.weight.ndim - 2
    parts: list[tuple[Float64, Float64, Geometry]] = []
    cost = 0
    for branch in branches:
        if branch.linear is not None:
            outline = branch.linear.outline
            geometry = geometry_of(branch.linear.node, outline.weight.shape[2:], outline.space)
            if geometry is None or outline.weight.shape[:2] != (outputs, width):
                return None
            weights = branch.linear.weights()
            parts.append((weights.weight, weights.bias, geometry))
            cost += weights.weight.size
            continue
        vectors = branch.mapped.vectors(1, outputs)
        if vectors is None or outputs != width * group_of(kept.node):
            return None
        kernel = np.zeros((outputs, width, *(1,) * spatial))
        rows = np.arange(outputs)
        kernel[(rows, rows % width, *(0,) * spatial)] = vectors[0]
        parts.append((kernel, along(vectors[1], spatial + 2, 1), pointwise(spatial)))
    whole = laid_over([geometry for _, _, geometry in parts])
    if whole is None:
        return None
    weight = sum((placed(w, geometry, whole) for w, _, geometry in parts), np.zeros(()))
    bias = sum((b for _, b, _ in parts), np.zeros(()))
    return None if weight.size > cost else (Weights(weight, bias), attributes_of(whole))


def _products(kept: Linear, branches: Sequence[Branch]) -> tuple[Weights, dict[str, tuple[int, ...]]] | None:
    """Matrices added up."""
    shape, turned = kept.outline.weight.shape, attribute(kept.node, "transB", 0)
    if len(shape) != 2:
        return None
    weight, bias = np.zeros(shape), np.zeros((1,) * kept.outline.bias.ndim)
    for branch in branches:
        if branch.linear is not None:
            node = branch.linear.node
            if attribute(node, "transA", 0) or attribute(node, "transB", 0) != turned:
                return None
            if branch.linear.outline.weight.shape != shape:
                return None
            weights = branch.linear.weights()
            weight, bias = weight + weights.weight, bias + weights.bias
            continue
        vectors = branch.mapped.vectors(branch.mapped.rank - 1, shape[0])
        if vectors is None or shape[0] != shape[1]:
            return None
        weight = weight + np.diag(vectors[0])
        bias = bias + along(vectors[1], bias.ndim, bias.ndim - 1)
    return Weights(weight, bias), {}
