"""Autotuning: what doesn't pay is left out and said, decisions are kept and repeated, and what can't be is refused."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from jsonschema import Draft202012Validator

import normgraph
from normgraph import passes
from normgraph.cli import main
from normgraph.errors import MissingProviderError, OutputError, UsageError
from normgraph.evidence import prove
from normgraph.feeds import Feeding
from normgraph.fragments import Fragment
from normgraph.sessions import Setting
from normgraph.timing import sites, tuning
from normgraph.timing.statistics import Ratio
from normgraph.timing.structure import key_of
from normgraph.timing.tuning import SLACK, is_worth
from tests.samples import FOLDER
from tests.timing.test_benchmark import timed

FORM = json.loads((FOLDER.parent / "normgraph" / "tuning.schema.json").read_text("utf-8"))
REPORT = json.loads((FOLDER.parent / "normgraph" / "report.schema.json").read_text("utf-8"))
RESNET = FOLDER / "samples" / "resnet_torchscript_13.onnx"


def norm(axis: int = -1, shape: str = "N, 4, 8") -> onnx.ModelProto:
    return onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 17]>
        g (float[{shape}] x) => (float[{shape}] y) <float two = {{2.0}}, float e = {{1e-5}}> {{
            m = ReduceMean<axes = [{axis}]>(x)  c = Sub(x, m)  s = Pow(c, two)  v = ReduceMean<axes = [{axis}]>(s)
            a = Add(v, e)  r = Sqrt(a)  y = Div(c, r) }}""")


def statuses(model: Any, **options: Any) -> list[tuple[str, str | None]]:
    report = normgraph.optimize(model, **options).report
    return [(site.status, site.rule) for site in (*report.sites, *report.folds)]


SLOWER, FASTER = timed(1e-5, 2e-5), timed(2e-5, 1e-5)


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], list[int]]:
    """Puts something in the place of `measured`; the list that it returns grows with each call."""

    def use(fake: Any) -> list[int]:
        calls: list[int] = []

        def measured(openers: Any, plan: Any, **further: Any) -> Any:
            calls.append(len(openers))
            return fake(openers, plan, **further)

        monkeypatch.setattr(sites, "measured", measured)
        return calls

    return use


def test_what_is_slower_here_is_kept_and_told_with_its_figures(measuring: Any) -> None:
    measuring(SLOWER)
    result = normgraph.optimize(norm(), autotune="cpu", feeding=Feeding(dims={"N": 3}, sizes=1))
    (site,) = result.report.sites
    assert (site.status, site.rule) == ("kept", "slower-here")
    assert site.reason == (
        "LayerNormalization took 20 µs here, and the nodes as they are 10 µs, on float32 3×4×8 with cpu; "
        "without --autotune and --tuning it is replaced all the same"
    )
    assert site.evidence is not None
    assert site.evidence.accepted
    assert "LayerNormalization" not in [node.op_type for node in result.model.graph]
    assert result.report.opset.after == 17


def test_folds_are_judged_like_fusions(measuring: Any) -> None:
    calls = measuring(SLOWER)
    found = statuses(RESNET, autotune="cpu")
    assert found
    assert set(found) == {("kept", "slower-here"), ("native", None)}
    assert len(calls) < len(found) / 2
    measuring(FASTER)
    assert set(statuses(RESNET, autotune="cpu")) == {("folded", None)}


RMS = """<ir_version: 11, opset_import: ["" : 23]>
    g (float[2, 8] x) => (float[2, 8] y) <float two = {2.0}, float e = {1e-5}, int64[1] axis = {-1}> {
        s = Pow(x, two)  v = ReduceMean(s, axis)  a = Add(v, e)  r = Sqrt(a)  y = Div(x, r) }"""


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param(1e-5, 1e-5, "SimplifiedLayerNormalization", id="no difference: the table's order"),
        pytest.param(1e-5, 0.5e-5, "RMSNormalization", id="the second is faster"),
        pytest.param(1e-5, 0.999e-5, "SimplifiedLayerNormalization", id="the second is faster within noise"),
        pytest.param(4e-5, 1e-5, "RMSNormalization", id="the first doesn't pay"),
        pytest.param(1e-5, 4e-5, "SimplifiedLayerNormalization", id="the second doesn't pay"),
        pytest.param(4e-5, 3e-5, None, id="neither pays"),
    ],
)
def test_of_several_operators_the_fastest_is_taken(
    first: float, second: float, expected: str | None, measuring: Any, tmp_path: Path
) -> None:
    times = iter([timed(2e-5, first), timed(2e-5, second)])

    def in_turn(*given: Any, **further: Any) -> Any:
        return next(times)(*given, **further)

    calls = measuring(in_turn)
    path = tmp_path / "tuning.json"
    model = onnx.parser.parse_model(RMS)
    result = normgraph.optimize(model, autotune="cpu", tuning=path, allow_contrib=True)
    repeated = normgraph.optimize(model, tuning=path, allow_contrib=True)
    assert calls == [2, 2]
    for found in (result, repeated):
        operators = {node.op_type for node in found.model.graph if node.op_type.endswith("Normalization")}
        assert operators == ({expected} if expected else set())
        (site,) = found.report.sites
        assert site.evidence is not None
        assert site.evidence.accepted
    if expected is None:
        assert site.reason is not None
        assert site.reason.startswith("RMSNormalization took 30 µs here, and the nodes as they are 20 µs")
    kinds = {entry["kind"] for entry in json.loads(path.read_text("utf-8"))["decisions"].values()}
    assert kinds == {"SimplifiedLayerNormalization", "RMSNormalization"}
    assert result.to_proto().SerializeToString() == repeated.to_proto().SerializeToString()


