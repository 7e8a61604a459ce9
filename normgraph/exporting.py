"""One call behind an exporter: what it made comes back optimized, as the same type."""

from __future__ import annotations

import logging
from os import PathLike
from typing import Any, TypeVar

import onnx
import onnx_ir as ir

from normgraph import api
from normgraph.errors import UsageError
from normgraph.inventory import Fold, Site
from normgraph.report import Report
from normgraph.targets import DEFAULT_TARGET

logger = logging.getLogger("normgraph")

#: What exporters return: PyTorch's ``ONNXProgram``, an ``onnx.ModelProto`` (jax2onnx, keras2onnx), an ``onnx_ir.Model``
#: (jax2onnx, onnxscript), or tf2onnx's pair of a ModelProto and what it stored beside.
Exported = TypeVar("Exported")


def after_export(
    exported: Exported,
    save_to: str | PathLike[str] | None = None,
    *,
    target: str = DEFAULT_TARGET,
    opset: int | None = None,
    allow_contrib: bool = False,
) -> Exported:
    """Optimize what an exporter has made, and return it as what it came as.

    What was done is logged under the name ``normgraph``: a line at level INFO, and for each normalization that isn't
    fused one at level DEBUG with the reason.

    Args:
        exported: what ``torch.onnx.export(…, dynamo=True)``, ``tf2onnx.convert.from_keras`` or ``jax2onnx.to_onnx``
            returned. An ``ONNXProgram`` and an ``onnx_ir.Model`` are changed in place; a ModelProto isn't.
        save_to: a file to write the model to besides.
        target: as for `normgraph.optimize`.
        opset: likewise.
        allow_contrib: likewise.

    Returns:
        The same object where it was changed in place, else one of the same type.

    Raises:
        BadModelError: normgraph can't work on the model.
        OpsetError: the model can't be written at the opset asked for.
        OutputError: the file can't be written.
        UsageError: there is no such target, or this isn't what an exporter returns.

    >>> program = torch.onnx.export(network, (x,), dynamo=True)               # doctest: +SKIP
    >>> normgraph.after_export(program, "network.onnx", target="tensorrt")    # doctest: +SKIP
    """
    model: Any = exported
    rest: tuple[Any, ...] | None = None
    if isinstance(exported, tuple) and exported:
        model, *others = exported
        rest = tuple(others)
    held = getattr(model, "model", model)
    if not isinstance(held, onnx.ModelProto | ir.Model):
        raise UsageError(
            f"an exporter returns an ONNXProgram, a ModelProto or an onnx_ir.Model, not a {type(model).__name__}: "
            "give what it returned; for a file use normgraph.optimize"
        )
    in_place = isinstance(held, ir.Model)
    result = api.optimize(model, target=target, opset=opset, allow_contrib=allow_contrib, in_place=in_place)
    _log(result.report)
    if save_to is not None:
        result.save(save_to)
    if in_place:
        _forget_session(model)
        return exported
    proto = result.to_proto()
    return proto if rest is None else (proto, *rest)  # type: ignore[return-value]


def _forget_session(program: object) -> None:
    """Make PyTorch's program run the new model, where it has run the old one before."""
    release = getattr(program, "release", None)
    if callable(release):
        release()


def _log(report: Report) -> None:
    folded = sum(fold.status == "folded" for fold in report.folds)
    logger.info(
        "%s: %d fused, %d folded, %d nodes before and %d after, opset %d before and %d after, for %s",
        report.model,
        report.count("fused"),
        folded,
        report.nodes.before,
        report.nodes.after,
        report.opset.before,
        report.opset.after,
        report.target,
    )
    entries: list[Site | Fold] = [*report.sites, *report.folds]
    for entry in entries:
        if entry.rule is not None:
            logger.debug("%s isn't rewritten: %s (%s)", entry.name, entry.reason, entry.rule)
