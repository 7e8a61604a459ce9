"""`normgraph targets` shows the whole table, or one runtime of it."""

import pytest

from normgraph.cli import main
from normgraph.targets import TARGETS


def test_every_operator_of_every_target_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["targets"]) == 0
    out = capsys.readouterr().out
    for target in TARGETS.values():
        assert f"{target.name} · {target.source}" in out
    shown = {" ".join(line.split()[:2]) for line in out.splitlines() if line}
    for target in TARGETS.values():
        for kind, operators in target.operators.items():
            assert {f"{kind} {operator.name}" for operator in operators} <= shown


@pytest.mark.parametrize("name", TARGETS)
def test_one_target_is_shown_alone(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["targets", name]) == 0
    titles = [line.split(" · ")[0] for line in capsys.readouterr().out.splitlines() if " · " in line]
    assert titles == [name]


def test_an_unknown_target_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["targets", "abacus"]) == 2
    error = capsys.readouterr().err
    assert "abacus" in error
    assert len(error.splitlines()) == 1


def test_what_was_measured_is_told_with_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["targets", "onnxruntime"]) == 0
    out = capsys.readouterr().out
    for kind, operators in TARGETS["onnxruntime"].operators.items():
        for operator in operators:
            # A guarded length only loses nodes: there is nothing else that it could be measured against.
            assert operator.measured.endswith("(1.32)") or operator.bounds, kind
            assert operator.measured in out
    assert TARGETS["onnxruntime"].refusals["LpNormalization"] in out
