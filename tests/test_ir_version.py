"""Before IR version 4 every initializer had to be an input as well: new ones raise it, and nothing else does."""

import onnx
import pytest

import normgraph

NORM = """m = ReduceMean <axes = [2], keepdims = 1> (x)
    c = Sub(x, m)
    s = Mul(c, c)
    v = ReduceMean <axes = [2], keepdims = 1> (s)
    e = Constant <value = float {1e-5}> ()
    a = Add(v, e)
    d = Sqrt(a)
    y = Div(c, d)"""
FOLD = """w = Constant <value = float[2, 2, 1] {1, 2, 3, 4}> ()
    k = Constant <value = float[2, 1] {1, 2}> ()
    h = Conv(x, w)
    y = Mul(h, k)"""
LENGTH = """l = ReduceL2 <axes = [2], keepdims = 1> (x)
    y = Div(x, l)"""
NOTHING = "y = Relu(x)"


@pytest.mark.parametrize(
    ("before", "body", "operator", "after"),
    [
        pytest.param(3, NORM, "InstanceNormalization", 4, id="a norm's scale"),
        pytest.param(3, FOLD, "Conv", 4, id="a folded weight"),
        pytest.param(5, FOLD, "Conv", 5, id="high enough"),
        pytest.param(3, LENGTH, "LpNormalization", 3, id="no constants"),
        pytest.param(3, NOTHING, "Relu", 3, id="nothing done"),
    ],
)
def test_ir_version_is_raised_where_new_initializers_need_it(before: int, body: str, operator: str, after: int) -> None:
    text = f'<ir_version: {before}, opset_import: ["" : 9]> g (float[N, 2, 4] x) => (float[N, 2, 4] y) {{ {body} }}'
    result = normgraph.optimize(onnx.parser.parse_model(text), target="onnx", opset=9).to_proto()
    assert [node.op_type for node in result.graph.node if node.op_type != "Constant"] == [operator]
    assert result.ir_version == after
    onnx.checker.check_model(result, full_check=True)
