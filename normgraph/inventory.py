"""The inventory: every normalization in a model, native or decomposed, as a record that outlives the graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import onnx_ir as ir

from normgraph.axes import Dimension, size_of
from normgraph.candidates import reduced_by
from normgraph.constants import attribute
from normgraph.diagnosis import Shortfall
from normgraph.evidence import Evidence
from normgraph.facts import Facts
from normgraph.lengths import bound_of
from normgraph.match import Match
from normgraph.naming import site_name
from normgraph.near_misses import NearMiss
from normgraph.norms import batch_and_groups
from normgraph.rewrite import label_of

Status = Literal["fused", "native", "kept", "near_miss"]
Statistics = Literal["sample", "batch", "running"]
#: The kinds whose γ and β are numbers per channel; those of the others are numbers per normalized element.
PER_CHANNEL = frozenset({"GroupNormalization", "InstanceNormalization"})


@dataclass(frozen=True)
class Site:
    """A normalization in the model, or what nearly is one.

    Attributes:
        name: the exporter's scope, else the name of the output.
        kind: the ONNX operator; None for a near miss.
        status: "fused", "native" (it stood there as that operator), "kept" (recognised and not rewritten), "near_miss".
        output: the name of the normalized tensor.
        nodes: the names of the nodes that make it.
        axes: the dimensions over which the statistics are taken, non-negative; of a GroupNormalization the channels'
            too, a group of which shares its statistics.
        shape: the shape of the input, names or None for dynamic dimensions.
        dtype: the element type.
        epsilon: ε, None where there is none.
        parameters: how many trained numbers it has, as PyTorch counts them.
        statistics: where mean and variance are taken: "sample" (within each sample of the batch), "batch" (over it), or
            "running" (over the batches of the training; they are stored); None where that isn't known.
        rule: the stable code of what stands in the way, None where nothing does.
        reason: the same as a sentence, with what would change it.
        evidence: how the rewrite was proven, None where none was tried.
    """

    name: str
    kind: str | None
    status: Status
    output: str
    nodes: tuple[str, ...]
    axes: tuple[int, ...] = ()
    shape: tuple[int | str | None, ...] | None = None
    dtype: str | None = None
    epsilon: float | None = None
    parameters: int | None = None
    statistics: Statistics | None = None
    rule: str | None = None
    reason: str | None = None
    evidence: Evidence | None = None

    def kept(self, shortfall: Shortfall, evidence: Evidence | None = None) -> Site:
        """The same site, not rewritten for this reason."""
        return replace(self, status="kept", rule=shortfall.rule, reason=shortfall.sentence, evidence=evidence)


@dataclass(frozen=True, slots=True)
class WorstChannel:
    """The channel in which a fold comes closest to the error that it may have.

    Attributes:
        index: the channel.
        error: its largest absolute error against float64 there.
    """

    index: int
    error: float


@dataclass(frozen=True)
class Fold:
    """An affine map per channel, such as an inference-mode BatchNormalization, and what became of it.

    Attributes:
        name: the exporter's scope, else the name of the output.
        status: "folded", or "kept" where it is still there.
        output: the name of the mapped tensor.
        nodes: the names of the nodes that made it.
        into: the name of the linear operator that took it in, None where none did.
        direction: "backward" into the operator before it, "forward" into the one behind it; "parallel" or "chain" where
            it is a linear operator itself, or a term of a sum, that was merged into the one beside or behind it;
            "compose" into another map, from which only poolings and their like part it.
        channels: how many channels there are.
        rule: the stable code of what stands in the way, None where nothing does.
        reason: the same as a sentence, with what would change it.
        evidence: how the fold was proven.
        worst_channel: where its result is worst, None where that isn't known.
        subject: what was folded: a "map" per channel; or an "operator" that is linear itself, or a bare term of a sum.
    """

    name: str
    status: Literal["folded", "kept"]
    output: str
    nodes: tuple[str, ...]
    into: str | None = None
    direction: str | None = None
    channels: int | None = None
    rule: str | None = None
    reason: str | None = None
    evidence: Evidence | None = None
    worst_channel: WorstChannel | None = None
    subject: Literal["map", "operator"] = "map"


def _shape(value: ir.Value | None, facts: Facts) -> tuple[int | str | None, ...] | None:
    shape = None if value is None else facts.shape(value)
    if shape is None:
        return None
    return tuple(size.factor if not size.symbols else None if "?" in str(size) else str(size) for size in shape)


def _dtype(value: ir.Value | None, facts: Facts) -> str | None:
    dtype = None if value is None else facts.dtype(value)
    return None if dtype is None else dtype.name.lower()


def site_of_match(match: Match, facts: Facts) -> Site:
    """The record of a match, as one that is to be fused."""
    axes = match.axes
    return Site(
        name=site_name(match.nodes, match.output),
        kind=match.norm.kinds[0],
        status="fused",
        output=match.output.name or "",
        nodes=tuple(label_of(node) for node in match.nodes),
        axes=axes,
        shape=_shape(match.base, facts),
        dtype=_dtype(match.base, facts),
        epsilon=bound_of(match) if match.norm.kinds[0] == "LpNormalization" else match.norm.epsilon,
        parameters=_parameters_of(match, facts),
        statistics="running" if _is_map(match) else _taken_over(axes, match.layout),
    )


def _is_map(match: Match) -> bool:
    """Whether it is a BatchNormalization at inference: it takes no statistics, but has them among its constants."""
    return match.norm.kinds[0] == "BatchNormalization" and not match.norm.over


def _taken_over(axes: Sequence[int], dimensions: Sequence[object]) -> Statistics:
    """A vector is one sample; of all else, the first dimension is the batch."""
    return "batch" if 0 in axes and len(dimensions) > 1 else "sample"


def _parameters_of(match: Match, facts: Facts) -> int | None:
    """γ and β as PyTorch counts them: the constants of the region that are as large as these, at most two."""
    if _is_map(match):
        return None  # scale and shift are made of mean and variance as well, and may never have been trained
    if not NATIVE[match.norm.kinds[0]][2]:
        return 0
    sizes = [size_of(dimension).static for dimension in _affine_dimensions(match)]
    if any(size is None for size in sizes):
        counts = {p.values.size for p in (match.norm.gain, match.norm.bias) if not isinstance(p, float)}
        if len(counts) != 1:
            return None
        normalized = counts.pop()
    else:
        normalized = math.prod(size for size in sizes if size is not None)
    constants = {
        operand: None
        for node in match.nodes
        for operand in node.inputs
        if operand is not None and facts.is_constant(operand) and _elements(operand, facts) == normalized != 1
    }
    return min(2, len(constants)) * normalized


def _affine_dimensions(match: Match) -> list[Dimension]:
    """The dimensions along which γ and β of a norm of this kind vary."""
    if match.norm.kinds[0] not in PER_CHANNEL:
        return [match.layout[axis] for axis in match.axes]
    varying = match.norm.affine_axes
    channels = [dimension for dimension in match.layout if varying and varying <= frozenset(dimension)]
    # Of a GroupNormalization before opset 21, they vary along the groups alone.
    if channels:
        return [tuple(axis for axis in channels[0] if axis in varying)]
    grouped = batch_and_groups(match.norm, match.layout)
    return [match.layout[1 if grouped is None else grouped[1]]]


def _elements(value: ir.Value, facts: Facts) -> int | None:
    shape = facts.shape(value)
    return None if shape is None or any(s.symbols for s in shape) else math.prod(s.factor for s in shape)


def site_of_near_miss(miss: NearMiss, facts: Facts) -> Site:
    """The record of a near miss."""
    return Site(
        name=site_name((miss.reduction, miss.node), miss.node.outputs[0]),
        kind=None,
        status="near_miss",
        output=miss.node.outputs[0].name or "",
        nodes=(label_of(miss.reduction), label_of(miss.node)),
        shape=_shape(reduced_by(miss.reduction, facts), facts),
        dtype=_dtype(reduced_by(miss.reduction, facts), facts),
        rule=miss.shortfall.rule,
        reason=miss.shortfall.sentence,
    )


def _trailing(default: int) -> Callable[[ir.Node, int], Sequence[int]]:
    return lambda node, rank: range(attribute(node, "axis", default) % rank, rank)


def _spatial(node: ir.Node, rank: int) -> Sequence[int]:
    return range(2, rank)


def _grouped(node: ir.Node, rank: int) -> Sequence[int]:
    return range(1, rank)


def _batch(node: ir.Node, rank: int) -> Sequence[int]:
    return [axis for axis in range(rank) if axis != 1]


def _listed(node: ir.Node, rank: int) -> Sequence[int]:
    return sorted(axis % rank for axis in attribute(node, "axes", (0, 2, 3)))


def _one(node: ir.Node, rank: int) -> Sequence[int]:
    return [attribute(node, "axis", -1) % rank]


#: Native operators: (axes of the statistics, default ε or None, positions of γ and β).
NATIVE: Mapping[str, tuple[Callable[[ir.Node, int], Sequence[int]], float | None, tuple[int, ...]]] = {
    "BatchNormalization": (_batch, 1e-5, (1, 2)),
    "GroupNormalization": (_grouped, 1e-5, (1, 2)),
    "InstanceNormalization": (_spatial, 1e-5, (1, 2)),
    "LayerNormalization": (_trailing(-1), 1e-5, (1, 2)),
    "LpNormalization": (_one, None, ()),
    "MeanVarianceNormalization": (_listed, 1e-9, ()),
    "RMSNormalization": (_trailing(-1), 1e-5, (1,)),
}


def _statistics(node: ir.Node, axes: Sequence[int], shape: Sequence[object] | None, facts: Facts) -> Statistics | None:
    """Where a native operator takes its statistics."""
    if node.op_type != "BatchNormalization":
        return None if shape is None else _taken_over(axes, shape)
    # Before the attribute came with opset 14, the outputs for the batch's statistics said the same.
    batch_outputs = "training_mode" not in node.attributes and any(output.name for output in node.outputs[1:])
    if attribute(node, "training_mode", 0) or batch_outputs:
        return "batch"
    stored = all(
        value is not None and (facts.is_constant(value) or value.is_initializer()) for value in node.inputs[3:5]
    )
    return "running" if stored else None


def native_sites(graph: ir.Graph, facts: Facts, covered: Container[ir.Node]) -> list[tuple[int, Site]]:
    """The normalizations that stand in a graph as operators, with their positions, the `covered` ones aside."""
    found: list[tuple[int, Site]] = []
    for node in graph:
        if node.domain or node.op_type not in NATIVE or node in covered:
            continue
        axes_of, epsilon, parameters = NATIVE[node.op_type]
        base = node.inputs[0] if node.inputs else None
        shape = None if base is None else facts.shape(base)
        axes = tuple(axes_of(node, len(shape))) if shape else ()  # a scalar has none
        operands = [node.inputs[i] for i in parameters if i < len(node.inputs)]
        counts = [_elements(value, facts) for value in operands if value is not None]
        site = Site(
            name=site_name((node,), node.outputs[0]),
            kind=node.op_type,
            status="native",
            output=node.outputs[0].name or "",
            nodes=(label_of(node),),
            axes=axes,
            shape=_shape(base, facts),
            dtype=_dtype(base, facts),
            epsilon=None if epsilon is None else attribute(node, "epsilon", epsilon),
            parameters=None if None in counts else sum(count for count in counts if count is not None),
            statistics=_statistics(node, axes, shape, facts),
        )
        found.append((facts.positions[node], site))
    return found
