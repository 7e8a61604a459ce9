"""Export a network from JAX with jax2onnx and optimize it in the same breath."""

from __future__ import annotations

import logging

import jax
import numpy as np
import onnx
import onnxruntime
from flax import nnx
from jax2onnx import to_onnx

import normgraph
from normgraph.testing import assert_fused


class Network(nnx.Module):
    """Two dense layers, each behind a norm."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first, self.second = nnx.Linear(16, 16, rngs=rngs), nnx.Linear(16, 4, rngs=rngs)
        self.norms = nnx.List([nnx.LayerNorm(16, rngs=rngs), nnx.LayerNorm(16, rngs=rngs)])

    def __call__(self, x: jax.Array) -> jax.Array:
        """Rows of 16 become rows of 4."""
        return self.second(self.norms[1](jax.nn.relu(self.first(self.norms[0](x)))))


def main() -> onnx.ModelProto:
    """Export, optimize, and compare with JAX."""
    network = Network(nnx.Rngs(0))
    x = np.random.default_rng(0).standard_normal((3, 16)).astype(np.float32)
    proto = to_onnx(network, inputs=[("batch", 16)], opset=18)
    optimized = normgraph.after_export(proto)

    assert_fused(optimized, "LayerNormalization", 2)
    session = onnxruntime.InferenceSession(optimized.SerializeToString(), providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {session.get_inputs()[0].name: x})
    np.testing.assert_allclose(result, network(x), rtol=1e-4, atol=1e-5)
    return optimized


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
