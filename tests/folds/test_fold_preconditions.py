"""Preconditions of folds: each that doesn't hold stops the fold, whatever the plan says."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest

from normgraph.evidence.preconditions import broken
from normgraph.folding.plan import FoldPlan
from normgraph.folding.plans import BACKWARD, plans_for
from normgraph.folding.preconditions import established_of_plan
from tests.core.surveyed import Surveyed, f32, surveyed

BODY = "h = Conv(x, w)  y = BatchNormalization(h, g, b, m, v)  z = Exp(y)  u = Exp(t)"
CONSTANTS = {
    "w": np.ones((2, 3, 1, 1), np.float32), "g": f32([1, 2]), "b": f32([0, 1]), "m": f32([0.5, 0]), "v": f32([1, 4]),
}  # fmt: skip


def planned() -> tuple[FoldPlan, Surveyed]:
    """A BatchNormalization behind a Conv, and the plan to fold it."""
    found = surveyed(
        BODY, "float[N, 3, 4, 4] x, float[2] t", outputs="float[N, 2, 4, 4] z, float[2] u", constants=CONSTANTS
    )
    (plan,) = [plan for plan in plans_for(BACKWARD, found.model.graph, found.facts) if isinstance(plan, FoldPlan)]
    return plan, found


def test_preconditions_of_a_right_fold_hold_and_are_told() -> None:
    plan, found = planned()
    told = established_of_plan(plan, found.facts)
    assert broken(told) is None
    assert [condition.rule for condition in told] == ["constants", "inference", "weights", "readers"]
    assert told[0].statement == "4 parameters and the weights are constants that no caller can change"
    assert "[2, 3, 1, 1]" in told[2].statement


def overridable_gain(plan: FoldPlan, found: Surveyed) -> FoldPlan:
    found.model.graph.inputs.append(found.values["g"])
    return plan


def fed_shift(plan: FoldPlan, found: Surveyed) -> FoldPlan:
    plan.affine.nodes[0].replace_input_with(2, found.values["u"])
    return plan


def overridable_weight(plan: FoldPlan, found: Surveyed) -> FoldPlan:
    found.model.graph.inputs.append(found.values["w"])
    return plan


def computed_weight(plan: FoldPlan, found: Surveyed) -> FoldPlan:
    (change,) = plan.changes
    change.linear.node.replace_input_with(1, found.values["u"])
    return plan


def fed_bias(plan: FoldPlan, found: Surveyed) -> FoldPlan:
    (change,) = plan.changes
    change.linear.node.resize_inputs(3)
    change.linear.node.replace_input_with(2, found.values["t"])
    return plan


def overridable_bias(plan: FoldPlan, found: Surveyed) -> FoldPlan:
    (change,) = plan.changes
    change.linear.node.resize_inputs(3)
    change.linear.node.replace_input_with(2, found.values["b"])
    found.model.graph.inputs.append(found.values["b"])
    plan.affine.nodes[0].replace_input_with(2, found.values["g"])
    return plan


def with_addition(plan: FoldPlan, *operands: ir.Value) -> FoldPlan:
    """The plan with an Add behind the operator that is its bias."""
    (change,), (region,) = plan.changes, plan.regions
    addition = ir.Node("", "Add", operands)
    changed = replace(change, linear=replace(change.linear, addition=addition))
    return replace(plan, changes=(changed,), regions=(replace(region, nodes=(*region.nodes, addition)),))


def fed_added_bias(plan: FoldPlan, found: Surveyed) -> FoldPlan:
    return with_addition(plan, found.values["h"], found.values["t"])


def training(plan: FoldPlan, found: Surveyed) -> FoldPlan:
    plan.affine.nodes[0].attributes["training_mode"] = ir.AttrInt64("training_mode", 1)
    return plan


def infinite(plan: FoldPlan, found: Surveyed) -> FoldPlan:
    (change,) = plan.changes
    return replace(plan, changes=(replace(change, bias=f32([np.inf, 0])),))


def of_another_type(plan: FoldPlan, found: Surveyed) -> FoldPlan:
    (change,) = plan.changes
    return replace(plan, changes=(replace(change, weight=change.weight.astype(np.float64)),))


def read_elsewhere(plan: FoldPlan, found: Surveyed) -> FoldPlan:
    reader = found.values["u"].producer()
    assert reader is not None
    reader.replace_input_with(0, found.values["h"])
    return plan


def read_by_another_shape(plan: FoldPlan, found: Surveyed) -> FoldPlan:
    reader = ir.Node("custom", "Shape", [found.values["h"]])
    found.model.graph.insert_after(found.values["u"].producer(), [reader])  # type: ignore[arg-type]
    return plan


def also_an_output(plan: FoldPlan, found: Surveyed) -> FoldPlan:
    found.model.graph.outputs.append(found.values["h"])
    return plan


BROKEN = [
    pytest.param(overridable_gain, "constants", "'g'", id="gain-overridable"),
    pytest.param(fed_shift, "constants", "'u', which BatchNormalization reads", id="shift-fed"),
    pytest.param(overridable_weight, "constants", "the weight 'w'", id="weight-overridable"),
    pytest.param(computed_weight, "constants", "the weight 'u'", id="weight-computed"),
    pytest.param(fed_bias, "constants", "the bias 't'", id="bias-fed"),
    pytest.param(overridable_bias, "constants", "the bias 'b'", id="bias-overridable"),
    pytest.param(fed_added_bias, "constants", "the bias 't'", id="added-bias-fed"),
    pytest.param(training, "inference", "training mode", id="training-mode"),
    pytest.param(infinite, "weights", "not be finite", id="not-finite"),
    pytest.param(of_another_type, "weights", "change its type", id="another-type"),
    pytest.param(read_elsewhere, "readers", "'h'", id="read-elsewhere"),
    pytest.param(read_by_another_shape, "readers", "'h'", id="read-by-a-shape-of-another-domain"),
    pytest.param(also_an_output, "readers", "'h'", id="an-output"),
]


@pytest.mark.parametrize(("change", "rule", "says"), BROKEN)
def test_precondition_that_does_not_hold_is_found(
    change: Callable[[FoldPlan, Surveyed], FoldPlan], rule: str, says: str
) -> None:
    plan, found = planned()
    told = established_of_plan(change(plan, found), found.facts)
    assert [condition.rule for condition in told if not condition.holds] == [rule]
    assert f"({rule})" in (broken(told) or "")
    assert says in (broken(told) or "")


def asked_for_its_shape(plan: FoldPlan, found: Surveyed) -> FoldPlan:
    reader = found.values["u"].producer()
    assert reader is not None
    found.model.graph.insert_after(reader, [ir.Node("", "Shape", [found.values["h"]])])
    return plan


def read_by_what_nothing_needs(plan: FoldPlan, found: Surveyed) -> FoldPlan:
    reader = found.values["u"].producer()
    assert reader is not None
    found.facts.dead.add(reader)
    return read_elsewhere(plan, found)


def of_a_copy(plan: FoldPlan, found: Surveyed) -> FoldPlan:
    (change,) = plan.changes
    return read_elsewhere(replace(plan, changes=(replace(change, copied=True),)), found)


def without_a_bias(plan: FoldPlan, found: Surveyed) -> FoldPlan:
    (change,) = plan.changes
    change.linear.node.resize_inputs(3)
    return replace(plan, changes=(replace(change, bias=None),))


def with_its_bias(plan: FoldPlan, found: Surveyed) -> FoldPlan:
    return with_addition(plan, found.values["b"], found.values["h"])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(asked_for_its_shape, id="only its shape is asked for"),
        pytest.param(read_by_what_nothing_needs, id="read by what nothing needs"),
        pytest.param(of_a_copy, id="a copy, whose original is read"),
        pytest.param(without_a_bias, id="a bias left out"),
        pytest.param(with_its_bias, id="a bias added behind it"),
    ],
)
def test_preconditions_hold_all_the_same(change: Callable[[FoldPlan, Surveyed], FoldPlan]) -> None:
    plan, found = planned()
    assert broken(established_of_plan(change(plan, found), found.facts)) is None
