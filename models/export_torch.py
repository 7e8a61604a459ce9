"""Export the samples with PyTorch.

    python models/export_torch.py [--output DIR] [NAME ...]

writes DIR/samples/*.onnx, and DIR/manifest.json once every sample is exported. DIR is this folder by default;
the table in README.md is then written too. An export that ONNX Runtime does not compute as PyTorch does is
not written.
"""

from __future__ import annotations

import fnmatch
import functools
import io
import logging
import platform
from collections.abc import Iterator, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnx_ir
import onnxruntime
import onnxscript
import torch
import transformers
from catalogue import CATALOGUE
from entry import DYNAMO_DECOMPOSED, DYNAMO_UNOPTIMIZED, LARGEST, TORCHSCRIPT, Architecture
from exporting import SEEDS, TOLERANCE, Array, Job, compare, write
from manifest import Export, Record, nodes
from norm_records import add_forms, calls, merged, silent
from randomized import drawn, randomized

VERSIONS = {
    "python": platform.python_version(),
    "torch": torch.__version__,
    "transformers": transformers.__version__,
    "onnx": onnx.__version__,
    "onnx-ir": onnx_ir.__version__,
    "onnxscript": onnxscript.__version__,
    "onnxruntime": onnxruntime.__version__,
}


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
        dynamic_axes={spec.name: {axis: name for axis, name, _ in spec.dynamic} for spec in architecture.inputs},
        do_constant_folding=architecture.fold_constants,
        # PRESERVE keeps the module's mode, and BatchNormalization beside its convolution.
        training=mode.EVAL if architecture.fold_constants else mode.PRESERVE,
        export_modules_as_functions=set(architecture.functions) or False,
        **names,
    )
    return onnx.load_from_string(buffer.getvalue())


def by_dynamo(architecture: Architecture, exporter: str, opset: int, names: dict[str, Any]) -> onnx.ModelProto:
    example = drawn(architecture, False, 0)
    symbols = sorted({name for spec in architecture.inputs for _, name, _ in spec.dynamic})
    sizes = {name: torch.export.Dim(name, max=LARGEST) for name in symbols}
    shapes = tuple({axis: sizes[name] for axis, name, _ in spec.dynamic} for spec in architecture.inputs)
    traced: Any = torch.export.export(randomized(architecture), example, dynamic_shapes=shapes if symbols else None)
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


def array_of(value: torch.Tensor) -> Array:
    """A tensor as an array, which of bfloat16 PyTorch has no conversion to."""
    return value.float().numpy().astype(ml_dtypes.bfloat16) if value.dtype == torch.bfloat16 else value.numpy()


def tensor_of(array: Array) -> torch.Tensor:
    """The reverse."""
    half = array.dtype == ml_dtypes.bfloat16
    return torch.from_numpy(array.astype(np.float32)).bfloat16() if half else torch.from_numpy(array)


def check(
    architecture: Architecture, export: Export, seeds: Sequence[int] = SEEDS, of_largest: bool = False
) -> list[list[list[int]]]:
    """Compare with PyTorch in ONNX Runtime, see `compare`; returns the input shapes compared."""
    model = randomized(architecture)

    def draw(second_size: bool, seed: int) -> list[Array]:
        return [array_of(value) for value in drawn(architecture, second_size, seed)]

    def run(inputs: Sequence[Array]) -> Array:
        with torch.no_grad():
            return array_of(model(*map(tensor_of, inputs)))

    return compare(export, draw, run, seeds, of_largest)


def norm_records(architecture: Architecture, proto: onnx.ModelProto) -> list[Record]:
    """The norms that the model calls, near misses among them, over both sizes and several seeds."""
    runs = [
        calls(randomized(architecture), drawn(architecture, second_size, seed))
        for second_size in (False, True)
        for seed in range(4)
    ]
    records = merged(runs)
    hidden = silent(
        randomized(architecture),
        [drawn(architecture, False, seed) for seed in range(4)],
        *TOLERANCE[architecture.dtype],
    )
    assert not hidden, f"a wrong value of these norms would not show: {hidden}"
    add_forms([record for record in records if "near_miss" not in record], proto)
    for pattern, reason in architecture.kept:
        matching = [record for record in records if fnmatch.fnmatchcase(record["scope"], pattern)]
        assert matching, f"no norm is called {pattern}"
        for record in matching:
            record["kept"] = reason
    return records


def entry(architecture: Architecture, exporter: str, opset: int) -> tuple[Record, Export]:
    """The manifest's record of one sample, and its export."""
    proto = exported(architecture, exporter, opset)
    export = Export(
        architecture.name,
        architecture.title,
        exporter,
        opset,
        architecture.dtype,
        architecture.inputs,
        VERSIONS,
        proto,
    )
    return export.record(check(architecture, export), norm_records(architecture, proto)), export


def jobs() -> Iterator[Job]:
    for architecture in CATALOGUE:
        for exporter, opset in architecture.exports:
            label = f"{architecture.name} {exporter} {opset}"
            yield architecture.name, label, functools.partial(entry, architecture, exporter, opset)


def main(arguments: Sequence[str] | None = None) -> int:
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    return write(__doc__, jobs(), arguments)


if __name__ == "__main__":
    raise SystemExit(main())
