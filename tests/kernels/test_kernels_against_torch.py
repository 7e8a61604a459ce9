"""The kernels against PyTorch's functions in float64; where conventions differ, the test says how."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from normgraph.kernels.batch_normalization import batch_normalization, batch_normalization_training
from normgraph.kernels.convolution import convolution
from normgraph.kernels.gemm import gemm
from normgraph.kernels.group_normalization import group_normalization
from normgraph.kernels.instance_normalization import instance_normalization
from normgraph.kernels.layer_normalization import layer_normalization
from normgraph.kernels.lp_normalization import lp_normalization
from normgraph.kernels.precision import Array
from normgraph.kernels.rms_normalization import rms_normalization
from normgraph.kernels.transposed_convolution import transposed_convolution

pytestmark = pytest.mark.torch


def numbers(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).normal(1.0, 2.0, shape)


def torch_function(name: str, *operands: Any, **options: Any) -> Array:
    """A function of torch.nn.functional on arrays; anything else is handed on."""
    torch = pytest.importorskip("torch")
    tensors = (torch.from_numpy(o) if isinstance(o, np.ndarray) else o for o in operands)
    result: Array = getattr(torch.nn.functional, name)(*tensors, **options).numpy()
    return result


X, FOUR = numbers(3, 4, 5, 6), numbers(4)
WEIGHT, FLAT, MATRIX = numbers(6, 2, 3, 2), numbers(3, 7), numbers(5, 7)

CASES = [
    pytest.param(
        lambda: layer_normalization(X, numbers(5, 6), numbers(5, 6) + 1, axis=2, epsilon=1e-3),
        lambda: torch_function("layer_norm", X, (5, 6), numbers(5, 6), numbers(5, 6) + 1, 1e-3),
        id="layer_norm over two axes",
    ),
    pytest.param(
        lambda: rms_normalization(FLAT, numbers(7), epsilon=1e-3),
        lambda: torch_function("rms_norm", FLAT, (7,), numbers(7), 1e-3),
        id="rms_norm",
    ),
    pytest.param(
        lambda: group_normalization(X, FOUR, -FOUR, num_groups=2, epsilon=1e-3),
        lambda: torch_function("group_norm", X, 2, FOUR, -FOUR, 1e-3),
        id="group_norm",
    ),
    pytest.param(
        lambda: instance_normalization(X, FOUR, -FOUR, epsilon=1e-3),
        lambda: torch_function("instance_norm", X, None, None, FOUR, -FOUR, eps=1e-3),
        id="instance_norm",
    ),
    pytest.param(
        lambda: batch_normalization(X, FOUR, -FOUR, FOUR, FOUR**2, epsilon=1e-3),
        lambda: torch_function("batch_norm", X, FOUR, FOUR**2, FOUR, -FOUR, eps=1e-3),
        id="batch_norm with stored statistics",
    ),
    pytest.param(
        lambda: lp_normalization(X, axis=1),
        lambda: torch_function("normalize", X, p=2.0, dim=1, eps=0.0),
        id="normalize by length",
    ),
    pytest.param(
        lambda: lp_normalization(X, axis=-1, p=1),
        lambda: torch_function("normalize", X, p=1.0, dim=-1, eps=0.0),
        id="normalize by the sum of absolute values",
    ),
    pytest.param(
        lambda: convolution(X, WEIGHT, numbers(6), group=2, strides=[2, 1], pads=[1, 2, 1, 2], dilations=[1, 2]),
        lambda: torch_function(
            "conv2d", X, WEIGHT, numbers(6), groups=2, stride=(2, 1), padding=(1, 2), dilation=(1, 2)
        ),
        id="conv2d with groups",
    ),
    pytest.param(
        lambda: transposed_convolution(
            X,
            numbers(4, 3, 3, 2),
            numbers(6),
            group=2,
            strides=[3, 2],
            pads=[1, 0, 1, 0],
            output_padding=[2, 1],
        ),
        lambda: torch_function(
            "conv_transpose2d",
            X,
            numbers(4, 3, 3, 2),
            numbers(6),
            groups=2,
            stride=(3, 2),
            padding=(1, 0),
            output_padding=(2, 1),
        ),
        id="conv_transpose2d with groups",
    ),
    pytest.param(
        lambda: gemm(FLAT, MATRIX, numbers(5), transpose_b=True),
        lambda: torch_function("linear", FLAT, MATRIX, numbers(5)),
        id="linear",
    ),
]


@pytest.mark.parametrize(("kernel", "function"), CASES)
def test_pytorch_agrees(kernel: Callable[[], Array], function: Callable[[], Array]) -> None:
    np.testing.assert_allclose(kernel(), function(), rtol=1e-12, atol=1e-12)


def test_pytorch_moves_running_statistics_by_the_other_share_and_bessels_variance() -> None:
    torch = pytest.importorskip("torch")
    running_mean, running_variance = torch.from_numpy(FOUR.copy()), torch.from_numpy(FOUR**2)
    scale, bias = torch.from_numpy(FOUR), torch.from_numpy(-FOUR)
    y = torch.nn.functional.batch_norm(
        torch.from_numpy(X),
        running_mean,
        running_variance,
        scale,
        bias,
        training=True,
        momentum=0.25,
        eps=1e-3,
    )
    ours = batch_normalization_training(X, FOUR, -FOUR, FOUR, FOUR**2, epsilon=1e-3, momentum=0.75)
    np.testing.assert_allclose(ours.y, y.numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ours.running_mean, running_mean.numpy(), rtol=1e-12)
    count = X.size // 4
    population = (ours.running_variance - 0.75 * FOUR**2) / 0.25
    theirs = 0.75 * FOUR**2 + 0.25 * population * count / (count - 1)
    np.testing.assert_allclose(theirs, running_variance.numpy(), rtol=1e-12)
