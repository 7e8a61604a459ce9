"""The models of onnx's own backend tests that write a normalization out, as samples beside those of models/."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
from onnx.backend.test.case import node
from onnx.backend.test.case.node import (
    groupnormalization,
    layernormalization,
    meanvariancenormalization,
    rmsnormalization,
)

EXPORTER = "onnx's backend tests"
#: Where the cases stand: importing them adds them to onnx's list.  All others would take onnx six seconds.
MODULES = (groupnormalization, layernormalization, meanvariancenormalization, rmsnormalization)
#: What the name of a case begins with → the operator that it writes out.
OPERATORS: Mapping[str, str] = {
    "test_group_normalization": "GroupNormalization",
    "test_layer_normalization": "LayerNormalization",
    "test_mvn": "MeanVarianceNormalization",
    "test_rms_normalization": "RMSNormalization",
}


def backend_samples(folder: Path) -> list[dict[str, Any]]:
    """Write the models into a folder; their records are as in the manifest, and `file` is a whole path."""
    return [_sample(case, folder) for case in node._NodeTestCases if "_expanded" in case.name]


def _sample(case: Any, folder: Path) -> dict[str, Any]:
    path = folder / f"{case.name}.onnx"
    onnx.save(case.model, path)
    shapes = [[dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in case.model.graph.input]
    kind = next(operator for start, operator in OPERATORS.items() if case.name.startswith(start))
    return {
        "file": str(path),
        "exporter": EXPORTER,
        "opset": case.model.opset_import[0].version,
        "dtype": "float32",
        "inputs": [{"name": v.name, "dtype": "float32", "high": None} for v in case.model.graph.input],
        "checked_shapes": [shapes],
        "norms": [{"kind": kind, "scope": "", "form": "decomposed", "epsilon": None}],
    }
