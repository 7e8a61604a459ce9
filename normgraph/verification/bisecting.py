"""Where two models part: the first tensor that both have by name and that differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import ml_dtypes  # noqa: F401 - NumPy knows bfloat16 by its name from then on
import numpy as np
import onnx_ir as ir

from normgraph.constants import Array
from normgraph.evidence.measuring import ULPS
from normgraph.execution import NotRunnable
from normgraph.feeds.families import limits
from normgraph.model_io import save
from normgraph.rewrite import PROVENANCE
from normgraph.verification.comparing import RELATIVE, Comparison, compared
from normgraph.verification.sessions import Session, Subject
from normgraph.verification.values import owner

#: So many tensors of each model are held at once.
_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where two models part.

    Attributes:
        comparison: the first tensor of both that differs.
        before: the node that makes it in the first model: operator and name.
        after: the node that makes it in the second.
        replaces: the nodes of the original in whose place that one stands, as normgraph noted; empty otherwise.
        equal: the last tensor before it, in the order of the second model, that doesn't differ; None if there is none.
    """

    comparison: Comparison
    before: str
    after: str
    replaces: tuple[str, ...] = ()
    equal: str | None = None


def first_difference(
    before: Subject,
    after: Subject,
    feed: Mapping[str, Array],
    output: Comparison,
    folder: Path,
    *,
    optimized: bool = False,
) -> Divergence | None:
    """The first tensor that both models have by name and that differs, in the order of the second model's nodes.

    Tensors of subgraphs aren't looked at: what holds them is.

    Args:
        before: the first model.
        after: the second.
        feed: what both are fed.
        output: an output that differs. An inner tensor differs if it does so by a tenth as much, relative to its
            largest value, and by more than rounding.
        folder: where the models are written with these tensors among their outputs.
        optimized: whether ONNX Runtime's optimizations are on.

    Returns:
        None if none differs, or the models don't run with their inner tensors among their outputs.
    """
    bound = _bound(output)
    makers = [{v.name: node for node in s.model.graph for v in node.outputs if v.name} for s in (before, after)]
    shared = [name for name in makers[1] if name in makers[0]]
    try:
        first = _told(before, shared, folder / "before-told.onnx", optimized)
        second = _told(after, shared, folder / "after-told.onnx", optimized)
        equal: str | None = None
        for start in range(0, len(shared), _AT_ONCE):
            names = shared[start : start + _AT_ONCE]
            one, other = first(feed, names), second(feed, names)
            for part in one:
                name = owner(part, names)
                if name is None or part not in other:
                    continue
                found = compared(part, output.feed, one[part], other[part], relative=bound)
                if not found.passed:
                    return _divergence(found, makers[0][name], makers[1][name], equal)
                equal = name if part == name else equal
    except NotRunnable:
        return None
    return None


def _bound(output: Comparison) -> float | None:
    """How far an inner tensor may differ, relative to its largest value; None for the bound of its type."""
    usual = RELATIVE.get(output.dtype)
    if usual is None or not output.scale:
        return None
    rounding = ULPS * float(limits(np.dtype(output.dtype)).eps)
    return min(usual, max(output.largest / output.scale / 10, rounding))


def _told(subject: Subject, names: list[str], path: Path, optimized: bool) -> Session:
    """The model with further tensors among its outputs."""
    model = subject.model.clone()
    graph = model.graph
    known = {value.name for value in graph.outputs}
    made = {value.name: value for node in graph for value in node.outputs}
    graph.outputs.extend(made[name] for name in names if name not in known)
    save(model, path)
    return Session(path, optimized=optimized)


def _divergence(found: Comparison, before: ir.Node, after: ir.Node, equal: str | None) -> Divergence:
    replaced = after.metadata_props.get(PROVENANCE, "")
    names = tuple(name for name in replaced.split(", ") if name)
    return Divergence(found, _named(before), _named(after), names, equal)


def _named(node: ir.Node) -> str:
    return f"{node.op_type} '{node.name or node.outputs[0].name}'"
