"""One optimizer on many models, in a process of its own: what it fuses, and whether the result computes the same.

Run by `peers.py`: `python peer.py TOOL FOLDER`, a JSON object per model on standard input, one per result on standard
output.  Needs numpy, onnx, onnxruntime and the tool, nothing of normgraph.  Exits with NOT_INSTALLED without the tool.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from tools import OTHERS, Optimize, Tool, work_off

#: Operators as which a normalization comes out of an optimizer → what they compute.
KINDS: Mapping[str, str] = {
    "GroupNorm": "GroupNormalization",
    "GroupNormalization": "GroupNormalization",
    "InstanceNormalization": "InstanceNormalization",
    "LayerNormalization": "LayerNormalization",
    "EmbedLayerNormalization": "LayerNormalization",
    "LpNormalization": "LpNormalization",
    "MeanVarianceNormalization": "MeanVarianceNormalization",
    "RMSNormalization": "RMSNormalization",
    "SimplifiedLayerNormalization": "RMSNormalization",
    "SkipGroupNorm": "GroupNormalization",
    "SkipLayerNormalization": "LayerNormalization",
    "SkipSimplifiedLayerNormalization": "RMSNormalization",
}

#: The newest opset of the standard that ONNX Runtime computes, and normgraph at it.
NEWEST = 25
STANDARD = f"normgraph --target onnx --opset {NEWEST}"


def normgraph(target: str = "onnxruntime", opset: int | None = None) -> Optimize:
    from normgraph import optimize

    def run(source: str, result_path: str) -> dict[str, Any]:
        result = optimize(source, target=target, opset=opset)
        result.save(result_path)
        sites = [site for site in result.report.sites if site.status != "native"]
        said = ("name", "kind", "status", "rule", "reason", "epsilon")
        return {
            "recognised": Counter(site.kind for site in sites if site.kind),
            "sites": [{name: getattr(site, name) for name in said} for site in sites],
        }

    return run


def for_the_standard() -> Optimize:
    return normgraph("onnx", NEWEST)


TOOLS: Mapping[str, Tool] = {"normgraph": normgraph, STANDARD: for_the_standard, **OTHERS}


def norms_in(path: str) -> Counter[str]:
    """How many normalizations stand in a model as operators, by kind."""
    import onnx

    def nodes(graph: Any) -> Iterator[Any]:
        for node in graph.node:
            yield node
            for attribute in node.attribute:
                for body in (attribute.g, *attribute.graphs):
                    yield from nodes(body)

    model = onnx.load(path)
    operators = [node.op_type for part in (model.graph, *model.functions) for node in nodes(part)]
    return Counter(KINDS[operator] for operator in operators if operator in KINDS)


def difference(sample: Mapping[str, Any], before: str, after: str) -> float:
    """The largest difference of any output, relative to its largest element, ONNX Runtime's optimizations off."""
    import numpy as np

    largest = 0.0
    random = np.random.default_rng(11)
    for shapes in sample["checked_shapes"]:
        feed = {}
        for described, shape in zip(sample["inputs"], shapes, strict=True):
            whole = described["high"] is not None
            values = random.integers(0, described["high"], shape) if whole else random.standard_normal(shape)
            feed[described["name"]] = values.astype(described["dtype"])
        for expected, found in zip(outputs(before, feed), outputs(after, feed), strict=True):
            a, b = np.asarray(expected, np.float64), np.asarray(found, np.float64)
            if a.shape != b.shape or not np.array_equal(np.isfinite(a), np.isfinite(b)):
                return float("inf")
            scale = float(np.max(np.abs(a), initial=0.0)) or 1.0
            largest = max(largest, float(np.max(np.abs(a - b), initial=0.0)) / scale)
    return largest


def outputs(path: str, feed: Mapping[str, Any]) -> list[Any]:
    """What a model computes in ONNX Runtime."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return list(session.run(None, dict(feed)))


def examined(run: Optimize, sample: Mapping[str, Any], source: str, target: str) -> dict[str, Any]:
    """What became of one sample."""
    told = run(source, target) or {}
    before, after = norms_in(source), norms_in(target)
    result = {"fused": {kind: after[kind] - before[kind] for kind in after if after[kind] > before[kind]}, **told}
    if sample["dtype"] != "bfloat16":  # which NumPy has not, so that ONNX Runtime can't be fed it
        result["difference"] = difference(sample, source, target)
    return result


if __name__ == "__main__":
    sys.exit(work_off(TOOLS, examined))
