"""What a kernel's rules allow although it is unusual: it is computed."""

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
from normgraph.kernels.mean_variance_normalization import mean_variance_normalization
from normgraph.kernels.rms_normalization import rms_normalization
from normgraph.kernels.transposed_convolution import transposed_convolution


def ones(*shape: int, dtype: Any = np.float32) -> Any:
    return np.ones(shape, dtype)


ALLOWED = [
    pytest.param(lambda: layer_normalization(ones(2, 3), axis=-2), (2, 3), id="layer: the least axis"),
    pytest.param(lambda: layer_normalization(ones(2, 3, 4), ones(3, 1)), (2, 3, 4), id="layer: scale that broadcasts"),
    pytest.param(lambda: layer_normalization(ones(2, 3, 4), ones(), axis=1), (2, 3, 4), id="layer: scalar scale"),
    pytest.param(lambda: layer_normalization(ones(2, 3), ones(2, 1)), (2, 3), id="layer: scale along the batch"),
    pytest.param(lambda: layer_normalization(ones(0, 3), ones(3)), (0, 3), id="layer: empty batch"),
    pytest.param(lambda: layer_normalization(ones(3, 0)), (3, 0), id="layer: empty samples"),
    pytest.param(lambda: rms_normalization(ones(2, 3), axis=0), (2, 3), id="rms: everything"),
    pytest.param(
        lambda: group_normalization(ones(2, 6), ones(6), ones(3), num_groups=3),
        (2, 6),
        id="group: no spatial axis, scale for channels, bias for groups",
    ),
    pytest.param(
        lambda: instance_normalization(ones(0, 3, 4), ones(3), ones(3)), (0, 3, 4), id="instance: empty batch"
    ),
    pytest.param(
        lambda: mean_variance_normalization(ones(2, 3, 4), axes=(0, -1)),
        (2, 3, 4),
        id="mean-variance: other axes",
    ),
    pytest.param(lambda: batch_normalization(ones(0, 3), *4 * [ones(3)]), (0, 3), id="batch: empty batch at inference"),
    pytest.param(lambda: batch_normalization(ones(7), *4 * [ones(1)]), (7,), id="batch: rank 1 is one channel"),
    pytest.param(lambda: batch_normalization_training(ones(7), *4 * [ones(1)]).y, (7,), id="training: rank 1"),
    pytest.param(lambda: convolution(ones(0, 2, 5), ones(3, 2, 5)), (0, 3, 1), id="conv: kernel just fits"),
    pytest.param(
        lambda: transposed_convolution(ones(1, 2, 5), ones(2, 3, 1), dilations=[2], output_padding=[1]),
        (1, 3, 6),
        id="transposed: output padding below the dilation",
    ),
    pytest.param(
        lambda: transposed_convolution(ones(1, 2, 5), ones(2, 3, 2), strides=[2], auto_pad="SAME_LOWER"),
        (1, 3, 10),
        id="transposed: SAME with a kernel as long as the stride",
    ),
    pytest.param(
        lambda: transposed_convolution(ones(1, 2, 5), ones(2, 3, 1), strides=[3], output_shape=[15]),
        (1, 3, 15),
        id="transposed: longer than there is by less than the stride",
    ),
    pytest.param(lambda: gemm(ones(2, 3), ones(3, 4), ones(2, 1)), (2, 4), id="gemm: C as a column"),
    pytest.param(lambda: gemm(ones(2, 3), ones(3, 4), ones()), (2, 4), id="gemm: C as a scalar"),
    pytest.param(lambda: gemm(ones(0, 3), ones(3, 4)), (0, 4), id="gemm: no rows"),
    pytest.param(lambda: gemm(ones(2, 0), ones(0, 4)), (2, 4), id="gemm: no inner extent"),
]


@pytest.mark.parametrize(("call", "shape"), ALLOWED)
def test_what_the_rules_allow_is_computed(call: Callable[[], Any], shape: tuple[int, ...]) -> None:
    assert call().shape == shape
