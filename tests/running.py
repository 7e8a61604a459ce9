"""Cases on numbers: what is fed to them, what ONNX Runtime answers, what is true in float64."""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import numpy as np
import onnx
import onnxruntime
from onnx.reference import ReferenceEvaluator
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

from tests.cases import DTYPES, OPSETS, Array, Build, Case, build, constant

# Sizes of the dynamic dimensions, by the names that the cases give them; the second set has a batch of one. A is a
# batch as well, by a name of its own.
SIZES: tuple[Mapping[str, int], ...] = (
    {"B": 2, "S": 3, "H": 4, "W": 5, "A": 2},
    {"B": 1, "S": 5, "H": 3, "W": 2, "A": 1},
)
# Standard deviation and mean of what is fed. The first would not show a wrong epsilon, the last shows little
# else.
SPREADS: tuple[tuple[float, float], ...] = ((1.0, 0.5), (3.0, -20.0), (2e-3, 0.0))
# Error allowed beside that of the original, relative to the largest true value.
TOLERANCE = {"float": 1e-5, "float16": 4e-3, "double": 1e-12, "bfloat16": 3e-2}


def builds(case: Case) -> list[Build]:
    """A case at its first opset, dynamic, constants as nodes; and at its last, static, as initializers."""
    first, last = case.opsets
    opsets = [opset for opset in OPSETS if first <= opset <= last] or [first, last]
    static = SIZES[0]
    found = [
        Build(opset, dtype, sizes=sizes, constant_nodes=sizes is None)
        for dtype in case.dtypes
        for opset, sizes in ((opsets[0], None), (opsets[-1], static))
    ]
    return [how for how in found if how.dtype != "bfloat16" or how.opset >= 13]


def label(how: Build) -> str:
    """A build's name within a test's."""
    return f"{how.opset}-{how.dtype}-{'dynamic' if how.sizes is None else 'static'}"


def trials(case: Case, how: Build) -> Iterable[dict[str, Array]]:
    """What to feed a case: each spread at each admissible set of sizes, in the build's dtype."""
    for sizes in SIZES if how.sizes is None else (how.sizes,):
        for trial, spread in enumerate(SPREADS):
            yield _feeds(case, how, sizes, trial, spread)


def _feeds(
    case: Case, how: Build, sizes: Mapping[str, int], trial: int, spread: tuple[float, float]
) -> dict[str, Array]:
    fed: dict[str, Array] = {}
    for name, declared in case.inputs.items():
        random = np.random.default_rng([zlib.crc32(name.encode()), trial])
        kind, *dims = declared.split() if declared[:1].islower() else ["", *declared.split()]
        shape = [sizes[dim] if dim in sizes else int(dim) for dim in dims]
        if kind == "bool":
            fed[name] = np.asarray(trial % 2 == 0)
        elif kind.startswith("int"):
            fed[name] = random.integers(-9, 9, size=shape).astype(kind)
        else:
            deviation, mean = spread
            # Numbers that every element type holds, so that a Cast to less precision loses nothing of them.
            coarse = np.asarray(random.standard_normal(shape) * deviation + mean).astype(DTYPES["bfloat16"])
            fed[name] = np.asarray(coarse, DTYPES[kind or how.dtype])
    if trial:  # The first trial leaves the defaults.
        for name in case.overridable:
            default = constant(case, name, how.dtype)
            fed[name] = np.asarray(default + default).astype(default.dtype)
    return fed


def with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """The model with further values among its outputs."""
    told = onnx.ModelProto()
    told.CopyFrom(model)
    known = {output.name for output in model.graph.output}
    told.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    return told


def run(model: onnx.ModelProto, feeds: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
    """The outputs for each set of feeds, in ONNX Runtime with its optimizations off.

    bfloat16 models, for whose operators ONNX Runtime's CPU provider has no kernels, go to onnx's reference.
    """
    names = [output.name for output in model.graph.output]
    interface = (*model.graph.input, *model.graph.output)
    if any(info.type.tensor_type.elem_type == onnx.TensorProto.BFLOAT16 for info in interface):
        return _refer(model, feeds)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [dict(zip(names, session.run(names, dict(fed)), strict=True)) for fed in feeds]


def truth(
    case: Case, how: Build, feeds: Sequence[Mapping[str, Array]], values: Sequence[str] = ()
) -> list[dict[str, Array]]:
    """The outputs, and further `values`, computed in float64 from the very numbers that were fed."""
    if not case.evaluated_in_double:
        return run(with_outputs(build(case, how), values), feeds)
    exact = Build(how.opset, how.dtype, how.sizes, how.constant_nodes, exact=True)
    model = with_outputs(build(case, exact), values)
    widened = [{name: _widened(array) for name, array in fed.items()} for fed in feeds]
    try:
        return run(model, widened)
    except NoKernel:  # Not every operator has a kernel for double.
        return _refer(model, widened)


def error(found: Array, true: Array) -> float:
    """Largest error, relative to the largest finite true value; infinite if shapes or finiteness differ."""
    if found.shape != true.shape:
        return float("inf")
    a, b = found.astype(np.float64), true.astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(np.isfinite(a), finite):
        return float("inf")
    return float(np.max(np.abs(a - b)[finite], initial=0) / max(np.max(np.abs(b[finite]), initial=0), 1e-6))


def _refer(model: onnx.ModelProto, feeds: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
    names = [output.name for output in model.graph.output]
    reference = ReferenceEvaluator(model)
    answers = [reference.run(None, dict(fed)) for fed in feeds]
    return [dict(zip(names, cast("list[Array]", answer), strict=True)) for answer in answers]


def _widened(array: Array) -> Array:
    return array if array.dtype.kind in "biu" else array.astype(np.float64)


def worst_errors(
    case: Case, how: Build, models: Sequence[onnx.ModelProto], feeds: Sequence[Mapping[str, Array]]
) -> list[float]:
    """For each model, the largest error of any output on any of the feeds, against float64."""
    true = truth(case, how, feeds)
    return [
        max(
            error(found[name], expected[name])
            for found, expected in zip(run(model, feeds), true, strict=True)
            for name in case.outputs
        )
        for model in models
    ]
