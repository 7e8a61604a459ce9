"""Changes: put the weights of a plan into the graph, and let the readers of the map read what they are to read now."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from normgraph.affine import Affine
from normgraph.constants import Array
from normgraph.folding.linear import Linear
from normgraph.folding.linear_operator import Fill
from normgraph.folding.moves import Edit
from normgraph.folding.plan import Change, FoldPlan
from normgraph.folding.plans import FORWARD
from normgraph.rewrite import PROVENANCE, Names, forget, new_initializer, origins_of, take_over
from normgraph.transfer import LAYOUT_OPERATORS


class Store:
    """New initializers; of equal content and in one graph, one is made.

    Args:
        names: the names that are taken.
    """

    def __init__(self, names: Names) -> None:
        self.names = names
        self._made: dict[tuple[int, str, tuple[int, ...]], list[ir.Value]] = {}

    def initializer(self, graph: ir.Graph, name: str, array: Array) -> ir.Value:
        """An initializer of the graph with this content, under this name or one like it if it is new."""
        alike = self._made.setdefault((id(graph), str(array.dtype), array.shape), [])
        for value in alike:
            stored = value.const_value if value.graph is graph else None  # it may have been removed with what read it
            if stored is not None and _is_same(stored.numpy(), array):
                return value
        alike.append(new_initializer(graph, name, array, self.names))
        return alike[-1]


def _is_same(one: Array, other: Array) -> bool:
    """Whether two arrays of one shape have the same bytes; most that haven't differ at the first."""
    if one.size and one.reshape(-1)[:1].tobytes() != other.reshape(-1)[:1].tobytes():
        return False
    return np.ascontiguousarray(one).tobytes() == np.ascontiguousarray(other).tobytes()


def stem_of(node: ir.Node, old: ir.Value | None = None) -> str:
    """What is made anew for a node is called after this: what it takes the place of, the node, or what that makes."""
    return (None if old is None else old.name) or node.name or node.outputs[0].name or node.op_type


def apply_plan(plan: FoldPlan, store: Store) -> list[ir.Node]:
    """Make the changes of a plan.

    The map's nodes stay behind without readers, for `normgraph.rewrite.remove_dead` to take.

    Returns:
        The new nodes.
    """
    made: list[ir.Node] = []
    replaced = origins_of(plan.affine.nodes)
    for edit in plan.edits:
        apply_edit(edit, store)
    for change in plan.changes:
        own = _copied(change, plan.affine, store.names) if change.copied else change
        made += apply_change(own, store, replaced)
    bypass(plan.affine, store.names, backward=plan.direction != FORWARD)
    return made


def _copied(change: Change, affine: Affine, names: Names) -> Change:
    """The change of a copy of its operator, which the map reads from now on."""
    node = change.linear.node
    copy = ir.node(
        node.op_type,
        list(node.inputs),
        dict(node.attributes),
        domain=node.domain,
        name=names.unique(f"{stem_of(node)}/copy"),
        metadata_props=dict(node.metadata_props),
    )
    result = copy.outputs[0]
    result.name, result.type, result.shape = (
        names.unique(f"{affine.base.name}/copy"),
        affine.base.type,
        affine.base.shape,
    )
    assert node.graph is not None
    node.graph.insert_after(node, [copy])
    for reader in affine.nodes:
        for position, operand in enumerate(reader.inputs):
            if operand is affine.base:
                reader.replace_input_with(position, result)
    return replace(change, linear=replace(change.linear, node=copy))


def apply_edit(edit: Edit, store: Store) -> None:
    """Let a Pad pad with another number."""
    node, graph = edit.node, edit.node.graph
    assert graph is not None
    if len(node.inputs) == 1:
        node.attributes["value"] = ir.AttrFloat32("value", float(edit.value))
        return
    old = node.inputs[2] if len(node.inputs) > 2 else None
    if len(node.inputs) <= 2:
        node.resize_inputs(3)
    node.replace_input_with(2, store.initializer(graph, f"{stem_of(node, old)}.folded", edit.value))
    forget([old])


