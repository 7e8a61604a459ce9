"""Export the samples of PaddlePaddle with paddle2onnx.

    python models/export_paddle.py [--output DIR] [NAME ...]

writes DIR/samples/*.onnx, and their part of DIR/manifest.json once every sample is exported. DIR is this
folder by default; the table in README.md is then written too. An export that ONNX Runtime does not compute as
Paddle does is not written.
"""

from __future__ import annotations

import functools
import platform
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx
import paddle
import paddle2onnx
from exporting import Array, Job, write
from manifest import Export, Record
from network import Network, Sample, checked_export
from paddle_applications import SAMPLES as APPLICATIONS
from paddle_networks import FOLDED
from paddle_networks import SAMPLES as NETWORKS

PACKAGES = ("paddlepaddle", "paddle2onnx", "polygraphy", "onnx_graphsurgeon", "onnx", "onnxruntime")
VERSIONS = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


class Exported(paddle.nn.Layer):  # type: ignore[misc]  # Paddle has no types
    """A network as the one layer that Paddle saves: the layers in it have to be found as its own."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        parts = (network.forward, *(site.apply for site in network.sites.values()))
        self.parts = paddle.nn.LayerList([part for part in parts if isinstance(part, paddle.nn.Layer)])

    def forward(self, x: Any) -> Any:
        """Any tensor that the network takes."""
        return self.network(x)


def exported(network: Network, sample: Sample, exporter: str, opset: int) -> onnx.ModelProto:
    """The model as paddle2onnx wrote it."""
    (spec,) = sample.inputs
    dynamic = {axis for axis, _, _ in spec.dynamic}
    shape = [None if axis in dynamic else size for axis, size in enumerate(spec.shape)]
    declared = paddle.static.InputSpec(shape, sample.dtype, name=spec.name)
    layer = Exported(network)
    layer.eval()
    tool = "polygraphy" if exporter == FOLDED else None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        paddle.jit.save(layer, str(path), [declared])
        weights = path.with_suffix(".pdiparams")
        target = path.with_suffix(".onnx")
        paddle2onnx.export(
            str(path.with_suffix(".json")),
            str(weights) if weights.exists() else "",
            str(target),
            opset_version=opset,
            optimize_tool=tool,
        )
        return onnx.load(target)


def tensor(array: Array) -> paddle.Tensor:
    return paddle.to_tensor(array)


def jobs() -> Iterator[Job]:
    for sample in (*NETWORKS, *APPLICATIONS):
        for exporter, opset in sample.exports:
            make = functools.partial(_named_anew, sample, exporter, opset)
            yield sample.name, f"{sample.name} {exporter} {opset}", make


def _named_anew(sample: Sample, exporter: str, opset: int) -> tuple[Record, Export]:
    """With Paddle's counters of names at their beginning, whatever was exported before."""
    with paddle.utils.unique_name.guard():
        return checked_export(sample, exporter, opset, VERSIONS, exported, tensor)


def main(arguments: Sequence[str] | None = None) -> int:
    return write(__doc__, jobs(), arguments)


if __name__ == "__main__":
    raise SystemExit(main())
