"""The real exports of models/: every normalization in them is found, fused, and computes what it did."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import onnx
import pytest

import normgraph
from tests.cases import Array
from tests.running import error, run
from tests.samples import FOLDER, SAMPLES, Sample, feeds, name_of, nodes_of, path_of, truth


@dataclass(frozen=True)
class Operator:
    """What the default target makes of a kind of normalization.

    Attributes:
        since: the opset that the operator needs.
        raised_to: whether a model of an earlier opset is raised for it, or the norm kept as it is.
    """

    since: int
    raised_to: bool = True


# The kinds that must be found in the samples, and what becomes of the decomposed ones.
KINDS: Mapping[str, Operator] = {"LayerNormalization": Operator(17)}

# The scopes whose norm computes in float16 and so stores epsilon in it; elsewhere it is stored in float32.
EPSILON_IN_HALF = frozenset({"all_half"})
# PyTorch's InstanceNorm2d(affine=False) has no parameters, but ONNX's operator takes a scale and a bias: its exporters
# write ones and zeros, which no graph tells from trained ones.
PARAMETERS_IN_GRAPH = {"plain_instance_norm": 16}
# What the manifest says of a near miss → the rule that normgraph names.
RULES = {"epsilon outside the square root, on the unbiased deviation": "epsilon-outside"}
# The exporter left no scope in the nodes of these, so that they are called by the output's name.
SCOPELESS = ("conditional_", "functions_")

# The fused operator rounds no more often than the nodes in its place, only elsewhere: its error may be another, but not
# of another order. The original's error, on the same inputs and against the same float64 truth, is therefore the
# yardstick; the floor is the rounding of an output itself, for originals that happen to round well.
# A pair of models compared with each other would need a tolerance some 100 times as wide (1e-4, in float32), which a
# wrong epsilon may pass: see test_comparison_notices_a_wrong_epsilon.
FACTOR = 2.0
FLOOR_IN_ULPS = 4.0

Geometry = tuple[tuple[int | None, bool], ...]


@dataclass(frozen=True)
class Found:
    """A normalization, as the manifest and as a report describe it."""

    kind: str
    epsilon: float
    parameters: int | None
    form: str
    over_batch: bool | None
    geometry: Geometry
    name: str


def every(samples: tuple[Sample, ...] = SAMPLES) -> list[object]:
    return [pytest.param(sample, id=name_of(sample)) for sample in samples]


@cache
def optimized(file: str) -> tuple[onnx.ModelProto, onnx.ModelProto, normgraph.Report]:
    """A sample, what becomes of it, and the report."""
    result = normgraph.optimize(FOLDER / file)
    return onnx.load(FOLDER / file), result.to_proto(), result.report


def geometry(shape: tuple[int | str | None, ...], axes: tuple[int, ...]) -> Geometry:
    """Each dimension's size, None where dynamic, and whether the statistics run over it."""
    return tuple((s if isinstance(s, int) else None, i in axes) for i, s in enumerate(shape))


def wanted(sample: Sample) -> list[Found]:
    """The norms that must be found in a sample."""
    return in_order(
        Found(
            norm["kind"],
            float(np.float16(norm["epsilon"])) if norm["scope"] in EPSILON_IN_HALF else norm["epsilon"],
            PARAMETERS_IN_GRAPH.get(norm["scope"], norm["parameters"]),
            norm["form"],
            norm["statistics"] != "sample",
            geometry(norm["shape"], tuple(axis % len(norm["shape"]) for axis in norm["axes"])),
            norm["scope"],
        )
        for norm in sample["norms"]
        if norm["kind"] in KINDS
    )


def listed(report: normgraph.Report) -> list[Found]:
    """The norms that a report lists."""
    return in_order(
        Found(
            site.kind or "",
            site.epsilon or 0.0,
            site.parameters,
            "native" if site.status == "native" else "decomposed",
            site.over_batch,
            geometry(site.shape or (), site.axes),
            site.name,
        )
        for site in report.sites
        if site.kind in KINDS
    )


def in_order(found: object) -> list[Found]:
    return sorted(found, key=lambda norm: (norm.kind, norm.epsilon, norm.parameters))  # type: ignore[call-overload]


@pytest.mark.parametrize("sample", every())
def test_explain_lists_just_the_norms_that_the_model_has(sample: Sample) -> None:
    found, expected = listed(normgraph.explain(path_of(sample))), wanted(sample)
    assert [(f.kind, f.form, f.parameters) for f in found] == [(e.kind, e.form, e.parameters) for e in expected]
    np.testing.assert_allclose([f.epsilon for f in found], [e.epsilon for e in expected], rtol=1e-6, atol=0)
    for norm, described in zip(found, expected, strict=True):
        assert norm.over_batch == described.over_batch
        # The norm's input may have been permuted in the graph: then its dimensions are the same in another order.
        if [size for size, _ in norm.geometry] == [size for size, _ in described.geometry]:
            assert norm.geometry == described.geometry
        else:
            assert Counter(norm.geometry) == Counter(described.geometry)


@pytest.mark.parametrize("sample", every())
def test_norm_is_called_by_its_name_in_pytorch(sample: Sample) -> None:
    if name_of(sample).startswith(SCOPELESS):
        pytest.skip("the nodes say nothing of modules")
    for norm, described in zip(listed(normgraph.explain(path_of(sample))), wanted(sample), strict=True):
        # TorchScript leaves a ModuleList's own name out.
        assert described.name == norm.name or described.name.endswith(f".{norm.name}") or not described.name


