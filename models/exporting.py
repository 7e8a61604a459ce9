"""What all export scripts do: compare in ONNX Runtime, then write the samples and their records."""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from manifest import HERE, Export, Input, Record, merge, summary
from onnx.reference import ReferenceEvaluator
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

Array = npt.NDArray[Any]
# (rtol, atol) of ONNX Runtime's output against the framework's.
TOLERANCE = {"float64": (1e-6, 1e-6), "float32": (1e-4, 1e-4), "float16": (2e-2, 2e-2), "bfloat16": (1e-2, 1e-2)}
SEEDS = (1, 2, 3)
#: An architecture's name, a label for messages, and what makes its record and its export.
Job = tuple[str, str, Callable[[], tuple[Record, Export]]]


def compare(
    export: Export,
    draw: Callable[[bool, int], Sequence[Array]],
    run: Callable[[Sequence[Array]], Array],
    seeds: Sequence[int] = SEEDS,
    of_largest: bool = False,
) -> list[list[list[int]]]:
    """Compare with the framework in ONNX Runtime, its optimizations off and on; returns the shapes compared.

    Args:
        export: the export.
        draw: the inputs, from whether they have the dynamic dimensions' second size, and a seed.
        run: the framework's output for such inputs.
        seeds: of the inputs to compare on, at each size.
        of_largest: take the absolute tolerance for a share of the output's largest element, as deep networks need it.

    Raises:
        AssertionError: they differ by more than TOLERANCE, or the file holds a path of this machine.
    """
    onnx.checker.check_model(export.content, full_check=True)
    for path in (sys.prefix, str(HERE)):
        assert path.encode() not in export.content, f"the export holds {path}, a path of this machine"
    rtol, atol = TOLERANCE[export.dtype]
    levels = onnxruntime.GraphOptimizationLevel
    dynamic = any(spec.dynamic for spec in export.inputs)
    half = export.dtype == "bfloat16"
    content = _in_float(export.proto) if half else export.content
    names = [f"{spec.name}_float" if half else spec.name for spec in export.inputs]
    for second_size in (False, True)[: 1 + dynamic]:
        for seed in seeds:
            inputs = draw(second_size, seed)
            expected = run(inputs).astype(np.float64)
            assert np.isfinite(expected).all(), "the framework's output is not finite"
            unit = np.abs(expected).max() if of_largest else 1.0
            for level in (levels.ORT_DISABLE_ALL, levels.ORT_ENABLE_ALL):
                fed = [array.astype(np.float32) if half else array for array in inputs]
                try:
                    actual = _output(content, dict(zip(names, fed, strict=True)), level).astype(np.float64)
                except NoKernel:
                    assert half, "ONNX Runtime has no kernels for it"
                    actual = _referred(export, inputs).astype(np.float64)
                np.testing.assert_allclose(actual, expected, rtol, atol * unit, err_msg=f"{level}")
    return [[list(spec.at(second_size)) for spec in export.inputs] for second_size in (False, True)[: 1 + dynamic]]


def _output(content: bytes, feeds: dict[str, Array], level: onnxruntime.GraphOptimizationLevel) -> Array:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    return np.asarray(session.run(None, feeds)[0])


def _referred(export: Export, inputs: Sequence[Array]) -> Array:
    """What onnx's own evaluator computes of a bfloat16 model: ONNX Runtime has few kernels for it on CPUs."""
    reference = ReferenceEvaluator(export.proto)
    return np.asarray(reference.run(None, dict(zip([spec.name for spec in export.inputs], inputs, strict=True)))[0])


def _in_float(model: onnx.ModelProto) -> bytes:
    """A bfloat16 model that takes and gives float32 numbers: ONNX Runtime has no bfloat16 arrays."""
    wrapped = onnx.ModelProto()
    wrapped.CopyFrom(model)
    graph, bfloat16 = wrapped.graph, onnx.TensorProto.BFLOAT16
    for value in [*graph.input, *graph.output]:
        if value.type.tensor_type.elem_type == bfloat16:
            inner, outer = value.name, f"{value.name}_float"
            made = value.name in {output.name for output in graph.output}
            ends, target = ((inner, outer), onnx.TensorProto.FLOAT) if made else ((outer, inner), bfloat16)
            cast = onnx.helper.make_node("Cast", ends[:1], ends[1:], to=target)
            graph.node.insert(len(graph.node) if made else 0, cast)
            value.name, value.type.tensor_type.elem_type = outer, onnx.TensorProto.FLOAT
    return wrapped.SerializeToString()


def random_inputs(inputs: Sequence[Input], dtype: npt.DTypeLike, second_size: bool, seed: int) -> list[Array]:
    """Random numbers as the specifications say, the same for the same seed."""
    random = np.random.default_rng(seed)
    return [
        random.integers(0, spec.high, spec.at(second_size))
        if spec.high is not None
        else random.standard_normal(spec.at(second_size)).astype(dtype)
        for spec in inputs
    ]


def write(description: str | None, jobs: Iterable[Job], arguments: Sequence[str] | None = None) -> int:
    """The command line of an export script: do the jobs, or those named, and write what passes.

    Samples are written one by one, the manifest and the README's table once all jobs are done. Where names are given,
    only their entries are replaced. Returns the exit status: 1 if a job failed.
    """
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help="architectures to export (default: all)")
    parser.add_argument("--output", type=Path, default=HERE, help="folder of samples/ and manifest.json")
    options = parser.parse_args(arguments)
    (options.output / "samples").mkdir(parents=True, exist_ok=True)
    records, failures = [], 0
    for name, label, make in jobs:
        if options.names and name not in options.names:
            continue
        try:
            record, export = _quietly(make)
        except Exception as error:
            failures += 1
            reason = " ".join(str(error).split())[:600]
            print(f"{label}: {type(error).__name__}: {reason}", file=sys.stderr)
            continue
        (options.output / record["file"]).write_bytes(export.content)
        records.append(record)
        print(f"{record['file']}: {record['nodes']} nodes, {summary(record)}", flush=True)
    if not failures:
        merge(records, options.output, complete=not options.names)
    return 1 if failures else 0


def _quietly(make: Callable[[], tuple[Record, Export]]) -> tuple[Record, Export]:
    """Exporters print and warn a lot."""
    quiet = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        warnings.simplefilter("ignore")
        return make()
