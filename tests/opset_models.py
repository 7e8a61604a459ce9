"""Models of a node or two at a given opset, and what ONNX Runtime makes of them."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.parser
import onnxruntime
import pytest

Array = npt.NDArray[np.generic]

IMAGE = "float[1,1,4,4] x"


def parsed(
    opset: int, inputs: str, body: str, outputs: str = "float[] y", constants: str = "", functions: str = ""
) -> onnx.ModelProto:
    """A model from ONNX's textual syntax: typed inputs and outputs, nodes, initializers, functions."""
    least = onnx.helper.OP_SET_ID_VERSION_MAP["ai.onnx", opset]
    head = f'<ir_version: {max(least, 4)}, opset_import: ["": {opset}, "local": 1]>'
    stored = f"<{constants}>" if constants else ""
    return onnx.parser.parse_model(f"{head} g ({inputs}) => ({outputs}) {stored} {{ {body} }} {functions}")


def case(name: str, opset: int, target: int, *texts: str, **more: str) -> Any:
    return pytest.param(parsed(opset, *texts, **more), target, id=name)


def fed(model: onnx.ModelProto) -> dict[str, Array]:
    """Numbers that float16 holds exactly, and of which few are summed exactly; dynamic sizes are 3."""
    random = np.random.default_rng(0)
    feeds: dict[str, Array] = {}
    for value in model.graph.input:
        tensor = value.type.tensor_type
        shape = [size.dim_value if size.HasField("dim_value") else 3 for size in tensor.shape.dim]
        numbers = random.permutation(int(np.prod(shape))).reshape(shape) - np.prod(shape) // 2
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        array = numbers / 4 if dtype.kind == "f" else np.abs(numbers) % 3
        feeds[value.name] = np.asarray(array).astype(dtype)
    return feeds


def run(model: onnx.ModelProto, feeds: dict[str, Array]) -> list[Array]:
    """The outputs of ONNX Runtime with its optimizations off."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return list(session.run(None, feeds))
