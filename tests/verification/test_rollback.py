"""Rewrites that make the whole model differ are taken back, each with its reason, and the rest stays."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import normgraph
from normgraph import passes
from normgraph.cli import main
from normgraph.errors import VerificationError
from normgraph.folding import folding_pass
from normgraph.lowering import Replacement
from normgraph.match import Match
from normgraph.report import Change, Report
from normgraph.rollback import rewrites_of, settle
from normgraph.surveyed import Surveyed
from normgraph.verification import Verification, Verifying
from tests.reports import FOLDED, FUSED
from tests.samples import FOLDER

BERT = FOLDER / "samples" / "bert_torchscript_13.onnx"
RESNET = FOLDER / "samples" / "resnet_torchscript_13.onnx"
SITES = 5
RULE = "model-verification-failed"


def sabotaged(epsilons: dict[str, float]) -> Callable[..., list[ir.Node]]:
    """The application of a replacement, which writes a wrong ε at some sites: a rewrite proven right and made wrong."""
    right = passes.apply

    def apply(match: Match, replacement: Replacement, site: str, *others: Any) -> list[ir.Node]:
        if site in epsilons:
            (step,) = replacement.steps
            changed = {**dict(step.attributes), "epsilon": epsilons[site]}
            replacement = replace(replacement, steps=(replace(step, attributes=tuple(changed.items())),))
        return right(match, replacement, site, *others)

    return apply


WRONG = [
    pytest.param({"embeddings.LayerNorm": 0.5}, id="first"),
    pytest.param({"encoder.layer.1.output.LayerNorm": 0.5}, id="last"),
    pytest.param({"encoder.layer.0.output.LayerNorm": 0.5, "encoder.layer.1.output.LayerNorm": 0.3}, id="two"),
    pytest.param({}, id="none"),
]


@pytest.mark.parametrize("epsilons", WRONG)
def test_wrong_rewrite_is_taken_back_and_the_rest_stays(
    epsilons: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "apply", sabotaged(epsilons))
    result = normgraph.optimize(BERT, verify=Verifying())
    report = result.report
    kept = {site.name: site for site in report.sites if site.status == "kept"}
    assert kept.keys() == epsilons.keys()
    assert {site.rule for site in kept.values()} <= {RULE}
    assert all("with it the model differs" in (site.reason or "") for site in kept.values())
    assert report.count("fused") == SITES - len(epsilons)
    assert report.verification is not None
    assert report.verification.passed
    monkeypatch.undo()
    assert normgraph.verify(BERT, result.model).passed


def test_without_verification_the_wrong_rewrite_would_have_stayed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "apply", sabotaged({"embeddings.LayerNorm": 0.5}))
    result = normgraph.optimize(BERT)
    assert result.report.count("fused") == SITES
    assert result.report.verification is None
    assert not normgraph.verify(BERT, result.model).passed


def test_wrong_fold_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    right = folding_pass.apply

    def apply(plan: Any, *others: Any) -> Any:
        name = plan.affine.output.name
        made = right(plan, *others)
        if name == "/layers/layers.0/layers.0.0/bn1/BatchNormalization_output_0":
            bias = plan.changes[0].linear.node.inputs[2]
            bias.const_value = ir.tensor(np.asarray(bias.const_value.numpy() + np.float32(1.0)))
        return made

    monkeypatch.setattr(folding_pass, "apply", apply)
    report = normgraph.optimize(RESNET, verify=Verifying()).report
    kept = [fold for fold in report.folds if fold.status == "kept"]
    assert [(fold.name, fold.rule) for fold in kept] == [("layers.0.0.bn1", RULE)]
    assert sum(fold.status == "folded" for fold in report.folds) == 19
    assert report.verification is not None


IN_A_ROW = """<ir_version: 8, opset_import: ["" : 17]> merged (float[N, 4] x) => (float[N, 2] y)
<float[4, 4] w = {1., 2., 3., 4., 5., 6., 7., 8., 9., 8., 7., 6., 5., 4., 3., 2.},
 float[4, 2] v = {1., 2., 3., 4., 5., 6., 7., 8.}, float[4, 2] u = {1., 0., 3., -4., 5., 6., 0., 8.}>"""
MERGES = [
    pytest.param("h = MatMul(x, w)  y = MatMul(h, v)", "chain", "h", id="in a row"),
    pytest.param("h = MatMul(x, v)  k = MatMul(x, u)  y = Add(h, k)", "parallel", "k", id="side by side"),
]


@pytest.mark.parametrize(("nodes", "direction", "absorbed"), MERGES)
def test_wrong_merge_is_taken_back(nodes: str, direction: str, absorbed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told under the output of what goes into the other, and makes another tensor anew."""
    right, made = folding_pass.apply, []

    def apply(plan: Any, store: Any) -> Any:
        weight = plan.change.weight + np.float32(1.0)
        made.append(plan.direction)
        return right(replace(plan, change=replace(plan.change, weight=weight)), store)

    monkeypatch.setattr(folding_pass, "apply", apply)
    report = normgraph.optimize(onnx.parser.parse_model(IN_A_ROW + "{" + nodes + "}"), verify=Verifying()).report
    assert direction in made
    assert len(made) < 4
    assert [(fold.output, fold.status, fold.rule) for fold in report.folds] == [(absorbed, "kept", RULE)]