def apply_change(change: Change, store: Store, replaced: tuple[str, ...]) -> list[ir.Node]:
    """Give a linear operator its new weights.

    Args:
        change: the weights.
        store: where initializers are made.
        replaced: the names of the nodes in whose place the operator stands now as well.

    Returns:
        The new nodes: an Add for a bias that has no place, a Pad.
    """
    linear = change.linear
    node, row = linear.node, linear.row
    graph = node.graph
    assert graph is not None
    made: list[ir.Node] = []
    unused = [node.inputs[row.weight]]
    stem = stem_of(node, unused[0])
    node.replace_input_with(row.weight, store.initializer(graph, f"{stem}.folded", change.weight))
    for name in ("alpha", "beta"):
        node.attributes.pop(name, None)
    if change.bias is not None:
        bias = store.initializer(graph, f"{stem}.folded_bias", change.bias)
        if row.bias is not None:
            if len(node.inputs) <= row.bias:
                node.resize_inputs(row.bias + 1)
            unused.append(node.inputs[row.bias])
            node.replace_input_with(row.bias, bias)
        elif linear.addition is not None:
            position = 1 if linear.addition.inputs[0] is node.outputs[0] else 0
            unused.append(linear.addition.inputs[position])
            linear.addition.replace_input_with(position, bias)
        else:
            made.append(_insert_addition(node, bias, f"{node.name or stem}/Add", store.names))
    if change.fill is not None:
        made.append(_insert_padding(linear, change.fill, store))
    node.metadata_props[PROVENANCE] = ", ".join([*filter(None, [node.metadata_props.get(PROVENANCE)]), *replaced])
    for new in made:
        new.metadata_props[PROVENANCE], new.meta[PROVENANCE] = ", ".join(replaced), True
    forget(unused)
    return made


def _insert_addition(node: ir.Node, bias: ir.Value, name: str, names: Names) -> ir.Node:
    result = node.outputs[0]
    addition = ir.node("Add", [None, bias], name=names.unique(name))
    take_over(result, addition.outputs[0], names)
    result.shape, result.type = addition.outputs[0].shape, addition.outputs[0].type
    addition.replace_input_with(0, result)
    assert node.graph is not None
    node.graph.insert_after(node, [addition])
    return addition


def _insert_padding(linear: Linear, fill: Fill, store: Store) -> ir.Node:
    """Pad before a convolution with a number of its own, in place of the convolution's zeros."""
    node, data = linear.node, linear.data
    graph = node.graph
    assert graph is not None
    sizes = np.asarray([0, 0, *fill.begin, 0, 0, *fill.end], np.int64)
    stem = stem_of(node)
    pad = ir.node(
        "Pad",
        [
            data,
            store.initializer(graph, f"{stem}.pads", sizes),
            store.initializer(graph, f"{stem}.fill", np.asarray(fill.value, linear.dtype)),
        ],
        name=store.names.unique(f"{stem}/Pad"),
    )
    pad.outputs[0].name = store.names.unique(f"{stem}/padded")
    pad.outputs[0].type = data.type
    for name in ("auto_pad", "pads"):
        node.attributes.pop(name, None)
    node.replace_input_with(linear.row.data, pad.outputs[0])
    graph.insert_before(node, [pad])
    return pad


def bypass(affine: Affine, names: Names, *, backward: bool) -> None:
    """Let what reads a node of the map read the node's operand instead; what only moves elements stays.

    Args:
        affine: the map.
        names: the names that are taken.
        backward: whether the value before the map gets the name of the one behind it, and stands for it in outputs.
    """
    for node, position in zip(affine.nodes, affine.operands, strict=True):
        operand = node.inputs[position]
        if operand is None or node.op_type in LAYOUT_OPERATORS - {"Identity"}:
            continue
        if backward and node.outputs[0] is affine.output:
            take_over(affine.output, operand, names)
        else:
            node.outputs[0].replace_all_uses_with(operand)
