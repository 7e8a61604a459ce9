"""Reports: valid against their strict schema, whatever became of a site, and true to the operator."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import onnx
import onnx_ir as ir
import pytest
from jsonschema import Draft202012Validator, ValidationError

import normgraph
from normgraph import norms
from normgraph.evidence import Evidence, Overflow, Precondition, Trial, Ulps
from normgraph.inventory import NATIVE, Fold, Site
from normgraph.report import SCHEMA
from tests.reports import FOLDED, FUSED, MISS, UNFOLDED, report
from tests.samples import FOLDER

PATH = FOLDER.parent / "normgraph" / "report.schema.json"
FORM = json.loads(PATH.read_text("utf-8"))
VALIDATOR = Draft202012Validator(FORM)


#: Between them they have sites and folds of every fate.
TOLD = (
    "batch_norm_images_torchscript_13",
    "batch_norm_training_images_torchscript_15",
    "bert_dynamic_torchscript_13",
    "bert_half_dynamo_18",
    "conditional_exported_dynamo_decomposed_18",
    "functions_torchscript_15",
    "llama_torchscript_13",
    "near_misses_torchscript_13",
    "resnet_torchscript_13",
    "spellings_half_torchscript_13",
    "unet_torchscript_13",
)


def test_schema_is_a_strict_schema() -> None:
    Draft202012Validator.check_schema(FORM)
    objects = [part for part in parts(FORM) if part.get("type") == "object" and "required" in part]
    assert len(objects) > 5
    for part in objects:
        assert part["additionalProperties"] is False
        assert sorted(part["required"]) == sorted(part["properties"])


def parts(schema: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if isinstance(schema, dict):
        found.append(schema)
        found.extend(part for value in schema.values() for part in parts(value))
    elif isinstance(schema, list):
        found.extend(part for value in schema for part in parts(value))
    return found


def test_schema_knows_every_kind() -> None:
    kinds = set(FORM["$defs"]["site"]["properties"]["kind"]["enum"]) - {None}
    assert kinds == {*NATIVE, *(row.kind for row in norms.NORMS)}
    assert FORM["properties"]["schema"] == {**FORM["properties"]["schema"], "const": SCHEMA}


@pytest.mark.parametrize("name", TOLD)
def test_reports_of_real_exports_are_valid(name: str) -> None:
    path = FOLDER / "samples" / f"{name}.onnx"
    for found in (normgraph.explain(path), normgraph.optimize(path).report):
        VALIDATOR.validate(json.loads(found.to_json()))
        assert found.sites or found.folds


def overflowed(site: Site) -> Site:
    trial = Trial("large", (2, 3), float("inf"), 1e-3, float("inf"))
    return replace(site, evidence=Evidence((trial,)))


def measured(site: Site) -> Site:
    ulps = Ulps(12.5, 1.5)
    trials = (
        Trial("normal", (2, 3), 1e-3, 1e-3, 1e-2, ulps, ulps, at=(0, 2)),
        Trial("normal", (0, 3), 0.0, 0.0, 0.0, refused=True),
    )
    conditions = (Precondition("type", "input and result are float16"),)
    evidence = Evidence(trials, None, conditions, ir.DataType.FLOAT16, (1,), Overflow(300.0, float("inf")))
    return replace(site, evidence=evidence)


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(FUSED, id="fused"),
        pytest.param(MISS, id="near miss"),
        pytest.param(overflowed(FUSED), id="overflow in the original"),
        pytest.param(measured(FUSED), id="all that can be measured"),
        pytest.param(replace(FUSED, status="kept", rule="opset", reason="too old", evidence=None), id="kept"),
        pytest.param(
            replace(FUSED, status="kept", rule="proof-failed", reason="no", evidence=Evidence(failure="no")),
            id="not proven",
        ),
        pytest.param(
            replace(FUSED, status="native", shape=None, dtype=None, statistics=None, evidence=None),
            id="unknown shape",
        ),
        pytest.param(FOLDED, id="folded"),
        pytest.param(replace(FOLDED, direction="forward", channels=None), id="folded forward"),
        pytest.param(UNFOLDED, id="not folded"),
        pytest.param(
            replace(FOLDED, status="kept", rule="not-folded", reason="it can be", evidence=None),
            id="foldable",
        ),
    ],
)
def test_every_fate_has_a_valid_form(entry: Site | Fold) -> None:
    VALIDATOR.validate(json.loads(report(entry).to_json()))


def without(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda site: site.pop(key)


def having(**changes: object) -> Callable[[dict[str, Any]], object]:
    return lambda site: site.update(changes)


@pytest.mark.parametrize(
    ("entry", "change"),
    [
        pytest.param(FUSED, without("statistics"), id="something missing"),
        pytest.param(FUSED, having(surprise=1), id="something more"),
        pytest.param(FUSED, having(kind="SoftMax"), id="no normalization"),
        pytest.param(FUSED, having(kind=None), id="fused without a kind"),
        pytest.param(FUSED, having(evidence=None), id="fused without a proof"),
        pytest.param(FUSED, having(reason="because"), id="fused with an obstacle"),
        pytest.param(FUSED, having(status="kept"), id="kept without a reason"),
        pytest.param(FUSED, having(axes=[-1]), id="negative axis"),
        pytest.param(FUSED, having(statistics="both"), id="unknown statistics"),
        pytest.param(FUSED, having(epsilon="1e-5"), id="number as text"),
        pytest.param(MISS, having(kind="LayerNormalization"), id="near miss of a kind"),
        pytest.param(MISS, having(rule="Some Rule"), id="rule that is no code"),
        pytest.param(FOLDED, having(into=None), id="folded into nothing"),
        pytest.param(FOLDED, having(evidence=None), id="folded without a proof"),
        pytest.param(FOLDED, having(direction="up"), id="unknown direction"),
        pytest.param(UNFOLDED, having(reason=None), id="not folded without a reason"),
    ],
)
def test_schema_refuses_what_is_no_report(entry: Site | Fold, change: Callable[[dict[str, Any]], object]) -> None:
    document = report(entry).to_dict()
    VALIDATOR.validate(document)
    change((document["sites"] + document["folds"])[0])
    with pytest.raises(ValidationError):
        VALIDATOR.validate(document)


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        pytest.param("batch_norm_images_torchscript_13", "running", id="inference"),
        pytest.param("batch_norm_training_images_torchscript_15", "batch", id="training"),
        pytest.param("layer_norm_images_torchscript_13", "sample", id="layer norm"),
        pytest.param("layer_norm_images_dynamo_18", "sample", id="native layer norm"),
    ],
)
def test_statistics_are_those_of_the_operator(sample: str, expected: str) -> None:
    (site,) = normgraph.explain(FOLDER / "samples" / f"{sample}.onnx").sites
    assert site.statistics == expected


@pytest.mark.parametrize("inputs", [pytest.param(["x", "w"], id="of a scalar"), pytest.param([], id="of nothing")])
def test_an_invalid_operator_is_listed_without_axes(inputs: list[str]) -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        example (float x, float[4] w) => (float y) { y = LayerNormalization(x, w) }""")
    del model.graph.node[0].input[:]
    model.graph.node[0].input.extend(inputs)
    (site,) = normgraph.explain(model).sites
    assert (site.kind, site.axes) == ("LayerNormalization", ())
    VALIDATOR.validate(json.loads(report(site).to_json()))


