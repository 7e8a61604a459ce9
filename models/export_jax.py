"""Export the samples of JAX, Flax and Equinox with jax2onnx.

    python models/export_jax.py [--output DIR] [NAME ...]

writes DIR/samples/*.onnx, and their part of DIR/manifest.json once every sample is exported. DIR is this
folder by default; the table in README.md is then written too. An export that ONNX Runtime does not compute as
JAX does is not written.
"""

from __future__ import annotations

import functools
import logging
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import version

import jax
import jax.numpy as jnp
import onnx
from exporting import Array, Job, write
from jax2onnx import to_onnx
from jax_networks import NATIVE, SAMPLES
from network import Network, Sample, checked_export

PACKAGES = ("jax", "flax", "equinox", "jax2onnx", "onnx", "onnx-ir", "onnxruntime")
VERSIONS = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def exported(network: Network, sample: Sample, exporter: str, opset: int) -> onnx.ModelProto:
    """The model as jax2onnx wrote it."""
    (spec,) = sample.inputs
    symbols = {axis: symbol for axis, symbol, _ in spec.dynamic}
    shape = tuple(symbols.get(axis, size) for axis, size in enumerate(spec.shape))
    proto = to_onnx(
        lambda x: network(x),  # noqa: PLW0108  # networks have no hash
        inputs=[shape if symbols else jax.ShapeDtypeStruct(spec.shape, jnp.dtype(sample.dtype))],
        model_name=sample.name,
        opset=opset,
        input_names=[spec.name],
        output_names=["output"],
        normalization_mode="prefer_native" if exporter == NATIVE else "auto",
    )
    assert isinstance(proto, onnx.ModelProto)
    return proto


def tensor(array: Array) -> jax.Array:
    return jnp.asarray(array)


def jobs() -> Iterator[Job]:
    for sample in SAMPLES:
        for exporter, opset in sample.exports:
            make = functools.partial(checked_export, sample, exporter, opset, VERSIONS, exported, tensor)
            yield sample.name, f"{sample.name} {exporter} {opset}", make


def main(arguments: Sequence[str] | None = None) -> int:
    logging.disable(logging.WARNING)
    return write(__doc__, jobs(), arguments)


if __name__ == "__main__":
    raise SystemExit(main())
