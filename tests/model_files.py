"""Small ONNX models, each with something that a reader or writer of models may get wrong."""

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LARGE = 40  # A LARGE x LARGE float32 tensor is above the size from which tensors stay in their file.


def weight(name: str, seed: int = 0, size: int = LARGE) -> TensorProto:
    values = np.random.default_rng(seed).standard_normal((size, size)).astype(np.float32)
    return numpy_helper.from_array(values, name)


def model(
    nodes: list[onnx.NodeProto],
    initializers: list[TensorProto],
    *,
    functions: list[onnx.FunctionProto] | None = None,
    opset: int = 17,
) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", LARGE])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", LARGE])
    graph = helper.make_graph(nodes, "graph", [x], [y], initializers)
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=imports, functions=functions or [], ir_version=10)


def plain() -> onnx.ModelProto:
    return model([helper.make_node("MatMul", ["x", "w"], ["y"], name="product")], [weight("w")])


def small_weights() -> onnx.ModelProto:
    return model(
        [helper.make_node("Add", ["x", "b"], ["y"])],
        [numpy_helper.from_array(np.arange(LARGE, dtype=np.float32), "b")],
    )


def typed_data() -> onnx.ModelProto:
    values = [float(i) for i in range(LARGE * LARGE)]
    w = helper.make_tensor("w", TensorProto.FLOAT, [LARGE, LARGE], values)
    assert w.float_data
    return model([helper.make_node("MatMul", ["x", "w"], ["y"])], [w])


def constant_node() -> onnx.ModelProto:
    constant = helper.make_node("Constant", [], ["w"], value=weight("value"))
    constant.attribute[0].doc_string = "the weight"
    return model([constant, helper.make_node("MatMul", ["x", "w"], ["y"])], [])


def list_of_tensors() -> onnx.ModelProto:
    node = helper.make_node("Custom", ["x"], ["y"], domain="local", weights=[weight("a", 1), weight("b", 2, 2)])
    return model([node], [])


def branch(seed: int) -> onnx.GraphProto:
    out = helper.make_tensor_value_info(f"out{seed}", TensorProto.FLOAT, ["batch", LARGE])
    inner = helper.make_node("MatMul", ["x", f"w{seed}"], [f"out{seed}"])
    return helper.make_graph([inner], f"branch{seed}", [], [out], [weight(f"w{seed}", seed)])


def sub_graphs() -> onnx.ModelProto:
    condition = numpy_helper.from_array(np.array(True), "condition")
    node = helper.make_node("If", ["condition"], ["y"], then_branch=branch(1), else_branch=branch(2))
    return model([node], [condition])


def function_body() -> onnx.ModelProto:
    body = [
        helper.make_node("Constant", [], ["w"], value=weight("value")),
        helper.make_node("If", ["c"], ["z"], then_branch=branch(1), else_branch=branch(2)),
        helper.make_node("MatMul", ["z", "w"], ["out"]),
    ]
    function = helper.make_function("local", "Layer", ["x", "c"], ["out"], body, [helper.make_opsetid("", 17)])
    condition = numpy_helper.from_array(np.array(False), "condition")
    return model(
        [helper.make_node("Layer", ["x", "condition"], ["y"], domain="local")],
        [condition],
        functions=[function],
    )


def sparse_initializer() -> onnx.ModelProto:
    values = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
    indices = helper.make_tensor("w_indices", TensorProto.INT64, [2], [3, 41])
    proto = plain()
    del proto.graph.initializer[:]
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [LARGE, LARGE]))
    return proto


def training_information() -> onnx.ModelProto:
    proto = plain()
    step = helper.make_graph([helper.make_node("Neg", ["w"], ["w2"])], "step", [], [], [weight("moment")])
    proto.training_info.append(helper.make_training_info(step, [("w", "w2")], None, None))
    return proto


def described() -> onnx.ModelProto:
    """Documentation and metadata wherever ONNX has a place for them."""
    proto = plain()
    proto.doc_string, proto.producer_name, proto.producer_version = "a model", "maker", "1.2"
    proto.domain, proto.model_version = "org.example", 7
    proto.graph.doc_string = "a graph"
    proto.graph.node[0].doc_string = "a node"
    proto.graph.initializer[0].doc_string = "a tensor"
    proto.graph.input[0].doc_string = "an input"
    for owner in (proto, proto.graph, proto.graph.node[0], proto.graph.input[0]):
        owner.metadata_props.add(key="b", value="2")
        owner.metadata_props.add(key="c", value="3")
    proto.graph.initializer[0].metadata_props.add(key="origin", value="training")
    proto.graph.quantization_annotation.add(tensor_name="x").quant_parameter_tensor_names.add(
        key="SCALE_TENSOR", value="w"
    )
    return proto


def overridable() -> onnx.ModelProto:
    """An initializer that is a graph input too, and so only a default."""
    proto = plain()
    proto.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [LARGE, LARGE]))
    return proto


def raw(name: str, data_type: int, dims: list[int], size: int) -> TensorProto:
    # Below 0x40, so that no type reads a NaN, which equals nothing, or a bit it has no place for.
    data = np.random.default_rng(7).integers(0, 0x40, size, dtype=np.uint8).tobytes()
    return TensorProto(name=name, data_type=data_type, dims=dims, raw_data=data)


def declare(tensor: TensorProto, location: str, **entries: str) -> None:
    """Says that a tensor's bytes lie in a file of external data."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=value)


def every_type() -> onnx.ModelProto:
    bits = {"FLOAT16": 16, "BFLOAT16": 16, "DOUBLE": 64, "INT8": 8, "UINT16": 16, "INT64": 64, "INT4": 4}
    bits |= {"UINT4": 4, "FLOAT8E4M3FN": 8, "COMPLEX64": 64, "FLOAT4E2M1": 4}
    tensors = [
        raw(name.lower(), TensorProto.DataType.Value(name), [9001], (9001 * width + 7) // 8)
        for name, width in bits.items()
    ]
    boolean = numpy_helper.from_array(np.arange(5000) % 3 == 0, "bool")
    text = numpy_helper.from_array(np.array(["a long string" * 500, "b"], dtype=object), "string")
    empty = numpy_helper.from_array(np.zeros((0, 4096), np.float32), "empty")
    scalar = numpy_helper.from_array(np.array(2.5, np.float64), "scalar")
    proto = plain()
    proto.graph.initializer.extend([*tensors, boolean, text, empty, scalar])
    return proto


def old() -> onnx.ModelProto:
    """From before models named their opsets."""
    proto = plain()
    del proto.opset_import[:]
    proto.ir_version = 2
    return proto


MODELS: tuple[Callable[[], onnx.ModelProto], ...] = (
    plain,
    small_weights,
    typed_data,
    constant_node,
    list_of_tensors,
    sub_graphs,
    function_body,
    sparse_initializer,
    training_information,
    described,
    overridable,
    every_type,
    old,
)
