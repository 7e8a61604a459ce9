"""Export the samples with PyTorch.

    python models/export_torch.py [--output DIR] [NAME ...]

writes DIR/samples/*.onnx, and DIR/manifest.json once every sample is exported. DIR is this folder by default;
the table in README.md is then written too. An export that ONNX Runtime does not compute as PyTorch does is
not written.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import logging
import platform
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import onnxscript
import torch
import transformers
from catalogue import (
    CATALOGUE,
    DYNAMO_DECOMPOSED,
    DYNAMO_UNOPTIMIZED,
    LARGEST,
    TORCHSCRIPT,
    Architecture,
)
from norm_records import Record, add_forms, calls, merged, nodes, silent
from randomized import drawn, randomized, shape_of

HERE = Path(__file__).resolve().parent
VERSIONS = {
    "python": platform.python_version(),
    "torch": torch.__version__,
    "transformers": transformers.__version__,
    "onnx": onnx.__version__,
    "onnx-ir": onnx_ir.__version__,
    "onnxscript": onnxscript.__version__,
    "onnxruntime": onnxruntime.__version__,
}
CONVENTIONS = {
    "norms": "one per call, in PyTorch's order; read off the PyTorch modules, not off the ONNX graph",
    "scope": "the module's name in PyTorch; node names may lack parts of it",
    "axes": "of the norm's own input, sharing one mean: negative where trailing, else from the front",
    "shape": "of the norm's own input; null where dynamic",
    "normalized_shape": "the sizes at axes; null unless the kind is LayerNormalization or RMSNormalization",
    "epsilon": "as the module stores it; the graph holds it rounded to its own type",
    "parameters": "as PyTorch counts them: gain and bias, no running statistics",
    "statistics": "sample: of the input, within a sample; batch: likewise, over the batch; running: stored",
    "form": "native: one ONNX operator of that kind; decomposed: spelled in other operators",
    "near_misses": "look like a norm of that kind and are none, for the reason given: not to be found",
    "inputs": "integers are drawn from [0, high), floats from N(0, 1)",
    "checked_shapes": "the input shapes at which ONNX Runtime's output was compared with PyTorch's",
}
TABLE = "| sample | architecture | nodes | kB | norms |\n|---|---|---|---|---|\n"
TOLERANCE = {"float32": (1e-4, 1e-4), "float16": (2e-2, 2e-2)}  # (rtol, atol) against PyTorch


def tolerance(architecture: Architecture) -> tuple[float, float]:
    return TOLERANCE["float16" if architecture.half else "float32"]


def exported(architecture: Architecture, exporter: str, opset: int) -> onnx.ModelProto:
    """The model as the exporter wrote it, dynamo's stack traces apart.

    Raises ValueError where the exporter gave another opset than the one asked for.
    """
    names = {"input_names": [spec.name for spec in architecture.inputs], "output_names": ["output"]}
    if exporter == TORCHSCRIPT:
        proto = by_torchscript(architecture, opset, names)
    else:
        proto = by_dynamo(architecture, exporter, opset, names)
    found = {entry.domain: entry.version for entry in proto.opset_import}
    if found[""] != opset:
        raise ValueError(f"asked for opset {opset}, the exporter wrote {found['']}")
    return proto


def by_torchscript(architecture: Architecture, opset: int, names: dict[str, Any]) -> onnx.ModelProto:
    model = randomized(architecture)
    buffer = io.BytesIO()
    mode = torch.onnx.TrainingMode
    torch.onnx.export(
        torch.jit.script(model) if architecture.scripted else model,
        drawn(architecture, False, 0),
        buffer,  # type: ignore[arg-type]  # a stream is accepted with dynamo=False
        opset_version=opset,
        dynamo=False,
        dynamic_axes={
            spec.name: {axis: name for axis, name, _ in spec.dynamic} for spec in architecture.inputs
        },
        do_constant_folding=architecture.fold_constants,
        # PRESERVE keeps the module's mode, and BatchNormalization beside its convolution.
        training=mode.EVAL if architecture.fold_constants else mode.PRESERVE,
        export_modules_as_functions=set(architecture.functions) or False,
        **names,
    )
    return onnx.load_from_string(buffer.getvalue())


def by_dynamo(
    architecture: Architecture, exporter: str, opset: int, names: dict[str, Any]
) -> onnx.ModelProto:
    example = drawn(architecture, False, 0)
    symbols = sorted({name for spec in architecture.inputs for _, name, _ in spec.dynamic})
    sizes = {name: torch.export.Dim(name, max=LARGEST) for name in symbols}
    shapes = tuple({axis: sizes[name] for axis, name, _ in spec.dynamic} for spec in architecture.inputs)
    traced: Any = torch.export.export(
        randomized(architecture), example, dynamic_shapes=shapes if symbols else None
    )
    if exporter == DYNAMO_DECOMPOSED:
        table: Any = torch.export.default_decompositions()
        table.update(torch._decomp.get_decompositions([torch.ops.aten.native_layer_norm]))
        traced = traced.run_decompositions(table)
    program = torch.onnx.export(
        traced,
        example,
        opset_version=opset,
        dynamo=True,
        optimize=exporter != DYNAMO_UNOPTIMIZED,
        external_data=False,
        verbose=False,
        **names,
    )
    assert program is not None
    proto = program.model_proto  # a fresh one at every access
    strip_stack_traces(proto)
    return proto


def strip_stack_traces(proto: onnx.ModelProto) -> None:
    """Remove what holds paths of the machine that exported, and says nothing of the model."""
    for graph in (proto.graph, *proto.functions):
        for holder in (graph, *nodes(graph), *graph.value_info):
            kept = [entry for entry in holder.metadata_props if entry.key != "pkg.torch.onnx.stack_trace"]
            del holder.metadata_props[:]
            holder.metadata_props.extend(kept)


def check(architecture: Architecture, content: bytes) -> list[list[list[int]]]:
    """Compare with PyTorch in ONNX Runtime, its optimizations off and on; returns the input shapes compared.

    Raises AssertionError where they differ by more than TOLERANCE.
    """
    onnx.checker.check_model(content, full_check=True)
    rtol, atol = tolerance(architecture)
    levels = onnxruntime.GraphOptimizationLevel
    dynamic = any(spec.dynamic for spec in architecture.inputs)
    compared = []
    for second_size in (False, True)[: 1 + dynamic]:
        for seed in (1, 2, 3):
            inputs = drawn(architecture, second_size, seed)
            with torch.no_grad():
                expected = randomized(architecture)(*inputs).numpy()
            feeds = {
                spec.name: value.numpy() for spec, value in zip(architecture.inputs, inputs, strict=True)
            }
            for level in (levels.ORT_DISABLE_ALL, levels.ORT_ENABLE_ALL):
                options = onnxruntime.SessionOptions()
                options.graph_optimization_level = level
                options.log_severity_level = 3
                options.intra_op_num_threads = 1
                session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
                actual = session.run(["output"], feeds)[0]
                assert np.isfinite(expected).all(), "PyTorch's output is not finite"
                np.testing.assert_allclose(actual, expected, rtol, atol, err_msg=f"{level}")
        compared.append([list(shape_of(spec, second_size)) for spec in architecture.inputs])
    return compared


def norm_records(architecture: Architecture, proto: onnx.ModelProto) -> tuple[list[Record], list[Record]]:
    """The norms that the model calls and the near misses, over both sizes and several seeds."""
    runs = [
        calls(randomized(architecture), drawn(architecture, second_size, seed))
        for second_size in (False, True)
        for seed in range(4)
    ]
    records = merged(runs)
    hidden = silent(
        randomized(architecture),
        [drawn(architecture, False, seed) for seed in range(4)],
        *tolerance(architecture),
    )
    assert not hidden, f"a wrong value of these norms would not show: {hidden}"
    norms = [record for record in records if "near_miss" not in record]
    add_forms(norms, proto)
    return norms, [record for record in records if "near_miss" in record]


def entry(architecture: Architecture, exporter: str, opset: int) -> tuple[Record, bytes]:
    """The manifest's record of one sample, and the sample's bytes."""
    quiet = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        warnings.simplefilter("ignore")
        proto = exported(architecture, exporter, opset)
    content = proto.SerializeToString(deterministic=True)
    for path in (sys.prefix, str(HERE)):
        assert path.encode() not in content, f"the export holds {path}, a path of this machine"
    checked = check(architecture, content)
    norms, near_misses = norm_records(architecture, proto)
    record: Record = {
        "file": f"samples/{architecture.name}_{exporter.replace('-', '_')}_{opset}.onnx",
        "architecture": architecture.title,
        "exporter": exporter,
        "versions": VERSIONS,
        "opset": opset,
        "dtype": "float16" if architecture.half else "float32",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "nodes": sum(1 for part in (proto.graph, *proto.functions) for _ in nodes(part)),
        "inputs": [
            {
                "name": spec.name,
                "dtype": "int64" if spec.high is not None else "float16" if architecture.half else "float32",
                "shape": [
                    None if d in {axis for axis, _, _ in spec.dynamic} else n
                    for d, n in enumerate(spec.shape)
                ],
                "high": spec.high,
            }
            for spec in architecture.inputs
        ],
        "checked_shapes": checked,
        "norms": norms,
        "near_misses": near_misses,
    }
    return record, content


def summary(record: Record) -> str:
    """The norms of one sample in words: how many of each kind and form."""
    counts = Counter((norm["kind"], norm["form"]) for norm in record["norms"])
    return ", ".join(f"{count} {kind} ({form})" for (kind, form), count in sorted(counts.items()))


def update_readme(records: Sequence[Record]) -> None:
    """Replace the table of samples at the end of README.md."""
    path = HERE / "README.md"
    before, heading, _ = path.read_text(encoding="utf-8").partition(TABLE)
    cells = [
        (Path(r["file"]).name, r["architecture"], str(r["nodes"]), f"{r['bytes'] / 1000:.1f}", summary(r))
        for r in records
    ]
    rows = [f"| {' | '.join(row)} |\n" for row in cells]
    path.write_text(before + heading + "".join(rows), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", help="architectures to export (default: all, and the manifest)")
    parser.add_argument("--output", type=Path, default=HERE, help="folder of samples/ and manifest.json")
    options = parser.parse_args(arguments)
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    (options.output / "samples").mkdir(parents=True, exist_ok=True)
    records, failures = [], 0
    for architecture in CATALOGUE:
        if options.names and architecture.name not in options.names:
            continue
        for exporter, opset in architecture.exports:
            try:
                record, content = entry(architecture, exporter, opset)
            except Exception as error:
                failures += 1
                reason = " ".join(str(error).split())[:600]
                print(
                    f"{architecture.name} {exporter} {opset}: {type(error).__name__}: {reason}",
                    file=sys.stderr,
                )
                continue
            (options.output / record["file"]).write_bytes(content)
            records.append(record)
            print(f"{record['file']}: {record['nodes']} nodes, {summary(record)}", flush=True)
    if not options.names and not failures:
        manifest = {"schema": 1, "conventions": CONVENTIONS, "samples": records}
        (options.output / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        if options.output == HERE:
            update_readme(records)
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
