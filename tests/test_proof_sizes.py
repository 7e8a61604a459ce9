"""Proofs are tried at sizes as small as the region permits, so that they cost little on large tensors."""

import numpy as np
import onnx
import pytest

import normgraph
from normgraph.evidence import SMALL

LAYER_NORM = """
    mean = ReduceMean<axes = [-1]>({x})
    centred = Sub({x}, mean)
    squared = Mul(centred, centred)
    variance = ReduceMean<axes = [-1]>(squared)
    shifted = Add(variance, epsilon)
    deviation = Sqrt(shifted)
    {y} = Div(centred, deviation)
"""
# The size of the batch stands in constants between the base tensor and the norm's output.
RESHAPED = f"""
    rows = Reshape(x, {{rows}})
    {LAYER_NORM.format(x="rows", y="normalized")}
    y = Reshape(normalized, {{shape}})
"""


def trials(shape: str, body: str) -> list[tuple[int, ...]]:
    """The sizes at which the one norm of a model was proven."""
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> test (float[{shape}] x) => (float[{shape}] y)'
        f"<float epsilon = {{1e-5}}> {{ {body} }}"
    )
    (site,) = normgraph.optimize(model).report.sites
    assert site.status == "fused"
    assert site.evidence is not None
    return [trial.shape for trial in site.evidence.trials]


@pytest.mark.parametrize(
    ("shape", "body", "extents"),
    [
        pytest.param("64, 512, 768", LAYER_NORM.format(x="x", y="y"), {(SMALL, SMALL + 1, 768)}, id="static"),
        pytest.param("2, 3, 768", LAYER_NORM.format(x="x", y="y"), {(2, 3, 768)}, id="small already"),
        pytest.param(
            "B, 512, 768", LAYER_NORM.format(x="x", y="y"), {(2, 5, 768), (1, 5, 768), (0, 5, 768)}, id="dynamic batch"
        ),
    ],
)
def test_rows_are_tried_few(shape: str, body: str, extents: set[tuple[int, ...]]) -> None:
    assert set(trials(shape, body)) == extents


@pytest.mark.parametrize(
    ("rows", "shape"),
    [
        pytest.param("[24, 16]", "[6, 4, 16]", id="the sizes themselves"),
        pytest.param("[-1, 16]", "[6, 4, 16]", id="only on the way back"),
    ],
)
def test_sizes_that_a_constant_names_are_kept(rows: str, shape: str) -> None:
    constants = "rows_shape = Constant<value_ints = {}>() shape = Constant<value_ints = {}>()"
    body = constants.format(rows, shape) + RESHAPED.format(rows="rows_shape", shape="shape")
    assert {extents[:2] for extents in trials("6, 4, 16", body)} <= {(6, 4), (24, 16)}


@pytest.mark.parametrize("batch", [pytest.param("1", id="static"), pytest.param("N", id="dynamic batch")])
def test_images_are_tried_small(batch: str) -> None:
    random = np.random.default_rng(3)
    tensors = {
        "w": random.standard_normal((6, 3, 3, 3)),
        **{name: random.standard_normal(6) for name in ("gain", "bias", "mean")},
        "variance": random.random(6) + 0.5,
    }
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> test (float[{batch}, 3, 224, 224] x) => '
        f"(float[{batch}, 6, 224, 224] y)"
        "{ c = Conv<pads = [1, 1, 1, 1]>(x, w) y = BatchNormalization(c, gain, bias, mean, variance) }"
    )
    for name, array in tensors.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    (fold,) = normgraph.optimize(model).report.folds
    assert fold.status == "folded"
    assert fold.evidence is not None
    assert max(extent for trial in fold.evidence.trials for extent in trial.shape) < 12


