"""Groups and instances by way of another operator: for each type one that ONNX Runtime has and that is better."""

from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest

from normgraph.axes import Size
from normgraph.diagnosis import Shortfall
from normgraph.evidence import OnceEach, prove
from normgraph.lowering import lower
from normgraph.match import Match
from normgraph.targets import demand
from tests.core.surveyed import Surveyed, f32
from tests.core.test_lowering import X, matched, standardized

TYPES: dict[str, tuple[ir.DataType, Any]] = {
    "float": (ir.DataType.FLOAT, np.float32),
    "float16": (ir.DataType.FLOAT16, np.float16),
    "bfloat16": (ir.DataType.BFLOAT16, ml_dtypes.bfloat16),
    "double": (ir.DataType.DOUBLE, np.float64),
}
GROUPED = f"r = Reshape(x, rows)  {standardized('inner', 'r')}  k = Reshape(n, images)"
SPATIAL = standardized("two")
#: Six channels in three groups of two, as `rows` says, over two dimensions of space.
AFFINE_GROUPS = f"{GROUPED}  a = Mul(k, gcol)  y = Add(a, bcol)"
AFFINE_INSTANCES = f"{SPATIAL}  a = Mul(n, gcol)  y = Add(a, bcol)"
DYNAMIC = "[N, 6, H, W] x"
DYNAMIC_GROUPS = "f = Shape(x)  " + AFFINE_GROUPS.replace("rows)", "unsized)").replace("images)", "f)")
MOVED = "t = Transpose<perm=[0, 3, 1, 2]>(x)  {}  y = Transpose<perm=[0, 2, 3, 1]>(z)"
BY_INSTANCE = "Shape Reshape InstanceNormalization Reshape"
BY_LAYER = "Shape Reshape LayerNormalization Reshape"


def typed(nodes: str, dtype: str, shape: str) -> tuple[Match, Surveyed]:
    """The one normalization in these nodes, all of it in one type."""
    kind = TYPES[dtype][1]
    constants = {
        "eps": np.asarray(1e-3, np.float32).astype(kind),  # a double's has to be a float32 number
        "gcol": f32([1, 2, 3, 4, -5, 6]).reshape(6, 1, 1).astype(kind),
        "bcol": f32([3, 2, 1, -4, 5, 6]).reshape(6, 1, 1).astype(kind),
        "g5": np.arange(1.0, 6.0).astype(kind),
        "unsized": [0, 3, 2, -1, 1],
        "parts": [3, 2, 5, 3, 2],
        "all": [1, 2, 4],
        "whole": [3, 2, 5, 6],
        "last_gain": f32([1, 2, 3, 4, -5, 6]).astype(kind),
    }
    return matched(nodes, dtype + shape, 23, **constants)


HITS = [
    pytest.param(AFFINE_GROUPS, "float16", X[5:], f"{BY_INSTANCE} Mul Add", id="groups-float16"),
    pytest.param(AFFINE_GROUPS, "bfloat16", X[5:], BY_LAYER, id="groups-bfloat16"),
    pytest.param(GROUPED.replace("k =", "y ="), "float16", X[5:], BY_INSTANCE, id="plain-groups-float16"),
    pytest.param(GROUPED.replace("k =", "y ="), "bfloat16", X[5:], BY_LAYER, id="plain-groups-bfloat16"),
    pytest.param(DYNAMIC_GROUPS, "float16", DYNAMIC, f"{BY_INSTANCE} Mul Add", id="groups-of-unknown-size-float16"),
    pytest.param(DYNAMIC_GROUPS, "bfloat16", DYNAMIC, BY_LAYER, id="groups-of-unknown-size-bfloat16"),
    pytest.param(AFFINE_INSTANCES, "float16", X[5:], "InstanceNormalization", id="instances-float16"),
    pytest.param(AFFINE_INSTANCES, "bfloat16", X[5:], "LayerNormalization", id="instances-bfloat16"),
    pytest.param(AFFINE_INSTANCES, "bfloat16", DYNAMIC, "LayerNormalization", id="instances-of-unknown-size-bfloat16"),
    pytest.param(
        MOVED.format(standardized("two", "t") + "  a = Mul(n, gcol)  z = Add(a, bcol)"), "bfloat16", "[N, 2, 5, 6] x",
        "LayerNormalization Transpose", id="instances-with-channels-last",
    ),
    pytest.param(SPATIAL.replace("n =", "y ="), "float16", DYNAMIC, "InstanceNormalization", id="plain-float16"),
    pytest.param(
        f"r = Reshape(x, parts)  {standardized('all', 'r')}  k = Reshape(n, whole)  y = Mul(k, last_gain)",
        "float16", "[3, 2, 5, 6] x",
        "Transpose Shape Reshape InstanceNormalization Reshape Mul Transpose", id="groups-with-channels-last",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "dtype", "shape", "operators"), HITS)
