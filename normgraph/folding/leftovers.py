"""The maps per channel that are still there after folding, each with the one reason that decides."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import onnx_ir as ir

from normgraph.affine import Affine, names_of
from normgraph.axes import ONE, product
from normgraph.diagnosis import Shortfall
from normgraph.facts import FLOATING, Facts, graphs_of
from normgraph.folding.channel_map import over_base
from normgraph.folding.directions import DIRECTIONS
from normgraph.folding.gain import NORMS
from normgraph.folding.reasons import linear_ahead, linear_behind, varying, why_left, why_map_left
from normgraph.inventory import Fold
from normgraph.naming import site_name

#: For each output of a map and direction why it isn't folded so.
Refused = Mapping[tuple[str, str], Shortfall]


def leftovers(model: ir.Model, refused: Refused, maps: Collection[Affine], facts: Facts) -> list[Fold]:
    """What is left of a model's maps per channel, in the order of its graphs.

    Every BatchNormalization counts.  What is spelled out in other operators counts where it can be told from other
    products and sums: it varies along one dimension, and it scales and shifts as a BatchNormalization does, or a linear
    operator stands near that might have taken it in.  So does a norm whose gain was to be folded.

    Args:
        model: the model as it stands.
        refused: why folds that were looked for weren't made.
        maps: the maps that weren't folded.
        facts: the facts about the model.
    """
    spelled_out = {affine.nodes[-1]: affine for affine in _spelled_out(maps, facts)}
    kept: list[Fold] = []
    for graph in graphs_of(model):
        for node in graph:
            output = node.outputs[0]
            tried = [refused[key] for d in DIRECTIONS if (key := (output.name or "", d)) in refused]
            shortfall: Shortfall | None = None
            nodes: tuple[ir.Node, ...] = (node,)
            if node.op_type in NORMS and tried:
                shortfall = tried[-1]
            elif node.op_type == "BatchNormalization" and not node.domain:
                shortfall = why_left(node, tried, facts)
            elif node in spelled_out:
                nodes = spelled_out[node].nodes
                shortfall = why_map_left(spelled_out[node], tried, facts)
            else:
                shortfall = _not_constant(node, facts)
            if shortfall is not None:
                kept.append(
                    Fold(
                        name=site_name(nodes, output),
                        status="kept",
                        output=output.name or "",
                        nodes=names_of(nodes),
                        rule=shortfall.rule,
                        reason=shortfall.sentence,
                    )
                )
    return kept


def _spelled_out(maps: Collection[Affine], facts: Facts) -> Iterator[Affine]:
    """The maps that are there and are no BatchNormalization, the largest where they overlap."""
    covered: set[ir.Node] = set()
    for affine in sorted(maps, key=lambda affine: -len(affine.nodes)):
        present = all(node in facts.positions for node in affine.nodes)
        native = any(node.op_type == "BatchNormalization" for node in affine.nodes)
        if present and not native and covered.isdisjoint(affine.nodes) and _is_norm_like(affine, facts):
            covered.update(affine.nodes)
            yield affine


def _is_norm_like(affine: Affine, facts: Facts) -> bool:
    channel_map = over_base(affine)
    if channel_map is None or channel_map.rank < 2 or len(channel_map.varying) != 1 or channel_map.scale.size == 1:
        return False
    return channel_map.has_shift or _is_beside_linear(affine.base, affine.output)


def _is_beside_linear(base: ir.Value, output: ir.Value) -> bool:
    return linear_behind(base) is not None or linear_ahead(output) is not None


def _not_constant(node: ir.Node, facts: Facts) -> Shortfall | None:
    """Why a factor per channel beside a linear operator isn't one: it might be another, or it is quantized."""
    if node.op_type not in ("Div", "Mul") or node.domain or node in facts.dead or len(node.inputs) != 2:
        return None
    for position, factor in enumerate(node.inputs):
        base = node.inputs[1 - position]
        if factor is None or base is None or facts.dtype(base) not in FLOATING or facts.is_constant(base):
            continue
        shape, data = facts.shape(factor), facts.shape(base)
        vector = shape is not None and data is not None and len(data) > 1 and len(data) >= len(shape)
        if not vector or shape is None or sum(size != ONE for size in shape) != 1 or product(shape).static is None:
            continue
        if _was_constant(factor, facts) and _is_beside_linear(base, node.outputs[0]):
            return varying(f"its gain '{factor.name}'", factor)
    return None


def _was_constant(value: ir.Value, facts: Facts) -> bool:
    """Whether a value would be constant if it weren't for the caller, or for quantization."""
    producer = value.producer()
    if producer is None:
        return value.is_initializer() and value.is_graph_input()
    return producer.op_type == "DequantizeLinear" and facts.is_constant(producer.inputs[0])