def test_branches_side_by_side_are_tried_no_larger_than_one() -> None:
    random = np.random.default_rng(3)
    branches = " ".join(f"b{i} = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(x, w{i})" for i in range(4))
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> test (float[N, 3, 112, 112] x) => (float[N, 6, 56, 56] y)'
        f"{{ {branches} s = Add(b0, b1) t = Add(s, b2) y = Add(t, b3) }}"
    )
    for i in range(4):
        array = random.standard_normal((6, 3, 3, 3)).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, f"w{i}"))
    result = normgraph.optimize(model)
    assert [node.op_type for node in result.model.graph] == ["Conv"]
    shapes = {trial.shape for fold in result.report.folds if fold.evidence for trial in fold.evidence.trials}
    assert {batch for batch, *_ in shapes} == {0, 1, 2}
    assert max(extent for shape in shapes for extent in shape) < 12


def proven(
    attributes: str, kernel: tuple[int, int], shape: str = "N, 4, 224, 224"
) -> list[tuple[str, tuple[int, ...]]]:
    """What the fold behind a convolution was tried at: families and shapes."""
    random = np.random.default_rng(3)
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> test (float[{shape}] x) => (float[a, b, c, d] y)'
        f"{{ c = Conv{attributes}(x, w) y = BatchNormalization(c, gain, bias, mean, variance) }}"
    )
    tensors = {"w": random.standard_normal((6, 4, *kernel)), "variance": random.random(6) + 0.5}
    for name, array in (tensors | {name: random.standard_normal(6) for name in ("gain", "bias", "mean")}).items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    (fold,) = normgraph.optimize(model).report.folds
    assert fold.status == "folded", fold.reason
    assert fold.evidence is not None
    return [(trial.family, trial.shape) for trial in fold.evidence.trials]


@pytest.mark.parametrize(
    ("attributes", "kernel", "extents"),
    [
        pytest.param("", (1, 1), (2, 3), id="pointwise: two neighbours"),
        pytest.param("", (3, 3), (4, 5), id="no padding: two neighbours"),
        pytest.param("<pads=[1, 1, 1, 1]>", (3, 3), (3, 4), id="padding: either border and between"),
        pytest.param("<pads=[1, 1, 1, 1], strides=[2, 2]>", (3, 3), (5, 6), id="strides"),
        pytest.param("<pads=[2, 2, 2, 2], dilations=[2, 2]>", (3, 3), (5, 6), id="dilations"),
        pytest.param("<pads=[3, 3, 3, 3], strides=[2, 2]>", (7, 7), (8, 9), id="a wide window"),
        pytest.param("<auto_pad=\"SAME_UPPER\">", (3, 3), (3, 4), id="automatic padding"),
        pytest.param("<pads=[0, 3, 0, 3]>", (1, 7), (7, 8), id="wide along one axis"),
    ],
)  # fmt: skip
def test_fold_is_tried_where_windows_reach_over_either_border_and_not(
    attributes: str, kernel: tuple[int, int], extents: tuple[int, int]
) -> None:
    tried = proven(attributes, kernel)
    assert {shape[2:] for _, shape in tried} == {extents}
    families = ["normal", "offset 100", "offset 10000", "large magnitude", "subnormal"]
    assert [family for family, shape in tried if shape[0] == 2] == families
    assert [family for family, shape in tried if shape[0] == 1] == families[:2]
    assert [family for family, shape in tried if shape[0] == 0] == families[:1]


def test_fold_is_never_tried_larger_than_it_stands() -> None:
    assert {shape for _, shape in proven("<pads=[3, 3, 3, 3]>", (7, 7), "1, 4, 2, 9")} == {(1, 4, 2, 8)}


def test_image_as_wide_as_there_are_channels_is_tried_small() -> None:
    assert {shape[2:] for _, shape in proven("", (1, 1), "N, 4, 6, 4")} == {(2, 3)}


def test_channels_that_stand_last_keep_their_number() -> None:
    body = "m = Mul(x, k) t = Transpose<perm = [0, 3, 1, 2]>(m) y = Conv(t, w)"
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> test (float[N, 8, 4, 4] x) => (float[N, 6, 8, 4] y) {{ {body} }}'
    )
    for name, shape in (("w", (6, 4, 1, 1)), ("k", (4,))):
        array = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    (fold,) = normgraph.optimize(model).report.folds
    assert fold.evidence is not None
    assert {trial.shape[3] for trial in fold.evidence.trials} == {4}
