"""Chains: a linear operator whose only reader is another becomes one with it, where that multiplies less often.

V·(U·x + u) + v = (V·U)·x + (V·u + v).  Of two convolutions one has to be pointwise; if it is the first, and the second
pads, u has to be zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np
import onnx_ir as ir

from normgraph.constants import attribute
from normgraph.diagnosis import Shortfall
from normgraph.facts import Facts
from normgraph.folding.channel_map import Float64
from normgraph.folding.convolutions import group_of
from normgraph.folding.geometry import Geometry, attributes_of, geometry_of
from normgraph.folding.linear import Linear, linear_of
from normgraph.folding.linear_operator import Weights
from normgraph.folding.merging import Bypass, MergePlan
from normgraph.folding.plan import Change, Region
from normgraph.folding.precision import rounded
from normgraph.folding.sums import is_addition

CHAIN = "chain"
_Composed = tuple[Weights, dict[str, tuple[int, ...]]]


def chain_plans(graph: ir.Graph, facts: Facts) -> Iterator[MergePlan]:
    """Pairs of linear operators that are cheaper as one."""
    taken: set[ir.Node] = set()
    for node in graph:
        second = linear_of(node, facts, with_addition=True)
        first = None if second is None or second.row.data != 0 else _maker(second.data, facts)
        if first is None or second is None or first.node in taken or first.row is not second.row:
            continue
        if first.dtype != second.dtype or not _read_by(first.output, second.node, facts):
            continue
        plan = _plan(first, second, facts)
        if plan is not None:
            taken.update(plan.nodes)
            yield plan


def _maker(value: ir.Value, facts: Facts) -> Linear | None:
    """The linear operator that makes a value, its bias added by a node of its own or not."""
    producer = value.producer()
    if not is_addition(producer):
        return linear_of(producer, facts)
    for operand in producer.inputs:
        linear = linear_of(None if operand is None else operand.producer(), facts, with_addition=True)
        if linear is not None and linear.addition is producer:
            return linear
    return None


def _read_by(value: ir.Value, node: ir.Node, facts: Facts) -> bool:
    uses = [use for use in value.uses() if use.node not in facts.dead]
    return len(uses) == 1 and uses[0].node is node and not value.is_graph_output()


def _plan(first: Linear, second: Linear, facts: Facts) -> MergePlan | None:
    composed = _convolutions(first, second, facts) if first.node.op_type == "Conv" else _products(first, second)
    stored = None if composed is None else rounded(second, composed[0])
    if composed is None or stored is None or isinstance(stored, Shortfall):
        return None
    weight, bias = stored
    change = Change(second, weight, bias)
    nodes = (*first.nodes, *second.nodes)
    region = Region(first.data, second.output, nodes, first.node.graph, second.channel)
    bypass = Bypass(first.output, (first.node, first.row.data))
    return MergePlan(CHAIN, change, composed[1], (first.nodes,), (bypass,), (region,))


def _convolutions(first: Linear, second: Linear, facts: Facts) -> _Composed | None:
    inner, outer = first.outline, second.outline
    if group_of(first.node) != 1 or group_of(second.node) != 1 or inner.weight.ndim != outer.weight.ndim:
        return None
    if outer.weight.shape[1] != inner.weight.shape[0]:
        return None
    before = geometry_of(first.node, inner.weight.shape[2:], inner.space)
    after = geometry_of(second.node, outer.weight.shape[2:], outer.space)
    if before is None or after is None:
        return None
    if after.is_pointwise:
        strides = tuple(a * b for a, b in zip(before.strides, after.strides, strict=True))
        whole, equation = (
            Geometry(before.kernel, strides, before.dilations, before.begin, before.end),
            "om,mc...->oc...",
        )
    elif before.is_pointwise and set(before.strides) == {1}:
        if np.any(inner.bias != 0) and (any(after.begin) or any(after.end)):
            return None
        whole, equation = after, "om...,mc->oc..."
    else:
        return None
    # Multiplications per output position of the second; the first one's outputs are more by the strides.
    size = outer.weight.shape[0] * inner.weight.shape[1] * prod(whole.kernel)
    if inner.weight.size * prod(after.strides) + outer.weight.size <= size:
        return None
    u, v = first.weights().weight, second.weights().weight
    moved = (v * inner.bias.reshape(1, -1, *(1,) * (v.ndim - 2))).sum(axis=tuple(range(1, v.ndim)))
    bias = outer.bias + moved.reshape(outer.bias.shape)
    pointwise = v.reshape(v.shape[:2]) if after.is_pointwise else u.reshape(u.shape[:2])
    operands = (pointwise, u) if after.is_pointwise else (v, pointwise)
    return Weights(np.einsum(equation, *operands), bias), attributes_of(whole)


def _products(first: Linear, second: Linear) -> _Composed | None:
    """Matrices multiplied, of Gemms or MatMuls."""
    if first.node.op_type not in ("Gemm", "MatMul") or attribute(second.node, "transA", 0):
        return None
    u, v = (_matrix(linear, linear.outline.weight) for linear in (first, second))
    if attribute(first.node, "transA", 0) or u.ndim != 2 or v.ndim != 2:
        return None
    if u.shape[0] * v.shape[1] >= u.size + v.size:
        return None
    u, v = (_matrix(linear, linear.weights().weight) for linear in (first, second))
    weight = u @ v
    stored = weight.T if attribute(second.node, "transB", 0) else weight
    bias = first.outline.bias
    moved = np.broadcast_to(bias, (*bias.shape[:-1], v.shape[0])) @ v
    return Weights(stored, second.outline.bias + moved), {}


def _matrix(linear: Linear, weight: Float64) -> Float64:
    """A weight as it stands in the product."""
    return weight.T if attribute(linear.node, "transB", 0) else weight
