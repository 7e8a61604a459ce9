"""Constants: what is computed from constants is what onnx's reference evaluator makes of them, and nothing else is."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from normgraph.constants import FOLDERS
from tests.core.surveyed import f32, i64, known, model, surveyed

GENERATOR = np.random.default_rng(11)
MATRIX = GENERATOR.standard_normal((3, 4))
OTHER = GENERATOR.standard_normal((3, 1)).astype(np.float32)
SINGLE = MATRIX.astype(np.float32)
POSITIVE = np.abs(SINGLE) + np.float32(0.5)
CUBE = GENERATOR.integers(-9, 9, (2, 1, 3))
LARGEST = np.iinfo(np.int64).max


def folded(nodes: str, arrays: dict[str, Any], opset: int = 18) -> tuple[np.ndarray | None, np.ndarray]:
    """What is known of the last node's output, and what it is."""
    found = surveyed(nodes, opset=opset, constants=arrays)
    with np.errstate(all="ignore"):
        (expected,) = ReferenceEvaluator(found.proto).run(None, {})
    name = found.model.graph.outputs[0].name or ""
    return found.facts.constant(found.values[name]), np.asarray(expected)


CASES = [
    pytest.param("y = Abs(a)", {"a": SINGLE}, id="Abs"),
    pytest.param("y = Add(a, b)", {"a": SINGLE, "b": OTHER}, id="Add"),
    pytest.param(
        "y = Add(a, b)", {"a": np.array([3, 2**31 - 1], np.int32), "b": np.array([1, 1], np.int32)}, id="Add-wraps"
    ),
    *(
        pytest.param(f"y = {op}(a, b)", {"a": np.array([True, False]), "b": np.array([[True], [False]])}, id=op)
        for op in ("And", "Or")
    ),
    pytest.param("y = Not(a)", {"a": np.array([True, False])}, id="Not"),
    *(
        pytest.param(f"y = {op}(a, b)", {"a": CUBE, "b": CUBE[:1, :, :1]}, id=op)
        for op in ("Greater", "GreaterOrEqual", "Less", "LessOrEqual")
    ),
    pytest.param("y = Cast<to=10>(a)", {"a": SINGLE}, id="Cast-to-half"),
    pytest.param("y = Cast<to=16>(a)", {"a": SINGLE}, id="Cast-to-bfloat16"),
    pytest.param("y = Cast<to=7>(a)", {"a": f32([-1.9, 1.9, 0.0])}, id="Cast-towards-zero"),
    pytest.param("y = Cast<to=9>(a)", {"a": f32([-0.5, 0.0])}, id="Cast-to-bool"),
    pytest.param("y = Cast<to=1>(a)", {"a": np.array([True, False])}, id="Cast-from-bool"),
    pytest.param("y = Concat<axis=-1>(a, b)", {"a": SINGLE, "b": OTHER}, id="Concat"),
    pytest.param("y = ConstantOfShape(s)", {"s": i64([2, 3])}, id="ConstantOfShape-of-zero"),
    pytest.param("y = ConstantOfShape<value=int64[1]{7}>(s)", {"s": i64([2])}, id="ConstantOfShape"),
    pytest.param("y = ConstantOfShape<value=float[1]{7}>(s)", {"s": i64([])}, id="ConstantOfShape-scalar"),
    pytest.param("y = Div(a, b)", {"a": SINGLE, "b": OTHER}, id="Div"),
    pytest.param("y = Div(a, b)", {"a": i64([-7, 7, -8, 8, 0]), "b": np.int64(2)}, id="Div-towards-zero"),
    pytest.param("y = Div(a, b)", {"a": i64([-7, 7, -8, 8]), "b": np.int64(-2)}, id="Div-by-a-negative"),
    pytest.param("y = Div(a, b)", {"a": i64([LARGEST, -LARGEST]), "b": np.int64(1)}, id="Div-large"),
    pytest.param("y = Div(a, b)", {"a": np.array([200, 7], np.uint8), "b": np.uint8(3)}, id="Div-unsigned"),
    pytest.param("y = Equal(a, b)", {"a": CUBE, "b": CUBE[:1]}, id="Equal"),
    pytest.param("y = Expand(a, s)", {"a": OTHER, "s": i64([2, 1, 4])}, id="Expand"),
    pytest.param("y = Expand(a, s)", {"a": SINGLE, "s": i64([1])}, id="Expand-to-less"),
    pytest.param("y = Flatten(a)", {"a": CUBE}, id="Flatten"),
    pytest.param("y = Flatten<axis=-1>(a)", {"a": CUBE}, id="Flatten-negative"),
    pytest.param("y = Flatten<axis=0>(a)", {"a": CUBE}, id="Flatten-all"),
    pytest.param("y = Flatten<axis=3>(a)", {"a": CUBE}, id="Flatten-none"),
    pytest.param("y = Gather(a, i)", {"a": SINGLE, "i": i64([[0, -1]])}, id="Gather"),
    pytest.param("y = Gather<axis=-1>(a, i)", {"a": SINGLE, "i": np.int64(2)}, id="Gather-scalar"),
    pytest.param("y = Identity(a)", {"a": SINGLE}, id="Identity"),
    pytest.param("y = Max(a, b, a)", {"a": SINGLE, "b": OTHER}, id="Max"),
    pytest.param("y = Min(a, b)", {"a": SINGLE, "b": OTHER}, id="Min"),
    pytest.param("y = Min(a)", {"a": SINGLE}, id="Min-of-one"),
    pytest.param("y = Mul(a, b)", {"a": SINGLE, "b": OTHER}, id="Mul"),
    pytest.param("y = Neg(a)", {"a": CUBE}, id="Neg"),
    pytest.param("y = Pow(a, b)", {"a": POSITIVE, "b": np.float32(-0.5)}, id="Pow"),
    pytest.param("y = Pow(a, b)", {"a": SINGLE, "b": np.int64(2)}, id="Pow-integer-exponent"),
    pytest.param("y = Pow(a, b)", {"a": i64([2, 3]), "b": np.float32(0.5)}, id="Pow-keeps-the-base's-type"),
    pytest.param("y = Range(a, b, c)", {"a": np.int64(3), "b": np.int64(-4), "c": np.int64(-2)}, id="Range"),
    pytest.param("y = Range(a, b, c)", {"a": np.int32(0), "b": np.int32(5), "c": np.int32(2)}, id="Range-of-int32"),
    pytest.param(
        "y = Range(a, b, c)", {"a": np.float32(0), "b": np.float32(1), "c": np.float32(0.3)}, id="Range-of-float"
    ),
    pytest.param("y = Reciprocal(a)", {"a": POSITIVE}, id="Reciprocal"),
    pytest.param("y = Reshape(a, s)", {"a": SINGLE, "s": i64([0, -1, 2])}, id="Reshape"),
    pytest.param("y = Reshape<allowzero=1>(a, s)", {"a": SINGLE[:0], "s": i64([4, 0])}, id="Reshape-to-nothing"),
    pytest.param("y = Shape(a)", {"a": CUBE}, id="Shape"),
    pytest.param("y = Shape<start=1>(a)", {"a": CUBE}, id="Shape-from"),
    pytest.param("y = Shape<start=-2, end=-1>(a)", {"a": CUBE}, id="Shape-part"),
    pytest.param("y = Size(a)", {"a": CUBE}, id="Size"),
    pytest.param("y = Slice(a, b, c)", {"a": CUBE, "b": i64([1]), "c": i64([99])}, id="Slice"),
    pytest.param(
        "y = Slice(a, b, c, d, e)",
        {"a": SINGLE, "b": i64([3]), "c": i64([-99]), "d": i64([-1]), "e": i64([-1])},
        id="Slice-backwards",
    ),
    pytest.param(
        "y = Slice(a, b, c, d, e)",
        {"a": SINGLE, "b": i64([2, 0]), "c": i64([0, 4]), "d": i64([0, 1]), "e": i64([-1, 3])},
        id="Slice-two-axes",
    ),
    pytest.param("y = Sqrt(a)", {"a": POSITIVE}, id="Sqrt"),
    pytest.param("y = Squeeze(a)", {"a": CUBE}, id="Squeeze"),
    pytest.param("y = Squeeze(a, i)", {"a": CUBE, "i": i64([-2])}, id="Squeeze-one"),
    pytest.param("y = Sub(a, b)", {"a": SINGLE, "b": OTHER}, id="Sub"),
    pytest.param("y = Transpose(a)", {"a": CUBE}, id="Transpose"),
    pytest.param("y = Transpose<perm=[1, 2, 0]>(a)", {"a": CUBE}, id="Transpose-by-perm"),
    pytest.param("y = Unsqueeze(a, i)", {"a": SINGLE, "i": i64([0, -1])}, id="Unsqueeze"),
    pytest.param("y = Where(c, a, b)", {"c": SINGLE > 0, "a": SINGLE, "b": OTHER}, id="Where"),
]


