"""What is said of a case: the normalization it computes, in closed form, or why it computes none."""

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, replace

import numpy as np
import numpy.typing as npt

from tests.cases import Array, Case, constant

Exact = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Norm:
    """A claim that one value of a graph is a normalization of another.

    Attributes:
        kind: the ONNX operator that computes it.
        axes: axes of `of` that the statistics run over; of a GroupNormalization, the channels' alone.
        epsilon: what keeps the divisor from zero, for the operator named. A text is a constant of the case or
            a number rounded to the dtype at hand or to its suffix's, as in the graph; so for scale and bias.
        scale: the gain, broadcasting to `of`; a text may also be the name of what is fed or computed beside it.
        bias: the bias, likewise.
        of: name of the value normalized.
        output: name of the normalized value.
        groups: of a GroupNormalization.
        p: of an LpNormalization.
        guard: where an LpNormalization's epsilon stands, one of GUARDS.
    """

    kind: str
    axes: tuple[int, ...] = (-1,)
    epsilon: float | str = "1e-5"
    scale: float | str = 1.0
    bias: float | str = 0.0
    of: str = "x"
    output: str = "y"
    groups: int = 1
    p: int = 2
    guard: str = "none"


@dataclass(frozen=True, eq=False)
class Spelling(Case):
    """A graph that is a normalization, however it may look.

    Attributes:
        claims: the normalizations in it; each is to be found.
        after: the operators that are to remain, in any order, for the default target; None if that is open.
        hard: why it need not be found yet; empty where it must be.
    """

    _: KW_ONLY
    claims: tuple[Norm, ...]
    after: str | None = None
    hard: str = ""


@dataclass(frozen=True, eq=False)
class Trap(Case):
    """A graph that only looks like a normalization, or that must not be rewritten as one.

    Attributes:
        why: what is wrong, in a line.
        rule: the code of the reason to be given; None where none is due.
        invites: the norm that a careless matcher would put in its place; None where the values would be right
            and something else is wrong.
    """

    _: KW_ONLY
    why: str
    rule: str | None
    invites: Norm | None


def number(case: Case, value: float | str, dtype: str) -> Exact:
    """A number or named constant of a claim, rounded as the graph stores it."""
    stored = constant(case, value, dtype) if isinstance(value, str) else value
    return np.asarray(stored).astype(np.float64)


def claimed(norm: Norm, values: Mapping[str, Array], case: Case, dtype: str) -> Exact:
    """The values claimed of `norm.output`, from those of `norm.of` and what else is fed or computed."""
    x = values[norm.of].astype(np.float64)
    core = FORMULAS[norm.kind](x, norm, float(number(case, norm.epsilon, dtype)))
    scale, bias = (
        values[part].astype(np.float64) if part in values else number(case, part, dtype)
        for part in (norm.scale, norm.bias)
    )
    return core * scale + bias


def _centred(x: Exact, norm: Norm, epsilon: float) -> Exact:
    return _root_mean_square(x - x.mean(axis=norm.axes, keepdims=True), norm, epsilon)


def _root_mean_square(x: Exact, norm: Norm, epsilon: float) -> Exact:
    deviation: Exact = np.sqrt((x * x).mean(axis=norm.axes, keepdims=True) + epsilon)
    return x / deviation


def _group(x: Exact, norm: Norm, epsilon: float) -> Exact:
    (channels,) = norm.axes
    first: Exact = np.moveaxis(x, channels, 1)
    n = _centred(first.reshape(x.shape[0], norm.groups, -1), replace(norm, axes=(2,)), epsilon)
    normalized: Exact = np.moveaxis(n.reshape(first.shape), 1, channels)
    return normalized


def _mean_variance(x: Exact, norm: Norm, epsilon: float) -> Exact:
    d = x - x.mean(axis=norm.axes, keepdims=True)
    deviation: Exact = np.sqrt((d * d).mean(axis=norm.axes, keepdims=True))
    normalized: Exact = d / (deviation + epsilon)
    return normalized


def _lp(x: Exact, norm: Norm, epsilon: float) -> Exact:
    power = (np.abs(x) ** norm.p).sum(axis=norm.axes, keepdims=True)
    return x / GUARDS[norm.guard](power, epsilon, norm.p)


# The divisor of x / ‖x‖, from s = Σ|x|ᵖ.
GUARDS: Mapping[str, Callable[[Exact, float, int], Exact]] = {
    "none": lambda s, epsilon, p: s ** (1 / p),
    "zero stays": lambda s, epsilon, p: np.where(s == 0, 1.0, s) ** (1 / p),
    "added to the power": lambda s, epsilon, p: (s + epsilon) ** (1 / p),
    "below the power": lambda s, epsilon, p: np.maximum(s, epsilon) ** (1 / p),
    "below the norm": lambda s, epsilon, p: np.maximum(s ** (1 / p), epsilon),
    "added to the norm": lambda s, epsilon, p: s ** (1 / p) + epsilon,
}

FORMULAS: Mapping[str, Callable[[Exact, Norm, float], Exact]] = {
    "LayerNormalization": _centred,
    "RMSNormalization": _root_mean_square,
    "InstanceNormalization": _centred,
    "GroupNormalization": _group,
    "MeanVarianceNormalization": _mean_variance,
    "LpNormalization": _lp,
    # Its statistics are constants: nothing is left of them but the gain and the bias.
    "BatchNormalization": lambda x, norm, epsilon: x,
}