def test_only_operators_that_are_proven_are_tried(measuring: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def proven(match: Any, replacement: Any, *others: Any) -> Any:
        evidence = prove(match, replacement, *others)
        return replace(evidence, failure="no") if replacement.steps[-1].operator == "RMSNormalization" else evidence

    monkeypatch.setattr(passes, "prove", proven)
    calls = measuring(FASTER)
    assert statuses(onnx.parser.parse_model(RMS), autotune="cpu", allow_contrib=True) == [("fused", None)]
    assert calls == [2]


def test_what_one_site_would_become_is_timed_alone_per_site(measuring: Any) -> None:
    calls = measuring(FASTER)
    found = sites.site_timings(ir.from_proto(onnx.parser.parse_model(RMS)), "onnxruntime", Feeding(sizes=1), Setting())
    assert [timing.kind for timing in found] == ["RMSNormalization"]
    assert calls == [2]


def test_decisions_are_kept_and_repeated_without_measuring(measuring: Any, tmp_path: Path) -> None:
    path = tmp_path / "tuning.json"
    calls = measuring(SLOWER)
    assert statuses(norm(), autotune="cpu", tuning=path) == [("kept", "slower-here")]
    document = json.loads(path.read_text("utf-8"))
    Draft202012Validator(FORM).validate(document)
    # LayerNormalization and InstanceNormalization, which compute the same at this rank.
    assert [entry["rewrite"] for entry in document["decisions"].values()] == [False, False]
    kept = path.read_bytes()
    for options in ({}, {"autotune": "cpu"}):
        assert statuses(norm(), tuning=path, **options) == [("kept", "slower-here")]
    assert path.read_bytes() == kept
    assert calls == [2, 2]
    assert statuses(norm(axis=1), tuning=path) == [("fused", None)]  # nothing is known of it
    assert calls == [2, 2]
    assert statuses(norm(axis=1), tuning=path, autotune="cpu") == [("kept", "slower-here")]
    assert len(json.loads(path.read_text("utf-8"))["decisions"]) == len(calls) == 4


def test_the_same_tuning_gives_the_same_bytes(measuring: Any, tmp_path: Path) -> None:
    path = tmp_path / "tuning.json"
    measuring(FASTER)
    measured = normgraph.optimize(RESNET, autotune="cpu", tuning=path)
    repeated = [normgraph.optimize(RESNET, tuning=path) for _ in range(2)]
    written = {result.to_proto().SerializeToString(deterministic=True) for result in (measured, *repeated)}
    assert len(written) == 1


def test_a_decision_may_be_edited(measuring: Any, tmp_path: Path) -> None:
    path = tmp_path / "tuning.json"
    measuring(SLOWER)
    statuses(norm(), autotune="cpu", tuning=path)
    path.write_text(path.read_text("utf-8").replace('"rewrite": false', '"rewrite": true'), "utf-8")
    assert statuses(norm(), tuning=path) == [("fused", None)]


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        pytest.param(Ratio(2.0, 1.9, 2.1), True, id="faster"),
        pytest.param(Ratio(1.0, 0.99, 1.01), True, id="no difference"),
        pytest.param(Ratio(0.9, 0.7, 1.1), True, id="perhaps slower"),
        pytest.param(Ratio(0.99, 0.985, 0.995), True, id="slower by less than the slack"),
        pytest.param(Ratio(0.95, 0.94, 1 / (1 + SLACK) - 1e-6), False, id="slower beyond noise"),
        pytest.param(Ratio(0.5, 0.45, 0.55), False, id="much slower"),
    ],
)
def test_only_what_is_slower_beyond_noise_is_left_out(ratio: Ratio, expected: bool) -> None:
    assert is_worth(ratio) is expected


