"""How near the exact value normalizations come: spelled out in nodes, fused, and as reference kernels.

    python benchmarks/accuracy.py [--write] [KIND ...]

The exact value comes from the formulas in rational arithmetic; only the root is rounded, after 60 digits.  ONNX
Runtime's CPU provider computes the nodes and the operator, its graph optimizations off.  It computes most float16
operators in float32, so the nodes are also computed one by one in NumPy, each result rounded to the type, as a device
without wider intermediate results does it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from tables import Table, surroundings, table_of, write_section

from normgraph.evidence.measuring import errors, spacing_at
from normgraph.execution import NotRunnable
from normgraph.feeds import FAMILIES, draw
from normgraph.kernels.batch_normalization import batch_normalization
from normgraph.kernels.group_normalization import group_normalization
from normgraph.kernels.instance_normalization import instance_normalization
from normgraph.kernels.layer_normalization import layer_normalization
from normgraph.kernels.lp_normalization import lp_normalization
from normgraph.kernels.mean_variance_normalization import EPSILON, mean_variance_normalization
from normgraph.kernels.rms_normalization import rms_normalization
from normgraph.reference_operators import OPERATORS
from normgraph.verification.sessions import Session

ROWS, LENGTH = 8, 256
SEED = 11
STORED = float(np.float32(1e-5))
#: The statistics that a BatchNormalization has stored: numbers that each of the types holds.
MEAN, VARIANCE = 0.375, 0.6875
DTYPES: Mapping[str, tuple[str, Any]] = {
    "float": ("float32", np.float32),
    "double": ("float64", np.float64),
    "float16": ("float16", np.float16),
    "bfloat16": ("bfloat16", ml_dtypes.bfloat16),
}
Array = Any
Row = Callable[[Sequence[Fraction]], list[Fraction]]


@dataclass(frozen=True)
class Kind:
    """A normalization of the rows of a matrix.

    Attributes:
        exact: its formula, on a row.
        nodes: how exporters spell it out, on x with constants eps, last, two, gamma and beta.
        fused: the operator, on the same names.
        kernel: the reference kernel.
    """

    exact: Row
    nodes: str
    fused: str
    kernel: Callable[[Array], Array]


def _root(value: Fraction) -> Fraction:
    with localcontext(prec=60):
        return Fraction((Decimal(value.numerator) / Decimal(value.denominator)).sqrt())


def _mean(values: Sequence[Fraction]) -> Fraction:
    return sum(values, Fraction(0)) / len(values)


def _variance(values: Sequence[Fraction]) -> Fraction:
    return _mean([v * v for v in values]) - _mean(values) ** 2


def _standardized(row: Sequence[Fraction]) -> list[Fraction]:
    mean, scale = _mean(row), _root(_variance(row) + Fraction(STORED))
    return [(v - mean) / scale for v in row]


def _root_mean_square(row: Sequence[Fraction]) -> list[Fraction]:
    scale = _root(_mean([v * v for v in row]) + Fraction(STORED))
    return [v / scale for v in row]


def _unit_length(row: Sequence[Fraction]) -> list[Fraction]:
    length = _root(sum((v * v for v in row), Fraction(0)))
    return [v / length if length else Fraction(0) for v in row]


def _mean_variance(row: Sequence[Fraction]) -> list[Fraction]:
    mean, scale = _mean(row), _root(_variance(row)) + Fraction(EPSILON)
    return [(v - mean) / scale for v in row]


def _batch(row: Sequence[Fraction]) -> list[Fraction]:
    scale = _root(Fraction(VARIANCE) + Fraction(STORED))
    return [(v - Fraction(MEAN)) / scale for v in row]


_SPREAD = "m = ReduceMean(x, last)  d = Sub(x, m)  q = Pow(d, two)  v = ReduceMean(q, last)"
_CENTRED = f"{_SPREAD}  e = Add(v, eps)  s = Sqrt(e)  y = Div(d, s)"
_IMAGE = "w = Reshape(x, image)  {}  y = Reshape(n, matrix)"


def _ones(count: int) -> tuple[Array, Array]:
    return np.ones(count), np.zeros(count)


KINDS: Mapping[str, Kind] = {
    "LayerNormalization": Kind(
        _standardized,
        _CENTRED,
        f"y = LayerNormalization<epsilon = {STORED}, stash_type = STASH>(x, gamma)",
        lambda x: layer_normalization(x, epsilon=STORED),
    ),
    "RMSNormalization": Kind(
        _root_mean_square,
        "q = Pow(x, two)  v = ReduceMean(q, last)  e = Add(v, eps)  s = Sqrt(e)  y = Div(x, s)",
        f"y = RMSNormalization<epsilon = {STORED}, stash_type = STASH>(x, gamma)",
        lambda x: rms_normalization(x, epsilon=STORED),
    ),
    "InstanceNormalization": Kind(
        _standardized,
        _CENTRED,
        _IMAGE.format(f"n = InstanceNormalization<epsilon = {STORED}>(w, ones, zeros)"),
        lambda x: instance_normalization(x[None], *_ones(ROWS), epsilon=STORED)[0],
    ),
    "GroupNormalization": Kind(
        _standardized,
        _CENTRED,
        _IMAGE.format(
            f"n = GroupNormalization<epsilon = {STORED}, num_groups = {ROWS}, stash_type = STASH>(w, ones, zeros)"
        ),
        lambda x: group_normalization(x[None], *_ones(ROWS), num_groups=ROWS, epsilon=STORED)[0],
    ),
    "BatchNormalization": Kind(
        _batch,
        "d = Sub(x, average)  e = Add(spread, eps)  s = Sqrt(e)  y = Div(d, s)",
        _IMAGE.format(f"n = BatchNormalization<epsilon = {STORED}>(w, ones, zeros, averages, spreads)"),
        lambda x: batch_normalization(
            x[None], *_ones(ROWS), np.full(ROWS, MEAN), np.full(ROWS, VARIANCE), epsilon=STORED
        )[0],
    ),
    "LpNormalization": Kind(
        _unit_length,
        "q = Mul(x, x)  v = ReduceSum(q, last)  s = Sqrt(v)  y = Div(x, s)",
        "y = LpNormalization<axis = -1, p = 2>(x)",
        lp_normalization,
    ),
    "MeanVarianceNormalization": Kind(
        _mean_variance,
        f"{_SPREAD}  s = Sqrt(v)  e = Add(s, tiny)  y = Div(d, e)",
        "y = MeanVarianceNormalization<axes = [1]>(x)",
        lambda x: mean_variance_normalization(x, axes=(1,)),
    ),
}


def model_of(nodes: str, dtype: str) -> onnx.ModelProto:
    """The nodes as a model of a matrix in this type."""
    stash = int(onnx.TensorProto.DOUBLE if dtype == "double" else onnx.TensorProto.FLOAT)
    text = nodes.replace("STASH", str(stash))
    shape = f"{dtype}[{ROWS}, {LENGTH}]"
    model = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 23]> g ({shape} x) => ({shape} y) {{ {text} }}'
    )
    numpy_type = DTYPES[dtype][1]
    constants: dict[str, Array] = {
        "last": np.asarray([-1]),
        "image": np.asarray([1, ROWS, LENGTH]),
        "matrix": np.asarray([ROWS, LENGTH]),
        "two": np.asarray(2, numpy_type),
        "eps": np.asarray(STORED, numpy_type),
        "tiny": np.asarray(EPSILON, numpy_type),
        "gamma": np.ones(LENGTH, numpy_type),
        "ones": np.ones(ROWS, numpy_type),
        "zeros": np.zeros(ROWS, numpy_type),
        "average": np.asarray(MEAN, numpy_type),
        "averages": np.full(ROWS, MEAN, numpy_type),
        "spread": np.asarray(VARIANCE, numpy_type),
        "spreads": np.full(ROWS, VARIANCE, numpy_type),
    }
    read = {name for node in model.graph.node for name in node.input}
    model.graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in constants.items() if name in read)
    return model


@dataclass(frozen=True)
class Truth:
    """Exact values as the nearest doubles and what these leave out."""

    high: Array
    low: Array

    def error(self, result: Array) -> tuple[float, float]:
        """The largest absolute error, and the 99th percentile in units in the last place of the result's type."""
        wide = np.asarray(result).astype(np.float64)
        with np.errstate(invalid="ignore"):
            error = np.where(np.isfinite(wide), (wide - self.high) - self.low, np.inf)
        found = errors(error, np.zeros_like(self.high), spacing_at(self.high, np.asarray(result).dtype))
        return found.largest, found.ulps.p99


