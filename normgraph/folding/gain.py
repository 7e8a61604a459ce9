"""Gain: γ and β of a LayerNormalization or RMSNormalization go into the linear operators that read its result.

W·(γ·n + β) + w = (W·γ)·n + (W·β + w) for the normalized n.  It saves no node: what it is for is a norm without
parameters, which some runtimes and quantizers want, so that it is only done when asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from normgraph.constants import Array, attribute
from normgraph.diagnosis import Shortfall
from normgraph.facts import Facts
from normgraph.folding.changes import Store, apply_change, apply_edit, stem_of
from normgraph.folding.channel_map import ChannelMap, Float64
from normgraph.folding.moves import Edit
from normgraph.folding.plan import Change, Refusal, Region
from normgraph.folding.plans import carried_forward
from normgraph.rewrite import forget, stood_for

GAIN = "gain"
#: Operators with a gain over their last dimensions, and the positions of γ and β.
NORMS: Mapping[str, tuple[int, int | None]] = {
    "LayerNormalization": (1, 2),
    "RMSNormalization": (1, None),
    "SimplifiedLayerNormalization": (1, None),
}


@dataclass(frozen=True, eq=False)
class GainPlan:
    """A norm whose gain and bias move on.

    Attributes:
        norm: the norm.
        ones: its gain from then on.
        changes: the operators that take them in.
        edits: constants of passages that change on the way.
        regions: what has to be proven to stay the same.
    """

    norm: ir.Node
    ones: Array
    changes: tuple[Change, ...]
    edits: tuple[Edit, ...]
    regions: tuple[Region, ...]
    direction: str = GAIN

    @property
    def nodes(self) -> frozenset[ir.Node]:
        """Every node that takes part."""
        return frozenset(node for region in self.regions for node in region.nodes)

    @property
    def doomed(self) -> tuple[ir.Node, ...]:
        """Nothing goes."""
        return ()


def gain_plans(graph: ir.Graph, facts: Facts) -> Iterator[GainPlan | Refusal]:
    """Norms whose gain and bias can move on, and those whose can't."""
    for node in graph:
        if node.op_type not in NORMS or node.domain not in ("", "com.microsoft") or node in facts.dead:
            continue
        base, shape = node.inputs[0], facts.shape(node.outputs[0])
        if not shape:
            continue
        rank = len(shape)
        gain, bias = (_parameter(node, position, rank, facts) for position in NORMS[node.op_type])
        if base is None or gain is None or bias is None or (np.all(gain == 1) and not np.any(bias != 0)):
            continue
        found = carried_forward(node.outputs[0], ChannelMap(gain, bias), (node,), base, facts)
        if isinstance(found, Shortfall):
            yield Refusal((node,), base, GAIN, found)
            continue
        added = sum(change.added_nodes for change in found.changes)
        if added:
            yield Refusal((node,), base, GAIN, Shortfall("no-gain", f"its bias would take {added} new nodes"))
            continue
        stored = facts.constant(node.inputs[NORMS[node.op_type][0]])
        if stored is not None:
            yield GainPlan(node, np.ones_like(stored), found.changes, found.edits, found.regions)


def _parameter(node: ir.Node, position: int | None, rank: int, facts: Facts) -> Float64 | None:
    """γ or β over the dimensions of the norm's output; None where it isn't constant or isn't over its last ones.

    β is zero where it is left out; γ has to be there.
    """
    value = node.inputs[position] if position is not None and len(node.inputs) > position else None
    if value is None:
        return None if position == 1 else np.zeros((1,) * rank)
    array = facts.constant(value)
    if array is None or array.ndim > rank - attribute(node, "axis", -1) % rank:
        return None
    return array.astype(np.float64).reshape((1,) * (rank - array.ndim) + array.shape)


def apply_gain(plan: GainPlan, store: Store) -> list[ir.Node]:
    """Make the changes of a plan: γ becomes one everywhere, β goes.

    Returns:
        The new nodes: none.
    """
    node, graph = plan.norm, plan.norm.graph
    assert graph is not None
    for edit in plan.edits:
        apply_edit(edit, store)
    made = [new for change in plan.changes for new in apply_change(change, store, stood_for((node,)))]
    position, bias = NORMS[node.op_type]
    unused = [node.inputs[position]]
    ones = store.initializer(graph, f"{stem_of(node, unused[0])}.folded", plan.ones)
    node.replace_input_with(position, ones)
    if bias is not None and len(node.inputs) > bias:
        unused.append(node.inputs[bias])
        node.resize_inputs(bias)
    forget(unused)
    return made
