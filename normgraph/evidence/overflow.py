"""Where a half-precision region overflows in its own arithmetic.

ONNX Runtime's CPU provider computes most float16 operators in float32, so that a square that is too large for float16
shows there only once it is stored.  On devices that compute in float16 it shows at once.  So the region is computed
operator by operator in NumPy, each result rounded to float16.
"""

from __future__ import annotations

import numpy as np

from normgraph.constants import Array
from normgraph.evidence.experiment import Experiment
from normgraph.evidence.measuring import Float64
from normgraph.evidence.record import SEED, Overflow
from normgraph.execution import NotRunnable, Reference, Runner, fed
from normgraph.feeds import draw
from normgraph.feeds.families import limits

#: From this error on, relative to the largest true value, a result has nothing to do with the truth.
_USELESS = 0.1
#: The magnitude is found to within a factor of two to the power of this.
_PRECISION = 0.125


def overflow_of(experiment: Experiment, shape: tuple[int, ...], truth: Runner, after: Runner) -> Overflow | None:
    """From which magnitude of its input on the original overflows where the replacement doesn't.

    Args:
        experiment: the experiment, of float16.
        shape: the shape of the input to try.
        truth: the original in float64.
        after: the replacement.

    Returns:
        The gain; None if the original bears all magnitudes up to a tenth of the largest number, or the replacement
        doesn't either, or it can't be computed.
    """
    name, _, _ = experiment.original.inputs[0]
    if len(experiment.original.inputs) > 1:
        return None
    dtype = np.dtype(np.float16)
    noise = draw("normal", shape, experiment.axes, dtype, (SEED,)).astype(np.float64)
    top = float(np.log2(float(limits(dtype).max) / 10 / max(float(np.max(np.abs(noise), initial=0.0)), 1.0)))
    try:
        before = fed(Reference(experiment.original.model), experiment.original.constants)

        def error(runner: Runner, exponent: float) -> float:
            x = (noise * 2.0**exponent).astype(dtype)
            exact = np.asarray(truth({name: x.astype(np.float64)}), np.float64)
            return _relative_error(runner({name: x}), exact)

        if error(before, top) < _USELESS or error(after, top) >= _USELESS or error(before, 0.0) >= _USELESS:
            return None
        good, bad = 0.0, top
        while bad - good > _PRECISION:
            middle = (good + bad) / 2
            good, bad = (good, middle) if error(before, middle) >= _USELESS else (middle, bad)
        magnitude = float(np.max(np.abs(noise))) * 2.0**bad
        return Overflow(magnitude, error(before, bad))
    except NotRunnable:
        return None


def _relative_error(result: Array, exact: Float64) -> float:
    with np.errstate(invalid="ignore"):
        error = np.abs(np.asarray(result, np.float64) - exact)
    largest = float(np.max(np.abs(exact), initial=0.0))
    return float(np.max(np.where(np.isnan(error), np.inf, error), initial=0.0)) / max(largest, 1e-30)
