"""The real exports of models/: every normalization in them is found, fused, and computes what it did."""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest

import normgraph
from normgraph.inventory import Site
from normgraph.model_io import as_model
from normgraph.model_io.carried import to_proto
from normgraph.widening import nodes_of
from tests.cases import Array
from tests.running import error, run
from tests.samples import FOLDER, SAMPLES, Sample, feeds, name_of, path_of, truth


@dataclass(frozen=True)
class Operator:
    """What the default target makes of the decomposed norms of a kind.

    Attributes:
        since: the opset that the operator needs; a model of an earlier one is raised, unless "opset" is excused.
        excused: the rules for which a norm may be kept as it is.
    """

    since: int
    excused: tuple[str, ...] = ()


# The kinds that must be found in the samples, and what becomes of the decomposed ones.
KINDS: Mapping[str, Operator] = {
    "BatchNormalization": Operator(7),
    "GroupNormalization": Operator(6, ("already-best", "not-worth-it")),  # which doubles are not
    "InstanceNormalization": Operator(6),
    "LayerNormalization": Operator(17, ("not-worth-it",)),  # ONNX Runtime's is slower than the nodes for doubles
    "MeanVarianceNormalization": Operator(9, ("not-worth-it",)),  # ONNX Runtime's leaves the epsilon out
    # It becomes an RMSNormalization, unless its length is bounded or zero is kept, as by divide_no_nan.
    "LpNormalization": Operator(1, ("not-worth-it",)),
    "RMSNormalization": Operator(23, ("contrib", "epsilon-precision")),
}

# The norms that compute in float16 and so store epsilon in it; elsewhere it is stored in float32.
IN_HALF = ("reciprocal_root", "quotient", "gain_of_one_and_more", "squared_length", "sum_of_squares")
EPSILON_IN_HALF = frozenset(
    {("spellings_half", "all_half"), ("keras_half", "moments")}
    | {("rms_spellings_half", f"norms.{spelling}") for spelling in IN_HALF}
)
# Where an operator takes a gain or a bias that the norm hasn't got, exporters write ones or zeros, which no graph tells
# from trained ones; and a bias that the operator has no place for stays behind.
PARAMETERS_IN_GRAPH = {
    ("equinox_layers", "rms"): 16,
    ("equinox_layers", "without_bias"): 32,
    ("flax_nnx_layers", "without_bias"): 32,
    ("flax_nnx_layers", "without_scale"): 32,
}
# x/√(Σx² + ε) is n^(−½)·x/√(E[x²] + ε/n).
GUARDED = {"added to the power": "RMSNormalization"}
# What the manifest says of a near miss → the rule that normgraph names.
RULES = {
    "epsilon outside the square root, on the unbiased deviation": "epsilon-outside",
    "epsilon is added to the root mean square": "epsilon-outside",
}
# The exporter left no scope in the nodes of these, so that they are called by the output's name.
SCOPELESS = ("conditional_", "functions_")

# The fused operator rounds no more often than the nodes in its place, only elsewhere: its error may differ,
# but not by an order of magnitude. So the original's error, on the same inputs and against the same float64
# truth, is the yardstick; the floor is the rounding of an output itself, for originals that round well.
# In float32 that allows about 1e-6 of the largest output, in float16 about 5e-3; the usual 1e-4 would pass an
# epsilon that is off by as much.
FACTOR = 2.0
FLOOR_IN_ULPS = 4.0
EPS = {"bfloat16": 2.0**-7, "float16": 2.0**-10, "float32": 2.0**-23, "float64": 2.0**-52}
SENSITIVE = (
    "bert_torchscript_13",
    "vit_torchscript_13",
    "convnext_torchscript_13",
    "spellings_torchscript_13",
)

Geometry = tuple[tuple[int | None, bool], ...]


@dataclass(frozen=True)
class Found:
    """A normalization, as the manifest and as a report describe it."""

    kind: str
    epsilon: float
    parameters: int | None
    form: str
    statistics: str | None
    geometry: Geometry
    name: str


def every(samples: Sequence[Sample] = SAMPLES, gaps: Mapping[str, str] | None = None) -> list[object]:
    """The samples as parameters of a test, those of some architectures expected to fail."""
    marks = {name: pytest.mark.xfail(reason=reason, strict=True) for name, reason in (gaps or {}).items()}
    return [
        pytest.param(sample, id=name_of(sample), marks=[marks[a]] if (a := architecture_of(sample)) in marks else [])
        for sample in samples
    ]


