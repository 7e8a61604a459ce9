"""Why a map per channel is still there: what stands in the way, by name, and what would change it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from normgraph.affine import Affine
from normgraph.constants import attribute
from normgraph.diagnosis import Shortfall
from normgraph.facts import Facts
from normgraph.folding.channel_map import over_base
from normgraph.folding.linear import LINEAR
from normgraph.folding.moves import called
from normgraph.folding.passages import passage_of

#: The inputs of a BatchNormalization behind the first.
_PARAMETERS = ("scale", "bias", "mean", "variance")


def _training(node: ir.Node, facts: Facts) -> Shortfall | None:
    # Before version 14 it is the outputs that are asked for which tell training from inference.
    if attribute(node, "training_mode", 0) or (facts.opset < 14 and any(output.name for output in node.outputs[1:])):
        return Shortfall(
            "training-mode",
            "it is in training mode: its statistics are those of each batch",
        )
    return None


def _parameters(node: ir.Node, facts: Facts) -> Shortfall | None:
    for value, role in zip(node.inputs[1:], _PARAMETERS, strict=False):
        if value is None or facts.is_constant(value):
            continue
        return varying(f"its {role} '{value.name}'", value)
    return None


def _variance(node: ir.Node, facts: Facts) -> Shortfall | None:
    variance = facts.constant(node.inputs[4]) if len(node.inputs) > 4 else None
    if variance is None:
        return None
    bad = np.flatnonzero(~(variance.astype(np.float64) + attribute(node, "epsilon", 1e-5) > 0))
    if not bad.size:
        return None
    return Shortfall(
        "parameter-range", f"the variance of channel {bad[0]} isn't positive, and what it computes isn't finite"
    )


def varying(what: str, value: ir.Value) -> Shortfall:
    """How a value that isn't constant comes about, and what would change that."""
    rule, producer = "not-constant", value.producer()
    if value.is_graph_input() and value.is_initializer():
        overridable = f"{what} is an input of the graph too, so that the caller may override it"
        return Shortfall(rule, overridable, "take it out of the graph's inputs")
    if producer is None:
        return Shortfall(rule, f"{what} is fed by the caller")
    if producer.op_type == "DequantizeLinear":
        return Shortfall(rule, f"{what} is quantized: {called(producer)} makes it", "fold before quantizing")
    return Shortfall(rule, f"{what} is computed at run time by {called(producer)}")


#: So many passages are looked through for a linear operator.
_FAR = 16


def linear_behind(value: ir.Value | None) -> ir.Node | None:
    """The linear operator that makes a value, or that makes what it passes on, whatever its weight is."""
    for _ in range(_FAR):
        producer = None if value is None else value.producer()
        if producer is None:
            return None
        if producer.op_type in LINEAR and not producer.domain:
            return producer
        if passage_of(producer) is None:
            return None
        value = producer.inputs[0]
    return None


def linear_ahead(value: ir.Value) -> ir.Node | None:
    """A linear operator that reads a value, or what passes it on."""
    pending, seen = [value], 0
    while pending and seen < _FAR:
        current = pending.pop()
        seen += 1
        for reader in current.consumers():
            passage = passage_of(reader)
            if reader.op_type in LINEAR and not reader.domain:
                return reader
            if passage is not None and passage.forward is not None and reader.inputs[0] is current:
                pending.append(reader.outputs[0])
    return None


def _weights_of_neighbours(base: ir.Value | None, output: ir.Value, facts: Facts) -> Shortfall | None:
    """A linear operator beside it, or beside what it passes through, has a weight that isn't constant."""
    before = linear_behind(base)
    found = None if before is None else _weight(before, facts)
    if found is not None:
        return found
    for reader in output.consumers():
        if reader.op_type in LINEAR and not reader.domain and reader.inputs[0] is output:
            found = _weight(reader, facts)
            if found is not None:
                return found
    return None


def _weight(linear: ir.Node, facts: Facts) -> Shortfall | None:
    operands = [value for value in linear.inputs[:2] if value is not None]
    if len(operands) < 2 or any(facts.is_constant(value) for value in operands):
        bias = linear.inputs[2] if len(linear.inputs) > 2 else None
        if bias is None or facts.is_constant(bias):
            return None
        return varying(f"the bias '{bias.name}' of {called(linear)}", bias)
    weight = operands[1]
    return varying(f"the weight '{weight.name}' of {called(linear)}", weight)


#: What keeps a BatchNormalization from being an affine map, in this order.
CHECKS: tuple[Callable[[ir.Node, Facts], Shortfall | None], ...] = (_training, _parameters, _variance)


def why_left(node: ir.Node, tried: Sequence[Shortfall], facts: Facts) -> Shortfall:
    """The decisive reason why a BatchNormalization is left.

    Args:
        node: the BatchNormalization.
        tried: why the folds that were looked for weren't made, backward first.
        facts: the facts about the model.
    """
    for check in CHECKS:
        found = check(node, facts)
        if found is not None:
            return found
    return _weights_of_neighbours(node.inputs[0], node.outputs[0], facts) or _telling(tried)


def why_map_left(affine: Affine, tried: Sequence[Shortfall], facts: Facts) -> Shortfall:
    """The same for a map that is spelled out in other operators."""
    found = _weights_of_neighbours(affine.base, affine.output, facts) or _telling(tried)
    return _apart(affine, found) if found.rule == "no-neighbour" else found


def _apart(affine: Affine, shortfall: Shortfall) -> Shortfall:
    """The same reason, and why several scales in a row aren't at least made one, as a BatchNormalization would be."""
    scales = sum(node.op_type in ("Div", "Mul") for node in affine.nodes)
    over = over_base(affine)
    if scales < 2 or over is None or len(over.varying) != 1 or 1 in over.varying:
        return shortfall
    (dimension,) = over.varying
    return Shortfall(
        shortfall.rule,
        f"{shortfall.reason}; its {scales} scales stay apart, since they run along dimension {dimension}, and a "
        "BatchNormalization, which would hold them all, has its channels in dimension 1",
        "put it next to a Conv, Gemm or MatMul, or export it with channels first",
    )


def _telling(tried: Sequence[Shortfall]) -> Shortfall:
    telling = [shortfall for shortfall in tried if shortfall.rule != "no-neighbour"]
    if telling:
        return telling[0]
    if tried:
        return Shortfall("no-neighbour", "; ".join(dict.fromkeys(_sided(tried))))
    return Shortfall("no-neighbour", "its value can't be followed as a map per channel")


def _sided(tried: Sequence[Shortfall]) -> list[str]:
    if len(tried) < 2:
        return [shortfall.reason for shortfall in tried]
    return [f"before it, {tried[0].reason}", f"behind it, {tried[1].reason}"]
