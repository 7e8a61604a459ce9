"""What isn't a tensor, or has no type in NumPy, is compared too: sequences, optionals, text, integers of four bits."""

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest

import normgraph
from normgraph.cli import main
from normgraph.errors import BadModelError
from normgraph.feeds import Feeding
from normgraph.verification import Verifying
from normgraph.verification.values import owner, parts

HEADER = '<ir_version: 10, opset_import: ["" : 21]>'


def model(body: str, outputs: str, inputs: str = "float[4] x") -> onnx.ModelProto:
    return onnx.parser.parse_model(f"{HEADER} g ({inputs}) => ({outputs}) {{ {body} }}")


QUANTIZED = ("float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz")


def quantized(kind: str, operator: str = "Identity") -> onnx.ModelProto:
    number = onnx.TensorProto.DataType.Value(kind.upper())
    return model(f"a = {operator}(x)  y = Cast <to = {number}> (a)", f"{kind}[4] y")


SEQUENCE, OPTIONAL = "seq(float[4]) y, float[4] z", "optional(float[4]) y"
PAIR = model("z = Neg(x)  y = SequenceConstruct(x, z)", SEQUENCE)
SWAPPED = model("z = Neg(x)  y = SequenceConstruct(z, x)", SEQUENCE)
LONGER = model("z = Neg(x)  y = SequenceConstruct(x, z, z)", SEQUENCE)
FULL, BARE = model("y = Optional(x)", OPTIONAL), model("y = Optional <type = float[4]> ()", OPTIONAL)
SAME = [
    pytest.param(PAIR, PAIR, id="sequence"),
    pytest.param(FULL, FULL, id="optional"),
    pytest.param(BARE, BARE, id="optional-without-a-value"),
    pytest.param(model("y = Cast <to = 22> (x)", "int4[4] y"), model("y = Cast <to = 22> (x)", "int4[4] y"), id="int4"),
    *(pytest.param(quantized(kind), quantized(kind), id=kind) for kind in QUANTIZED),
]
DIFFERENT = [
    *(pytest.param(quantized(k), quantized(k, "Neg"), "elements that differ", "Neg 'a'", id=k) for k in QUANTIZED),
    pytest.param(
        model("y = Cast <to = 22> (x)", "int4[4] y"),
        model("y = Cast <to = 3> (x)", "int8[4] y"),
        "its type is int4 before and int8 after",
        "Cast 'y'",
        id="int4-and-int8",
    ),
    pytest.param(PAIR, SWAPPED, "output 'y[", "SequenceConstruct 'y'", id="order-in-a-sequence"),
    pytest.param(
        PAIR,
        LONGER,
        "only one of the models makes 'y[2]', on normal",
        "SequenceConstruct 'y'",
        id="length-of-a-sequence",
    ),
    pytest.param(FULL, BARE, "only one of the models makes 'y', 'y (length)'", None, id="optional-without-a-value"),
    pytest.param(
        model("y = Cast <to = 22> (x)", "int4[4] y"),
        model("a = Neg(x)  y = Cast <to = 22> (a)", "int4[4] y"),
        "elements that differ",
        "Cast 'y'",
        id="int4",
    ),
]


@pytest.mark.parametrize(("before", "after"), SAME)
def test_same_agrees(before: onnx.ModelProto, after: onnx.ModelProto) -> None:
    found = normgraph.verify(before, after)
    assert found.passed, found.describe()


@pytest.mark.parametrize(("before", "after", "told", "node"), DIFFERENT)
def test_different_is_told_apart(before: onnx.ModelProto, after: onnx.ModelProto, told: str, node: str | None) -> None:
    found = normgraph.verify(before, after)
    assert not found.passed
    assert told in found.describe()
    assert (None if found.divergence is None else found.divergence.after) == node


def test_sequence_is_computed_in_float64() -> None:
    found = normgraph.verify(PAIR, PAIR)
    assert [c.error_before for c in found.comparisons if c.tensor == "y[1]"] == [0.0] * 4


def test_text_of_the_users_own_is_fed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "string[2] t, float16[2] x"
    onnx.save(model("u = Identity(t)  y = Neg(x)", "string[2] u, float16[2] y", text), tmp_path / "a.onnx")
    onnx.save(model("u = Identity(t)  y = Abs(x)", "string[2] u, float16[2] y", text), tmp_path / "b.onnx")
    np.savez(tmp_path / "feed.npz", t=np.array(["a", "ä"]), x=np.array([1, 2], np.float16))
    given = ["--inputs", str(tmp_path / "feed.npz")]
    assert main(["verify", str(tmp_path / "a.onnx"), str(tmp_path / "a.onnx"), *given]) == 0
    assert main(["verify", str(tmp_path / "a.onnx"), str(tmp_path / "b.onnx"), *given]) == 1
    assert "after:  Abs 'y'" in capsys.readouterr().out


def test_bfloat16_comes_out_with_its_values() -> None:
    wide = model("y = Cast <to = 16> (x)", "bfloat16[4] y")
    found = normgraph.verify(wide, wide, Verifying(Feeding(families=("normal",))))
    assert found.passed
    assert found.comparisons[0].dtype == "bfloat16"
    assert 0 < found.comparisons[0].scale < 10


@pytest.mark.parametrize("kind", [*QUANTIZED, "bfloat16"])
def test_eight_bits_and_bfloat16_are_fed(kind: str, tmp_path: Path) -> None:
    number = onnx.TensorProto.DataType.Value(kind.upper())
    array = np.asarray([0.5, -1, 2, 4]).astype(ir.DataType(number).numpy())
    (tmp_path / "x.pb").write_bytes(ir.to_proto(ir.tensor(array)).SerializeToString())
    wide = model("y = Cast <to = 1> (x)", "float[4] y", f"{kind}[4] x")
    found = normgraph.verify(wide, wide, Verifying(Feeding(source=str(tmp_path / "x.pb"))))
    assert found.passed
    assert (found.comparisons[0].scale, found.comparisons[0].error_before) == (4.0, 0.0)


def test_sequence_as_an_input_is_refused() -> None:
    wrong = model("i = Constant <value_int = 0> ()  y = SequenceAt(s, i)", "float[4] y", "seq(float[4]) s")
    with pytest.raises(BadModelError, match="must be a tensor of known type and rank, and 's' is none"):
        normgraph.verify(wrong, wrong)


PARTS = [
    pytest.param(np.ones(2), ["y"], id="tensor"),
    pytest.param(ml_dtypes.bfloat16(2), ["y"], id="scalar"),
    pytest.param([1.0, 2.0], ["y (length)", "y[0]", "y[1]"], id="sequence"),
    pytest.param(None, ["y (length)"], id="nothing"),
    pytest.param([{1: 0.5}], ["y (length)", "y[0] (keys)", "y[0] (values)"], id="sequence of maps"),
]


@pytest.mark.parametrize(("value", "names"), PARTS)
def test_parts_have_names_of_their_own(value: object, names: list[str]) -> None:
    assert list(parts("y", value)) == names
    assert all(owner(name, ["x", "y"]) == "y" for name in names)


def test_name_with_a_bracket_is_its_own() -> None:
    assert owner("y[0]", ["y", "y[0]"]) == "y[0]"
    assert owner("yz", ["y"]) is None