def has_scopes(sample: Sample) -> bool:
    return "torch" in sample["versions"] and not name_of(sample).startswith(SCOPELESS)


@cache
def optimized(file: str) -> tuple[onnx.ModelProto, onnx.ModelProto, normgraph.Report]:
    """A sample, what becomes of it, and the report."""
    result = normgraph.optimize(FOLDER / file)
    return onnx.load(FOLDER / file), result.to_proto(), result.report


@cache
def explained(file: str) -> normgraph.Report:
    """What is said of a sample."""
    return normgraph.explain(FOLDER / file)


def geometry(shape: tuple[int | str | None, ...], axes: tuple[int, ...]) -> Geometry:
    """Each dimension's size, None where dynamic, and whether the statistics run over it."""
    return tuple((s if isinstance(s, int) else None, i in axes) for i, s in enumerate(shape))


def wanted(sample: Sample) -> list[Found]:
    """The norms that must be found in a sample."""
    return in_order(
        Found(
            kind_of(sample, norm),
            epsilon_of(sample, norm),
            PARAMETERS_IN_GRAPH.get((architecture_of(sample), norm["scope"]), norm["parameters"]),
            norm["form"],
            norm["statistics"],
            geometry(norm["shape"], axes_of(norm)),
            norm["scope"],
        )
        for norm in sample["norms"]
        if norm["form"] not in ("affine", "folded")
    )


def kind_of(sample: Sample, norm: Mapping[str, Any]) -> str:
    """The operator as which a norm is listed: for the default target, a unit length is an RMSNormalization."""
    if norm["kind"] == "LpNormalization" and "guard" not in norm:
        return "RMSNormalization"
    return GUARDED.get(norm.get("guard"), norm["kind"])