@pytest.mark.parametrize("sample", every())
def test_near_misses_are_named_and_left_alone(sample: Sample) -> None:
    original, result, report = optimized(sample["file"])
    rules = [site.rule for site in report.sites if site.status == "near_miss"]
    expected = [RULES[miss["near_miss"]] for miss in sample["near_misses"]]
    if all(norm["kind"] in KINDS for norm in sample["norms"]):
        assert rules == expected
    else:  # A kind that isn't known yet looks like a near miss of those that are.
        assert not Counter(expected) - Counter(rules)
    kept = {name for node in nodes_of(result) for name in node.output}
    assert all(site.output in kept for site in report.sites if site.status == "near_miss")


@pytest.mark.parametrize("sample", every())
def test_every_decomposed_norm_is_fused(sample: Sample) -> None:
    _, result, report = optimized(sample["file"])
    norms = [norm for norm in sample["norms"] if norm["kind"] in KINDS and norm["form"] == "decomposed"]
    expected = [n["kind"] for n in norms if fused(n["kind"], sample["opset"])]
    assert Counter(site.kind for site in report.sites if site.status == "fused") == Counter(expected)
    assert report.count("kept") == len(norms) - len(expected)
    onnx.checker.check_model(result, full_check=True)
    after = max([sample["opset"], *(KINDS[kind].since for kind in expected)])
    assert [entry.version for entry in result.opset_import if not entry.domain] == [after]
    assert (report.opset.before, report.opset.after) == (sample["opset"], after)


def fused(kind: str, opset: int) -> bool:
    return KINDS[kind].raised_to or KINDS[kind].since <= opset


@pytest.mark.parametrize("sample", every())
def test_nothing_is_left_to_do_in_the_result(sample: Sample) -> None:
    _, result, report = optimized(sample["file"])
    again = normgraph.optimize(result)
    assert again.report.count("fused") == 0
    assert again.to_proto() == result
    assert len(listed(again.report)) == len(listed(report))


@pytest.mark.parametrize("sample", every())
def test_what_belongs_to_the_model_stays(sample: Sample) -> None:
    original, result, report = optimized(sample["file"])
    assert list(result.graph.input) == list(original.graph.input)
    assert list(result.graph.output) == list(original.graph.output)
    assert list(result.metadata_props) == list(original.metadata_props)
    if report.count("fused") == 0:
        assert result == original
    stored = {tensor.name: tensor for tensor in original.graph.initializer}
    for tensor in result.graph.initializer:
        assert tensor == stored.get(tensor.name, tensor)


@pytest.mark.parametrize("sample", every())
def test_result_is_as_close_to_the_truth_as_the_original(sample: Sample) -> None:
    original, result, report = optimized(sample["file"])
    fed = feeds(sample)
    before, after = run(original, fed), run(result, fed)
    if report.count("fused") == 0:
        assert all(np.array_equal(a[name], b[name]) for a, b in zip(before, after, strict=True) for name in a)
        return
    worst = worst_excess(truth(original, fed), before, after)
    assert worst <= 1, f"the error is {worst:.2g} times what is allowed"


def worst_excess(
    true: list[dict[str, Array]], before: list[dict[str, Array]], after: list[dict[str, Array]]
) -> float:
    """The result's error, over what is allowed, where it is largest; infinite where shapes or types differ."""
    excess = [0.0]
    for exact, old, new in zip(true, before, after, strict=True):
        assert exact.keys() == old.keys() == new.keys()
        for name, array in exact.items():
            if (old[name].shape, old[name].dtype) != (new[name].shape, new[name].dtype):
                return float("inf")
            if array.dtype.kind != "f":
                excess.append(0.0 if np.array_equal(old[name], new[name]) else float("inf"))
                continue
            floor = FLOOR_IN_ULPS * float(np.finfo(old[name].dtype).eps)
            excess.append(error(new[name], array) / (FACTOR * error(old[name], array) + floor))
    return max(excess)


def test_comparison_notices_a_wrong_epsilon() -> None:
    sample = next(sample for sample in SAMPLES if name_of(sample) == "bert_torchscript_13")
    original, result, _ = optimized(sample["file"])
    fed = feeds(sample)
    true, before = truth(original, fed), run(original, fed)
    norms = [node for node in nodes_of(result) if node.op_type == "LayerNormalization"]
    for position in range(len(norms)):
        wrong = onnx.ModelProto()
        wrong.CopyFrom(result)
        node = [n for n in nodes_of(wrong) if n.op_type == "LayerNormalization"][position]
        epsilon = next(a for a in node.attribute if a.name == "epsilon")
        epsilon.f *= 1.5
        print(position, epsilon.f, worst_excess(true, before, run(wrong, fed)))
        assert worst_excess(true, before, run(wrong, fed)) > 1


def test_manifest_lists_just_the_files_there_are() -> None:
    assert sorted(sample["file"] for sample in SAMPLES) == sorted(
        str(path.relative_to(FOLDER)) for path in FOLDER.glob("samples/**/*") if path.is_file()
    )


@pytest.mark.parametrize("sample", every())
def test_file_is_the_one_in_the_manifest(sample: Sample) -> None:
    stored = path_of(sample).read_bytes()
    assert len(stored) == sample["bytes"] < 2_000_000
    assert hashlib.sha256(stored).hexdigest() == sample["sha256"]
    model = onnx.load_from_string(stored)
    assert [entry.version for entry in model.opset_import if not entry.domain] == [sample["opset"]]
    assert sum(1 for _ in nodes_of(model)) == sample["nodes"]
    assert [value.name for value in model.graph.input] == [described["name"] for described in sample["inputs"]]
