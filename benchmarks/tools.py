"""How each optimizer is asked to write its version of a file: one function a tool, which imports it when called.

For scripts that run in the tool's environment, in a process of their own (`peer.py`, `whole_peer.py`,
`folding_peer.py`): needs the tool, nothing of normgraph.  `workers.py` is the other end.  Models with external data are
read and written in the way that each tool has for them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

#: The exit status of a process whose tool can't be imported.
NOT_INSTALLED = 3

#: Reads a file, writes another, and says what else there is to say.
Optimize = Callable[[str, str], Any]
#: Imports a tool; raises ImportError where it isn't installed.
Tool = Callable[[], Optimize]


def has_data(source: str) -> bool:
    """Whether a model has external data beside it."""
    return Path(f"{source}.data").exists()


def load_and_save() -> Optimize:
    """Reading and writing a model as onnx itself does, and nothing else."""
    import onnx

    def run(source: str, target: str) -> None:
        if has_data(source):
            onnx.save(onnx.load(source), target, save_as_external_data=True, location=f"{Path(target).name}.data")
        else:
            onnx.save(onnx.load(source), target)

    return run


def onnxruntime(level: str = "extended") -> Optimize:
    """What ONNX Runtime itself makes of a model at a level of its optimizations, as far as it can be written."""
    import onnxruntime as ort

    def run(source: str, target: str) -> None:
        options = ort.SessionOptions()
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_ENABLE_{level.upper()}")
        options.optimized_model_filepath = target
        options.log_severity_level = 4
        if has_data(source):
            name = "session.optimized_model_external_initializers_file_name"
            options.add_session_config_entry(name, f"{Path(target).name}.data")
        ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])

    return run


def transformers() -> Optimize:
    """ONNX Runtime's optimizer for transformers, with its default, BERT's fusions."""
    from onnxruntime.transformers.optimizer import optimize_model

    def run(source: str, target: str) -> None:
        optimized = optimize_model(source, model_type="bert", opt_level=0)
        optimized.save_model_to_file(target, use_external_data_format=has_data(source))

    return run


def onnxscript(fusions: bool = True) -> Optimize:
    """onnxscript's optimizer and its default rules; with its fusions of normalizations, which aren't among them."""
    from onnxscript import ir, optimizer, rewriter, version_converter
    from onnxscript.rewriter.rules.fusion import _layer_norm, _rms_normalization

    def run(source: str, target: str) -> None:
        model = ir.load(source)
        # Its rules write RMSNormalization, which opset 23 brought, at any; its converter takes none before 18.
        if fusions and 18 <= model.opset_imports[""] < 23:
            version_converter.convert_version(model, 23)
        optimizer.optimize(model)
        rewriter.rewrite(model)
        if fusions:
            _rms_normalization.fuse_rms_normalization(model)
            _layer_norm.fuse_layer_normalization(model)
        ir.save(model, target, external_data=f"{Path(target).name}.data" if has_data(source) else None)

    return run


def onnxslim() -> Optimize:
    """onnxslim as its command does it."""
    from onnxslim import slim

    def run(source: str, target: str) -> None:
        slim(source, target, **({"save_as_external_data": True} if has_data(source) else {}))

    return run


def onnxsim() -> Optimize:
    """onnxsim as its command does it, without its check."""
    import onnx
    import onnxsim as tool

    return lambda source, target: onnx.save(tool.simplify(onnx.load(source))[0], target)


def onnxoptimizer() -> Optimize:
    """onnxoptimizer's default passes."""
    import onnx
    import onnxoptimizer as tool

    return lambda source, target: onnx.save(tool.optimize(onnx.load(source)), target)


#: The tools beside normgraph, in the order of the tables.
OTHERS: Mapping[str, Tool] = {
    "onnxruntime": onnxruntime,
    "onnxruntime.transformers": transformers,
    "onnxscript": onnxscript,
    "onnxslim": onnxslim,
    "onnxsim": onnxsim,
    "onnxoptimizer": onnxoptimizer,
}
#: The distribution on which each depends for what it does.
DISTRIBUTIONS: Mapping[str, str] = {tool: tool.partition(".")[0] for tool in OTHERS}


def answering() -> TextIO:
    """Standard output for answers alone: what tools print to it goes to standard error from here on."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def work_off(tools: Mapping[str, Tool], examined: Callable[[Optimize, Mapping[str, Any], str, str], object]) -> int:
    """Answer each line of standard input with one on standard output; the command line is TOOL FOLDER.

    Args:
        tools: those that there are.
        examined: lets one work on a sample, from a file to another of the same name in FOLDER, and says what came out.

    Returns:
        The exit status: 0, or NOT_INSTALLED.
    """
    answers = answering()
    tool, folder = sys.argv[1:]
    try:
        run = tools[tool]()
    except ImportError:
        return NOT_INSTALLED
    for line in sys.stdin:
        job = json.loads(line)
        target = str(Path(folder) / Path(job["source"]).name)
        try:
            answer = examined(run, job["sample"], job["source"], target)
        except Exception as failure:  # every tool has its own
            answer = {"failure": f"{type(failure).__name__}: {str(failure).strip().splitlines()[:1]}"}
        print(json.dumps(answer), file=answers, flush=True)
    return 0
