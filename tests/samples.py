"""The real exports of models/: what the manifest says of them, what to feed them, what is true in float64."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

from normgraph.reference_operators import OPERATORS
from normgraph.widening import in_double
from tests.cases import Array
from tests.running import run

FOLDER = Path(__file__).resolve().parent.parent / "models"
Sample = Mapping[str, Any]
SAMPLES: tuple[Sample, ...] = tuple(json.loads((FOLDER / "manifest.json").read_text("utf-8"))["samples"])
#: Draws of random inputs per size: enough that a condition on them goes either way.
DRAWS = 3


def path_of(sample: Sample) -> Path:
    """The sample's file."""
    return FOLDER / str(sample["file"])


def name_of(sample: Sample) -> str:
    """The sample's name within a test's."""
    return path_of(sample).stem


def feeds(sample: Sample) -> list[dict[str, Array]]:
    """What to feed a sample: random numbers as the manifest describes its inputs, at each of its sizes."""
    random = np.random.default_rng(7)
    return [
        {
            described["name"]: _drawn(random, described, shape)
            for described, shape in zip(sample["inputs"], shapes, strict=True)
        }
        for shapes in sample["checked_shapes"]
        for _ in range(DRAWS)
    ]


def _drawn(random: np.random.Generator, described: Mapping[str, Any], shape: Sequence[int]) -> Array:
    if described["high"] is not None:
        return random.integers(0, described["high"], shape).astype(described["dtype"])
    return random.standard_normal(shape).astype(described["dtype"])


def truth(model: onnx.ModelProto, fed: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
    """The outputs of a model whose every floating tensor is a double, fed with the very same numbers."""
    exact = in_double(model)
    widened = [{n: a if a.dtype.kind in "biu" else a.astype(np.float64) for n, a in feed.items()} for feed in fed]
    try:
        return run(exact, widened)
    except NoKernel:  # ONNX Runtime's Conv and Erf, for example, take no doubles.
        reference = ReferenceEvaluator(exact, new_ops=OPERATORS)
        names = [output.name for output in exact.graph.output]
        results = [map(np.asarray, reference.run(None, feed)) for feed in widened]
        return [dict(zip(names, arrays, strict=True)) for arrays in results]