@pytest.mark.parametrize(("nodes", "arrays"), CASES)
def test_folded_constant_is_what_the_operator_makes(nodes: str, arrays: dict[str, Any]) -> None:
    found, expected = folded(nodes, arrays)
    assert found is not None
    np.testing.assert_array_equal(found, expected, strict=True)


@pytest.mark.parametrize(
    ("nodes", "opset", "expected"),
    [
        pytest.param("y = Squeeze<axes=[1]>(a)", 11, CUBE[:, 0], id="Squeeze"),
        pytest.param("y = Unsqueeze<axes=[0, 3]>(a)", 11, CUBE[None, :, :, None], id="Unsqueeze"),
    ],
)
def test_axes_may_be_an_attribute(nodes: str, opset: int, expected: np.ndarray) -> None:
    found, _ = folded(nodes, {"a": CUBE}, opset)
    np.testing.assert_array_equal(found, expected, strict=True)


def test_every_operator_that_is_folded_stands_in_the_table() -> None:
    texts = [str(case.values[0]) for case in CASES]
    assert {text.split("= ")[1].split("(")[0].split("<")[0] for text in texts} == set(FOLDERS)


NOT_FOLDED = [
    pytest.param("y = Div(a, b)", {"a": i64([1]), "b": i64([0])}, id="integer-division-by-zero"),
    pytest.param("y = Pow(a, b)", {"a": i64([2]), "b": i64([-1])}, id="negative-integer-power"),
    pytest.param("y = Gather(a, i)", {"a": SINGLE, "i": i64([9])}, id="index-out-of-range"),
    pytest.param("y = Reshape(a, s)", {"a": SINGLE, "s": i64([5])}, id="sizes-that-do-not-fit"),
    pytest.param("y = Exp(a)", {"a": SINGLE}, id="operator-that-is-not-folded"),
    pytest.param("y = Range(a, b, c)", {"a": np.int64(0), "b": np.int64(1 << 40), "c": np.int64(1)}, id="too-long"),
    pytest.param("r = Expand(a, s)  y = Neg(r)", {"a": OTHER, "s": i64([1 << 20, 3, 1024])}, id="too-large"),
]


