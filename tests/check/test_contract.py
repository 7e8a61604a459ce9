"""Contracts: how they are written, in options and files, and what they demand."""

import re
from pathlib import Path

import pytest

from normgraph.check import Contract, examine, judge
from normgraph.check.configuration import find, read
from normgraph.check.contract import Expectation, parse_expectations
from normgraph.errors import UsageError
from tests.commands import BERT, NEAR_MISSES
from tests.samples import FOLDER

TRAINING = FOLDER / "samples" / "batch_norm_training_images_torchscript_15.onnx"
RESNET = FOLDER / "samples" / "resnet_torchscript_13.onnx"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("LayerNormalization=25", [("LayerNormalization", "=", 25)], id="one"),
        pytest.param(
            " decomposed = 0 , nodes<=500,", [("decomposed", "=", 0), ("nodes", "<=", 500)], id="several, with blanks"
        ),
        pytest.param("foldable-bn==0", [("foldable_bn", "=", 0)], id="as a programmer writes it"),
        pytest.param("opset>12, near_misses<3", [("opset", ">", 12), ("near_misses", "<", 3)], id="more and less"),
    ],
)
def test_expectations_are_read(text: str, expected: list[tuple[str, str, int]]) -> None:
    assert parse_expectations(text, "here") == tuple(Expectation(*row) for row in expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("LayerNorm=25", "did you mean LayerNormalization", id="a name that nearly is one"),
        pytest.param("abacus=1", "choose one of BatchNormalization, ", id="a name that is none"),
        pytest.param("decomposed", "a quantity, one of", id="no number"),
        pytest.param("decomposed=-1", "a quantity, one of", id="a negative number"),
        pytest.param("decomposed=0 nodes=1", "a quantity, one of", id="no comma"),
    ],
)
def test_expectations_that_are_none_are_explained(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_expectations(text, "here")


@pytest.mark.parametrize(
    ("model", "contract", "failed"),
    [
        pytest.param(BERT, "LayerNormalization=0, decomposed=5, opset=13", "", id="counts as it stands"),
        pytest.param(BERT, "LayerNormalization=5, decomposed=0", "expect expect", id="decomposed isn't an operator"),
        pytest.param(BERT, "decomposed>=5, decomposed<5", "expect", id="a bound that is met and one that isn't"),
        pytest.param(NEAR_MISSES, "near_misses=1, decomposed=1, nodes=36", "", id="near misses are counted"),
        pytest.param(RESNET, "foldable_bn=20, unfolded_bn=20, BatchNormalization=20", "", id="what can be folded"),
    ],
)
def test_quantities_are_counted(model: Path, contract: str, failed: str) -> None:
    judgement = judge(examine(model), Contract(expect=parse_expectations(contract, "here")))
    assert [finding.rule for finding in judgement.findings if finding.failure] == failed.split()
    assert judgement.status == ("failed" if failed else "passed")


def test_what_optimize_would_make_is_judged_if_asked() -> None:
    demanded = "LayerNormalization=5, fused=5, decomposed=0, opset=17, nodes<194"
    contract = Contract(expect=parse_expectations(demanded, "here"), max_error=1e-2, optimized=True)
    seen = examine(BERT, optimized=True)
    assert judge(seen, contract).status == "passed"
    strict = judge(seen, Contract(max_error=1e-9, optimized=True))
    assert [finding.rule for finding in strict.findings if finding.failure] == ["max-error"]
    assert len(strict.findings[-1].culprits) == 5
    assert "against float64" in strict.findings[-1].culprits[0].reason


@pytest.mark.parametrize(
    ("model", "name", "culprits"),
    [
        pytest.param(TRAINING, "training-mode-bn", 1, id="training mode"),
        pytest.param(RESNET, "training-mode-bn", 0, id="inference mode"),
        pytest.param(TRAINING, "batch-statistics", 1, id="statistics over the batch"),
        pytest.param(BERT, "batch-statistics", 0, id="statistics within each sample"),
        pytest.param(BERT, "decomposed", 5, id="decomposed"),
        pytest.param(NEAR_MISSES, "near-miss", 1, id="near miss"),
        pytest.param(BERT, "near-miss", 0, id="no near miss"),
        pytest.param(RESNET, "foldable-bn", 20, id="foldable"),
        pytest.param(RESNET, "failed-proof", 0, id="no proof failed"),
    ],
)
def test_what_is_forbidden_is_found(model: Path, name: str, culprits: int) -> None:
    finding = judge(examine(model), Contract(forbid=(name,))).findings[-1]
    assert len(finding.culprits) == culprits
    assert (finding.failure is None) is (culprits == 0)


FILE = """
[check]
models = ["*.onnx"]
baseline = "baseline.json"
forbid = "training-mode-bn"
target = "onnx"

[[check.contract]]
models = ["bert*.onnx", "sub/**/*.onnx"]
expect = ["LayerNormalization = 5", "decomposed = 0"]
optimized = true
max-error = 0.5

[[check.contract]]
models = "bert.onnx"
target = "tensorrt@10.9"
max-error = 0.25
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("normgraph.toml", FILE, id="its own file"),
        pytest.param("pyproject.toml", FILE.replace("check", "tool.normgraph.check"), id="pyproject.toml"),
    ],
)
def test_contracts_of_a_file_go_by_patterns(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    for model in ("bert.onnx", "bert2.onnx", "other.onnx", "sub/deep/x.onnx"):
        (tmp_path / model).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / model).touch()
    path = find(tmp_path / "sub" / "deep")
    assert path == tmp_path / name
    found = read(path)
    assert (found.models, found.baseline) == (("*.onnx",), tmp_path / "baseline.json")
    every = Contract(forbid=("training-mode-bn",), target="onnx")
    five = Contract(expect=parse_expectations("LayerNormalization=5, decomposed=0", ""), max_error=0.5, optimized=True)
    assert found.contract_of(str(tmp_path / "other.onnx")) == every
    assert found.contract_of(str(tmp_path / "bert2.onnx")) == every.joined(five)
    assert found.contract_of(str(tmp_path / "sub/deep/x.onnx")) == every.joined(five)
    both = found.contract_of(str(tmp_path / "bert.onnx"))
    assert both == every.joined(five).joined(Contract(target="tensorrt@10.9", max_error=0.25))
    assert (both.target, both.max_error) == ("tensorrt@10.9", 0.25)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("[check]\nexpected = 'nodes=1'", "no key 'expected'.*did you mean expect", id="unknown key"),
        pytest.param("[cheque]", "no key 'cheque'", id="unknown table"),
        pytest.param("[check]\nexpect = 'nodes'", "a quantity, one of.*expect", id="bad expectation"),
        pytest.param("[check]\nforbid = ['sins']", "no such thing to forbid as 'sins'", id="unknown thing to forbid"),
        pytest.param("[check]\nmax-error = 'small'", "a number from 0 on", id="an error that is no number"),
        pytest.param("[check]\ntarget = 'abacus'", "no target 'abacus'", id="unknown target"),
        pytest.param("[check]\nmodels = 3", "a text or a list of texts", id="models that are none"),
        pytest.param("[check]\noptimized = 'yes'", "true or false", id="a flag that is none"),
        pytest.param("[[check.contract]]\nexpect = 'nodes=1'", "contract 1, models", id="a contract of no model"),
        pytest.param("[[check.contract]]\nmodels = 'a'", "must demand something.*contract 1", id="an empty contract"),
        pytest.param("[check]\nmax-error = inf", "a number from 0 on, not inf", id="an error that nothing exceeds"),
        pytest.param("[check]\nbaseline = ''", "a baseline must be a file", id="a baseline that is none"),
        pytest.param("[check]\ncontract = 3", "an array of tables", id="contracts that are none"),
        pytest.param("[tool.normgraph]", "no key 'tool'", id="a table of another file"),
        pytest.param("[check", "must be TOML", id="no TOML"),
    ],
)
def test_files_that_are_not_understood_are_explained(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "normgraph.toml").write_text(text)
    with pytest.raises(UsageError, match=f"{message}.*") as raised:
        read(tmp_path / "normgraph.toml")
    assert "normgraph.toml" in str(raised.value)


@pytest.mark.parametrize("text", ["tool = 3", "[tool]\nnormgraph.check.expect = 3", "[tool]\nnormgraph = 3"])
def test_a_shared_file_is_understood_or_explained(text: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(UsageError):
        read(tmp_path / "pyproject.toml")


@pytest.mark.parametrize(
    ("expect", "forbid", "mistake"),
    [
        pytest.param("nodes=36, nodes=37", "", "'nodes = 36' and 'nodes = 37' can't both hold", id="two numbers"),
        pytest.param("nodes>5, nodes<=5", "", "'nodes > 5' and 'nodes <= 5' can't both hold", id="nothing in between"),
        pytest.param("nodes>5, nodes<7", "", None, id="one in between"),
        pytest.param("nodes>=6, opset<3", "", None, id="other quantities"),
        pytest.param("nodes<0", "", "'nodes < 0' can't hold", id="below zero"),
        pytest.param("nodes>=0", "", "'nodes >= 0' holds of every model", id="from zero on"),
        pytest.param("decomposed=1", "decomposed", "'decomposed = 1' and 'no decomposed' can't both", id="forbidden"),
        pytest.param("foldable_bn>0", "foldable-bn", "can't both hold", id="forbidden, by another spelling"),
        pytest.param("decomposed<3", "decomposed near-miss", None, id="forbidden as well"),
    ],
)
def test_conditions_that_cannot_hold_or_fail_are_refused(expect: str, forbid: str, mistake: str | None) -> None:
    contract = Contract(parse_expectations(expect, "here"), tuple(forbid.split()))
    if mistake is None:
        assert contract.checked("m.onnx") == contract
    else:
        with pytest.raises(UsageError, match=f"{re.escape(mistake)}.*: m.onnx; change or drop one"):
            contract.checked("m.onnx")


def test_things_to_forbid_may_be_separated_by_commas(tmp_path: Path) -> None:
    (tmp_path / "normgraph.toml").write_text("[check]\nforbid = 'near-miss, decomposed'\n")
    assert read(tmp_path / "normgraph.toml").common.forbid == ("near-miss", "decomposed")


def test_what_optimizing_would_only_improve_is_not_promised() -> None:
    told = judge(examine(NEAR_MISSES), Contract(expect=parse_expectations("LayerNormalization=5", "here"))).findings[1]
    assert told.failure == "found 0; `normgraph optimize` would only make it 1"


def test_a_file_of_others_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "normgraph.toml").write_text("[check]\n")
    (tmp_path / "inner" / "pyproject.toml").write_text("[tool.other]\n")
    assert find(tmp_path / "inner") == tmp_path / "normgraph.toml"


def test_a_largest_error_needs_rewrites() -> None:
    with pytest.raises(UsageError, match="add --optimized"):
        Contract(max_error=1.0).checked("here")