def test_each_type_gets_what_the_runtime_has_for_it(nodes: str, dtype: str, shape: str, operators: str) -> None:
    match, found = typed(nodes, dtype, shape)
    asked = demand("onnxruntime")
    replacements = lower(match, TYPES[dtype][0], asked)
    assert not isinstance(replacements, Shortfall)
    assert [step.operator for step in replacements[0].steps] == operators.split()
    evidence = prove(match, replacements[0], asked.target, found.facts, OnceEach())
    assert evidence.accepted, evidence.describe()


KEPT = [
    pytest.param(AFFINE_GROUPS, "[N, 6, 2, 5] x", "digits", id="groups"),
    pytest.param(AFFINE_INSTANCES, "[N, 6, 2, 5] x", "digits", id="instances"),
    pytest.param(SPATIAL.replace("n =", "y ="), "[N, 6, 2, 5] x", "speed", id="plain-instances"),
    pytest.param(f"{standardized('last')}  y = Mul(n, g5)", "[N, 6, 2, 5] x", "speed", id="layers"),
]


@pytest.mark.parametrize(("nodes", "shape", "said"), KEPT)
def test_doubles_stay_in_nodes_which_are_faster_or_more_accurate(nodes: str, shape: str, said: str) -> None:
    match, _ = typed(nodes, "double", shape)
    found = lower(match, ir.DataType.DOUBLE, demand("onnxruntime"))
    assert isinstance(found, Shortfall)
    assert found.rule == "not-worth-it"
    assert said in found.reason
    assert not isinstance(lower(match, ir.DataType.DOUBLE, demand("onnx")), Shortfall)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sizes_that_are_known_are_written_out(dtype: str) -> None:
    match, _ = typed(AFFINE_GROUPS, dtype, "[3, 6, 2, 5] x")
    replacements = lower(match, TYPES[dtype][0], demand("onnxruntime"))
    assert isinstance(replacements, tuple)
    assert -1 not in replacements[0].constants["grouped_shape"]  # which has no meaning for an empty batch


#: A spelling, its inputs, and what another norm has instead of what was recognised.
UNFIT: list[Any] = [
    pytest.param(AFFINE_GROUPS, X[5:], {"epsilon": 1e60}, "epsilon-precision", id="epsilon-of-groups"),
    pytest.param(AFFINE_GROUPS, X[5:], {"gain": 1e60}, "parameter-range", id="gain-of-groups"),
    pytest.param(AFFINE_INSTANCES, X[5:], {"epsilon": 1e60}, "epsilon-precision", id="epsilon-of-instances"),
    pytest.param(AFFINE_INSTANCES, X[5:], {"gain": 1e60}, "parameter-range", id="gain-of-instances"),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(("nodes", "shape", "change", "rule"), UNFIT)
def test_what_the_operators_cannot_express_is_told(
    nodes: str, shape: str, change: dict[str, Any], rule: str, dtype: str
) -> None:
    match, _ = typed(nodes, dtype, shape)
    changed = replace(match, norm=replace(match.norm, **change))
    found = lower(changed, TYPES[dtype][0], demand("onnxruntime"))
    assert isinstance(found, Shortfall)
    assert found.rule == rule


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_number_of_groups_has_to_be_known(dtype: str) -> None:
    match, _ = typed(GROUPED.replace("k =", "y ="), dtype, "[3, 6, 2, 5] x")
    groups, inner = match.layout[1]
    layout = (match.layout[0], (replace(groups, size=Size(1, ("G",))), inner), *match.layout[2:])
    found = lower(replace(match, layout=layout, output_layout=layout), TYPES[dtype][0], demand("onnxruntime"))
    assert isinstance(found, Shortfall)
    assert found.rule == "dynamic-axis"


def test_groups_that_stand_as_the_best_already_stay() -> None:
    nodes = "r = Reshape(x, three)  i = InstanceNormalization(r, ones, zeros)  y = Reshape(i, images)"
    constants = {"three": [0, 3, -1], "ones": f32([1, 1, 1]), "zeros": f32([0, 0, 0])}
    match, _ = matched(nodes, "float[3, 6, 2, 5] x", 23, **constants)
    found = lower(match, ir.DataType.FLOAT, demand("onnxruntime"))
    assert isinstance(found, Shortfall)
    assert found.rule == "already-best"
