"""What is made to feed a model fits its signature, is within range, and is the same every time."""

from collections.abc import Mapping

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from normgraph.cli.options import shared
from normgraph.errors import BadModelError, UsageError
from normgraph.feeds import FAMILIES, Feeding, Signature, draw, feeds_for, made, signature_of, size_candidates
from normgraph.model_io import load
from tests.samples import SAMPLES, name_of, path_of

HEADER = '<ir_version: 9, opset_import: ["" : 17, "com.microsoft" : 1]>'


def signature(body: str, inputs: str, constants: str = "") -> Signature:
    text = f"{HEADER} example ({inputs}) => (y) <{constants}> {{ {body} }}"
    return signature_of(ir.from_proto(onnx.parser.parse_model(text)))


TABLE = "float[5, 2] table = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, int64 two = {2}, int64 one = {1}, float unit = {1}"

INDICES = [
    pytest.param("y = Gather(table, i)", "int64[B, 50] i", 0, 4, id="embedding"),
    pytest.param("a = Cast<to=7>(i) y = Gather(table, a)", "int32[B, 50] i", 0, 4, id="through-a-cast"),
    pytest.param("a = Cast<to=7>(i) y = Gather(table, a)", "float[B, 50] i", 0, 4, id="ids-that-come-as-floats"),
    pytest.param("a = Flatten(i) y = Gather(table, a)", "int64[B, 50] i", 0, 4, id="through-a-reshape"),
    pytest.param("a = Add(i, two) y = Gather(table, a)", "int64[B, 50] i", 0, 2, id="shifted-positions"),
    pytest.param("a = Add(two, i) y = Gather(table, a)", "int64[B, 50] i", 0, 2, id="shifted-positions-swapped"),
    pytest.param("a = Sub(i, one) y = Gather(table, a)", "int64[B, 50] i", 1, 5, id="counted-from-one"),
    pytest.param("y = Gather<axis=1>(table, i)", "int64[B, 50] i", 0, 1, id="along-an-axis"),
    pytest.param("y = GatherElements<axis=1>(table, i)", "int64[5, 50] i", 0, 1, id="elements"),
    pytest.param("y = GatherND(table, i)", "int64[B, 50, 2] i", 0, 1, id="several-dimensions-at-once"),
    pytest.param("y = OneHot(i, two, z)", "int64[B, 50] i, float[2] z", 0, 1, id="one-hot"),
    pytest.param("a = Gather(table, i) b = Gather<axis=1>(table, i) y = MatMul(a, b)", "int64[50] i", 0, 1,
                 id="two-tables"),
    pytest.param("a = Equal(i, one) b = Gather(table, i) y = Identity(b)", "int64[B, 50] i", 0, 4,
                 id="compared-with-padding-too"),
    pytest.param("y = Gather(x, i)", "float[N, 2] x, int64[50] i", 0, 1, id="into-a-dynamic-dimension"),
    pytest.param("y = Cast<to=1>(i)", "uint8[B, 999] i", 0, 255, id="pixels-of-eight-bits"),
    pytest.param("y = Cast<to=1>(i)", "int64[B, 999] i", 0, 9, id="of-no-known-use"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "inputs", "low", "high"), INDICES)
def test_integers_stay_within_what_their_use_admits(body: str, inputs: str, low: int, high: int) -> None:
    found = signature(body, inputs, TABLE)
    sizes = next(iter(size_candidates(found)))
    array = made(found, sizes).arrays["i"].astype(np.int64)
    assert (array.min(), array.max()) == (low, high)


MASKS = [
    pytest.param("a = Cast<to=9>(i) y = Not(a)", "i", id="made-a-boolean"),
    pytest.param("a = Cast<to=1>(i) y = Sub(unit, a)", "i", id="subtracted-from-one"),
    pytest.param("y = Equal(i, one)", "i", id="compared-with-one"),
    pytest.param("y = Cast<to=1>(i)", "padding_mask", id="by-its-name"),
]


@pytest.mark.parametrize(("body", "name"), MASKS)
def test_masks_are_ones_with_zeros_behind_them(body: str, name: str) -> None:
    found = signature(body.replace("(i", f"({name}"), f"int64[B, 30] {name}", TABLE)
    array = made(found, {"B": 9}).arrays[name]
    assert set(np.unique(array)) == {0, 1}
    assert np.all(np.diff(array, axis=1) <= 0)
    assert np.all(array[:, 0] == 1)
    assert np.all(array[0] == 1)


