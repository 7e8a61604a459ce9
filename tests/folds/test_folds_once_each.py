"""Of folds that are written alike one is tried on everything, and each is tried with the weights that it puts in."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

import normgraph
from normgraph.diagnosis import Shortfall
from normgraph.evidence import Evidence, Experiment, Modelled
from normgraph.evidence.structure import runners_of
from normgraph.execution import one_thread, runner_of
from normgraph.extraction import cut_out, original_fragment
from normgraph.folding import plans
from normgraph.folding.alone import folded_alone
from normgraph.folding.carrying import WEIGHED, Carrier
from normgraph.folding.linear import Linear
from normgraph.folding.linear_operator import Weights
from normgraph.folding.plan import FoldPlan
from normgraph.folding.plans import BACKWARD, plans_for
from normgraph.folding.precision import rounded
from normgraph.folding.proof import FAMILIES_OF_FOLDS, Prover
from tests.core.surveyed import known, model

Array = npt.NDArray[Any]
LAYER = "h{i} = Conv<pads=[1, 1, 1, 1]>({x}, w{i})  n{i} = BatchNormalization({h}, g{i}, b{i}, m{i}, v{i})  "
END = "r{i} = Relu(n{i})  "


def layer(text: str = LAYER) -> str:
    """A layer and the activation behind it, which keeps folds apart."""
    return text.replace("{h}", "h{i}") + END


def stacked(
    layers: list[str],
    *,
    widths: tuple[int, ...] = (4, 4, 4),
    kernel: tuple[int, ...] = (3, 3),
    factors: tuple[float, ...] = (1.0, 1.0),
    dtype: str = "float32",
    constants: Mapping[str, Array] | None = None,
) -> onnx.ModelProto:
    """Layers one behind the other, each with weights of its own.

    Args:
        layers: the layers' texts.
        widths: the channels between them.
        kernel: the extent of the kernels.
        factors: by how much the gains of each are larger.
        dtype: the type of all.
        constants: what is given in place of random numbers.
    """
    random = np.random.default_rng(0)
    found: dict[str, Array] = {}
    for i, _ in enumerate(layers):
        before, after = widths[i : i + 2]
        found[f"w{i}"] = random.standard_normal((after, before, *kernel)) / np.sqrt(before * np.prod(kernel))
        found[f"g{i}"] = factors[i] * (1 + random.random(after))
        found[f"b{i}"], found[f"m{i}"] = 1 + random.random((2, after))
        found[f"v{i}"] = 1 + random.random(after)
        found[f"c{i}"] = 1 + random.random(after)
    found |= constants or {}
    nodes = "".join(text.format(i=i, x=f"r{i - 1}" if i else "x") for i, text in enumerate(layers))
    named = {"float32": "float", "float16": "float16"}[dtype]
    shape = "8, 8" if kernel else ""
    dims = f"N, {widths[0]}, {shape}" if shape else f"N, {widths[0]}"
    used = {name: np.asarray(a, dtype) for name, a in found.items() if f"{name})" in nodes or f"{name}," in nodes}
    return model(nodes, f"{named}[{dims}] x", constants=used)


SAME, EPSILON = layer(), layer(LAYER.replace("BatchNormalization", "BatchNormalization<epsilon=0.001>"))
DENSE = layer("h{i} = Gemm<transB=1>({x}, w{i}, c{i})  n{i} = BatchNormalization({h}, g{i}, b{i}, m{i}, v{i})  ")
PRODUCT = layer("h{i} = MatMul({x}, w{i})  n{i} = BatchNormalization({h}, g{i}, b{i}, m{i}, v{i})  ")
WRITTEN = layer("h{i} = Conv({x}, w{i})  s{i} = Mul({h}, k{i})  n{i} = Add(s{i}, d{i})  ")
LINE = np.linspace(1, 2, 4).reshape(4, 1, 1)
MAPS = {"k0": LINE, "k1": LINE * 1.5, "d0": LINE * 2, "d1": LINE / 2}
GROUPS = layer(LAYER.replace("<", "<group=2, ", 1))
ONCE = [
    pytest.param(stacked([SAME, SAME]), id="other-weights"),
    pytest.param(stacked([SAME, SAME], widths=(4, 6, 3)), id="other-numbers-of-channels"),
    pytest.param(stacked([SAME, EPSILON]), id="another-epsilon"),
    pytest.param(stacked([SAME, SAME], factors=(1.0, 7.0)), id="seven-times-as-large"),
    pytest.param(stacked([DENSE, DENSE], kernel=()), id="gemm"),
    pytest.param(stacked([PRODUCT, PRODUCT], kernel=()), id="product"),
    pytest.param(stacked([WRITTEN, WRITTEN], constants=MAPS), id="spelled-out"),
    pytest.param(
        stacked([layer(LAYER.replace("Conv<", "ConvTranspose<"))] * 2, widths=(4, 4, 4)), id="transposed-convolution"
    ),
]
TWICE = [
    pytest.param(stacked([SAME, layer(LAYER.replace("pads=[1, 1, 1, 1]", "pads=[1, 1, 0, 0]"))]), id="other-pads"),
    pytest.param(stacked([SAME, layer(LAYER.replace("<", "<strides=[2, 2], ", 1))]), id="other-strides"),
    pytest.param(stacked([SAME, layer(LAYER.replace("w{i})", "w{i}, c{i})"))]), id="a-bias"),
    pytest.param(
        stacked([SAME, SAME], constants={"w1": np.ones((4, 4, 1, 1)) + np.eye(4)[..., None, None]}), id="another-kernel"
    ),
    pytest.param(
        stacked([SAME, layer(LAYER.replace("<", "<group=2, ", 1))], constants={"w1": np.ones((4, 2, 3, 3)) / 9}),
        id="groups",
    ),
    pytest.param(stacked([SAME, SAME], factors=(1.0, 40.0)), id="forty-times-as-large"),
    pytest.param(stacked([SAME, SAME], dtype="float16"), id="half-precision"),
]


@pytest.mark.parametrize(
    ("network", "full", "again"),
    [pytest.param(*p.values, 1, 1, id=p.id) for p in ONCE] + [pytest.param(*p.values, 2, 0, id=p.id) for p in TWICE],
)
def test_folds_that_differ_in_their_weights_alone_are_tried_on_everything_once(
    network: onnx.ModelProto, full: int, again: int, made: dict[str, int]
) -> None:
    report = normgraph.optimize(network).report
    assert [fold.status for fold in report.folds] == ["folded", "folded"]
    assert made == {"full": full, "again": again}


def test_few_trials_are_told_as_few() -> None:
    first, second = (fold.evidence for fold in normgraph.optimize(stacked([SAME, SAME])).report.folds)
    assert first is not None
    assert second is not None
    assert first.alike is None
    assert [trial.family for trial in first.trials[:5]] == [f for f in FAMILIES_OF_FOLDS if f != "largest"]
    assert second.alike == "n0"
    worst = first.worst
    assert worst is not None
    assert {trial.family for trial in second.trials} == {"normal", "subnormal", worst.family}
    assert len(second.trials) < len(first.trials)


Mistake = Callable[[Array, Array, float], tuple[Array, Array]]


def proofs(network: onnx.ModelProto, mistake: Mistake, slight: float, position: int = 1) -> list[Evidence]:
    """The evidence of all folds of a model, with a mistake in the weight and bias that one of them puts in."""
    found, prover = known(network), Prover()
    found_plans = [plan for plan in plans_for(BACKWARD, found.model.graph, found.facts) if isinstance(plan, FoldPlan)]
    (right,) = found_plans[position].changes
    assert right.bias is not None
    weight, bias = mistake(right.weight.astype(np.float64), right.bias.astype(np.float64), slight)
    wrong = replace(right, weight=weight.astype(right.weight.dtype), bias=bias.astype(right.bias.dtype))
    found_plans[position] = replace(found_plans[position], changes=(wrong,))
    with one_thread():
        return [prover(plan, plan.regions[0], found.facts) for plan in found_plans]


def at(position: int, array: Array) -> Array:
    """One at a position of an array's numbers, else nothing."""
    return (np.arange(array.size) == position).reshape(array.shape) * 1.0