def axes_of(norm: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(axis % len(norm["shape"]) for axis in norm["axes"])


def epsilon_of(sample: Sample, norm: Mapping[str, Any]) -> float:
    """The epsilon of the operator that computes the norm, as the graph stores it."""
    if (architecture_of(sample), norm["scope"]) in EPSILON_IN_HALF:
        return float(np.float16(norm["epsilon"]))
    if norm.get("guard") == "added to the power":
        return norm["epsilon"] / math.prod(norm["shape"][axis] for axis in axes_of(norm))
    return float(norm["epsilon"])


def architecture_of(sample: Sample) -> str:
    """The sample's name without its exporter and opset."""
    return name_of(sample).partition("_" + sample["exporter"].partition("-")[0])[0]


def listed(report: normgraph.Report) -> list[Found]:
    """The norms that a report lists."""
    return in_order(
        Found(
            site.kind or "",
            site.epsilon or 0.0,
            site.parameters,
            "native" if site.status == "native" else "decomposed",
            site.statistics,
            geometry(site.shape or (), site.axes),
            site.name,
        )
        for site in report.sites
        if site.kind is not None and not is_affine_map(site)
    )


def is_affine_map(site: Site) -> bool:
    """Whether the site is what is left of a BatchNormalization that the exporter computed into gain and bias."""
    return site.kind == "BatchNormalization" and (site.status != "native" or site.epsilon == 0.0)


def in_order(found: Iterable[Found]) -> list[Found]:
    return sorted(found, key=lambda norm: (norm.kind, norm.epsilon, norm.parameters or 0))


@pytest.mark.parametrize("sample", every())
def test_explain_lists_just_the_norms_that_the_model_has(sample: Sample) -> None:
    found, expected = listed(explained(sample["file"])), wanted(sample)
    assert [(f.kind, f.form) for f in found] == [(e.kind, e.form) for e in expected]
    np.testing.assert_allclose([f.epsilon for f in found], [e.epsilon for e in expected], rtol=1e-6, atol=0)
    for norm, described in zip(found, expected, strict=True):
        assert norm.statistics == described.statistics
        bare = norm.form == "native" and described.parameters == 0  # an operator may need ones and zeros
        assert bare or norm.parameters == described.parameters
        # The norm's input may have been permuted in the graph: its dimensions then stand in another order.
        if [size for size, _ in norm.geometry] == [size for size, _ in described.geometry]:
            assert norm.geometry == described.geometry
        else:
            assert Counter(norm.geometry) == Counter(described.geometry)


@pytest.mark.parametrize("sample", every([s for s in SAMPLES if has_scopes(s)]))
def test_norm_is_called_by_its_name_in_pytorch(sample: Sample) -> None:
    for norm, described in zip(listed(explained(sample["file"])), wanted(sample), strict=True):
        # TorchScript leaves a ModuleList's own name out.
        assert described.name == norm.name or described.name.endswith(f".{norm.name}") or not described.name


@pytest.mark.parametrize("sample", every())
def test_near_misses_are_named_and_left_alone(sample: Sample) -> None:
    _, result, report = optimized(sample["file"])
    rules = sorted(site.rule or "" for site in report.sites if site.status == "near_miss")
    assert rules == sorted(RULES[miss["near_miss"]] for miss in sample["near_misses"])
    kept = {name for node in nodes_of(result) for name in node.output}
    assert all(site.output in kept for site in report.sites if site.status == "near_miss")


@pytest.mark.parametrize("sample", every())
def test_decomposed_norms_are_fused_where_the_target_gains(sample: Sample) -> None:
    _, result, report = optimized(sample["file"])
    decomposed = [s for s in report.sites if s.status in ("fused", "kept") and not is_affine_map(s)]
    assert len(decomposed) == sum(norm.form == "decomposed" for norm in wanted(sample))
    for site in decomposed:
        assert site.status == "fused" or site.rule in KINDS[site.kind or ""].excused, site.reason
    onnx.checker.check_model(result, full_check=True)
    after = max([sample["opset"], *(KINDS[kind].since for kind in report.kinds("fused"))])
    assert [entry.version for entry in result.opset_import if not entry.domain] == [after]
    assert (report.opset.before, report.opset.after) == (sample["opset"], after)


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
    if not report.changed:
        assert result == to_proto(as_model(original))  # which spells out a few things
    stored = {tensor.name: tensor for tensor in original.graph.initializer}
    for tensor in result.graph.initializer:
        assert tensor == stored.get(tensor.name, tensor)


@pytest.mark.parametrize("sample", every())
def test_result_is_as_close_to_the_truth_as_the_original(sample: Sample) -> None:
    original, result, report = optimized(sample["file"])
    fed = feeds(sample)
    before, after = run(original, fed), run(result, fed)
    if not report.changed:
        assert all(np.array_equal(a[name], b[name]) for a, b in zip(before, after, strict=True) for name in a)
        return
    worst = worst_excess(truth(original, fed), before, after)
    assert worst <= 1, f"the error is {worst:.2g} times what is allowed"


def worst_excess(true: list[dict[str, Array]], before: list[dict[str, Array]], after: list[dict[str, Array]]) -> float:
    """The largest ratio of the result's error to what is allowed; infinite where shapes or types differ."""
    excess = [0.0]
    for exact, old, new in zip(true, before, after, strict=True):
        assert exact.keys() == old.keys() == new.keys()
        for name, array in exact.items():
            if (old[name].shape, old[name].dtype) != (new[name].shape, new[name].dtype):
                return float("inf")
            if array.dtype.kind != "f":
                excess.append(0.0 if np.array_equal(old[name], new[name]) else float("inf"))
                continue
            floor = FLOOR_IN_ULPS * EPS[old[name].dtype.name]
            excess.append(error(new[name], array) / (FACTOR * error(old[name], array) + floor))
    return max(excess)


@pytest.mark.parametrize("sample", every([s for s in SAMPLES if name_of(s) in SENSITIVE]))
def test_comparison_notices_an_epsilon_that_is_off_by_a_ten_thousandth(sample: Sample) -> None:
    original, result, _ = optimized(sample["file"])
    fed = feeds(sample)
    true, before = truth(original, fed), run(original, fed)
    for position in range(len(norms_in(result))):
        wrong = onnx.ModelProto()
        wrong.CopyFrom(result)
        epsilon = next(a for a in norms_in(wrong)[position].attribute if a.name == "epsilon")
        epsilon.f += 1e-4
        assert worst_excess(true, before, run(wrong, fed)) > 1


def norms_in(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in nodes_of(model) if node.op_type == "LayerNormalization"]


def test_manifest_lists_just_the_files_there_are() -> None:
    assert sorted(sample["file"] for sample in SAMPLES) == sorted(
        str(path.relative_to(FOLDER))
        for path in FOLDER.glob("samples/**/*")
        if path.is_file() and not path.name.endswith(".opt.onnx")
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