FIXED = [
    pytest.param("y = Reshape(x, i)", "float[B, 3, 4] x, int64[2] i", [0, -1], id="reshape-to-fewer"),
    pytest.param("y = Reshape(x, i)", "float[B, 3] x, int64[4] i", [0, -1, 1, 1], id="reshape-to-more"),
    pytest.param("y = Expand(x, i)", "float[B, 3] x, int64[2] i", [1, 1], id="expand"),
    pytest.param("y = Tile(x, i)", "float[B, 3] x, int64[2] i", [1, 1], id="tile"),
    pytest.param("y = Unsqueeze(x, i)", "float[B, 3] x, int64[2] i", [0, 1], id="unsqueeze"),
    pytest.param("y = Slice(x, i, j, k)", "float[B, 3] x, int64[2] i, int64[2] j, int64[2] k", [0, 0], id="slice"),
    pytest.param("y, z = TopK(x, i)", "float[B, 3] x, int64[1] i", [1], id="top-k"),
    pytest.param("y = Resize(x, r, i)", "float[B, 3] x, float[4] r, float[2] i", [1, 1], id="resize-by-scales"),
    pytest.param("y = Resize(x, , , i)", "float[B, 3] x, int64[2] i", [2, 3], id="resize-to-sizes"),
    pytest.param("a = Cast<to=7>(i) y = ConstantOfShape(a)", "int32[2] i", [2, 3], id="constant-of-shape"),
    pytest.param("y, z = Split<axis=1>(x, i)", "float[B, 6] x, int64[2] i", [3, 3], id="split"),
]


@pytest.mark.parametrize(("body", "inputs", "expected"), FIXED)
def test_shapes_and_their_like_leave_tensors_as_they_are(body: str, inputs: str, expected: list[int]) -> None:
    found = signature(body, inputs)
    feed = made(found, {"B": 2})
    assert feed.arrays["i"].reshape(-1).tolist() == expected
    model = onnx.parser.parse_model(f"{HEADER} example ({inputs}) => (y) {{ {body} }}")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    session.run(None, dict(feed.arrays))


@pytest.mark.parametrize("sample", SAMPLES, ids=name_of)
def test_every_sample_runs_on_what_is_made_for_it(sample: Mapping[str, object]) -> None:
    path = path_of(sample)
    found = signature_of(load(path))
    if any(item.dtype is ir.DataType.BFLOAT16 for item in found.inputs):
        pytest.skip("NumPy's arrays can't feed ONNX Runtime bfloat16")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    for feed in feeds_for(found, Feeding()):
        session.run(None, dict(feed.arrays))


def test_defaults_are_not_fed() -> None:
    model = onnx.parser.parse_model(
        f"{HEADER} example (float[2] x, float[2] w) => (float[2] y) <float[2] w = {{1, 2}}> {{ y = Add(x, w) }}"
    )
    assert [item.name for item in signature_of(ir.from_proto(model)).inputs] == ["x"]


def test_what_reads_an_input_is_seen_within_functions() -> None:
    model = onnx.parser.parse_model(
        f'{HEADER[:-1]}, "local" : 1]>'.replace("]]", "]").replace("],", ",")
        + " example (int64[9] i) => (y) { y = local.pick(i) }"
        '<domain: "local", opset_import: ["" : 17]> pick (i) => (y) '
        "{ t = Constant<value = float[3] {1, 2, 3}>() y = Gather(t, i) }"
    )
    assert signature_of(ir.from_proto(model)).inputs[0].values.role == "index"


def test_same_recipe_gives_the_same_numbers() -> None:
    found = signature("y = Add(x, z)", "float[B, 3] x, float[B, 3] z")
    one, same, other = (made(found, {"B": 2}, family="offset 10", seed=seed) for seed in (3, 3, 4))
    assert one.recipe is not None
    again = made(found, one.recipe.sizes, family=one.recipe.family, seed=one.recipe.seed)
    for feed in (same, again):
        assert all(np.array_equal(one.arrays[name], feed.arrays[name]) for name in one.arrays)
    assert not np.array_equal(one.arrays["x"], other.arrays["x"])
    assert not np.array_equal(one.arrays["x"], one.arrays["z"])
    assert one.label == "offset 10, seed 3, B=2"


SIZES = [
    pytest.param("float[B, S] x", {"B": 8}, {"B": 8, "S": 7}, id="one-given"),
    pytest.param("float[?, S] x", {"x.0": 8}, {"x.0": 8, "S": 7}, id="dimension-without-a-name"),
    pytest.param("float[B, C, H, W] x", {}, {"B": 2, "C": 32, "H": 32, "W": 32}, id="image"),
    pytest.param("float[B, S] x, float[B, T] z", {}, {"B": 2, "S": 7, "T": 9}, id="sizes-differ"),
]  # fmt: skip


