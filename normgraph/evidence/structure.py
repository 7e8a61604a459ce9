"""What experiments have in common that differ in the values of their weights alone.

Gains and shifts become inputs of the models, so that these are opened once and run with the weights of each norm that
is written like that.  ONNX Runtime computes the same either way: its optimizations are off, so it folds no constants.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import onnx

from normgraph.constants import Array
from normgraph.doubles import Doubles, NotComputed
from normgraph.evidence.agreement import Agreement, agreement_of
from normgraph.evidence.experiment import Candidate, Experiment, Modelled
from normgraph.execution import Runner, fed, runner_of, truth_of
from normgraph.fragments import Fragment, without_epsilons

#: So many structures are held open. A model's norms are mostly of one or two.
_OPEN = 64

Weights = Mapping[str, Array]


@dataclass(frozen=True)
class Form:
    """A fragment without its weights; equal ones have equal keys.

    Attributes:
        key: its model, serialized.
        fragment: the fragment.
    """

    key: bytes
    fragment: Fragment = field(compare=False)

    @staticmethod
    def of(fragment: Fragment) -> Form:
        """The form of a fragment."""
        key = bytes(fragment.model.SerializeToString(deterministic=True))
        return Form(key, replace(fragment, constants={}) if fragment.constants else fragment)


@dataclass(frozen=True)
class Apart:
    """An experiment, taken apart.

    Attributes:
        structure: a digest of all that it has in common with others of its structure.
        original: the form of the region.
        replaced: that of what is to replace it.
        before: the weights of the original, by the names of its inputs.
        after: those of what is to replace it.
        candidate: what is to replace it, weights and all.
        exact: whether none of its constants was rounded.
    """

    structure: str
    original: Form
    replaced: Form
    before: Weights
    after: Weights
    candidate: Candidate
    exact: bool

    @property
    def arrays(self) -> tuple[Array, ...]:
        """All weights."""
        return (*self.before.values(), *self.after.values())

    def key(self) -> str:
        """A digest that equal experiments share, and no others do."""
        digest = hashlib.sha256(self.structure.encode())
        for array in self.arrays:  # their names and types are part of the structure
            digest.update(repr(array.shape).encode())
            digest.update(array.tobytes())
        return digest.hexdigest()

    def magnitudes(self) -> tuple[float, ...]:
        """The largest magnitude of each weight; NaN where one isn't a number."""
        return tuple(float(np.maximum(-array.min().astype(np.float64), array.max())) for array in self.arrays)

    def runners(self) -> Runners:
        """What computes the experiment.

        Raises:
            NotRunnable: the original or its replacement can't be computed.
        """
        doubles = {name: array.astype(np.float64) for name, array in self.before.items()}
        before = fed(opened(self.original), self.before)
        modelled = isinstance(self.candidate, Modelled)
        after = fed(opened(self.replaced), self.after) if modelled else self.candidate.runner()
        agreement = agreement_of(
            replace(self.original.fragment, constants=self.before),
            lambda: self.candidate.fragment,
            self.exact,
            lambda: in_doubles(self.replaced),
            lambda: fed(opened_in_double(self.replaced), {n: a.astype(np.float64) for n, a in self.after.items()}),
        )
        computed = in_doubles(self.original)
        if computed is None:
            return Runners(fed(opened_in_double(self.original), doubles), before, after, agreement=agreement)
        return Runners(
            fed(computed, doubles),
            before,
            after,
            lambda: fed(opened_in_double(self.original), doubles),
            agreement,
        )


@dataclass(frozen=True, slots=True)
class Runners:
    """What computes an experiment.

    Attributes:
        truth: the original in float64.
        before: the original.
        after: what is to replace it.
        instead: makes the truth anew, computed by others: ONNX Runtime or onnx's reference evaluator; None where it is
            already.
        agreement: what holds the replacement, in float64, against the truth; None where that isn't done.
    """

    truth: Runner
    before: Runner
    after: Runner
    instead: Callable[[], Runner] | None = None
    agreement: Agreement | None = None

    def by_others(self) -> Runners:
        """The same, the truth computed by others.

        Raises:
            NotRunnable: they don't compute it.
        """
        agreement = None if self.agreement is None else replace(self.agreement, doubted=True)
        truth = self.truth if self.instead is None else self.instead()
        return Runners(truth, self.before, self.after, agreement=agreement)


def runners_of(experiment: Experiment) -> Runners:
    """What computes an experiment by itself.

    Raises:
        NotRunnable: the original or its replacement can't be computed.
    """
    original, candidate = experiment.original, experiment.candidate
    before, after = fed(runner_of(original.model), original.constants), candidate.runner()

    def opened(fragment: Fragment) -> Runner:
        double = fragment.in_double()
        return truth_of(double.model, double.constants)

    agreement = agreement_of(
        original,
        lambda: candidate.fragment,
        experiment.exact,
        lambda: _in_doubles(candidate.fragment.model),
        lambda: opened(candidate.fragment),
    )
    computed = _in_doubles(original.model)
    if computed is None:
        return Runners(opened(original), before, after, agreement=agreement)
    doubles = {name: array.astype(np.float64) for name, array in original.constants.items()}
    return Runners(fed(computed, doubles), before, after, lambda: opened(original), agreement)


def taken_apart(experiment: Experiment) -> Apart:
    """An experiment's structure and its weights."""
    candidate = experiment.candidate
    original, replaced = Form.of(experiment.original), Form.of(candidate.fragment)
    own = original.key if experiment.sized else without_epsilons(original.fragment.model)
    parts = [own, replaced.key]
    structure = _digest(*parts, repr((type(candidate).__name__, *_interface(experiment))).encode())
    before, after = experiment.original.constants, candidate.fragment.constants
    return Apart(structure, original, replaced, before, after, candidate, experiment.exact)


def _interface(experiment: Experiment) -> tuple[object, ...]:
    """What an experiment is fed, and how it is tried."""
    original, fragment = experiment.original, experiment.candidate.fragment
    tried = (experiment.axes, experiment.assumed, experiment.least_extent, experiment.families, experiment.again)
    trying = (*tried, experiment.operands, experiment.exact)
    if experiment.sized:
        weights = [array.shape for array in (*original.constants.values(), *fragment.constants.values())]
        return (original.inputs, original.output, fragment.inputs, fragment.output, weights, *trying, experiment.small)
    kernels = [(array.ndim, array.shape[2:]) for array in original.constants.values()]
    symbols = [(n, t, [size.symbols for size in shape]) for n, t, shape in original.inputs]
    return (symbols, original.output, fragment.output, kernels, *trying)


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


@lru_cache(maxsize=_OPEN)
def opened(form: Form) -> Runner:
    """What computes a form.

    Raises:
        NotRunnable: it can't be computed.
    """
    return runner_of(form.fragment.model)


@lru_cache(maxsize=_OPEN)
def in_doubles(form: Form) -> Doubles | None:
    """What computes a form in float64 without a model for it; None where it takes one."""
    return _in_doubles(form.fragment.model)


def _in_doubles(model: onnx.ModelProto) -> Doubles | None:
    try:
        return Doubles(model)
    except NotComputed:
        return None


@lru_cache(maxsize=_OPEN)
def opened_in_double(form: Form) -> Runner:
    """What computes a form in float64: ONNX Runtime or onnx's reference evaluator.

    Raises:
        NotRunnable: it can't be computed.
    """
    double = form.fragment.in_double()
    return truth_of(double.model, double.constants)
