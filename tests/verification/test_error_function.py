"""Erf of doubles by other operators: as good as the C library's, wherever it stands."""

import math
from pathlib import Path

import numpy as np
import onnx
import pytest

import normgraph
from normgraph.cli import main
from normgraph.verification import truth
from normgraph.verification.error_function import without_erf
from normgraph.verification.sessions import Session

EVERYWHERE = np.concatenate([np.linspace(-7, 7, 4001), np.logspace(-300, 300, 601), -np.logspace(-9, 2, 100)])
MODELS = [
    pytest.param(
        "<ir_version: 8, opset_import: ['' : 17]> g (double[N] x) => (double[N] y) { y = Erf(x) }", id="graph"
    ),
    pytest.param("<ir_version: 3, opset_import: ['' : 9]> g (double[N] x) => (double[N] y) { y = Erf(x) }", id="old"),
    pytest.param(
        "<ir_version: 8, opset_import: ['' : 17]> g (double[N] x) => (double[N] y) { c = Constant <value = bool {1}> ()"
        "y = If (c) <then_branch = t () => (double[N] a) { a = Erf(x) }, else_branch = e () => (double[N] b)"
        "{ b = Neg(x) }> }",
        id="subgraph",
    ),
    pytest.param(
        "<ir_version: 8, opset_import: ['' : 17, 'f' : 1]> g (double[N] x) => (double[N] y) { y = f.F(x) }"
        "<domain: 'f', opset_import: ['' : 17]> F (a) => (b) { b = Erf(a) }",
        id="function",
    ),
]


@pytest.mark.parametrize("text", MODELS)
def test_erf_of_doubles_is_that_of_the_c_library(text: str, tmp_path: Path) -> None:
    model = onnx.parser.parse_model(text.replace("'", '"'))
    without_erf(model)
    onnx.save(model, tmp_path / "model.onnx")
    found = Session(tmp_path / "model.onnx")({"x": EVERYWHERE})["y"]
    assert np.max(np.abs(found - np.asarray([math.erf(x) for x in EVERYWHERE]))) < 4e-15


def test_erf_of_what_is_no_number(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (double[4] x) => (double[4] y) { y = Erf(x) }'
    )
    without_erf(model)
    onnx.save(model, tmp_path / "model.onnx")
    found = Session(tmp_path / "model.onnx")({"x": np.asarray([np.inf, -np.inf, np.nan, 0.0])})["y"]
    np.testing.assert_array_equal(found, [1.0, -1.0, np.nan, 0.0])


def test_models_with_erf_have_a_truth_in_the_runtime() -> None:
    text = '<ir_version: 8, opset_import: ["" : 17]> g (float[N, 4] x) => (float[N, 4] y) { e = Erf(x)  y = Mul(e, x) }'
    model = onnx.parser.parse_model(text)
    found = normgraph.verify(model, model)
    assert found.passed
    assert found.truth.endswith("in ONNX Runtime")
    assert all(comparison.error_before is not None for comparison in found.comparisons)
    assert max(comparison.error_before or 0.0 for comparison in found.comparisons) < 1e-5


def test_large_model_that_only_the_reference_evaluator_runs_is_judged_on_its_first_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """ONNX Runtime has no Conv of doubles."""
    monkeypatch.setattr(truth, "LARGEST_IN_REFERENCE", 0)
    text = """<ir_version: 8, opset_import: ["" : 17]> g (float[N, 1, 4] x) => (float[N, 1, 3] y, int64[3] s)
        <float[1, 1, 2] w = {1, -2}> { y = Conv(x, w)  s = Shape(y) }"""
    model = onnx.parser.parse_model(text)
    found = normgraph.verify(model, model)
    assert found.passed
    assert found.truth.endswith("in onnx's reference evaluator, on the first input only: the model is large")
    known = [comparison.error_before is not None for comparison in found.comparisons if comparison.tensor == "y"]
    assert known == [True] + [False] * 11
    onnx.save(model, tmp_path / "model.onnx")
    assert main(["verify", str(tmp_path / "model.onnx"), str(tmp_path / "model.onnx")]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "Where there is no float64, by this much of the largest value: " in printed
    wrong = onnx.parser.parse_model(text.replace("-2", "-2.01"))
    assert not normgraph.verify(model, wrong).passed
