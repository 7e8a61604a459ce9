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
from keras_applications import SAMPLES as APPLICATIONS
from keras_networks import SAMPLES as NETWORKS
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
    """The model as tf2onnx wrote it."""
    (spec,) = sample.inputs
    dynamic = {axis for axis, _, _ in spec.dynamic}
    shape = [None if axis in dynamic else size for axis, size in enumerate(spec.shape)]
    signature = [tf.TensorSpec(shape, sample.dtype, name=spec.name)]
    # A lambda, since networks have no hash.
    function = tf.function(lambda x: network(x), signature, autograph=False)  # noqa: PLW0108
    tf2onnx.utils.INTERNAL_NAME = 1  # the number in made-up names, which else depends on earlier exports
    proto, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=opset)
    assert isinstance(proto, onnx.ModelProto)
    return proto


def tensor(array: Array) -> tf.Tensor:
    return tf.constant(array)


def jobs() -> Iterator[Job]:
    for sample in (*NETWORKS, *APPLICATIONS):
        for exporter, opset in sample.exports:
            make = functools.partial(checked_export, sample, exporter, opset, VERSIONS, exported, tensor)
            yield sample.name, f"{sample.name} {exporter} {opset}", make


def main(arguments: Sequence[str] | None = None) -> int:
    logging.disable(logging.WARNING)
    return write(__doc__, jobs(), arguments)


if __name__ == "__main__":
    raise SystemExit(main())