@pytest.mark.parametrize(("inputs", "given", "expected"), SIZES)
def test_sizes_are_as_given_or_likely(inputs: str, given: dict[str, int], expected: dict[str, int]) -> None:
    assert next(iter(size_candidates(signature("y = Shape(x)", inputs), given))) == expected


def test_sizes_that_are_arithmetic_on_others_are_computed() -> None:
    model = onnx.parser.parse_model(f"{HEADER} example (float[B, P] x, float[B, S] z) => (y) {{ y = Shape(x) }}")
    model.graph.input[1].type.tensor_type.shape.dim[1].dim_param = "P + 2*Q"
    found = list(size_candidates(signature_of(ir.from_proto(model)), {"Q": 5}))
    assert all(sizes["P + 2*Q"] == sizes["P"] + 10 for sizes in found)
    first, second = found[:2]
    assert first["B"] != second["B"]
    assert first["P"] != second["P"]


def test_sizes_at_which_a_model_does_not_run_are_passed_over() -> None:
    found = signature("y = Shape(x)", "float[B, S] x")
    feeds = feeds_for(found, Feeding(sizes=2), lambda feed: feed.arrays["x"].shape[1] >= 16)
    assert [feed.arrays["x"].shape for feed in feeds] == [(3, 16), (2, 64)]
    with pytest.raises(UsageError, match=r"doesn't run at any size.*B, S"):
        feeds_for(found, Feeding(), lambda feed: False)


REFUSED = [
    pytest.param("y = Shape(x)", "string[2] x", {}, "type STRING can't be made", id="text"),
    pytest.param("y = Shape(x)", "float[B] x", {"A": 2}, "'A' isn't one.*dimensions are: B", id="no-such-dimension"),
    pytest.param("y = Shape(x)", "float[2] x", {"A": 2}, "dimensions are: none", id="no-dynamic-dimensions"),
]


@pytest.mark.parametrize(("body", "inputs", "dims", "message"), REFUSED)
def test_what_cannot_be_made_is_said(body: str, inputs: str, dims: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        feeds_for(signature(body, inputs), Feeding(dims=dims))


def test_minus_one_is_a_size_of_no_name() -> None:
    model = ir.from_proto(onnx.parser.parse_model(f"{HEADER} example (float[B, 3] x) => (y) {{ y = Relu(x) }}"))
    model.graph.inputs[0].shape = ir.Shape([-1, 3])
    assert signature_of(model).inputs[0].dims == ("x.0", 3)


def test_input_of_unknown_rank_is_refused() -> None:
    model = onnx.parser.parse_model(f"{HEADER} example (float[2] x) => (y) {{ y = Shape(x) }}")
    model.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(BadModelError, match="'x' is none"):
        signature_of(ir.from_proto(model))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
@pytest.mark.parametrize("family", FAMILIES)
def test_families_are_finite_and_of_the_type(family: str, dtype: type[np.generic]) -> None:
    x = draw(family, (2, 3, 4), (2,), np.dtype(dtype), (0,))
    assert (x.shape, x.dtype) == ((2, 3, 4), np.dtype(dtype))
    assert np.isfinite(x.astype(np.float64)).all()


def test_families_are_what_their_names_say() -> None:
    half = np.dtype(np.float16)
    drawn = {name: draw(name, (4, 64), (1,), half, (1,)).astype(np.float64) for name in FAMILIES}
    assert np.all(drawn["constant rows"] == drawn["constant rows"][:, :1])
    assert 6000 < np.abs(drawn["largest"]).max() <= 65504 / 10
    assert 0 < np.abs(drawn["subnormal"]).max() < 6.1e-5
    assert abs(drawn["offset 10000"].mean() - 10000) < 10
    assert drawn["tiny variance"].std() < 2e-3


def test_command_line_offers_every_family() -> None:
    assert set(FAMILIES) == set(shared.FAMILIES)


@pytest.mark.parametrize("size", [10**11, 10**20], ids=["more than memory", "more than can be counted"])
def test_inputs_larger_than_memory_are_explained(size: int) -> None:
    found = signature_of(
        ir.from_onnx_text(
            '<ir_version: 8, opset_import: ["" : 17]> g (float[N, 64] x) => (float[N, 64] y) { y = Exp(x) }'
        )
    )
    with pytest.raises(UsageError, match=f"'x' of {size}×64 elements doesn't: g; take smaller sizes"):
        made(found, {"N": size})