def truth_of(kind: Kind, x: Array) -> Truth:
    """The exact result for a matrix."""
    rows = [kind.exact([Fraction(float(v)) for v in row]) for row in x]
    high = np.asarray([[float(v) for v in row] for row in rows])
    low = np.asarray(
        [[float(v - Fraction(h)) for v, h in zip(row, line, strict=True)] for row, line in zip(rows, high, strict=True)]
    )
    return Truth(high, low)


Runner = Callable[[Array], Array]


def in_runtime(model: onnx.ModelProto, folder: Path) -> Runner | None:
    """The model in ONNX Runtime; None where it has no kernel for the type."""
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    try:
        session = Session(path)
    except NotRunnable:
        return None
    return lambda x: session({"x": x})["y"]


def one_by_one(model: onnx.ModelProto) -> Runner:
    """The model's nodes in NumPy, each result rounded to the type, sums in float32 at least."""
    evaluator = ReferenceEvaluator(model, new_ops=OPERATORS)

    def run(x: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(evaluator.run(None, {"x": x})[0])

    return run


def runners(kind: Kind, dtype: str, folder: Path) -> dict[str, Runner | None]:
    """What computes a kind in a type, by the headings of the table."""
    nodes = model_of(kind.nodes, dtype)
    return {
        "nodes": in_runtime(nodes, folder),
        "nodes, one by one": one_by_one(nodes),
        "fused": in_runtime(model_of(kind.fused, dtype), folder),
        "kernel": kind.kernel,
    }


HEADINGS = ("nodes", "nodes, one by one", "fused", "kernel")


def measured(name: str, dtype: str) -> Iterator[tuple[str, list[tuple[float, float] | None]]]:
    """For each family the errors of each way to compute a kind."""
    kind, numpy_type = KINDS[name], np.dtype(DTYPES[dtype][1])
    with TemporaryDirectory() as folder:
        ways = runners(kind, dtype, Path(folder))
        for family in FAMILIES:
            x = draw(family, (ROWS, LENGTH), (1,), numpy_type, (SEED,))
            truth = truth_of(kind, x)
            yield family, [None if way is None else truth.error(way(x)) for way in ways.values()]


def table(name: str, dtype: str) -> Table:
    """The figures of one kind in one type."""
    rows = []
    for family, found in measured(name, dtype):
        absolute = [_absolute(pair) for pair in found]
        units = [_units(pair) for pair in found]
        rows.append((family, *absolute, *units))
    headings = ("inputs", *(f"{h}: max abs" for h in HEADINGS), *(f"{h}: ULP, 99 %" for h in HEADINGS))
    return table_of(f"{name}, {DTYPES[dtype][0]}", headings, rows)


def _absolute(pair: tuple[float, float] | None) -> str:
    return "no kernel" if pair is None else "not finite" if not np.isfinite(pair[0]) else f"{pair[0]:.1e}"


def _units(pair: tuple[float, float] | None) -> str:
    if pair is None:
        return "no kernel"
    if not np.isfinite(pair[1]):
        return "not finite"
    return f"{pair[1]:.1f}" if pair[1] < 1000 else f"{pair[1]:.0e}"


TEXT = f"""\
Largest absolute error, and the 99th percentile of the errors in units in the last place (ULP) of the exact value (an
error where that is zero shows in the former only), over {ROWS} rows of {LENGTH} elements of each
[family of inputs](design.md#evidence); gain 1, bias 0, ε = 1e-5 as float32 where there is one. A BatchNormalization's
stored mean is {MEAN}, its variance {VARIANCE}.

- *nodes*: the operators that PyTorch's exporters write, in ONNX Runtime's CPU provider, its optimizations off
- *nodes, one by one*: the same in NumPy, each result rounded to the type, sums in float32 at least, as devices do it
  that keep no wider results between operators
- *fused*: the operator in ONNX Runtime's CPU provider
- *kernel*: the reference kernel, which computes in float64 and rounds once

Exact values come from rational arithmetic. *not finite*: NaN or infinity where the exact value is a number. *no
kernel*: ONNX Runtime's CPU provider doesn't run that operator in this type.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", metavar="KIND", nargs="*", help=f"of {', '.join(KINDS)}; all by default")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/accuracy.md")
    options = parser.parse_args()
    tables = [table(name, dtype) for name in options.kinds or KINDS for dtype in DTYPES]
    for entry in tables:
        entry.show()
    if options.write:
        figures = "\n\n".join(entry.markdown() for entry in tables)
        about = f"Measured with {surroundings('numpy', 'onnx', 'onnxruntime')}"
        write_section("accuracy.md", "errors", f"{TEXT}\n{figures}\n\n{about}")


if __name__ == "__main__":
    main()
