"""What was tried to prove a rewrite, and how it went, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from normgraph.constants import Array
from normgraph.evidence.measuring import Ulps
from normgraph.evidence.preconditions import Precondition
from normgraph.feeds import ORDINARY, draw
from normgraph.feeds.families import limits

#: What the inputs of all trials follow from.
SEED = 20
#: One element in a hundred of the original that errs by this much of itself isn't rounding.
_ANOTHER_FUNCTION = 0.5


@dataclass(frozen=True, slots=True)
class Trial:
    """One family of inputs at one assignment of the dynamic dimensions.

    Attributes:
        family: the name of the family, a key of `normgraph.feeds.FAMILIES`.
        shape: the shape of the base tensor.
        before: the largest absolute error of the original region, against float64; infinite where it overflowed.
        after: that of the replacement.
        allowed: the bound that its error was held to; what rounding the input does is only counted in where the rest of
            the bound doesn't suffice.
        ulps_before: the original's errors in units in the last place; None where they weren't measured.
        ulps_after: those of the replacement.
        at: the position in the result at which the replacement errs most.
        refused: whether the replacement doesn't run on an empty batch, which the original takes: nothing is computed
            wrong there, but a caller who passes such has to know.
        magnitude: the largest finite true value.
    """

    family: str
    shape: tuple[int, ...]
    before: float
    after: float
    allowed: float
    ulps_before: Ulps | None = None
    ulps_after: Ulps | None = None
    at: tuple[int, ...] | None = None
    refused: bool = False
    magnitude: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether the replacement is accurate enough here."""
        return self.after <= self.allowed


@dataclass(frozen=True, slots=True)
class Overflow:
    """Where the original region goes wrong in its own type's arithmetic and the replacement doesn't.

    Attributes:
        magnitude: the largest magnitude of the smallest normally distributed input that was found to do it.
        error: the error of the original there, relative to the largest true value; infinite where it isn't finite.
    """

    magnitude: float
    error: float


@dataclass(frozen=True)
class Evidence:
    """What was tried to prove a rewrite, and how it went.

    Attributes:
        trials: all trials, in the order of their making.
        failure: why no trial could be made at all; None if they were.
        preconditions: what was established before anything was computed.
        dtype: the element type that was computed in.
        axes: the dimensions along which rows are constant in the family that has such.
        overflow: what is gained in range; None where the original doesn't overflow, or where that wasn't tried.
        alike: where not all families were tried: the name of the tensor whose region is written alike, has weights of
            the same order of magnitude and was tried on all of them; None where this one was.
    """

    trials: tuple[Trial, ...] = ()
    failure: str | None = None
    preconditions: tuple[Precondition, ...] = ()
    dtype: ir.DataType | None = None
    axes: tuple[int, ...] = ()
    overflow: Overflow | None = None
    alike: str | None = None

    @property
    def accepted(self) -> bool:
        """Whether the rewrite is proven."""
        return self.failure is None and bool(self.trials) and all(trial.passed for trial in self.trials)

    @property
    def original_is_true(self) -> bool:
        """Whether the original computes what float64 says of the ordinary inputs that were tried, rounding aside."""
        before = Ulps.largest_of(trial.ulps_before for trial in self.trials if trial.family in ORDINARY)
        if before is None or self.dtype is None:
            return True
        return before.p99 * float(limits(self.dtype.numpy()).eps) < _ANOTHER_FUNCTION

    @property
    def before(self) -> float:
        """The largest error of the original region over the families."""
        return max((trial.before for trial in self.trials), default=float("nan"))

    @property
    def after(self) -> float:
        """The largest error of the replacement over the families."""
        return max((trial.after for trial in self.trials), default=float("nan"))

    @property
    def ulps_before(self) -> Ulps | None:
        """The original's largest errors in units in the last place over the families."""
        return Ulps.largest_of(trial.ulps_before for trial in self.trials)

    @property
    def ulps_after(self) -> Ulps | None:
        """Those of the replacement."""
        return Ulps.largest_of(trial.ulps_after for trial in self.trials)

    @property
    def worst(self) -> Trial | None:
        """The trial in which the replacement comes closest to its bound, or exceeds it most."""
        return max(self.trials, key=lambda t: t.after / t.allowed if t.allowed else t.after, default=None)

    def input_of(self, trial: Trial) -> Array:
        """The very input of a trial, made again from its family, its shape and the seed."""
        assert self.dtype is not None
        return draw(trial.family, trial.shape, self.axes, self.dtype.numpy(), (SEED,))

    def describe(self) -> str:
        """The outcome in one sentence."""
        if self.failure is not None:
            return self.failure
        worst = self.worst
        if worst is None:
            return "no trial was made"
        verdict = "within" if self.accepted else "beyond"
        return (
            f"error {worst.after:.2g} against float64, {verdict} the {worst.allowed:.2g} allowed "
            f"(original: {worst.before:.2g}), on {worst.family} inputs of shape {list(worst.shape)}"
        )


def joined(proofs: Sequence[Evidence]) -> Evidence:
    """The evidence of a rewrite that was proven in several regions: accepted if each of them is."""
    gains = [proof.overflow for proof in proofs if proof.overflow is not None]
    return Evidence(
        trials=tuple(trial for proof in proofs for trial in proof.trials),
        failure=next((proof.failure for proof in proofs if proof.failure is not None), None),
        preconditions=tuple(dict.fromkeys(condition for proof in proofs for condition in proof.preconditions)),
        dtype=next((proof.dtype for proof in proofs if proof.dtype is not None), None),
        axes=proofs[0].axes if proofs else (),
        overflow=min(gains, key=lambda gain: gain.magnitude, default=None),
        alike=next((proof.alike for proof in proofs if proof.alike is not None), None),
    )
