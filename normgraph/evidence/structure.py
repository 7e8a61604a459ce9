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

from normgraph.constants import Array
from normgraph.doubles import Doubles, NotComputed
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
        replaced: that of what is to replace it; None where no model computes that.
        before: the weights of the original, by the names of its inputs.
        after: those of what is to replace it.
        candidate: what is to replace it, weights and all.
    """

    structure: str
    original: Form
    replaced: Form | None
    before: Weights
    after: Weights
    candidate: Candidate

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
        after = self.candidate.runner() if self.replaced is None else fed(opened(self.replaced), self.after)
        computed = in_doubles(self.original)
        if computed is None:
            return Runners(fed(opened_in_double(self.original), doubles), before, after)
        return Runners(fed(computed, doubles), before, after, lambda: fed(opened_in_double(self.original), doubles))


@dataclass(frozen=True, slots=True)
class Runners:
    """What computes an experiment.

    Attributes:
        truth: the original in float64.
        before: the original.
        after: what is to replace it.
        instead: makes the truth anew, computed by others: ONNX Runtime or onnx's reference evaluator; None where it is
            already.
    """

    truth: Runner
    before: Runner
    after: Runner
    instead: Callable[[], Runner] | None = None

    def by_others(self) -> Runners:
        """The same, the truth computed by others.

        Raises:
            NotRunnable: they don't compute it.
        """
        return self if self.instead is None else Runners(self.instead(), self.before, self.after)


def runners_of(experiment: Experiment) -> Runners:
    """What computes an experiment by itself.

    Raises:
        NotRunnable: the original or its replacement can't be computed.
    """
    original = experiment.original
    before, after = fed(runner_of(original.model), original.constants), experiment.candidate.runner()

    def opened() -> Runner:
        double = original.in_double()
        return truth_of(double.model, double.constants)

    try:
        computed = Doubles(original.model)
    except NotComputed:
        return Runners(opened(), before, after)
    doubles = {name: array.astype(np.float64) for name, array in original.constants.items()}
    return Runners(fed(computed, doubles), before, after, opened)


def taken_apart(experiment: Experiment) -> Apart:
    """An experiment's structure and its weights."""
    candidate = experiment.candidate
    original, replaced = Form.of(experiment.original), Form.of(candidate.fragment)
    own = original.key if experiment.sized else without_epsilons(original.fragment.model)
    parts = [own, replaced.key]
    structure = _digest(*parts, repr((type(candidate).__name__, *_interface(experiment))).encode())
    modelled = replaced if isinstance(candidate, Modelled) else None
    before, after = experiment.original.constants, candidate.fragment.constants
    return Apart(structure, original, modelled, before, after, candidate)


def _interface(experiment: Experiment) -> tuple[object, ...]:
    """What an experiment is fed, and how it is tried."""
    original, fragment = experiment.original, experiment.candidate.fragment
    tried = (experiment.axes, experiment.assumed, experiment.least_extent, experiment.families, experiment.again)
    trying = (*tried, experiment.operands)
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
    try:
        return Doubles(form.fragment.model)
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
