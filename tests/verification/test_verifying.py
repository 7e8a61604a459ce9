"""Two whole models: the same ones agree, a wrong one is found out, and the node that is wrong is named."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import jsonschema
import numpy as np
import onnx
import onnx_ir as ir
import pytest

import normgraph
from normgraph.cli import main
from normgraph.errors import UsageError
from normgraph.feeds import Feeding
from normgraph.verification import Tolerance, Verification, Verifying
from tests.samples import FOLDER

SCHEMA = json.loads((Path(normgraph.__file__).parent / "verification.schema.json").read_text("utf-8"))
HEADER = '<ir_version: 8, opset_import: ["" : 17]>'
BERT = FOLDER / "samples" / "bert_dynamic_torchscript_13.onnx"


def model(body: str, inputs: str = "float[N, 4] x", outputs: str = "float[N, 4] y") -> onnx.ModelProto:
    return onnx.parser.parse_model(f"{HEADER} example ({inputs}) => ({outputs}) {{ {body} }}")


def valid(found: Verification) -> Verification:
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(found.to_json()))
    return found


@pytest.fixture(scope="module")
def optimized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "bert.opt.onnx"
    normgraph.optimize(BERT).save(path)
    return path


def with_epsilon(path: Path, factor: float) -> Path:
    """The optimized BERT with the ε of its third norm changed."""
    wrong = onnx.load(path)
    norms = [node for node in wrong.graph.node if node.op_type == "LayerNormalization"]
    next(a for a in norms[2].attribute if a.name == "epsilon").f *= factor
    target = path.with_name("wrong.onnx")
    onnx.save(wrong, target)
    return target


def test_optimized_model_agrees_with_its_original(optimized: Path) -> None:
    found = valid(normgraph.verify(BERT, optimized))
    assert found.passed, found.describe()
    assert found.describe() == "the output agrees on 9 inputs"
    assert "its graph optimizations off" in found.runtime
    assert "every floating tensor a double" in found.truth
    shapes = {comparison.shape for comparison in found.comparisons}
    assert len(shapes) == 3  # dynamic dimensions at several sizes
    for comparison in found.comparisons:
        assert comparison.error_after is not None
        assert comparison.cosine is not None
        assert comparison.cosine > 0.999999


def test_wrong_norm_is_found_and_named(optimized: Path) -> None:
    found = valid(normgraph.verify(BERT, with_epsilon(optimized, 1000)))
    assert not found.passed
    assert found.divergence is not None
    assert found.divergence.after.startswith("LayerNormalization 'encoder.layer.0.output.LayerNorm/")
    assert found.divergence.before == "Add '/encoder/layer.0/output/LayerNorm/Add_1'"
    assert "/encoder/layer.0/output/LayerNorm/ReduceMean" in found.divergence.replaces
    assert found.divergence.equal == "/encoder/layer.0/output/Add_output_0"
    assert "they part at LayerNormalization" in found.describe()


def test_tolerance_that_is_asked_for_decides(optimized: Path) -> None:
    wrong = with_epsilon(optimized, 1000)
    assert normgraph.verify(BERT, wrong, Verifying(tolerance=Tolerance(0.5, 0.5))).passed
    assert not normgraph.verify(BERT, optimized, Verifying(tolerance=Tolerance())).passed


SAME = [
    pytest.param(model("y = Softmax(x)"), model("e = Exp(x) s = ReduceSum(e, a) y = Div(e, s)".replace(", a", ""),),
                 False, id="other-axes"),
    pytest.param(model("y = Mul(x, x)"), model("a = Identity(x) y = Mul(a, x)"), True, id="other-names"),
    pytest.param(model("y = Add(x, x)"), model("y = Sub(x, x)"), False, id="other-operator"),
    pytest.param(model("y = Add(x, x)"), model("a = Add(x, x) y = Add(a, x)"), False, id="one-more"),
    pytest.param(model("a = Exp(x) b = Exp(a) y = Exp(b)"), model("a = Exp(x) b = Exp(a) y = Exp(b)"), True,
                 id="overflows-in-both"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "passes"), SAME)
def test_models_in_memory_are_compared(before: onnx.ModelProto, after: onnx.ModelProto, passes: bool) -> None:
    assert valid(normgraph.verify(before, after)).passed is passes
    assert normgraph.verify(ir.from_proto(before), ir.from_proto(after)).passed is passes


NUMBERS = "{" + ", ".join("1" for _ in range(50)) + "}"
PROBLEMS = [
    pytest.param(model("y = Exp(z)", "float[N, 4] z"), "input 'x' is in the first model only", id="other-input"),
    pytest.param(model("y = Exp(x)", "float[N, 2, 4] x", "float[N, 2, 4] y"), "and float[N, 2, 4] after", id="rank"),
    pytest.param(model("z = Exp(x)", outputs="float[N, 4] z"), "the outputs are y before and z after", id="outputs"),
    pytest.param(model("z = Exp(x) y = Identity(z)", outputs="float[N, 4] y, float[N, 4] z"), "y, z after", id="more"),
    pytest.param(model(f"c = Constant<value = float[50] {NUMBERS}>() y = Add(x, c)"), "refuses it", id="invalid"),
]  # fmt: skip


@pytest.mark.parametrize(("after", "problem"), PROBLEMS)
def test_models_that_cannot_be_compared_differ(after: onnx.ModelProto, problem: str) -> None:
    found = valid(normgraph.verify(model("y = Exp(x)"), after))
    assert not found.passed
    assert problem in found.describe()


def test_second_model_has_to_run_where_the_first_does() -> None:
    before = model("y = Exp(x)", "float[N, M] x", "float[N, M] y")
    after = model(f"c = Constant<value = float[50] {NUMBERS}>() y = Add(x, c)", "float[N, M] x", "float[N, M] y")
    assert "doesn't run where the first does: normal, seed 0, N=2, M=7" in normgraph.verify(before, after).describe()


def test_model_that_varies_cannot_be_compared_with() -> None:
    random = model("n = RandomNormalLike(x) y = Add(x, n)")
    found = normgraph.verify(random, random)
    assert "the first model gives other results when it is run again" in found.describe()
    found = normgraph.verify(model("y = Identity(x)"), random)
    assert "the second model gives other results when it is run again" in found.describe()


def test_first_model_has_to_run() -> None:
    wrong = model(f"c = Constant<value = float[50] {NUMBERS}>() y = Add(x, c)", "float[N, M] x", "float[N, M] y")
    with pytest.raises(UsageError, match=r"doesn't run at any size.*dimensions: N, M.*ONNX Runtime fails"):
        normgraph.verify(wrong, wrong)


def test_what_recovers_from_overflow_is_a_gain() -> None:
    before = model("a = Exp(x) b = Mul(a, a) y = Div(b, a)")
    found = normgraph.verify(before, model("y = Exp(x)"), Verifying(Feeding(families=("offset 100",))))
    assert not found.passed  # exp(100) itself is beyond float32
    feeding = Feeding(families=("normal",), dims={"N": 3})
    half = onnx.parser.parse_model(
        f"{HEADER} g (float[N, 4] x) => (float[N, 4] y)"
        "{ c = Constant<value = float {1e30}>() a = Mul(x, c) b = Mul(a, c) d = Div(b, c) y = Div(d, c) }"
    )
    gained = normgraph.verify(half, model("y = Identity(x)"), Verifying(feeding))
    assert gained.passed, gained.describe()
    assert gained.comparisons[0].recovered == 12


def test_external_data_is_read_where_it_lies(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    proto = model("y = MatMul(x, w)", "float[N, 64] x", "float[N, 64] y")
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    for name, factor in (("a", 1.0), ("b", 1.0), ("c", 1.001)):
        proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weights * np.float32(factor), "w"))
        (tmp_path / name).mkdir()
        onnx.save(proto, tmp_path / name / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
        proto = onnx.load(tmp_path / name / "m.onnx")
    a, b, c = (tmp_path / name / "m.onnx" for name in "abc")
    assert normgraph.verify(a, b).passed
    found = normgraph.verify(a, c)
    assert not found.passed
    assert found.divergence is not None
    assert found.divergence.after == "MatMul 'y'"


def chain(constants: Sequence[float]) -> onnx.ModelProto:
    weights = ", ".join(f"float c{number} = {{{value!r}}}" for number, value in enumerate(constants))
    body = "{ a = Mul(x, c0)  b = Add(a, c1)  y = Mul(b, c2) }"
    return onnx.parser.parse_model(f"{HEADER} g (float[N, 4] x) => (float[N, 4] y) <{weights}> {body}")


@pytest.mark.parametrize("change", [pytest.param(1e-5, id="below-the-usual-bound"), pytest.param(0.5, id="large")])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_node_whose_constant_was_changed_is_named(position: int, change: float) -> None:
    constants = [1.5, 2.0, 0.75]
    wrong = list(constants)
    wrong[position] *= 1 + change
    found = valid(normgraph.verify(chain(constants), chain(wrong)))
    assert found.divergence is not None
    assert found.divergence.after == ("Mul 'a'", "Add 'b'", "Mul 'y'")[position]


def test_nothing_but_nan_is_no_agreement() -> None:
    nothing = model("n = Sub(x, x)  y = Div(n, n)")
    found = valid(normgraph.verify(nothing, nothing))
    assert not found.passed
    assert "nothing but NaN" in found.describe()


def test_output_that_is_nothing_but_nan_is_told_beside_one_that_agrees() -> None:
    half = model("n = Sub(x, x)  y = Div(n, n)  s = Shape(x)", outputs="float[N, 4] y, int64[2] s")
    found = valid(normgraph.verify(half, half))
    assert not found.passed
    assert found.describe() == "output 'y' is nothing but NaN, whatever it is fed: it wasn't compared"


def test_nothing_but_empty_tensors_is_no_agreement() -> None:
    found_nothing = model(
        "c = Constant <value_float = 1e9> ()  b = Greater(x, c)  y = NonZero(b)", outputs="int64[2, K] y"
    )
    found = valid(normgraph.verify(found_nothing, found_nothing))
    assert not found.passed
    assert "nothing but NaN, infinity and empty tensors: nothing was compared" in found.describe()
    empty = model("y = Relu(x)", "float[0, 4] x", "float[0, 4] y")
    assert normgraph.verify(empty, empty).passed


def test_number_where_float64_is_none_is_compared_with_the_first_model() -> None:
    """2²⁴ + ¼ is 2²⁴ in float32 alone; the root of what is left is NaN in float64."""
    constants = "q = Constant <value_float = 0.25> ()  b = Constant <value_float = 16777216.0> ()"
    body = f"{constants}  t = Sub(x, x)  u = Add(t, q)  v = Add(u, b)  w = Sub(b, v)  r = Sqrt(w)  s = Add(x, r)"
    before = model(f"{body}  y = Identity(s)")
    found = normgraph.verify(before, model(f"{body}  y = Add(s, s)"))
    assert not found.passed
    assert "output 'y' is NaN or infinite there only" in found.truth
    assert normgraph.verify(before, before).passed


BRANCHES = [
    pytest.param(1, id="one-flag"),
    pytest.param(2, id="two-flags"),
]


@pytest.mark.parametrize("flags", BRANCHES)
@pytest.mark.parametrize("branch", ["then_branch", "else_branch"])
def test_both_branches_of_a_flag_are_run(flags: int, branch: str) -> None:
    def chosen(operator: str) -> onnx.ModelProto:
        operators = {"then_branch": "Exp", "else_branch": "Exp", branch: operator}
        graphs = [f"{name} = b{name} () => (float[N, 4] z) {{ z = {op}(x) }}" for name, op in operators.items()]
        names = [f"c{number}" for number in range(flags)]
        inputs = ", ".join(["float[N, 4] x", *(f"bool {name}" for name in names)])
        return model(f"y = If ({names[-1]}) <{', '.join(graphs)}>", inputs)

    found = normgraph.verify(chosen("Exp"), chosen("Tanh"), Verifying(Feeding(families=(), sizes=1)))
    assert not found.passed
    assert 0 < sum(not comparison.passed for comparison in found.comparisons) < len(found.comparisons)


def overridable(factor: float, read: str = "c", *, listed: bool = True, version: int = 8) -> onnx.ModelProto:
    """A model whose input c has a default, and that may read a constant in its place."""
    text = f'<ir_version: {version}, opset_import: ["" : 17]> g (float[N, 4] x) => (float[N, 4] y)'
    found = onnx.parser.parse_model(f"{text} <float c = {{{factor}}}, float k = {{2}}> {{ y = Mul(x, {read}) }}")
    inputs = [name for name in ("c", "k") if version < 4 or (listed and name == "c")]
    found.graph.input.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, []) for name in inputs)
    return found


def test_input_with_a_default_has_to_stay_and_to_make_a_difference() -> None:
    same = normgraph.verify(overridable(2), overridable(2))
    assert same.passed
    assert list(same.recipes)[-1] == "normal, seed 0, N=2, defaults × 1.25"
    gone = normgraph.verify(overridable(2), overridable(2, listed=False))
    assert gone.describe() == "input 'c', which a caller may override, is in the first model only"
    unread = normgraph.verify(overridable(2), overridable(2, "k"))
    assert [found.feed for found in unread.failures] == ["normal, seed 0, N=2, defaults × 1.25"]
    assert unread.divergence is not None
    old = normgraph.verify(overridable(2, version=3), overridable(2, listed=False))
    assert old.passed, old.describe()  # where every initializer had to be an input, that says nothing


def test_infinity_is_compared_by_its_sign() -> None:
    outputs = "float[N, 4] y, float[N, 4] a"
    zero = "o = Constant <value_float = 0.0> ()  m = Mul(x, o)  z = Abs(m)  y = Abs(x)"
    mask = model(f"{zero}  a = Reciprocal(z)", outputs=outputs)
    assert not normgraph.verify(mask, model(f"{zero}  r = Reciprocal(z)  a = Neg(r)", outputs=outputs)).passed
    assert normgraph.verify(mask, mask).passed


# --- the command --------------------------------------------------------------------------------------------------


def test_command_says_that_models_agree(optimized: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(BERT), str(optimized), "--dim", "batch=2", "--dim", "sequence=5"]) == 0
    printed = capsys.readouterr().out
    assert "its graph optimizations off" in printed
    assert "2×5×48" in printed
    assert "the models agree · 3 inputs" in printed


def test_command_fails_and_names_the_node(optimized: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report.json"
    assert main(["verify", str(BERT), str(with_epsilon(optimized, 1000)), "--report", str(report)]) == 1
    printed = capsys.readouterr().out
    assert "the models differ" in printed
    assert "after:  LayerNormalization 'encoder.layer.0.output.LayerNorm/LayerNormalization'" in printed
    assert "which stands for: /encoder/layer.0/output/LayerNorm/ReduceMean" in printed
    document = json.loads(report.read_text("utf-8"))
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert document["passed"] is False


Arguments = Callable[[Path], list[str]]
WRONG = [
    pytest.param(["--dim", "nothing=3"], "'nothing' isn't one", id="no-such-dimension"),
    pytest.param(["--dim", "batch"], "NAME=N", id="dimension-without-a-size"),
    pytest.param(["--inputs", "nowhere.npz"], "there is none: nowhere.npz", id="no-such-file"),
    pytest.param(["--rtol", "-1"], "a tolerance is a number from 0 on", id="negative-tolerance"),
    pytest.param(["--sizes", "0"], "a number from 1 on", id="no-sizes"),
    pytest.param(["--family", "strange"], "invalid choice", id="no-such-family"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_wrong_usage_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(BERT), str(BERT), *arguments]) == 2
    complaint = capsys.readouterr().err
    assert message in complaint
    assert complaint.count("\n") == 1
