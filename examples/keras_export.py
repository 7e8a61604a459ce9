"""Export a network from Keras with tf2onnx and optimize it in the same breath."""

from __future__ import annotations

import logging

import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
import tf2onnx

import normgraph
from normgraph.testing import assert_fused


def network() -> tf.keras.Model:
    """Two dense layers, each with a norm behind it."""
    tf.keras.utils.set_random_seed(0)
    return tf.keras.Sequential(
        [
            tf.keras.layers.Input((16,)),
            tf.keras.layers.Dense(16, "relu"),
            tf.keras.layers.LayerNormalization(),
            tf.keras.layers.Dense(8),
            tf.keras.layers.LayerNormalization(),
        ]
    )


def main() -> onnx.ModelProto:
    """Export, optimize, and compare with Keras."""
    keras_network = network()
    x = np.random.default_rng(0).standard_normal((3, 16)).astype(np.float32)
    function = tf.function(lambda rows: keras_network(rows, training=False))
    signature = [tf.TensorSpec((None, 16), tf.float32, name="x")]
    exported = tf2onnx.convert.from_function(function, input_signature=signature, opset=17)
    optimized, _ = normgraph.after_export(exported)

    assert_fused(optimized, "LayerNormalization", 2)
    session = onnxruntime.InferenceSession(optimized.SerializeToString(), providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {"x": x})
    np.testing.assert_allclose(result, keras_network(x), rtol=1e-4, atol=1e-5)
    return optimized


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