def key(model: onnx.ModelProto, shape: tuple[int, ...] = (2, 4, 8), dtype: type = np.float32) -> str:
    fragment = Fragment(model, (("x", 1, ()),), "y")
    return key_of(fragment, fragment, {"x": np.zeros(shape, dtype)})


def renamed(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    for node in copy.graph.node:
        node.name = f"other {node.op_type}"
        node.input[:] = [name if name == "x" else f"{name}_" for name in node.input]
        node.output[:] = [f"{name}_" for name in node.output]
    for tensor in copy.graph.initializer:
        tensor.name += "_"
    return copy


def with_constant(name: str, value: float) -> onnx.ModelProto:
    copy = norm()
    for tensor in copy.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.array(value, np.float32), name))
    return copy


@pytest.mark.parametrize(
    ("other", "alike"),
    [
        pytest.param(lambda: key(renamed(norm())), True, id="names"),
        pytest.param(lambda: key(with_constant("e", 1e-3)), True, id="epsilon"),
        pytest.param(lambda: key(with_constant("two", 3.0)), False, id="exponent"),
        pytest.param(lambda: key(norm(axis=1)), False, id="axis"),
        pytest.param(lambda: key(norm(), (3, 4, 8)), False, id="shape"),
        pytest.param(lambda: key(norm(), dtype=np.float16), False, id="type"),
    ],
)
def test_decisions_go_by_structure_and_shape(other: Callable[[], str], alike: bool) -> None:
    assert (other() == key(norm())) is alike


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        pytest.param("x", ("kept", "slower-here"), id="of what the outer graph has"),
        pytest.param("k", ("fused", None), id="of what only the branch has"),
    ],
)
def test_in_a_subgraph_what_shapes_are_not_seen_of_is_rewritten_untimed(
    inner: str, expected: tuple[str, str | None], measuring: Any
) -> None:
    measuring(SLOWER)
    model = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 17]>
        g (float[N, 8] x, bool c) => (float[N, 8] z) <float two = {{2.0}}, float e = {{1e-5}}> {{
            z = If (c) <
                then_branch = a () => (float[N, 8] y) {{
                    k = Relu(x)  m = ReduceMean<axes = [-1]>({inner})  d = Sub({inner}, m)  s = Pow(d, two)
                    v = ReduceMean<axes = [-1]>(s)  w = Add(v, e)  r = Sqrt(w)  q = Div(d, r)  y = Add(q, k) }},
                else_branch = b () => (float[N, 8] y2) {{ y2 = Neg(x) }}
            > }}""")
    assert statuses(model, autotune="cpu") == [expected]


def edited(before: str) -> str:
    """A tuning of one decision, in which the nodes take this long."""
    ratio = '{"estimate": 1.0, "low": 0.9, "high": 1.1}'
    entry = f'{{"kind": "k", "inputs": [], "before": {before}, "after": 1.0, "ratio": {ratio}, "rewrite": true}}'
    return f'{{"schema": 1, "provider": "cpu", "onnxruntime": "1", "decisions": {{"a": {entry}}}}}'


def test_figures_of_another_version_are_measured_anew_only_where_something_measures(
    measuring: Any, tmp_path: Path
) -> None:
    path = tmp_path / "tuning.json"
    measuring(SLOWER)
    normgraph.optimize(norm(), autotune="cpu", tuning=path)
    document = json.loads(path.read_text("utf-8")) | {"onnxruntime": "1.0.0"}
    path.write_text(json.dumps(document), "utf-8")
    measuring(FASTER)
    assert statuses(norm(), tuning=path) == [("kept", "slower-here")]
    assert statuses(norm(), autotune="cpu", tuning=path) == [("fused", None)]
    assert json.loads(path.read_text("utf-8"))["onnxruntime"] == onnxruntime.__version__


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("{", "JSONDecodeError", id="no JSON"),
        pytest.param("[]", "TypeError", id="no object"),
        pytest.param(
            '{"schema": 2, "provider": "cpu", "onnxruntime": "1", "decisions": {}}', "its form is 2", id="newer"
        ),
        pytest.param(
            '{"schema": 1, "provider": "cpu", "onnxruntime": "1", "decisions": {"a": {}}}', "'ratio'", id="less"
        ),
        pytest.param(
            '{"schema": 1, "provider": "abacus", "onnxruntime": "1", "decisions": {}}',
            "its provider is 'abacus'",
            id="unknown provider",
        ),
        pytest.param(edited("NaN"), "before is nan", id="no number"),
        pytest.param(edited("-1.0"), "before is -1.0", id="negative"),
        pytest.param(None, "can't be read", id="no file"),
    ],
)
def test_what_is_no_tuning_is_refused(text: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "tuning.json"
    if text is not None:
        path.write_text(text, "utf-8")
    with pytest.raises(UsageError, match=message):
        normgraph.optimize(norm(), tuning=path)


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tuning.json"
    tuning.Tuning("cuda", "1.31.0").save(path)
    with pytest.raises(UsageError, match="made on cuda, and cpu is asked for"):
        normgraph.optimize(norm(), autotune="cpu", tuning=path)
    with pytest.raises(UsageError, match="choose --target onnxruntime-cuda"):
        normgraph.optimize(norm(), tuning=path)
    assert statuses(norm(), tuning=path, target="onnxruntime-cuda") == [("fused", None)]
    with pytest.raises(MissingProviderError, match="install 'normgraph"):
        normgraph.optimize(norm(), autotune="cuda", target="onnxruntime-cuda")
    with pytest.raises(OutputError, match="can't be written"):
        tuning.Tuning("cpu").save(tmp_path / "no" / "tuning.json")


def test_the_command_tells_what_is_slower(
    measuring: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measuring(SLOWER)
    monkeypatch.chdir(tmp_path)
    onnx.save(norm(), "m.onnx")
    assert main(["optimize", "m.onnx", "--autotune", "--tuning", "t.json", "--dim", "N=3"]) == 0
    assert "on float32 3×4×8 with cpu; without --autotune" in capsys.readouterr().out
    assert Path("t.json").exists()
    for words, message in (
        (["m.onnx", "m.onnx", "-o", "out", "--autotune"], "one model at a time"),
        (["m.onnx", "--tuning", "m.onnx"], "may not be written over a model"),
        (["m.onnx", "--tuning", "t.json", "--report", "t.json"], "may not be written over the tuning"),
        (["m.onnx", "--autotune", "abacus"], "invalid choice"),
    ):
        assert main(["optimize", *words]) == 2
        assert message in capsys.readouterr().err


def test_figures_of_all_rewrites_are_told_whether_they_are_made_or_not(
    measuring: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, file = tmp_path / "model.onnx", tmp_path / "tuning.json"
    onnx.save(norm(shape="2, 4, 8"), path)
    measuring(FASTER)
    assert main(["optimize", str(path), "--dry-run", "--autotune", "--tuning", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "Timed on cpu of ONNX Runtime" in printed
    assert "those that are made save 10.0 µs a run" in printed
    assert re.search(r"y +LayerNormalization +float32 2×4×8 +20.0 µs +10.0 µs +2.000 .* faster +10.0 µs", printed)
    assert main(["optimize", str(path), "--dry-run", "--tuning", str(file), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["tuned"]["rewrites"]
    assert (row["kind"], row["rewrite"]) == ("LayerNormalization", True)
    assert [row["before"], row["after"]] == pytest.approx([2e-5, 1e-5])
    measuring(SLOWER)
    assert main(["optimize", str(path), "--dry-run", "--autotune"]) == 0
    printed = capsys.readouterr().out
    assert "those that are made save 0.00 µs a run" in printed
    assert re.search(r"y +LayerNormalization +float32 2×4×8 +10.0 µs +20.0 µs +0.500 .* slower +isn't made", printed)


def test_what_the_tuning_does_not_know_is_said(
    measuring: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (4, 8):
        onnx.save(norm(shape=f"2, 4, {number}"), tmp_path / f"{number}.onnx")
    file = tmp_path / "tuning.json"
    measuring(FASTER)
    assert main(["optimize", str(tmp_path / "4.onnx"), "--dry-run", "--autotune", "--tuning", str(file)]) == 0
    assert "doesn't know" not in capsys.readouterr().out
    words = ["optimize", str(tmp_path / "8.onnx"), "--dry-run", "--tuning", str(file)]
    assert main(words) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "the tuning doesn't know 1 of 1 rewrite: y; what it doesn't know is made; --autotune beside" in printed
    assert "Timed on" not in printed
    assert main([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    Draft202012Validator(REPORT).validate(document)
    assert (document["tuned"]["unknown"], document["tuned"]["rewrites"][0]["ratio"]) == (1, None)
    assert document["tuned"]["rewrites"][0]["output"] == document["sites"][0]["output"]
    assert main(["optimize", str(tmp_path), "--dry-run", "--tuning", str(file)]) == 0
    assert "Not in the tuning" in " ".join(capsys.readouterr().out.split())
