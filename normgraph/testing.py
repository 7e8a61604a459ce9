"""Assertions for the tests of whoever exports models; ``pytest`` finds them as a fixture too.

>>> from normgraph.testing import assert_fused
>>> assert_fused("model.opt.onnx", "LayerNormalization", 25)    # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike, fspath

from normgraph import api
from normgraph.api import Optimized
from normgraph.errors import UsageError
from normgraph.inventory import NATIVE, Fold, Site
from normgraph.model_io import Source
from normgraph.report import Report
from normgraph.targets import DEFAULT_TARGET

#: Up to so many sites are named in a message.
NAMED = 12


def assert_fused(
    model: Source | Optimized, kind: str, count: int | None = None, *, target: str = DEFAULT_TARGET
) -> None:
    """Assert that the normalizations of a kind stand in a model as operators, and none of them spelled out.

    Args:
        model: a path, a ModelProto, an ``onnx_ir.Model``, an ``ONNXProgram``, or what `normgraph.optimize` returned.
        kind: the ONNX operator, such as ``LayerNormalization``.
        count: how many of them there must be; None for at least one.
        target: the runtime for which it is said what could be fused.

    Raises:
        AssertionError: there are fewer or more, or one is still spelled out; the message names each site that isn't an
            operator, with the reason.
        UsageError: there is no such kind.
        BadModelError: the model can't be read.
    """
    __tracebackhide__ = True  # what failed is told by the message; pytest then shows the test, not this
    if kind not in NATIVE:
        raise UsageError(f"there is no kind of normalization '{kind}': choose one of {', '.join(NATIVE)}")
    report = api.explain(model.model if isinstance(model, Optimized) else model, target=target)
    native = [site for site in report.sites if site.status == "native" and site.kind == kind]
    spelled_out = [site for site in report.sites if site.status == "kept" and site.kind == kind]
    right = len(native) == count if count is not None else bool(native)
    if right and not spelled_out:
        return
    wanted = "at least one" if count is None else f"{count:,}"
    has = "1 as an operator" if len(native) == 1 else f"{len(native):,} as operators"
    lines = [f"{report.model} must have {wanted} {kind} and none spelled out; it has {has}"]
    suspects = [*spelled_out, *(site for site in report.sites if site.status == "near_miss")]
    lines += _told(suspects)
    if not suspects:
        lines += _others(report, kind)
    raise AssertionError("\n".join(lines))


def assert_equivalent(
    before: Source | Optimized,
    after: Source | Optimized,
    *,
    dims: Mapping[str, int] | None = None,
    inputs: str | PathLike[str] | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    seed: int | None = None,
) -> None:
    """Assert that two models compute the same, run side by side in ONNX Runtime, as `normgraph verify` does.

    By default the second may err as much against float64 as `normgraph.verify` permits, which is judged by the first's
    own error. With ``rtol`` or ``atol`` the outputs themselves are compared: they may differ by atol + rtol·|before|.

    Args:
        before: the first model: a path, a ModelProto, an ``onnx_ir.Model``, an ``ONNXProgram``, or what
            `normgraph.optimize` returned.
        after: the second, likewise.
        dims: sizes of dynamic dimensions; by default several are tried.
        inputs: inputs of your own: a ``.npz``, ``.npy`` or ``.pb`` file, a folder of them, or ``module:function``; by
            default they are made to fit the model.
        rtol: the relative difference that is permitted.
        atol: the absolute difference that is permitted.
        seed: another makes other inputs, by default 0; it doesn't go with inputs of your own.

    Raises:
        AssertionError: they differ; the message names the outputs, by how much, on which inputs, and the first node at
            which the models part.
        BadModelError: a model can't be read, or its inputs can't be made.
        UsageError: the first model doesn't run on what it is fed, or there are inputs and a seed for others.
    """
    __tracebackhide__ = True
    if inputs is not None and seed is not None:
        raise UsageError("a seed goes with inputs that are made, and inputs are given: leave out seed, or inputs")
    from normgraph.feeds import Feeding
    from normgraph.verification import Tolerance, Verifying, verify

    feeding = Feeding(
        None if inputs is None else fspath(inputs), dict(dims or {}), families=(), seed=seed or 0, sizes=3
    )
    tolerance = None if rtol is None and atol is None else Tolerance(rtol or 0.0, atol or 0.0)
    one, other = (model.model if isinstance(model, Optimized) else model for model in (before, after))
    found = verify(one, other, Verifying(feeding, tolerance))
    if found.passed:
        return
    lines = [f"{found.after} must compute what {found.before} does; {found.describe()}"]
    worst = {failure.tensor: found.worst(failure.tensor) for failure in found.failures}
    told = [f"  output '{name}' on {failure.feed}: {failure.difference}" for name, failure in worst.items()]
    lines += [*found.problems[1:], *told[:NAMED]]
    if len(told) > NAMED:
        lines.append(f"  and {len(told) - NAMED} more")
    if found.divergence is not None:
        lines.append(f"  before: {found.divergence.before}")
        lines.append(f"  after:  {found.divergence.after}")
    raise AssertionError("\n".join(lines))


def assert_no_batch_normalization(model: Source | Optimized, *, target: str = DEFAULT_TARGET) -> None:
    """Assert that no BatchNormalization, native or spelled out, is left that could be folded or isn't.

    Args:
        model: as for `assert_fused`.
        target: likewise.

    Raises:
        AssertionError: there is one; the message names each, with what stands in the way of folding it.
        BadModelError: the model can't be read.
    """
    __tracebackhide__ = True
    report = api.explain(model.model if isinstance(model, Optimized) else model, target=target)
    left = [fold for fold in report.folds if fold.status == "kept"]
    if left:
        lines = [f"{report.model} must have no BatchNormalization; it has {len(left):,}", *_told(left)]
        raise AssertionError("\n".join(lines))


def _told(entries: Iterable[Site | Fold]) -> list[str]:
    lines = [f"  {entry.name}: {entry.reason} ({entry.rule})" for entry in entries]
    return lines if len(lines) <= NAMED else [*lines[:NAMED], f"  and {len(lines) - NAMED} more"]


def _others(report: Report, kind: str) -> list[str]:
    """What else is there, where nothing tells why there are too few or too many."""
    kinds = {name: number for name, number in report.kinds("native").items() if name != kind}
    if not kinds:
        return ["  there is no other normalization in it"]
    return ["  other operators in it: " + ", ".join(f"{number} {name}" for name, number in sorted(kinds.items()))]
