"""`bench`: what it measures on what, its JSON, its table, its picture, and its exit statuses."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
import pytest
from jsonschema import Draft202012Validator

import normgraph
from normgraph.cli import main
from normgraph.errors import BadModelError, RefusedError, UsageError
from normgraph.feeds import Feeding
from normgraph.timing import benchmark, sites
from normgraph.timing.measuring import Opener, Plan, Times
from normgraph.timing.plot import labels
from tests.samples import FOLDER

PATH = FOLDER.parent / "normgraph" / "bench.schema.json"
FORM = json.loads(PATH.read_text("utf-8"))
BERT = FOLDER / "samples" / "bert_torchscript_13.onnx"
DYNAMIC = FOLDER / "samples" / "bert_dynamic_torchscript_13.onnx"
QUICK = Plan(precision=0.5, budget=0.1)


def text_model(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> g {text}')


NORM = text_model("""
    (float[N, 4, 8] x) => (float[N, 4, 8] z) <float two = {2.0}, float e1 = {1e-5}, float e2 = {1e-3}> {
        m = ReduceMean<axes = [-1]>(x)  c = Sub(x, m)  s = Pow(c, two)  v = ReduceMean<axes = [-1]>(s)
        a = Add(v, e1)  r = Sqrt(a)  y = Div(c, r)  k = Relu(y)
        m2 = ReduceMean<axes = [-1]>(k)  c2 = Sub(k, m2)  s2 = Pow(c2, two)  v2 = ReduceMean<axes = [-1]>(s2)
        a2 = Add(v2, e2)  r2 = Sqrt(a2)  z = Div(c2, r2)
    }""")
TWICE = text_model("(float[2] x) => (float[2] y) { y = Add(x, x) }")
OTHER = text_model("(float[2] w) => (float[2] y) { y = Add(w, w) }")


def timed(*medians: float, spread: float = 0.001) -> Any:
    """In the place of `measured`: opens and runs each model once, and tells these times."""

    def measured(openers: Sequence[Opener], plan: Plan, **_: Any) -> list[Times]:
        for opener in openers:
            opener().run()
        rounds = [[seconds * (1 + spread * (-1) ** place) for place in range(6)] for seconds in medians[: len(openers)]]
        return [
            Times((0.1,) * 6, tuple((first if number else seconds,) * 5 for seconds in found))
            for number, (found, first) in enumerate(zip(rounds, medians, strict=False))
        ]

    return measured


def test_schema_is_strict_and_a_real_benchmark_is_valid() -> None:
    Draft202012Validator.check_schema(FORM)
    objects = [part for part in (FORM, *FORM["$defs"].values()) if "required" in part]
    assert all(sorted(part["required"]) == sorted(part["properties"]) for part in objects)
    assert all(part["additionalProperties"] is False for part in objects)
    found = normgraph.bench([BERT, normgraph.optimize(BERT).model], plan=QUICK, threads=1, per_site=True)
    document = json.loads(found.to_json())
    Draft202012Validator(FORM).validate(document)
    assert [level["level"] for level in document["levels"]] == ["disabled", "all"]
    assert document["models"][0] == {"model": str(BERT), "bytes": BERT.stat().st_size}
    assert document["inputs"][0] == {"name": "input_ids", "dtype": "int64", "shape": [2, 9]}
    assert {site["kind"] for site in document["sites"]} == {"LayerNormalization"}
    assert [len(document["sites"]), document["sites"][0]["inputs"]] == [5, ["float32 2×9×48"]]


def test_dynamic_dimensions_have_the_sizes_that_are_asked_for() -> None:
    symbols = benchmark.signature_of(ir.from_proto(onnx.load(DYNAMIC))).symbols
    feeding = Feeding(dims={symbols[0]: 3}, sizes=1)
    found = normgraph.bench(DYNAMIC, plan=QUICK, levels=["basic"], feeding=feeding)
    assert found.inputs[0][2][0] == 3
    assert f"{symbols[0]}=3" in found.fed


def test_rewrites_alike_in_structure_and_shape_are_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    fake = timed(3e-5, 1e-5)

    def counting(openers: Sequence[Opener], plan: Plan, **further: Any) -> list[Times]:
        calls.append(len(openers))
        found: list[Times] = fake(openers, plan, **further)
        return found

    monkeypatch.setattr(sites, "measured", counting)
    monkeypatch.setattr(benchmark, "measured", timed(1e-3))
    found = normgraph.bench(NORM, levels=["all"], feeding=Feeding(dims={"N": 5}, sizes=1), per_site=True)
    assert calls == [2]  # the norms differ in nothing but epsilon and names
    assert found.sites is not None
    assert [(s.kind, s.decision and s.decision.inputs) for s in found.sites] == [
        ("LayerNormalization", ("float32 5×4×8",)),
        ("LayerNormalization", ("float32 5×4×8",)),
    ]
    assert found.sites[0].decision is found.sites[1].decision


@pytest.mark.parametrize(
    ("models", "options", "error", "message"),
    [
        pytest.param([], {}, UsageError, "one is missing", id="no model"),
        pytest.param([TWICE], {"levels": []}, UsageError, "one is missing", id="no level"),
        pytest.param([TWICE], {"levels": ["most"]}, UsageError, "no level 'most'", id="unknown level"),
        pytest.param([TWICE], {"provider": "abacus"}, UsageError, "no provider 'abacus'", id="unknown provider"),
        pytest.param([TWICE], {"cuda_graphs": True}, UsageError, "CUDA graphs need", id="graphs on a CPU"),
        pytest.param([TWICE, OTHER], {}, UsageError, "'w' isn't", id="other inputs"),
        pytest.param(["no.onnx"], {}, BadModelError, "no.onnx", id="no file"),
        pytest.param(
            [TWICE, text_model("(float[3] x) => (float[3] y) { y = Add(x, x) }")],
            {},
            RefusedError,
            "cpu",
            id="other sizes",
        ),
    ],
)
def test_what_cannot_be_measured_is_an_error(
    models: list[Any], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        normgraph.bench(models, plan=QUICK, **options)


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    for name in ("a.onnx", "b.onnx"):
        onnx.save(TWICE, name)
    return ["bench", "a.onnx", "b.onnx"]


@pytest.mark.parametrize(
    ("medians", "spread", "verdict", "failing"),
    [
        pytest.param((2e-3, 1e-3), 0.001, "faster", 0, id="faster"),
        pytest.param((1e-3, 2e-3), 0.001, "slower", 1, id="slower"),
        pytest.param((1e-3, 1e-3), 0.001, "no difference", 0, id="no difference"),
        pytest.param((1e-3, 1e-3), 0.3, "undecided", 0, id="undecided"),
    ],
)
def test_verdict_is_told_and_a_slower_model_fails_if_asked(
    pair: list[str],
    medians: tuple[float, float],
    spread: float,
    verdict: str,
    failing: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(benchmark, "measured", timed(*medians, spread=spread))
    assert main(pair) == 0
    table = capsys.readouterr().out
    assert table.count(f"  {verdict}\n") == 2  # at each level
    assert ("were up before" in table) == (verdict == "undecided")
    assert main([*pair, "--fail-if-slower", "--json"]) == failing
    (first, second) = json.loads(capsys.readouterr().out)["levels"][0]["results"]
    assert (first["ratio"], first["verdict"], second["verdict"]) == (None, None, verdict)
    assert second["ratio"]["estimate"] == pytest.approx(medians[0] / medians[1], rel=0.1)


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_picture_is_the_same_for_the_same_figures(
    pair: list[str], ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(benchmark, "measured", timed(2e-3, 1e-3))
    for name in ("one", "two"):
        assert main([*pair, "--plot", f"{name}.{ending}"]) == 0
    one, two = (Path(f"{name}.{ending}").read_bytes() for name in ("one", "two"))
    assert one == two
    assert one.startswith(b"\x89PNG" if ending == "png" else b"<?xml")


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        pytest.param(["a/m.onnx", "n.onnx"], ["m.onnx", "n.onnx"], id="files"),
        pytest.param(["m.onnx", "a/m.onnx", "b/a/m.onnx"], ["m.onnx", "a/m.onnx", "b/a/m.onnx"], id="namesakes"),
        pytest.param(["a/m.onnx", "a/m.onnx"], ["m.onnx", "m.onnx"], id="the same twice"),
        pytest.param(["x" * 30 + "y" * 30], ["x" * 17 + "…" + "y" * 17], id="long"),
    ],
)
def test_names_on_a_picture_are_short_and_told_apart(models: list[str], expected: list[str]) -> None:
    assert labels(models) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["--plot", "p.pdf"], "ends in .svg or .png", id="unknown form of picture"),
        pytest.param(["--plot", "nowhere/p.svg"], "folder must exist", id="no folder"),
        pytest.param(["--precision", "0"], "above 0", id="no precision"),
        pytest.param(["--target", "onnx"], "ask for --per-site as well", id="target without rewrites"),
        pytest.param(["--family", "normal", "--family", "offset 10"], "several are named; choose one", id="families"),
        pytest.param(["--level", "most"], "invalid choice: 'most'", id="unknown level"),
        pytest.param(["--dim", "N=3"], "N", id="no such dimension"),
        pytest.param(["--threads", "100000"], "from 0 to", id="more threads than can be started"),
        pytest.param(["--provider", "dml"], "has cpu; install 'onnxruntime-directml'", id="absent provider"),
    ],
)
def test_bad_usage_is_told_in_one_line(
    pair: list[str], words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*pair, *words]) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert len(told.err.splitlines()) == 1
    assert told.out == ""


def test_what_fails_at_the_sizes_asked_for_is_told_with_its_reason() -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        g (float[N] x) => (float[A, B] y) <int64[2] s = {2, 2}> { y = Reshape(x, s) }""")
    with pytest.raises(RefusedError, match="Reshape"):
        normgraph.bench(model, feeding=Feeding(dims={"N": 3}))


def test_what_could_not_fail_is_refused(pair: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*pair[:2], "--fail-if-slower"]) == 2
    assert "name another" in capsys.readouterr().err


def test_a_level_named_twice_is_measured_once(
    pair: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "measured", timed(2e-3, 1e-3))
    assert main([*pair, "--level", "all", "--level", "all", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["levels"]) == 1


def test_without_matplotlib_a_picture_is_refused_before_anything_is_measured(
    pair: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(benchmark, "measured", None)
    assert main([*pair, "--plot", "p.svg"]) == 2
    assert "install 'normgraph[plot]'" in capsys.readouterr().err