def test_model_that_differs_without_any_rewrite_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(surveyed: Surveyed, *others: Any, **options: Any) -> bool:
        last = surveyed.model.graph.outputs[0].producer()
        assert last is not None
        last.replace_input_with(0, last.inputs[0] if len(last.inputs) < 2 else last.inputs[1])
        return False

    monkeypatch.setattr("normgraph.rounds.fuse_round", spoil)
    text = (
        '<ir_version: 8, opset_import: ["" : 17]> g (float[2] x) => (float[2] y){ a = Exp(x) b = Neg(x) y = Sub(a, b) }'
    )
    with pytest.raises(VerificationError, match=r"even without a rewrite: g: .*nothing is written"):
        normgraph.optimize(onnx.parser.parse_model(text), verify=Verifying())


def test_in_place_changes_the_model_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "apply", sabotaged({"embeddings.LayerNorm": 0.5}))
    model = ir.load(BERT)
    report = normgraph.optimize(model, in_place=True, verify=Verifying()).report
    assert report.count("fused") == SITES - 1
    assert sum(node.op_type == "LayerNormalization" for node in model.graph) == SITES - 1


def test_command_takes_back_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(passes, "apply", sabotaged({"encoder.layer.0.output.LayerNorm": 0.5}))
    output, report = tmp_path / "out.onnx", tmp_path / "report.json"
    arguments = ["optimize", str(BERT), "-o", str(output), "--verify", "model", "--report", str(report)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert f"({RULE})" in printed
    assert "the whole model agrees with the original: 1 output on 3 inputs" in printed
    assert "4 fused, 1 kept as it is" in printed
    document = json.loads(report.read_text("utf-8"))
    assert document["verification"]["passed"] is True
    monkeypatch.undo()
    assert main(["verify", str(BERT), str(output), "-q"]) == 0


def test_inputs_without_a_verification_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimize", str(BERT), "--dry-run", "--dim", "batch=3"]) == 2
    assert "--verify model" in capsys.readouterr().err


# --- the search for the responsible ones --------------------------------------------------------------------------


def report_of(outputs: Iterator[str] | list[str]) -> Report:
    sites = tuple(replace(FUSED, output=name) for name in outputs)
    return Report("m", "onnxruntime", Change(1, 1), Change(1, 1), sites)


def verification(passed: bool) -> Verification:
    problems = () if passed else ("it differs",)
    return Verification("a", "b", "here", "none", problems, comparisons=(COMPARED,))


class _Result:
    def __init__(self, report: Report) -> None:
        self.report = report


COMPARED: Any = type("Agreeing", (), {"passed": True})()
TOGETHER = [
    pytest.param([{"c"}], {"c"}, id="one"),
    pytest.param([{"a"}, {"h"}, {"d"}], {"a", "d", "h"}, id="several"),
    pytest.param([{"b", "f"}], {"f"}, id="two that only together do harm"),
    pytest.param([set("abcdefgh")], {"h"}, id="all together"),
]


@pytest.mark.parametrize(("harmful", "taken_back"), TOGETHER)
def test_least_is_taken_back(harmful: list[set[str]], taken_back: set[str]) -> None:
    names, tried = "abcdefgh", []

    def attempt(refused: Any) -> tuple[_Result, Verification]:
        applied = [name for name in names if name not in refused]
        tried.append(applied)
        return _Result(report_of(applied)), verification(not any(harm <= set(applied) for harm in harmful))

    settled = settle(attempt, "m")
    assert set(settled.refused) == taken_back
    assert len(tried) <= 1 + 4 * len(taken_back)


def test_rewrites_are_told_by_their_outputs() -> None:
    report = Report(
        "m", "t", Change(1, 1), Change(1, 1), (FUSED,), (FOLDED, replace(FOLDED, status="kept", output="k"))
    )
    assert rewrites_of(report) == ("y",)
