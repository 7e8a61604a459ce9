"""Preconditions: each is established on the graph, and each that doesn't hold stops the proof by itself."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest

from normgraph.axes import Size
from normgraph.evidence import prove
from normgraph.evidence.preconditions import broken, established_of_match
from normgraph.lowering import Replacement, Step
from normgraph.match import Match
from normgraph.targets import TARGETS
from tests.core.surveyed import Surveyed, surveyed
from tests.core.test_evidence import CONSTANTS, NORM, lowered, matched, with_attribute, with_constant

RULES = ("form", "type", "constants", "shape", "readers", "epsilon", "parameters", "operator")


def test_preconditions_of_a_right_rewrite_hold_and_are_told() -> None:
    match, found = matched()
    told = established_of_match(match, lowered(match, found), 18, found.facts)
    assert tuple(condition.rule for condition in told) == RULES
    assert broken(told) is None
    statements = {condition.rule: condition.statement for condition in told}
    assert (
        statements["form"] == "its polynomial is that of the reference kernel of LayerNormalization over dimensions [1]"
    )
    assert statements["epsilon"].startswith("epsilon is 9.99999975e-06 within the root")
    assert statements["parameters"] == "parameters of the input's type: scale [4], bias [4]"
    assert statements["operator"] == "LayerNormalization of opset 17 takes float"


def redirected(match: Match, found: Surveyed, replacement: Replacement) -> tuple[Match, Replacement]:
    """The last node reads an inner value, and is taken for one that only asks for its shape."""
    inner, outer = match.nodes[2].outputs[0], found.values["z"].producer()
    assert outer is not None
    outer.replace_input_with(0, inner)
    return replace(match, shape_readers=(outer,)), replacement


def redirected_to_another_domain(match: Match, found: Surveyed, replacement: Replacement) -> tuple[Match, Replacement]:
    """What another domain calls Shape is taken to ask for the shape alone."""
    asking = ir.node("Shape", [match.nodes[2].outputs[0]], domain="custom")
    found.model.graph.append(asking)
    return replace(match, shape_readers=(asking,)), replacement


def of_another_shape_within(match: Match, found: Surveyed, replacement: Replacement) -> tuple[Match, Replacement]:
    """What asks for the shape of the mean is taken to ask for that of the input."""
    mean = match.nodes[0].outputs[0]
    asking = ir.node("Shape", [mean])
    found.model.graph.append(asking)
    return replace(match, shape_readers=(asking,)), replacement


def made_overridable(match: Match, found: Surveyed, replacement: Replacement) -> tuple[Match, Replacement]:
    found.model.graph.inputs.append(found.values["g"])
    return match, replacement


def made_dynamic(match: Match, found: Surveyed, replacement: Replacement) -> tuple[Match, Replacement]:
    node = match.nodes[-1]
    node.replace_input_with(1, found.values["w"])
    return match, replacement


def of_another_type(match: Match, found: Surveyed, replacement: Replacement) -> tuple[Match, Replacement]:
    match.output.dtype = None
    found.facts.dtypes[match.output] = found.values["last"].dtype  # type: ignore[assignment]
    return match, replacement


def of_another_shape(match: Match, found: Surveyed, replacement: Replacement) -> tuple[Match, Replacement]:
    found.facts.shapes[match.output] = (Size(1, ("N",)), Size(5))
    return match, replacement


def of_another_kind(match: Match, found: Surveyed, replacement: Replacement) -> tuple[Match, Replacement]:
    return match, replace(replacement, kind="GroupNormalization")


def with_another_epsilon(match: Match, found: Surveyed, replacement: Replacement) -> tuple[Match, Replacement]:
    return match, with_attribute(replacement, "epsilon", 1.00001e-5)


def with_doubles(match: Match, found: Surveyed, replacement: Replacement) -> tuple[Match, Replacement]:
    scale = replacement.constants["scale"].astype(np.float64)
    return match, replace(replacement, constants={**replacement.constants, "scale": scale})


def by_an_operator_that_is_not_there(
    match: Match, found: Surveyed, replacement: Replacement
) -> tuple[Match, Replacement]:
    return match, replace(replacement, steps=(Step("RMSNormalization", ("x", "scale"), "y"),))


BROKEN = [
    pytest.param(redirected, "readers", id="reader-of-elements-taken-for-one-of-shapes"),
    pytest.param(redirected_to_another_domain, "readers", id="reader-of-another-domain"),
    pytest.param(of_another_shape_within, "readers", id="reader-of-another-shape"),
    pytest.param(made_overridable, "constants", id="parameter-overridable"),
    pytest.param(made_dynamic, "constants", id="parameter-dynamic"),
    pytest.param(of_another_type, "type", id="type"),
    pytest.param(of_another_shape, "shape", id="shape"),
    pytest.param(of_another_kind, "form", id="kind"),
    pytest.param(with_another_epsilon, "epsilon", id="epsilon"),
    pytest.param(with_doubles, "parameters", id="type-of-a-parameter"),
    pytest.param(by_an_operator_that_is_not_there, "operator", id="operator-of-a-later-opset"),
]
Change = Callable[[Match, Surveyed, Replacement], tuple[Match, Replacement]]


@pytest.mark.parametrize(("change", "rule"), BROKEN)
def test_precondition_that_does_not_hold_stops_the_proof(change: Change, rule: str) -> None:
    """The match is taken for granted, and the graph or the replacement then changed behind its back."""
    found = surveyed(
        f"{NORM}  w = Exp(u)  z = Exp(y)", "float[N, 4] x, float[4] u", outputs="float[N, 4] z", constants=CONSTANTS
    )
    (match,) = found.findings.matches
    match, replacement = change(match, found, lowered(match, found))
    evidence = prove(match, replacement, TARGETS["onnxruntime"], found.facts)
    assert not evidence.accepted
    assert evidence.trials == ()
    assert [condition.rule for condition in evidence.preconditions if not condition.holds] == [rule]
    assert f"({rule})" in evidence.describe()


GIVEN = """
    m = ReduceMean(x, last)  d = Sub(x, m)  q = Mul(d, d)  v = ReduceMean(q, last)  e = Add(v, eps)  s = Sqrt(e)
    h = Sigmoid(u)  k = Div(h, s)  n = Mul(d, k)  o = Exp(w)  y = Sub(n, beta)"""


def given() -> tuple[Match, Surveyed, Replacement]:
    """A norm whose gain h is computed from what is fed, and another tensor o of its shape beside it."""
    constants = {**CONSTANTS, "beta": np.arange(4, dtype=np.float32)}
    inputs = "float[N, 4] x, float[M, 4] u, float[M, 4] w"
    found = surveyed(GIVEN, inputs, outputs="float[N, 4] y, float[M, 4] o", constants=constants)
    (match,) = found.findings.matches
    return match, found, lowered(match, found)


def test_gain_known_at_run_time_is_told() -> None:
    match, found, replacement = given()
    told = established_of_match(match, replacement, 18, found.facts)
    assert broken(told) is None
    statements = [condition.statement for condition in told if condition.rule == "operands"]
    assert statements == [
        "'h', known at run time only, is of the input's type and broadcasts from [M, 4] behind the norm"
    ]
    assert [step.operator for step in replacement.steps] == ["LayerNormalization", "Mul", "Add"]
    assert prove(match, replacement, TARGETS["onnxruntime"], found.facts).accepted


def computed_from_within(match: Match, found: Surveyed, replacement: Replacement) -> tuple[Match, Replacement]:
    found.values["h"].producer().replace_input_with(0, found.values["d"])  # type: ignore[union-attr]
    return match, replacement


def read_by_another_shape(match: Match, found: Surveyed, replacement: Replacement) -> tuple[Match, Replacement]:
    """What another domain calls Shape may read elements."""
    reader = found.values["h"].producer()
    assert reader is not None
    asking = ir.node("Shape", [found.values["d"]], domain="custom")
    found.model.graph.insert_before(reader, [asking])
    reader.replace_input_with(0, asking.outputs[0])
    return match, replacement


def captured_from_within(match: Match, found: Surveyed, replacement: Replacement) -> tuple[Match, Replacement]:
    inner = ir.node("Identity", [found.values["d"]])
    body = ir.Graph([], inner.outputs, nodes=[inner], name="body")
    found.values["h"].producer().attributes["body"] = ir.AttrGraph("body", body)  # type: ignore[union-attr]
    return match, replacement


def of_a_larger_shape(match: Match, found: Surveyed, replacement: Replacement) -> tuple[Match, Replacement]:
    found.facts.shapes[found.values["h"]] = (Size(1, ("M",)), Size(5))
    return match, replacement


def of_an_unknown_shape(match: Match, found: Surveyed, replacement: Replacement) -> tuple[Match, Replacement]:
    del found.facts.shapes[found.values["h"]]
    return match, replacement


def of_the_type_of_shapes(match: Match, found: Surveyed, replacement: Replacement) -> tuple[Match, Replacement]:
    found.values["h"].dtype = ir.DataType.INT64
    return match, replacement


def by_another_tensor(match: Match, found: Surveyed, replacement: Replacement) -> tuple[Match, Replacement]:
    return match, replace(replacement, operands=dict.fromkeys(replacement.operands, found.values["o"]))


BROKEN_GAINS = [
    pytest.param(computed_from_within, id="computed-from-what-is-replaced"),
    pytest.param(read_by_another_shape, id="computed-by-a-shape-of-another-domain"),
    pytest.param(captured_from_within, id="captures-what-is-replaced"),
    pytest.param(of_a_larger_shape, id="larger"),
    pytest.param(of_an_unknown_shape, id="of-unknown-shape"),
    pytest.param(of_the_type_of_shapes, id="of-another-type"),
    pytest.param(by_another_tensor, id="another-tensor"),
]


@pytest.mark.parametrize("change", BROKEN_GAINS)
def test_precondition_of_a_gain_that_does_not_hold_stops_the_proof(change: Change) -> None:
    match, found, replacement = given()
    match, replacement = change(match, found, replacement)
    evidence = prove(match, replacement, TARGETS["onnxruntime"], found.facts)
    assert not evidence.accepted
    assert evidence.trials == ()
    assert "operands" in [condition.rule for condition in evidence.preconditions if not condition.holds]


def with_swapped(replacement: Replacement, operator: str, other: str) -> Replacement:
    """The replacement with another operator in the place of one."""
    steps = tuple(replace(step, operator=other) if step.operator == operator else step for step in replacement.steps)
    return replace(replacement, steps=steps)


WRONG = [
    pytest.param(lambda r: with_swapped(r, "Add", "Sub"), id="shift-subtracted"),
    pytest.param(lambda r: with_swapped(r, "Mul", "Add"), id="gain-added"),
    pytest.param(lambda r: with_constant(r, "shift", lambda a: a + np.float32(1e-3)), id="another-shift"),
]


@pytest.mark.parametrize("target", ["onnxruntime", "tensorrt"])
@pytest.mark.parametrize("wrong", WRONG)
def test_gain_that_is_applied_wrongly_fails_the_proof(wrong: Callable[[Replacement], Replacement], target: str) -> None:
    match, found, replacement = given()
    assert prove(match, replacement, TARGETS[target], found.facts).accepted
    evidence = prove(match, wrong(replacement), TARGETS[target], found.facts)
    assert broken(evidence.preconditions) is None
    assert not evidence.accepted


def test_values_that_are_needed_outside_stay() -> None:
    found = surveyed(
        f"{NORM}  z = Exp(n)", "float[N, 4] x", outputs="float[N, 4] y, float[N, 4] z, float[N, 1] v",
        constants=CONSTANTS,
    )  # fmt: skip
    matches = [match for match in found.findings.matches if match.output.name == "y"]
    told = [established_of_match(match, lowered(match, found), 18, found.facts) for match in matches]
    assert [broken(conditions) for conditions in told] == [None]
    statements = {condition.rule: condition.statement for condition in told[0]}
    assert statements["readers"] == "2 values within are needed outside as well, and stay"


def test_unchanged_parameters_are_no_obstacle() -> None:
    match, found = matched()
    same = with_constant(lowered(match, found), "scale", lambda g: g)
    assert prove(match, same, TARGETS["onnxruntime"], found.facts).accepted
