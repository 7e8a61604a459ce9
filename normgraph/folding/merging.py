"""Merges: linear operators that become one, side by side or in a row, and how the graph is changed for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from normgraph.folding.changes import Store, apply_change
from normgraph.folding.plan import Change, Region
from normgraph.rewrite import stood_for, take_over


@dataclass(frozen=True, eq=False)
class Bypass:
    """A value that nothing reads any more.

    Attributes:
        value: the value.
        instead: what its readers read from then on: this input of this node.
    """

    value: ir.Value
    instead: tuple[ir.Node, int]


@dataclass(frozen=True, eq=False)
class Cut:
    """A Sum that loses some of its operands and keeps at least two.

    Attributes:
        node: the Sum.
        kept: the positions of the operands that it keeps.
    """

    node: ir.Node
    kept: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class MergePlan:
    """Linear operators that become one.

    Attributes:
        direction: "parallel" or "chain".
        change: the weights of the operator that stays.
        attributes: its new attributes; a padding that it works out itself goes.
        absorbed: the nodes of each part that goes into it, the sum that adds it last where parts lie side by side.
        bypasses: how its readers get around what goes.
        regions: what has to be proven to stay the same.
        cuts: the sums that lose a part of their terms.
        narrowed: the sums whose shape may be less than it was, since what broadcast them is added elsewhere.
    """

    direction: str
    change: Change
    attributes: Mapping[str, tuple[int, ...]]
    absorbed: tuple[tuple[ir.Node, ...], ...]
    bypasses: tuple[Bypass, ...]
    regions: tuple[Region, ...]
    cuts: tuple[Cut, ...] = ()
    narrowed: tuple[ir.Value, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        """The weights of the operator that stays."""
        return (self.change,)

    @property
    def nodes(self) -> frozenset[ir.Node]:
        """Every node that takes part."""
        return frozenset(node for region in self.regions for node in region.nodes)

    @property
    def replaced(self) -> tuple[ir.Node, ...]:
        """The nodes of all parts that were absorbed, but for the sums that still add others."""
        lasting = {cut.node for cut in self.cuts}
        return tuple(dict.fromkeys(node for part in self.absorbed for node in part if node not in lasting))

    @property
    def doomed(self) -> tuple[ir.Node, ...]:
        """The nodes that nothing reads once the plan is applied."""
        bypassed = (bypass.value.producer() for bypass in self.bypasses)
        return tuple(dict.fromkeys([*self.replaced, *(node for node in bypassed if node is not None)]))


def apply_merge(plan: MergePlan, store: Store) -> list[ir.Node]:
    """Make the changes of a merge; what was absorbed stays behind without readers.

    Returns:
        The new nodes.
    """
    node = plan.change.linear.node
    if plan.attributes:
        node.attributes.pop("auto_pad", None)
    for name, values in plan.attributes.items():
        node.attributes[name] = ir.AttrInt64s(name, list(values))
    made = apply_change(plan.change, store, stood_for(plan.replaced))
    for bypass in plan.bypasses:
        reader, position = bypass.instead
        operand = reader.inputs[position]
        assert operand is not None
        if bypass.value.is_graph_output():
            take_over(bypass.value, operand, store.names)
        else:
            bypass.value.replace_all_uses_with(operand)
    for cut in plan.cuts:  # last, for positions change with it
        operands = [cut.node.inputs[position] for position in cut.kept]
        cut.node.resize_inputs(len(operands))
        for position, operand in enumerate(operands):
            cut.node.replace_input_with(position, operand)
    for value in plan.narrowed:
        value.shape = None
    return made
