"""A team's own tests of what it ships: `pytest examples/test_exported_model.py --normgraph-target onnxruntime`."""

from __future__ import annotations

from pathlib import Path

import pytest

from normgraph.pytest_plugin import Assertions

EXPORT = Path(__file__).parent.parent / "models" / "samples" / "bert_torchscript_13.onnx"


def test_every_layer_norm_of_the_export_is_fused(normgraph_assertions: Assertions) -> None:
    optimized = normgraph_assertions.optimize(EXPORT)
    normgraph_assertions.assert_fused(optimized, "LayerNormalization", 5)
    normgraph_assertions.assert_equivalent(EXPORT, optimized)


def test_the_export_itself_is_still_taken_apart(normgraph_assertions: Assertions) -> None:
    with pytest.raises(AssertionError, match=r"encoder.layer.0.output.LayerNorm: it is spelled out"):
        normgraph_assertions.assert_fused(EXPORT, "LayerNormalization", 5)