def test_batch_normalization_with_computed_statistics_has_no_running_ones() -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        example (float[2, 3, 4] x, float[3] mean, float[3] variance) => (float[2, 3, 4] y)
        <float[3] one = {1.0, 1.0, 1.0}> { y = BatchNormalization(x, one, one, mean, variance) }""")
    assert [site.statistics for site in normgraph.explain(model).sites] == [None]


@pytest.mark.parametrize(
    ("sample", "told"),
    [
        pytest.param("keras2_layers_tf2onnx_13", [], id="a scale within a norm is a part of it"),
        pytest.param(
            "frozen_batch_norm_torchscript_13", ["last_norm"], id="a map that stays is told beside its operator"
        ),
        pytest.param("batch_norm_images_torchscript_13", ["output"], id="a native one as well"),
    ],
)
def test_maps_that_stay_are_told_once(sample: str, told: list[str]) -> None:
    report = normgraph.explain(FOLDER / "samples" / f"{sample}.onnx")
    assert [fold.name for fold in report.folds if fold.rule != "not-folded"] == told


def test_gain_and_bias_of_a_near_miss_have_no_reason_of_their_own() -> None:
    nodes = "m = ReduceMean<axes=[-1]>(x)  d = Sub(x, m)  q = Mul(d, d)  v = ReduceMean<axes=[-1]>(q)  s = Sqrt(v) "
    nodes += "e = Add(s, eps)  n = Div(d, e)  g = Mul(n, gain)  y = Add(g, bias)"
    nodes = nodes.replace("  ", "\n").replace(" e =", "\n e =")
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 13]> agraph (float[2, 3, 4] x) => (float[2, 3, 4] y)'
        f"<float eps = {{0.001}}, float[4] gain = {{1, 2, 3, 4}}, float[4] bias = {{1, 2, 3, 4}}> {{ {nodes} }}"
    )
    report = normgraph.explain(model)
    assert [site.rule for site in report.sites] == ["epsilon-outside"]
    assert report.folds == ()


def test_statistics_of_a_spelled_out_batch_normalization_are_running() -> None:
    report = normgraph.explain(FOLDER / "samples" / "frozen_batch_norm_torchscript_13.onnx")
    assert [(site.kind, site.statistics, site.parameters) for site in report.sites] == [
        ("BatchNormalization", "running", None)
    ]