#: The least mistake that is sure to be beyond rounding in a type.
SLIGHT = {"float32": 1e-3, "float16": 5e-2}
WRONG = [
    pytest.param(lambda w, b, e: (w * (1 + e * at(1, w[:, :1, :1, :1])), b), id="scale-of-a-channel"),
    pytest.param(lambda w, b, e: (w * (1 - 2 * at(1, w[:, :1, :1, :1])), b), id="sign-of-a-channel"),
    pytest.param(lambda w, b, e: (w.swapaxes(0, 1), b), id="channels-transposed"),
    pytest.param(lambda w, b, e: (w.swapaxes(2, 3), b), id="kernel-transposed"),
    pytest.param(lambda w, b, e: (w[:, :, ::-1], b), id="kernel-reversed"),
    pytest.param(lambda w, b, e: (w[::-1], b), id="channels-reversed"),
    pytest.param(lambda w, b, e: (w + e * at(7, w), b), id="one-weight-a-little-off"),
    pytest.param(lambda w, b, e: (w * (1 - at(5, w)), b), id="one-weight-missing"),
    pytest.param(lambda w, b, e: (w * np.nan, b), id="not-a-number"),
    pytest.param(lambda w, b, e: (w, b * 0), id="bias-missing"),
    pytest.param(lambda w, b, e: (w, -b), id="sign-of-the-bias"),
    pytest.param(lambda w, b, e: (w, b[::-1]), id="bias-reversed"),
    pytest.param(lambda w, b, e: (w, b + e * at(2, b)), id="one-bias-a-little-off"),
]


