"""One tool on one or many models, in a process of its own, and how long it worked once it had been imported.

Run by `whole.py`: `python whole_peer.py TOOL TARGET SOURCE ...` writes TARGET, or into the folder TARGET for more than
one source, and prints a JSON object with the seconds of wall and of CPU time that passed behind the imports.  Needs
onnx and the tool; exits with NOT_INSTALLED without the tool.  Models with external data are read and written in the way
that each tool has for them.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from peer import NOT_INSTALLED
from peer import TOOLS as PEERS

Work = Callable[[str, str], object]


def has_data(source: str) -> bool:
    """Whether a model has external data beside it."""
    return Path(f"{source}.data").exists()


def load_and_save() -> Work:
    """Reading and writing a model as onnx itself does, and nothing else."""
    import onnx

    def run(source: str, target: str) -> None:
        if has_data(source):
            onnx.save(onnx.load(source), target, save_as_external_data=True, location=f"{Path(target).name}.data")
        else:
            onnx.save(onnx.load(source), target)

    return run


def normgraph() -> Work:
    """As `normgraph optimize` does it: every rewrite proven, the output on disk before it gets its name."""
    from normgraph.api import optimize
    from normgraph.runtime import onnxruntime

    onnxruntime()
    return lambda source, target: optimize(source).save(target)


def onnxruntime() -> Work:
    import onnxruntime as ort

    def run(source: str, target: str) -> None:
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = target
        options.log_severity_level = 4
        if has_data(source):
            name = "session.optimized_model_external_initializers_file_name"
            options.add_session_config_entry(name, f"{Path(target).name}.data")
        ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])

    return run


def transformers() -> Work:
    from onnxruntime.transformers.optimizer import optimize_model

    def run(source: str, target: str) -> None:
        optimized = optimize_model(source, model_type="bert", opt_level=0)
        optimized.save_model_to_file(target, use_external_data_format=has_data(source))

    return run


def onnxscript() -> Work:
    from onnxscript import ir, optimizer, rewriter, version_converter
    from onnxscript.rewriter.rules.fusion import _layer_norm, _rms_normalization

    def run(source: str, target: str) -> None:
        model = ir.load(source)
        if 18 <= model.opset_imports[""] < 23:
            version_converter.convert_version(model, 23)
        optimizer.optimize(model)
        rewriter.rewrite(model)
        _rms_normalization.fuse_rms_normalization(model)
        _layer_norm.fuse_layer_normalization(model)
        ir.save(model, target, external_data=f"{Path(target).name}.data" if has_data(source) else None)

    return run


def onnxslim() -> Work:
    from onnxslim import slim

    def run(source: str, target: str) -> None:
        slim(source, target, **({"save_as_external_data": True} if has_data(source) else {}))

    return run


#: Tools beside those of `peer.py`, and those that need another way to be asked there.
TOOLS: Mapping[str, Callable[[], Work]] = {
    "onnx.load + save": load_and_save,
    "normgraph": normgraph,
    "onnxruntime": onnxruntime,
    "onnxruntime.transformers": transformers,
    "onnxscript": onnxscript,
    "onnxslim": onnxslim,
    "onnxsim": PEERS["onnxsim"],
    "onnxoptimizer": PEERS["onnxoptimizer"],
}


def main() -> int:
    """Work off the sources."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what the tools print is no answer
    tool, target, *sources = sys.argv[1:]
    try:
        work = TOOLS[tool]()
    except ImportError:
        return NOT_INSTALLED
    wall, cpu = time.perf_counter(), time.process_time()
    failed = 0
    for source in sources:
        try:
            work(source, target if len(sources) == 1 else str(Path(target) / Path(source).name))
        except Exception as failure:  # every tool has its own
            print(f"{tool} on {source}: {type(failure).__name__}: {failure}", file=sys.stderr)
            failed += 1
    result = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "failed": failed}
    print(json.dumps(result), file=answers, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
