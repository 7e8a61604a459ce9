"""manifest.json: what is said of each sample, and the one place that writes it and the table in README.md."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx

HERE = Path(__file__).resolve().parent
Record = dict[str, Any]

#: Why a BatchNormalization stays, as the manifest says it.
ALONE = "nothing linear stands beside it"
SHARED = "what it reads is read elsewhere too, and nothing linear stands behind it"
PADDING = "the convolution behind it pads with zeros, and what it reads is an input"

CONVENTIONS = {
    "norms": "one per call, in the framework's order; read off the model's own modules, layers or functions, "
    "not off the ONNX graph",
    "scope": "the module's or layer's name in its framework; node names may lack parts of it, or all of it",
    "axes": "of the norm's own input, sharing one mean: negative where trailing, else from the front",
    "shape": "of the norm's own input; null where dynamic",
    "normalized_shape": "the sizes at axes; null unless the kind is LayerNormalization or RMSNormalization",
    "epsilon": "as the module stores it; the graph holds it rounded to its own type",
    "parameters": "as PyTorch counts them: gain and bias, no running statistics",
    "statistics": "sample: of the input, within a sample; batch: likewise, over the batch; running: stored",
    "groups": "of a GroupNormalization: runs of channels that share a mean; axes hold the channels' as well",
    "guard": "of an LpNormalization: how epsilon keeps the divisor from zero",
    "form": "native: one ONNX operator of that kind; decomposed: spelled in other operators; affine: stored "
    "statistics and epsilon computed into one gain and one bias; folded: computed into a convolution by the exporter",
    "kept": "of a BatchNormalization with running statistics: why it can't become part of what stands beside it; "
    "without it, it can",
    "near_misses": "look like a norm of that kind and are none, for the reason given: not to be found",
    "inputs": "integers are drawn from [0, high), floats from N(0, 1)",
    "checked_shapes": "the input shapes at which ONNX Runtime's output was compared with the framework's",
}
TABLE = "| sample | architecture | nodes | kB | norms |\n|---|---|---|---|---|\n"


@dataclass(frozen=True)
class Input:
    """One model input: integers drawn from [0, high), floats from N(0, 1).

    `dynamic` holds (dimension, its symbol, the second size at which the export is checked).
    """

    name: str
    shape: tuple[int, ...]
    high: int | None = None
    dynamic: tuple[tuple[int, str, int], ...] = ()

    def at(self, second_size: bool) -> tuple[int, ...]:
        """The shape at the first or the second size of the dynamic dimensions."""
        sizes = {axis: size for axis, _, size in self.dynamic} if second_size else {}
        return tuple(sizes.get(axis, size) for axis, size in enumerate(self.shape))


@dataclass(frozen=True)
class Norm:
    """What a module, layer or function says of the norm that it computes, in the terms of CONVENTIONS.

    `kept` is said of a network's BatchNormalization by whoever wrote the network down.
    """

    kind: str
    axes: tuple[int, ...]
    epsilon: float
    parameters: int = 0
    statistics: str = "sample"
    groups: int | None = None
    guard: str | None = None
    near_miss: str | None = None
    kept: str | None = None

    def record(self, scope: str, shape: Sequence[int]) -> Record:
        """The record of one call, on an input of this shape."""
        trailing = self.kind in ("LayerNormalization", "RMSNormalization")
        record: Record = {
            "kind": self.kind,
            "scope": scope,
            "axes": list(self.axes),
            "shape": list(shape),
            "normalized_shape": [shape[axis] for axis in self.axes] if trailing else None,
            "epsilon": self.epsilon,
            "parameters": self.parameters,
            "statistics": self.statistics,
        }
        extras = {"groups": self.groups, "guard": self.guard, "near_miss": self.near_miss, "kept": self.kept}
        return record | {name: value for name, value in extras.items() if value is not None}


@dataclass(frozen=True)
class Export:
    """A model as an exporter wrote it, with what is to be said of it; `content` is the file."""

    name: str
    title: str
    exporter: str
    opset: int
    dtype: str
    inputs: tuple[Input, ...]
    versions: Mapping[str, str]
    proto: onnx.ModelProto
    content: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "content", self.proto.SerializeToString(deterministic=True))

    def record(self, checked: list[list[list[int]]], norms: Sequence[Record]) -> Record:
        """The manifest's record, from the shapes that were checked and the calls of norms and near misses."""
        parts = (self.proto.graph, *self.proto.functions)
        return {
            "file": f"samples/{self.name}_{self.exporter.replace('-', '_')}_{self.opset}.onnx",
            "architecture": self.title,
            "exporter": self.exporter,
            "versions": dict(self.versions),
            "opset": self.opset,
            "dtype": self.dtype,
            "bytes": len(self.content),
            "sha256": hashlib.sha256(self.content).hexdigest(),
            "nodes": sum(1 for part in parts for _ in nodes(part)),
            "inputs": [self._input(spec) for spec in self.inputs],
            "checked_shapes": checked,
            "norms": [norm for norm in norms if "near_miss" not in norm],
            "near_misses": [norm for norm in norms if "near_miss" in norm],
        }

    def _input(self, spec: Input) -> Record:
        dynamic = {axis for axis, _, _ in spec.dynamic}
        return {
            "name": spec.name,
            "dtype": "int64" if spec.high is not None else self.dtype,
            "shape": [None if axis in dynamic else size for axis, size in enumerate(spec.shape)],
            "high": spec.high,
        }


def nodes(graph: onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.NodeProto]:
    """Every node of a graph and of the graphs in its attributes."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                yield from nodes(body)


def summary(record: Record) -> str:
    """The norms of one sample in words: how many of each kind and form."""
    counts = Counter((norm["kind"], norm["form"]) for norm in record["norms"])
    return ", ".join(f"{count} {kind} ({form})" for (kind, form), count in sorted(counts.items()))


def merge(records: Sequence[Record], folder: Path = HERE, complete: bool = True) -> None:
    """Put the records into folder/manifest.json in the place of those of the same files.

    If they are complete, all else that the same exporters had there goes too.

    Samples stand in the order of their files. In this folder, README.md's table is written too.
    """
    path = folder / "manifest.json"
    known = json.loads(path.read_text("utf-8"))["samples"] if path.exists() else []
    exporters = {record["exporter"] for record in records}
    files = {record["file"] for record in records}
    samples = [
        record for record in known if record["file"] not in files and not (complete and record["exporter"] in exporters)
    ]
    samples += records
    samples.sort(key=lambda record: str(record["file"]))
    manifest = {"schema": 1, "conventions": CONVENTIONS, "samples": samples}
    path.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    if folder == HERE:
        _write_table(samples)


def _write_table(records: Sequence[Record]) -> None:
    """Replace the table of samples at the end of README.md."""
    path = HERE / "README.md"
    before, heading, _ = path.read_text(encoding="utf-8").partition(TABLE)
    cells = [
        (Path(r["file"]).name, r["architecture"], str(r["nodes"]), f"{r['bytes'] / 1000:.1f}", summary(r))
        for r in records
    ]
    rows = [f"| {' | '.join(row)} |\n" for row in cells]
    path.write_text(before + heading + "".join(rows), encoding="utf-8")
