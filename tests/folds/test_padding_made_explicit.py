"""How far a Conv pads by itself, and that a fold before it pads as far, where that can be known."""

import numpy as np
import onnx
import onnx.parser
import onnx.reference
import pytest
from onnx import numpy_helper

import normgraph


def model(automatic: str, stride: int, kernel: int, extent: str) -> onnx.ModelProto:
    """A shift of two before a Conv over one axis."""
    weight = ", ".join(str(i + 1) for i in range(kernel))
    return onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 17]>
        g (float[1, 1, {extent}] x) => (float[1, 1, M] y)
        <float[1] one = {{1.}}, float[1] two = {{2.}}, float[1] zero = {{0.}}, float[1, 1, {kernel}] w = {{{weight}}}>
        {{ h = BatchNormalization<epsilon = 0.>(x, one, two, zero, one)
          y = Conv<auto_pad = "{automatic}", strides = [{stride}]>(h, w) }}""")


@pytest.mark.parametrize(
    ("automatic", "stride", "kernel", "extent", "pads"),
    [
        pytest.param("SAME_UPPER", 1, 3, "W", (1, 1), id="dynamic"),
        pytest.param("SAME_UPPER", 1, 4, "W", (1, 2), id="dynamic, more at the end"),
        pytest.param("SAME_LOWER", 1, 4, "W", (2, 1), id="dynamic, more at the beginning"),
        pytest.param("SAME_UPPER", 2, 3, "224", (0, 1), id="an even size"),
        pytest.param("SAME_LOWER", 2, 3, "224", (1, 0), id="an even size, at the beginning"),
        pytest.param("SAME_UPPER", 2, 3, "7", (1, 1), id="an odd size"),
        pytest.param("SAME_UPPER", 3, 5, "8", (1, 2), id="an odd number of elements"),
        pytest.param("SAME_UPPER", 2, 5, "1", (2, 2), id="a single element"),
        pytest.param("SAME_UPPER", 2, 2, "6", None, id="nothing to pad"),
        pytest.param("SAME_UPPER", 1, 1, "W", None, id="pointwise"),
    ],
)
def test_padding_is_written_out(
    automatic: str, stride: int, kernel: int, extent: str, pads: tuple[int, int] | None
) -> None:
    original = model(automatic, stride, kernel, extent)
    result = normgraph.optimize(original)
    folded = result.to_proto()
    assert [node.op_type for node in folded.graph.node] == ([] if pads is None else ["Pad"]) + ["Conv"]
    assert [fold.status for fold in result.report.folds] == ["folded"]
    if pads is not None:
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in folded.graph.initializer}
        sizes, fill = (constants[name] for name in folded.graph.node[0].input[1:])
        assert sizes.tolist() == [0, 0, pads[0], 0, 0, pads[1]]
        assert float(fill) == -2.0
    extents = [int(extent)] if extent != "W" else [1, 2, 5]
    for size in extents:
        x = {"x": np.arange(size, dtype=np.float32).reshape(1, 1, size)}
        (before,), (after,) = (onnx.reference.ReferenceEvaluator(m).run(None, x) for m in (original, folded))
        np.testing.assert_allclose(after, before, rtol=1e-6)


@pytest.mark.parametrize("automatic", ["SAME_UPPER", "SAME_LOWER"])
def test_padding_that_depends_on_an_unknown_size_stays(automatic: str) -> None:
    result = normgraph.optimize(model(automatic, 2, 3, "W"))
    assert [node.op_type for node in result.to_proto().graph.node] == ["BatchNormalization", "Conv"]
    (fold,) = result.report.folds
    assert fold.rule == "padding"
    assert "a size that isn't known before it is run" in (fold.reason or "")