@pytest.mark.parametrize("dtype", SLIGHT)
@pytest.mark.parametrize("mistake", WRONG)
def test_wrong_weights_are_not_proven_by_those_of_another(mistake: Mistake, dtype: str) -> None:
    first, second = proofs(stacked([SAME, SAME], dtype=dtype), mistake, SLIGHT[dtype])
    assert first.accepted, first.describe()
    assert not second.accepted
    assert second.alike is None


@pytest.mark.parametrize("dtype", SLIGHT)
def test_right_weights_are_proven(dtype: str) -> None:
    first, second = proofs(stacked([SAME, SAME], dtype=dtype), lambda w, b, _: (w, b), 0.0)
    assert first.accepted
    assert second.accepted
    assert second.alike == ("n0" if dtype == "float32" else None)


def test_what_failed_vouches_for_nothing() -> None:
    first, second = proofs(stacked([SAME, SAME]), lambda w, b, _: (w * 1.01, b), 0.0, position=0)
    assert not first.accepted
    assert second.accepted
    assert second.alike is None


@pytest.mark.parametrize("dtype", SLIGHT)
def test_wrong_fold_is_not_made(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong_in_the_second(linear: Linear, weights: Weights) -> tuple[Array, Array | None] | Shortfall:
        found = rounded(linear, weights)
        name = linear.node.inputs[1].name if linear.node.inputs[1] is not None else None
        if isinstance(found, Shortfall) or name != "w1":
            return found
        return found[0] + (SLIGHT[dtype] * at(7, found[0])).astype(found[0].dtype), found[1]

    monkeypatch.setattr(plans, "rounded", wrong_in_the_second)
    report = normgraph.optimize(stacked([SAME, SAME], dtype=dtype)).report
    assert {fold.output: (fold.status, fold.rule) for fold in report.folds} == {
        "n0": ("folded", None),
        "n1": ("kept", "proof-failed"),
    }


@pytest.mark.parametrize("network", ONCE)
def test_weights_that_are_fed_make_no_difference(network: onnx.ModelProto) -> None:
    """Not in a bit, neither to the region nor to what replaces it."""
    found = known(network)
    plan = next(p for p in plans_for(BACKWARD, found.model.graph, found.facts) if isinstance(p, FoldPlan))
    fed, nodes = cut_out(plan.regions[0], found.facts, WEIGHED)
    stored = original_fragment(plan.regions[0], found.facts)
    before = Experiment(fed, require(Carrier()(plan, fed, nodes)), (), ())
    after = replace(before, original=stored, candidate=require(Carrier()(plan, stored, nodes)))
    assert before.original.constants
    assert before.candidate.fragment.constants
    x = np.random.default_rng(1).standard_normal((2, 4, *(8, 8)[: 2 * (fed.inputs[0][2][2:] != ())])).astype(np.float32)
    one, other = runners_of(before), runners_of(after)
    assert one.before({"x": x}).tobytes() == other.before({"x": x}).tobytes()
    assert one.after({"x": x}).tobytes() == other.after({"x": x}).tobytes()
    double = {"x": x.astype(np.float64)}
    assert one.truth(double).tobytes() == other.truth(double).tobytes()
    assert one.after({"x": x}).tobytes() == runner_of(folded_alone(stored, BACKWARD).fragment.model)({"x": x}).tobytes()


def require(candidate: Modelled | None) -> Modelled:
    """What is there."""
    assert candidate is not None
    return candidate
