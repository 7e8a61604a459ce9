"""The models of onnx's own backend tests that write a normalization out: fused, they give the stored results."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import onnx
import pytest
from onnx.backend.test.case import node
from onnx.backend.test.case.node import (
    groupnormalization,
    layernormalization,
    meanvariancenormalization,
    rmsnormalization,
)
from onnx.backend.test.case.test_case import TestCase

import normgraph
from tests.cases import Array
from tests.running import run

#: Where the cases stand, which adds them to onnx's list; asked for all operators, onnx takes six seconds.
MODULES = (groupnormalization, layernormalization, meanvariancenormalization, rmsnormalization)
#: What stands first in a case's name → the operator that its model writes out.
OPERATORS: Mapping[str, str] = {
    "test_group_normalization": "GroupNormalization",
    "test_layer_normalization": "LayerNormalization",
    "test_mvn": "MeanVarianceNormalization",
    "test_rms_normalization": "RMSNormalization",
}
OPSET = 23
#: Of these alone: other tests of the same process may have asked onnx for the cases of all operators.
CASES: tuple[TestCase, ...] = tuple(
    case for case in node._NodeTestCases if "_expanded" in case.name and case.name.startswith(tuple(OPERATORS))
)


def operator_of(case: TestCase) -> str:
    return next(operator for start, operator in OPERATORS.items() if case.name.startswith(start))


EVERY = [pytest.param(case, id=case.name) for case in CASES]


def results(case: TestCase, model: onnx.ModelProto) -> list[tuple[Array, Array]]:
    """What is stored and what a model gives, of every output of the case."""
    found = []
    for inputs, outputs in case.data_sets:
        fed = dict(zip([value.name for value in model.graph.input], map(np.asarray, inputs), strict=True))
        (answer,) = run(model, [fed])
        found += zip(map(np.asarray, outputs), answer.values(), strict=True)
    return found


def test_onnx_has_such_models_for_every_operator_with_a_body() -> None:
    assert Counter(map(operator_of, CASES)).keys() == set(OPERATORS.values())
    assert len(CASES) >= 61


@pytest.mark.parametrize("case", EVERY)
def test_model_is_fused(case: TestCase) -> None:
    result = normgraph.optimize(case.model, target="onnx", opset=max(OPSET, case.model.opset_import[0].version))
    (site,) = result.report.sites
    assert (site.kind, site.status) == (operator_of(case), "fused"), site.reason


@pytest.mark.parametrize("target", ["onnx", "onnxruntime"])
@pytest.mark.parametrize("case", EVERY)
def test_results_are_those_that_are_stored(case: TestCase, target: str) -> None:
    result = normgraph.optimize(case.model, target=target)
    model = result.to_proto()
    onnx.checker.check_model(model, full_check=True)
    for expected, found in results(case, model):
        np.testing.assert_allclose(found, expected, case.rtol, case.atol)


@pytest.mark.parametrize("operator", OPERATORS.values())
def test_comparison_notices_an_epsilon_that_is_off(operator: str) -> None:
    case = next(case for case in CASES if operator_of(case) == operator and "default" not in case.name)
    wrong = onnx.ModelProto()
    wrong.CopyFrom(case.model)
    epsilon = next(node for node in wrong.graph.node if node.op_type == "Constant" and "psilon" in node.output[0])
    tensor = epsilon.attribute[0].t
    tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) + np.float32(0.02)))
    assert any(not np.allclose(found, expected, case.rtol, case.atol) for expected, found in results(case, wrong))
