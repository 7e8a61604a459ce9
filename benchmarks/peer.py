"""One optimizer on many models, in a process of its own: what it fuses, and whether the result computes the same.

Run by `peers.py`: `python peer.py TOOL FOLDER`, a JSON object per model on standard input, one per result on standard
output; `python peer.py TOOL FOLDER FILE` optimizes one file and looks at nothing.  Needs numpy, onnx, onnxruntime and
the tool, nothing of normgraph.  Exits with NOT_INSTALLED without the tool.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

NOT_INSTALLED = 3
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

Optimize = Callable[[str, str], dict[str, Any] | None]


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


def onnxruntime() -> Optimize:
    import onnxruntime as ort

    def run(source: str, target: str) -> None:
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = target
        options.log_severity_level = 4
        ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])

    return run


def transformers() -> Optimize:
    from onnxruntime.transformers.optimizer import optimize_model

    def run(source: str, target: str) -> None:
        optimize_model(source, model_type="bert", opt_level=0).save_model_to_file(target)

    return run


def onnxscript() -> Optimize:
    import onnx
    from onnxscript import ir, optimizer, rewriter, version_converter
    from onnxscript.rewriter.rules.fusion import _layer_norm, _rms_normalization

    def run(source: str, target: str) -> None:
        model = ir.load(source)
        # Its rules write RMSNormalization, which opset 23 brought, at any; its converter takes none before 18.
        if 18 <= model.opset_imports[""] < 23:
            version_converter.convert_version(model, 23)
        optimizer.optimize(model)
        rewriter.rewrite(model)
        _rms_normalization.fuse_rms_normalization(model)
        _layer_norm.fuse_layer_normalization(model)
        onnx.save(ir.to_proto(model), target)

    return run


def onnxslim() -> Optimize:
    from onnxslim import slim

    return slim


def onnxsim() -> Optimize:
    import onnx
    import onnxsim as tool

    return lambda source, target: onnx.save(tool.simplify(onnx.load(source))[0], target)


def onnxoptimizer() -> Optimize:
    import onnx
    import onnxoptimizer as tool

    return lambda source, target: onnx.save(tool.optimize(onnx.load(source)), target)


TOOLS: Mapping[str, Callable[[], Optimize]] = {
    "normgraph": normgraph,
    STANDARD: for_the_standard,
    "onnxruntime": onnxruntime,
    "onnxruntime.transformers": transformers,
    "onnxscript": onnxscript,
    "onnxslim": onnxslim,
    "onnxsim": onnxsim,
    "onnxoptimizer": onnxoptimizer,
}


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


def main() -> int:
    """Work off the samples that standard input lists, or the one file that is named."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what the tools print is no answer
    tool, folder, *files = sys.argv[1:]
    try:
        run = TOOLS[tool]()
    except ImportError:
        return NOT_INSTALLED
    if files:
        (source,) = files
        run(source, str(Path(folder) / Path(source).name))
        return 0
    for line in sys.stdin:
        job = json.loads(line)
        target = str(Path(folder) / Path(job["source"]).name)
        try:
            answer = examined(run, job["sample"], job["source"], target)
        except Exception as failure:  # every tool has its own
            answer = {"failure": f"{type(failure).__name__}: {str(failure).strip().splitlines()[:1]}"}
        print(json.dumps(answer), file=answers, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
