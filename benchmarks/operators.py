"""What each operator is worth on ONNX Runtime's CPU provider: normalizations in nodes, and as what they may become.

    python benchmarks/operators.py [--write] [--budget SECONDS] [KIND ...]

Each row is one normalization in one spelling at one shape, in float32 but where it says so, on one thread, with all of
ONNX Runtime's own optimizations on, which fuse some spellings by themselves.  All contestants compute the same, which
is checked, and are timed as `normgraph bench` does it.  What normgraph/targets.py says of faster and slower comes from
here.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from textwrap import fill

import numpy as np
import onnx
import onnx.parser
from onnx import numpy_helper
from tables import WIDTH, Table, surroundings, table_of, write_section

import normgraph
from normgraph.constants import Array
from normgraph.providers import PROVIDERS
from normgraph.sessions import OpenedModel, Setting
from normgraph.timing.measuring import Plan, measured
from normgraph.timing.statistics import Ratio, Verdict, ratio_of

PRECISION = 0.02
#: How far contestants may differ, relative to the largest element.
TOLERANCE = {"float64": 1e-6, "float32": 1e-4, "float16": 2e-2}


@dataclass(frozen=True)
class Way:
    """A way to compute a normalization.

    Attributes:
        name: what it is called in the table.
        text: its nodes in ONNX's textual syntax, from x to y; {last} stands for the last dimension's size and so on.
        opset: the version of the default domain.
    """

    name: str
    text: str
    opset: int = 17


@dataclass(frozen=True)
class Row:
    """A normalization in one spelling at one shape.

    Attributes:
        kind: the kind.
        spelling: how it is spelled out.
        shape: that of x.
        ways: the nodes, and the operators that they may become.
        constants: the shapes of gains and biases, whose numbers are drawn; whole numbers as they are.
        dtype: the element type.
    """

    kind: str
    spelling: str
    shape: tuple[int, ...]
    ways: tuple[Way, ...]
    constants: Mapping[str, tuple[int, ...] | Array] = field(default_factory=dict)
    dtype: str = "float32"


def tensor(values: Sequence[int]) -> Array:
    return np.array(values, np.int64)


def layer_norm(axes: str) -> dict[str, str]:
    """Spellings of a LayerNormalization over axes."""
    centred = f"m = ReduceMean<axes = {axes}>(x)  c = Sub(x, m)"
    by_pow = f"s = Pow(c, two)  v = ReduceMean<axes = {axes}>(s)  a = Add(v, e)  r = Sqrt(a)"
    by_mul = f"s = Mul(c, c)  v = ReduceMean<axes = {axes}>(s)  a = Add(v, e)  r = Sqrt(a)"
    return {
        "Pow, Sqrt, Div": f"{centred}  {by_pow}  n = Div(c, r)  g = Mul(n, gain)  y = Add(g, bias)",
        "Mul, Sqrt, Reciprocal": f"{centred}  {by_mul}  q = Reciprocal(r)  n = Mul(c, q)  g = Mul(n, gain)  "
        "y = Add(g, bias)",
        "TensorFlow's": f"{centred}  {by_mul}  q = Reciprocal(r)  k = Mul(q, gain)  xk = Mul(x, k)  mk = Mul(m, k)  "
        "b = Sub(bias, mk)  y = Add(xk, b)",
    }


RMS = {
    "Pow, Sqrt, Div": "s = Pow(x, two)  v = ReduceMean<axes = [-1]>(s)  a = Add(v, e)  r = Sqrt(a)  n = Div(x, r)  "
    "y = Mul(n, gain)",
    "Pow, Sqrt, Reciprocal": "s = Pow(x, two)  v = ReduceMean<axes = [-1]>(s)  a = Add(v, e)  r = Sqrt(a)  "
    "q = Reciprocal(r)  n = Mul(x, q)  y = Mul(gain, n)",
    "Mul, Pow(·, -½)": "s = Mul(x, x)  v = ReduceMean<axes = [-1]>(s)  a = Add(v, e)  q = Pow(a, minus_half)  "
    "n = Mul(x, q)  y = Mul(n, gain)",
}


def l2_norm(axis: str) -> dict[str, str]:
    """Spellings of a division by the L2 norm along an axis."""
    return {
        "ReduceL2, Div": f"n = ReduceL2<axes = {axis}>(x)  y = Div(x, n)",
        "Mul, ReduceSum, Sqrt, Div": "s = Mul(x, x)  v = ReduceSum(s, axis)  n = Sqrt(v)  y = Div(x, n)",
        "Pow, ReduceSum, Sqrt, Div": "s = Pow(x, two)  v = ReduceSum(s, axis)  n = Sqrt(v)  y = Div(x, n)",
        "ReduceSumSquare, Sqrt, Reciprocal, Mul": f"v = ReduceSumSquare<axes = {axis}>(x)  n = Sqrt(v)  "
        "q = Reciprocal(n)  y = Mul(x, q)",
        "Pow, ReduceSum, Pow(·, ½), Div": "s = Pow(x, two)  v = ReduceSum(s, axis)  n = Pow(v, half)  y = Div(x, n)",
    }


_PER_CHANNEL = "g = Mul(n, gain)  y = Add(g, bias)"
_SPATIAL = (
    "m = ReduceMean<axes = [2, 3]>(x)  c = Sub(x, m)  s = Pow(c, two)  v = ReduceMean<axes = [2, 3]>(s)  "
    f"a = Add(v, e)  r = Sqrt(a)  n = Div(c, r)  {_PER_CHANNEL}"
)
_GROUPED = (
    "h = Reshape(x, grouped)  m = ReduceMean<axes = [2]>(h)  c = Sub(h, m)  s = Mul(c, c)  "
    f"v = ReduceMean<axes = [2]>(s)  a = Add(v, e)  r = Sqrt(a)  d = Div(c, r)  n = Reshape(d, whole)  {_PER_CHANNEL}"
)
_REGROUPED = (
    "h = Reshape(x, grouped)  d = InstanceNormalization<epsilon = 1e-5>(h, ones, zeros)  w = Shape(x)  "
    f"n = Reshape(d, w)  {_PER_CHANNEL}"
)
_MOVED = (
    "t = Transpose<perm = [0, 2, 3, 1]>(x)  n = LayerNormalization<axis = -1, epsilon = 1e-5>(t, scale, shift)  "
    "y = Transpose<perm = [0, 3, 1, 2]>(n)"
)


def rows() -> Iterator[Row]:
    """All rows."""
    yield from rows_in_float32()
    yield from rows_in_other_types()


def rows_in_other_types() -> Iterator[Row]:
    """Where the runtime has other kernels, or none, for doubles and half-precision numbers."""
    doubles = Way("LayerNormalization", "y = LayerNormalization<epsilon = 1e-5, stash_type = 11>(x, gain, bias)")
    nodes = Way("", layer_norm("[-1]")["Mul, Sqrt, Reciprocal"])
    for shape in ((1, 1, 768), (1, 128, 768)):
        sizes = {"gain": shape[-1:], "bias": shape[-1:]}
        yield Row("LayerNormalization", "Mul, Sqrt, Reciprocal", shape, (nodes, doubles), sizes, "float64")
    for row in rows_in_float32():
        if row.kind in ("InstanceNormalization", "GroupNormalization"):
            yield replace(row, dtype="float16", ways=row.ways[:2])


def rows_in_float32() -> Iterator[Row]:
    """The rows in the type that most models have."""
    for shape in ((1, 128, 768), (1, 197, 768), (8, 512, 1024)):
        fused = Way("LayerNormalization", "y = LayerNormalization<axis = -1, epsilon = 1e-5>(x, gain, bias)")
        for spelling, text in layer_norm("[-1]").items():
            sizes = {"gain": shape[-1:], "bias": shape[-1:]}
            yield Row("LayerNormalization", spelling, shape, (Way("", text), fused), sizes)
    over_two = Way("LayerNormalization", "y = LayerNormalization<axis = -2, epsilon = 1e-5>(x, gain, bias)")
    text = layer_norm("[-2, -1]")["Pow, Sqrt, Div"]
    sizes = {"gain": (64, 64), "bias": (64, 64)}
    yield Row("LayerNormalization", "over two axes", (32, 64, 64), (Way("", text), over_two), sizes)
    for shape in ((1, 96, 56, 56), (1, 384, 14, 14), (1, 768, 7, 7)):
        channels = shape[1]
        sizes = {"gain": (channels, 1, 1), "bias": (channels, 1, 1), "scale": (channels,), "shift": (channels,)}
        ways = (Way("", layer_norm("[1]")["Pow, Sqrt, Div"]), Way("Transpose–LayerNormalization–Transpose", _MOVED))
        yield Row("LayerNormalization", "channels first", shape, ways, sizes)
    for shape in ((1, 1, 2048), (1, 128, 2048), (1, 512, 4096)):
        operators = (
            Way("RMSNormalization", "y = RMSNormalization<axis = -1, epsilon = 1e-5>(x, gain)", 23),
            Way("SimplifiedLayerNormalization", "y = SimplifiedLayerNormalization<axis = -1, epsilon = 1e-5>(x, gain)"),
        )
        for spelling, text in RMS.items():
            yield Row("RMSNormalization", spelling, shape, (Way("", text), *operators), {"gain": shape[-1:]})
    for shape in ((1, 64, 56, 56), (1, 256, 64, 64)):
        channels = shape[1]
        sizes = {"gain": (channels, 1, 1), "bias": (channels, 1, 1), "scale": (channels,), "shift": (channels,)}
        fused = Way("InstanceNormalization", "y = InstanceNormalization<epsilon = 1e-5>(x, scale, shift)")
        yield Row("InstanceNormalization", "Pow, Sqrt, Div", shape, (Way("", _SPATIAL), fused), sizes)
    for shape, groups in (((1, 64, 56, 56), 8), ((1, 320, 64, 64), 32), ((1, 1280, 16, 16), 32)):
        channels = shape[1]
        constants: dict[str, tuple[int, ...] | Array] = {
            "gain": (channels, 1, 1),
            "bias": (channels, 1, 1),
            "scale": (channels,),
            "shift": (channels,),
            "grouped": tensor([0, groups, -1]),
            "whole": tensor(shape),
            "ones": np.ones(groups, np.float32),
            "zeros": np.zeros(groups, np.float32),
        }
        native = f"y = GroupNormalization<num_groups = {groups}, epsilon = 1e-5>(x, scale, shift)"
        operators = (Way("Reshape–InstanceNormalization–Reshape", _REGROUPED), Way("GroupNormalization", native, 21))
        yield Row("GroupNormalization", f"Reshape, {groups} groups", shape, (Way("", _GROUPED), *operators), constants)
    for shape, axis in (((32, 768), -1), ((1, 128, 512), -1), ((1, 256, 14, 14), 1)):
        fused = Way("LpNormalization", f"y = LpNormalization<axis = {axis}, p = 2>(x)")
        ways = [fused]
        unit: dict[str, tuple[int, ...] | Array] = {"axis": tensor([axis])}
        if axis == -1:
            ways.append(Way("RMSNormalization", "y = RMSNormalization<axis = -1, epsilon = 0.0>(x, lengths)", 23))
            unit["lengths"] = np.full(shape[-1], shape[-1] ** -0.5, np.float32)
        for spelling, text in l2_norm(f"[{axis}]").items():
            yield Row("LpNormalization", spelling, shape, (Way("", text), *ways), unit)
    for shape in ((1, 64, 56, 56), (8, 256, 28, 28)):
        channels = shape[1]
        sizes = {"gain": (channels, 1, 1), "bias": (channels, 1, 1), "scale": (channels,), "shift": (channels,)}
        ways = (
            Way("", "g = Mul(x, gain)  y = Add(g, bias)"),
            Way("BatchNormalization", "y = BatchNormalization<epsilon = 0.0>(x, scale, shift, mean, variance)", 15),
        )
        neutral = {"mean": np.zeros(channels, np.float32), "variance": np.ones(channels, np.float32)}
        yield Row("BatchNormalization", "Mul, Add", shape, ways, {**sizes, **neutral})


def model(row: Row, way: Way, dtype: str) -> onnx.ModelProto:
    """A way as a model; it holds the constants that it reads."""
    element = {"float64": "double", "float32": "float", "float16": "float16"}[dtype]
    shape = ", ".join(map(str, row.shape))
    opset = f'"" : {way.opset}' + (', "com.microsoft" : 1' if "Simplified" in way.name else "")
    result = onnx.parser.parse_model(
        f"<ir_version: 8, opset_import: [{opset}]> operator ({element}[{shape}] x) => ({element}[{shape}] y) "
        f"{{ {way.text} }}"
    )
    read = {name for node in result.graph.node for name in node.input}
    result.graph.initializer.extend(
        numpy_helper.from_array(array.astype(dtype) if array.dtype.kind == "f" else array, name)
        for name, array in drawn(row).items()
        if name in read
    )
    return result


def drawn(row: Row) -> dict[str, Array]:
    """The constants of a row; gain and scale are the same numbers, so are bias and shift."""
    found: dict[str, Array] = {
        "two": np.array(2, np.float32),
        "half": np.array(0.5, np.float32),
        "minus_half": np.array(-0.5, np.float32),
        "e": np.array(1e-5, np.float32),
    }
    for name, given in row.constants.items():
        if isinstance(given, tuple):
            random = np.random.default_rng(1 if name in ("gain", "scale") else 2)
            found[name] = random.uniform(0.5, 1.5, int(np.prod(given))).astype(np.float32).reshape(given)
        else:
            found[name] = given
    return found


@dataclass(frozen=True)
class Outcome:
    """The figures of an operator.

    Attributes:
        row: what it was measured on.
        operator: its name.
        before: seconds of the nodes.
        after: those of the operator.
        ratio: how many times as fast it is as the nodes.
    """

    row: Row
    operator: str
    before: float
    after: float
    ratio: Ratio

    def cells(self) -> tuple[str, ...]:
        """Them as texts."""
        verdict: Verdict = self.ratio.verdict(PRECISION)
        return (
            self.operator,
            self.row.spelling,
            "×".join(map(str, self.row.shape)) + ("" if self.row.dtype == "float32" else f" {self.row.dtype}"),
            f"{1e6 * self.before:,.1f}",
            f"{1e6 * self.after:,.1f}",
            f"{self.ratio.estimate:.2f}",
            f"{self.ratio.low:.2f} – {self.ratio.high:.2f}",
            verdict,
        )


HEADINGS = ("becomes", "spelled out with", "shape", "nodes, µs", "operator, µs", "ratio", "95 %", "")


def outcomes(row: Row, budget: float, setting: Setting, dtype: str | None = None) -> list[Outcome]:
    """The figures of a row.

    Args:
        row: the row.
        budget: seconds of timing.
        setting: how models are run.
        dtype: another element type than the row's.

    Raises:
        AssertionError: the contestants compute different things, or normgraph doesn't see the normalization.
    """
    dtype = dtype or row.dtype
    random = np.random.default_rng(0)
    feed = {"x": random.standard_normal(row.shape).astype(dtype)}
    models = [model(row, way, dtype) for way in row.ways]
    kinds = {site.kind for site in normgraph.explain(models[0], target="onnx").sites}
    assert row.kind in kinds or row.kind == "BatchNormalization", f"{row}: {kinds}"
    openers = [partial(OpenedModel, made.SerializeToString(), feed, setting, row.kind) for made in models]
    results = []
    for opener in openers:
        opened = opener()
        opened.run()
        results.append(opened.outputs()[0])
    for way, result in zip(row.ways, results, strict=True):
        difference = np.max(np.abs(result.astype(float) - results[0])) / np.max(np.abs(results[0]))
        assert difference < TOLERANCE[dtype], f"{row.kind} {way.name}: {difference}"
    first, *others = measured(openers, Plan(PRECISION, budget))
    return [
        Outcome(row, way.name, first.median, times.median, ratio_of(times.ratios(first)))
        for way, times in zip(row.ways[1:], others, strict=True)
    ]


def tables_of(found: Sequence[Outcome]) -> list[Table]:
    """A table for each kind."""
    kinds = dict.fromkeys(outcome.row.kind for outcome in found)
    return [
        table_of(kind, HEADINGS, [outcome.cells() for outcome in found if outcome.row.kind == kind], left=3)
        for kind in kinds
    ]


def ranges(found: Sequence[Outcome]) -> Table:
    """What normgraph/targets.py is to say: for each operator, how its speed ranges over the rows that were decided."""
    groups: dict[tuple[str, str, str], list[float]] = {}
    for outcome in found:
        if outcome.ratio.verdict(PRECISION) != "undecided":
            key = (outcome.row.kind, outcome.operator, outcome.row.dtype)
            groups.setdefault(key, []).append(outcome.ratio.estimate)
    rows = [(*key, f"{min(ratios):.2f} – {max(ratios):.2f}", str(len(ratios))) for key, ratios in groups.items()]
    return table_of("All in all", ("kind", "becomes", "type", "ratio", "rows"), rows, left=3)


def main() -> None:
    """Measure, print, and write where that is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kinds", metavar="KIND", nargs="*", help="only these kinds")
    parser.add_argument("--budget", type=float, default=10.0, help="seconds for each row, at most")
    parser.add_argument("--write", action="store_true", help="update the section in docs/performance.md")
    arguments = parser.parse_args()
    found: list[Outcome] = []
    for row in rows():
        if not arguments.kinds or row.kind in arguments.kinds:
            found += outcomes(row, arguments.budget, Setting(PROVIDERS["cpu"], threads=1))
            print(*(" ".join(outcome.cells()) for outcome in found[1 - len(row.ways) :]), sep="\n", flush=True)
    tables = [ranges(found), *tables_of(found)]
    for table in tables:
        table.show()
    explained = (
        "One normalization by itself, float32 unless another type is given, one thread, all of ONNX Runtime's own "
        "optimizations on: the nodes that "
        "spell it out, and the operators that they may become. The ratio is the nodes' time over the operator's, with "
        "the interval that holds it in 95 of 100 measurements; where it is 1, ONNX Runtime fuses the spelling itself "
        "or the operator is worth nothing there."
    )
    environment = surroundings("onnx", "onnxruntime")
    if arguments.write:
        command = "Made by `python benchmarks/operators.py --write`."
        paragraphs = ["## Operators", fill(explained, WIDTH), fill(environment, WIDTH)]
        write_section(
            "performance.md", "operators", "\n\n".join([*paragraphs, *(t.markdown() for t in tables), command])
        )


if __name__ == "__main__":
    main()