@pytest.mark.parametrize(("nodes", "arrays"), NOT_FOLDED)
def test_what_cannot_be_computed_is_not_a_number(nodes: str, arrays: dict[str, Any]) -> None:
    found = surveyed(nodes, constants=arrays)
    assert found.facts.constant(found.values["y"]) is None


def test_initializer_that_a_caller_may_override_is_no_constant() -> None:
    found = surveyed("y = Neg(a)  z = Neg(b)", "float[2] a", constants={"a": f32([1, 2]), "b": SINGLE})
    assert not found.facts.is_constant(found.values["a"])
    assert found.facts.constant(found.values["y"]) is None
    assert found.facts.is_constant(found.values["z"])


def test_operator_of_another_domain_is_not_folded() -> None:
    proto = model("y = Neg(a)", constants={"a": SINGLE})
    proto.graph.node[0].domain = "elsewhere"
    proto.opset_import.append(helper.make_opsetid("elsewhere", 1))
    found = known(proto)
    assert not found.facts.is_constant(found.values["y"])


def test_before_opset_7_nothing_is_folded() -> None:
    found = surveyed(
        "y = Add<broadcast=1, axis=0>(a, b)", opset=6, constants={"a": SINGLE, "b": np.ones(3, np.float32)}
    )
    assert not found.facts.is_constant(found.values["y"])


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        pytest.param({"value_float": 0.1}, np.float32(0.1), id="value_float"),
        pytest.param({"value_int": 3}, np.int64(3), id="value_int"),
        pytest.param({"value_floats": [0.5, 1.0]}, f32([0.5, 1.0]), id="value_floats"),
        pytest.param({"value_ints": [3, 4]}, i64([3, 4]), id="value_ints"),
        pytest.param({"value": numpy_helper.from_array(OTHER)}, OTHER, id="value"),
        pytest.param({"value_string": "text"}, None, id="value_string"),
    ],
)
def test_constant_node_has_its_value_in_one_of_several_attributes(attribute: Any, expected: Any) -> None:
    proto = model("y = Identity(a)", "float[1] a")
    proto.graph.node.insert(0, helper.make_node("Constant", [], ["k"], **attribute))
    found = known(proto)
    array = found.facts.constant(found.values["k"])
    if expected is None:
        assert array is None
    else:
        np.testing.assert_array_equal(array, expected, strict=True)


def test_constants_of_strings_and_of_small_types() -> None:
    proto = model("y = Identity(a)  z = Identity(s)", constants={"a": SINGLE.astype(ml_dtypes.bfloat16)})
    proto.graph.initializer.append(numpy_helper.from_array(np.array(["text"], object), "s"))
    found = known(proto)
    array = found.facts.constant(found.values["y"])
    assert array is not None
    assert array.dtype == ml_dtypes.bfloat16
    assert found.facts.constant(found.values["z"]) is None


def test_long_and_branching_chains_are_computed_once() -> None:
    chain = " ".join(f"a{i + 1} = Add(a{i}, a{i})" for i in range(2_000))
    found = surveyed(f"{chain} y = Identity(a2000)", constants={"a0": np.float32(0.0)})
    assert found.facts.constant(found.values["y"]) == 0.0


def test_surveying_reads_no_weights() -> None:
    proto = model("y = Mul(x, a)  z = Shape(a)", "float[3, 4] x", constants={"a": SINGLE})
    found = known(proto)
    assert found.facts.constants._arrays.keys() <= {found.values["z"]}
    assert found.facts.constant(found.values["a"]) is not None
