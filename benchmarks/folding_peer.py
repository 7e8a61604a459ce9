"""One optimizer on many models, in a process of its own: how many BatchNormalizations it leaves, and if it is right.

Run by `folding.py`: `python folding_peer.py TOOL FOLDER`, a JSON object per model on standard input, one per result on
standard output; what the tool makes of a model stays in FOLDER under the model's name.  Needs numpy, onnx, onnxruntime
and the tool, nothing else of normgraph.  Exits with NOT_INSTALLED without the tool.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

from peer import difference
from tools import Optimize, Tool, onnxoptimizer, onnxruntime, onnxscript, onnxsim, onnxslim, work_off

#: Linear operators, whose number says whether branches were merged.
LINEAR = frozenset({"Conv", "ConvTranspose", "FusedConv", "FusedMatMul", "Gemm", "MatMul"})


def normgraph() -> Optimize:
    from normgraph import optimize

    def run(source: str, target: str) -> dict[str, Any]:
        result = optimize(source)
        result.save(target)
        kept = [fold for fold in result.report.folds if fold.status == "kept"]
        return {"left": [{"name": fold.name, "rule": fold.rule, "reason": fold.reason} for fold in kept]}

    return run


TOOLS: Mapping[str, Tool] = {
    "normgraph": normgraph,
    "onnxruntime basic": partial(onnxruntime, "basic"),
    "onnxruntime extended": partial(onnxruntime, "extended"),
    "onnxscript": partial(onnxscript, fusions=False),
    "onnxslim": onnxslim,
    "onnxsim": onnxsim,
    "onnxoptimizer": onnxoptimizer,
}


def counted(path: str) -> dict[str, int]:
    """What a model has: nodes, linear operators, and scales per channel.

    Scales are BatchNormalizations, and products and quotients of something computed and a constant of several numbers,
    which is what exporters leave of them.
    """
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    constants = {tensor.name: _size(tensor) for tensor in graph.initializer}
    counts: Counter[str] = Counter()
    for node in graph.node:
        if node.op_type == "Constant":
            constants.update((node.output[0], _size(a.t)) for a in node.attribute if a.name == "value")
            continue
        counts["nodes"] += 1
        counts["linear"] += node.op_type in LINEAR
        known = [constants[name] for name in node.input if name in constants]
        if known and len(known) == len(node.input):  # computed from constants alone, when the model is loaded
            constants.update(dict.fromkeys(node.output, max(known)))
            continue
        product = node.op_type in ("Mul", "Div") and max(known, default=0) > 1
        counts["scales"] += product or node.op_type == "BatchNormalization"
    return {what: counts[what] for what in ("nodes", "linear", "scales")}


def _size(tensor: Any) -> int:
    count = 1
    for dim in tensor.dims:
        count *= dim
    return count


def examined(run: Optimize, sample: Mapping[str, Any], source: str, target: str) -> dict[str, Any]:
    """What became of one model."""
    told = run(source, target) or {}
    return {
        "before": counted(source),
        "after": counted(target),
        "difference": difference(sample, source, target),
        "target": target,
        **told,
    }


if __name__ == "__main__":
    sys.exit(work_off(TOOLS, examined))
