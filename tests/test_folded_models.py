"""The real exports of models/ with BatchNormalizations: each is folded, or kept for the reason the manifest gives."""

from collections import Counter
from collections.abc import Mapping

import pytest

from normgraph.inventory import Fold
from tests.samples import SAMPLES, Sample, name_of
from tests.test_models import has_scopes, optimized

# Why the manifest says that a BatchNormalization stays → the rule that normgraph gives.
RULES: Mapping[str, str] = {
    "nothing linear stands beside it": "no-neighbour",
    "what it reads is read elsewhere too, and nothing linear stands behind it": "inner-reader",
    "the convolution behind it pads with zeros, and what it reads is an input": "padding",
}


def stored(sample: Sample) -> list[Mapping[str, str]]:
    """The norms of a sample whose statistics are stored, but for those that the exporter has folded itself."""
    return [norm for norm in sample["norms"] if norm["statistics"] == "running" and norm["form"] != "folded"]


def with_norms() -> list[object]:
    """The samples that have such norms, as parameters."""
    return [pytest.param(sample, id=name_of(sample)) for sample in SAMPLES if stored(sample)]


def kept(sample: Sample) -> list[Fold]:
    return [fold for fold in optimized(sample["file"])[2].folds if fold.status == "kept"]


@pytest.mark.parametrize("sample", with_norms())
def test_every_batch_normalization_is_folded_but_for_those_that_must_stay(sample: Sample) -> None:
    original, result, report = optimized(sample["file"])
    folded = sum(fold.status == "folded" and fold.subject == "map" for fold in report.folds)
    expected = [norm for norm in stored(sample) if "kept" in norm]
    left = kept(sample)
    assert Counter(fold.rule for fold in left) == Counter(RULES[norm["kept"]] for norm in expected), left
    if has_scopes(sample):
        scopes = sorted(norm["scope"] for norm in expected)
        # TorchScript leaves a ModuleList's own name out.
        for name, scope in zip(sorted(fold.name for fold in left), scopes, strict=True):
            assert scope == name or scope.endswith(f".{name}") or not scope
    native = [node for node in result.graph.node if node.op_type == "BatchNormalization"]
    assert len(native) == len(expected)
    assert folded + len(expected) == len(stored(sample))
    assert len(result.graph.node) <= len(original.graph.node) - folded


@pytest.mark.parametrize("sample", with_norms())
def test_fold_names_the_node_it_went_into(sample: Sample) -> None:
    _, result, report = optimized(sample["file"])
    operators = {node.name: node.op_type for node in result.graph.node}
    for fold in report.folds:
        if fold.status == "folded":
            assert operators[fold.into or ""] in ("Conv", "ConvTranspose", "Gemm", "MatMul")
            assert fold.evidence is not None
            assert fold.evidence.accepted
