"""Random chains compute after folding what they computed before, and no plan is ever refuted by its proof."""

from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import normgraph
from normgraph.evidence import Evidence
from normgraph.folding.proof import Prover
from tests.cases import Array
from tests.folds.random_chains import Chain
from tests.running import run

LENGTH = 7
COUNT = 40


def outputs(model: onnx.ModelProto) -> Array:
    x = np.random.default_rng(1).standard_normal((2, 4, 8, 8)).astype(np.float32)
    return run(model, [{"x": x}])[0][model.graph.output[0].name]


def chain(seed: int) -> onnx.ModelProto:
    found = Chain(seed)
    for _ in range(LENGTH):
        found.grow()
    return found.model()


@pytest.mark.parametrize("seed", range(COUNT))
def test_random_chain_stays_what_it_is(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    proofs: list[Evidence] = []

    prove = Prover.__call__

    def recorded(*arguments: Any) -> Evidence:
        proofs.append(prove(*arguments))
        return proofs[-1]

    monkeypatch.setattr(Prover, "__call__", recorded)
    original = chain(seed)
    onnx.checker.check_model(original, full_check=True)
    result = normgraph.optimize(original)
    folded = ir.to_proto(result.model)
    onnx.checker.check_model(folded, full_check=True)
    before, after = outputs(original), outputs(folded)
    assert np.max(np.abs(before - after)) <= 1e-4 * np.max(np.abs(before))
    assert len(folded.graph.node) <= len(original.graph.node)
    assert [proof.describe() for proof in proofs if not proof.accepted] == []


def test_chains_fold_in_every_way() -> None:
    reports = [normgraph.explain(chain(seed)) for seed in range(COUNT)]
    ways = Counter(fold.direction for report in reports for fold in report.folds if fold.rule == "not-folded")
    assert all(ways[way] >= 3 for way in ("backward", "forward", "parallel")), ways
