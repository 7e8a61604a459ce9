"""Export the samples of TensorFlow and Keras with tf2onnx.

    python models/export_keras.py [--output DIR] [NAME ...]

writes DIR/samples/*.onnx, and their part of DIR/manifest.json once every sample is exported. DIR is this
folder by default; the table in README.md is then written too. An export that ONNX Runtime does not compute as
TensorFlow does is not written.
"""

from __future__ import annotations

import functools
import logging
import os
import platform
import re
from collections.abc import Iterator, Sequence

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"  # whose rounding differs from machine to machine

import keras
import onnx
import onnxruntime
import tensorflow as tf
import tf2onnx
import tf_keras
from exporting import Array, Job, write
from keras_networks import SAMPLES
from network import Network, Sample, checked_export

VERSIONS = {
    "python": platform.python_version(),
    "tensorflow": tf.__version__,
    "keras": keras.__version__,
    "tf_keras": tf_keras.__version__,
    "tf2onnx": tf2onnx.__version__,
    "onnx": onnx.__version__,
    "onnxruntime": onnxruntime.__version__,
}


def exported(network: Network, sample: Sample, exporter: str, opset: int) -> onnx.ModelProto:
    """The model as tf2onnx wrote it, the names apart that it made up."""
    (spec,) = sample.inputs
    dynamic = {axis for axis, _, _ in spec.dynamic}
    shape = [None if axis in dynamic else size for axis, size in enumerate(spec.shape)]
    signature = [tf.TensorSpec(shape, sample.dtype, name=spec.name)]
    # A lambda, since networks have no hash.
    function = tf.function(lambda x: network(x), input_signature=signature)  # noqa: PLW0108
    proto, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=opset)
    assert isinstance(proto, onnx.ModelProto)
    number_anew(proto)
    return proto


MADE_UP = re.compile(r"(?P<stem>.*)__\d+(?P<port>:\d+)?")


def number_anew(proto: onnx.ModelProto) -> None:
    """Number made-up names, and order constants, as the nodes first use them.

    tf2onnx counts through a whole process, goes through sets of objects in the order of their addresses, and lets equal
    constants share the name of any of them, so that no two runs would give the same names.
    """
    graph = proto.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    names: dict[str, str] = {}

    def renamed(name: str) -> str:
        found = MADE_UP.fullmatch(name)
        if found is not None and name not in names:
            stem = "constant" if name in stored else found["stem"]
            names[name] = f"{stem}__{len(names)}{found['port'] or ''}"
        return names.get(name, name)

    used: dict[str, None] = {}
    for node in graph.node:
        used.update(dict.fromkeys(name for name in node.input if name in stored))
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
        node.name = renamed(node.name)
    tensors = [stored[name] for name in used]
    del graph.initializer[:]
    graph.initializer.extend(tensors)
    for tensor in graph.initializer:
        tensor.name = renamed(tensor.name)
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = renamed(value.name)
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = renamed(size.dim_param)


def tensor(array: Array) -> tf.Tensor:
    return tf.constant(array)


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
