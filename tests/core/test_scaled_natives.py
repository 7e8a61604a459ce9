"""Native norms that are scaled behind: what they add themselves is part of what they are taken for."""

import numpy as np
import pytest

from normgraph.coefficients import spread
from tests.core.surveyed import f32, surveyed

CONSTANTS = {"g": f32([1, 2, 3, 4]), "b": f32([5, 6, 7, 8]), "h": f32([2, 3, 4, 5])}


@pytest.mark.parametrize(
    ("nodes", "opset", "bias"),
    [
        pytest.param("n = LayerNormalization(x, g, b)  y = Mul(n, h)", 18, [10, 18, 28, 40], id="with a bias"),
        pytest.param("n = LayerNormalization(x, g)  y = Mul(n, h)", 18, None, id="without one"),
        pytest.param("n = RMSNormalization(x, g)  y = Mul(n, h)", 23, None, id="that has none"),
    ],
)
def test_bias_of_a_native_norm_is_scaled_with_it(nodes: str, opset: int, bias: list[float] | None) -> None:
    read = {name: array for name, array in CONSTANTS.items() if f", {name}" in nodes}
    (match,) = surveyed(nodes, "float[N, 4] x", opset=opset, constants=read).findings.matches
    found = match.norm.bias
    if bias is None:
        assert found == 0.0
    else:
        assert not isinstance(found, float)
        np.testing.assert_allclose(spread(found, found.axes), bias)
