"""What a kernel refuses, and how it says so."""

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
from normgraph.kernels.mean_variance_normalization import mean_variance_normalization
from normgraph.kernels.rms_normalization import rms_normalization
from normgraph.kernels.transposed_convolution import transposed_convolution


def ones(*shape: int, dtype: Any = np.float32) -> Any:
    return np.ones(shape, dtype)


def case(name: str, call: Callable[[], Any], rule: str, *shapes: str) -> Any:
    return pytest.param(call, rule, shapes, id=name)


REFUSED = [
    case(
        "layer: axis too large",
        lambda: layer_normalization(ones(2, 3), axis=2),
        "LayerNormalization: axis must lie within [-r, r)",
        "(2, 3)",
    ),
    case(
        "layer: axis too small",
        lambda: layer_normalization(ones(2, 3), axis=-3),
        "LayerNormalization: axis must lie within",
        "(2, 3)",
    ),
    case(
        "layer: a scalar has no axis",
        lambda: layer_normalization(ones()),
        "LayerNormalization: axis must lie within",
        "()",
    ),
    case(
        "layer: scale of another extent",
        lambda: layer_normalization(ones(2, 3), ones(2)),
        "LayerNormalization: Scale must broadcast to X unidirectionally",
        "(2,)",
        "(2, 3)",
    ),
    case(
        "layer: bias that would widen x",
        lambda: layer_normalization(ones(2, 1), ones(1), ones(4)),
        "LayerNormalization: B must broadcast to X unidirectionally",
        "(4,)",
        "(2, 1)",
    ),
    case(
        "layer: scale of higher rank",
        lambda: layer_normalization(ones(3), ones(1, 3)),
        "LayerNormalization: Scale must broadcast to X unidirectionally",
        "(1, 3)",
        "(3,)",
    ),
    case(
        "layer: integers",
        lambda: layer_normalization(ones(2, 3, dtype=np.int32)),
        "LayerNormalization: X must be one of float16, bfloat16, float32, float64",
        "int32",
        "(2, 3)",
    ),
    case(
        "layer: more than float64",
        lambda: layer_normalization(ones(2, 3), ones(3, dtype=np.complex64)),
        "LayerNormalization: Scale must be one of",
        "complex64",
    ),
    case(
        "rms: axis",
        lambda: rms_normalization(ones(2, 3), axis=5),
        "RMSNormalization: axis must lie within",
        "(2, 3)",
    ),
    case(
        "rms: scale",
        lambda: rms_normalization(ones(2, 3), ones(4)),
        "RMSNormalization: scale must broadcast",
        "(4,)",
        "(2, 3)",
    ),
    case(
        "instance: nothing to average over",
        lambda: instance_normalization(ones(2, 3), ones(3), ones(3)),
        "InstanceNormalization: X must have at least 3 axes",
        "(2, 3)",
    ),
    case(
        "instance: scale for each position",
        lambda: instance_normalization(ones(2, 3, 4), ones(4), ones(3)),
        "InstanceNormalization: scale must have shape (C,) = (3,)",
        "(4,)",
        "(2, 3, 4)",
    ),
    case(
        "instance: bias of rank 2",
        lambda: instance_normalization(ones(2, 3, 4), ones(3), ones(3, 1)),
        "InstanceNormalization: B must have shape (C,) = (3,)",
        "(3, 1)",
    ),
    case(
        "group: not a divisor",
        lambda: group_normalization(ones(2, 6, 4), ones(6), ones(6), num_groups=4),
        "GroupNormalization: num_groups must divide the number of channels",
        "(2, 6, 4)",
    ),
    case(
        "group: none",
        lambda: group_normalization(ones(2, 6, 4), ones(6), ones(6), num_groups=0),
        "GroupNormalization: num_groups must divide",
        "(2, 6, 4)",
    ),
    case(
        "group: scale neither for channels nor for groups",
        lambda: group_normalization(ones(2, 6, 4), ones(2), ones(6), num_groups=3),
        "GroupNormalization: scale must have shape (C,) = (6,) or (G,) = (3,)",
        "(2,)",
        "(2, 6, 4)",
    ),
    case(
        "group: no channels",
        lambda: group_normalization(ones(6), ones(6), ones(6), num_groups=3),
        "GroupNormalization: X must have at least 2 axes",
        "(6,)",
    ),
    case("lp: another p", lambda: lp_normalization(ones(2, 3), p=3), "p must be 1 or 2", "3", "(2, 3)"),
    case(
        "lp: axis",
        lambda: lp_normalization(ones(2, 3), axis=2),
        "LpNormalization: axis must lie within",
        "(2, 3)",
    ),
    case(
        "mean-variance: the default axes need rank 4",
        lambda: mean_variance_normalization(ones(2, 3, 4)),
        "MeanVarianceNormalization: axis must lie within",
        "(2, 3, 4)",
    ),
    case(
        "mean-variance: one axis named twice",
        lambda: mean_variance_normalization(ones(2, 3), axes=(1, -1)),
        "MeanVarianceNormalization: no axis may be named twice",
        "(1, -1)",
        "(2, 3)",
    ),
    case(
        "batch: mean",
        lambda: batch_normalization(ones(2, 3), ones(3), ones(3), ones(2), ones(3)),
        "BatchNormalization: input_mean must have shape (C,) = (3,)",
        "(2,)",
        "(2, 3)",
    ),
    case(
        "batch: variance",
        lambda: batch_normalization(ones(2, 3), ones(3), ones(3), ones(3), ones(1)),
        "BatchNormalization: input_var must have shape (C,) = (3,)",
        "(1,)",
    ),
    case(
        "batch: one channel has one scale",
        lambda: batch_normalization(ones(3), ones(3), ones(1), ones(1), ones(1)),
        "BatchNormalization: scale must have shape (C,) = (1,)",
        "(3,)",
    ),
    case(
        "training: running variance",
        lambda: batch_normalization_training(ones(2, 3), ones(3), ones(3), ones(3), ones(3, 1)),
        "BatchNormalization: input_var must have shape (C,) = (3,)",
        "(3, 1)",
    ),
    case(
        "training: empty batch",
        lambda: batch_normalization_training(ones(0, 3), ones(3), ones(3), ones(3), ones(3)),
        "BatchNormalization: the mean over no elements is undefined",
        "(0, 3)",
    ),
    case(
        "conv: no spatial axis",
        lambda: convolution(ones(1, 2), ones(3, 2)),
        "Conv: X must have at least 3 axes",
        "(1, 2)",
    ),
    case(
        "conv: channels",
        lambda: convolution(ones(1, 2, 5), ones(3, 4, 1)),
        "Conv: W must have X's rank, 2 input channels on axis 1",
        "(3, 4, 1)",
        "(1, 2, 5)",
    ),
    case(
        "conv: rank of the weight",
        lambda: convolution(ones(1, 2, 5), ones(3, 2)),
        "Conv: W must have X's rank",
        "(3, 2)",
        "(1, 2, 5)",
    ),
    case(
        "conv: empty kernel",
        lambda: convolution(ones(1, 2, 5), ones(3, 2, 0)),
        "a kernel that isn't empty",
        "(3, 2, 0)",
    ),
    case(
        "conv: group and input channels",
        lambda: convolution(ones(1, 3, 5), ones(4, 1, 1), group=2),
        "Conv: group must divide the channels; it is 2 for 3",
        "(1, 3, 5)",
    ),
    case(
        "conv: group and output channels",
        lambda: convolution(ones(1, 4, 5), ones(3, 2, 1), group=2),
        "Conv: group must divide the channels; it is 2 for 3",
        "(3, 2, 1)",
    ),
    case(
        "conv: bias",
        lambda: convolution(ones(1, 2, 5), ones(3, 2, 1), ones(2)),
        "Conv: B must have shape (M,) = (3,)",
        "(2,)",
    ),
    case(
        "conv: stride of zero",
        lambda: convolution(ones(1, 2, 5), ones(3, 2, 1), strides=[0]),
        "Conv: strides must be 1 numbers ≥ 1",
        "(0,)",
    ),
    case(
        "conv: too few pads",
        lambda: convolution(ones(1, 2, 5, 5), ones(3, 2, 1, 1), pads=[1, 1]),
        "Conv: pads must be 4 numbers ≥ 0",
        "(1, 1)",
    ),
    case(
        "conv: kernel larger than the input",
        lambda: convolution(ones(1, 2, 5), ones(3, 2, 3), dilations=[3]),
        "Conv: the dilated kernel must fit into the padded input",
        "(7,)",
        "(1, 2, 5)",
    ),
    case(
        "conv: unknown padding",
        lambda: convolution(ones(1, 2, 5), ones(3, 2, 1), auto_pad="SAME"),  # type: ignore[arg-type]
        "Conv: auto_pad must be NOTSET, SAME_UPPER, SAME_LOWER or VALID",
        "SAME",
    ),
    case(
        "conv: two paddings",
        lambda: convolution(ones(1, 2, 5), ones(3, 2, 1), auto_pad="VALID", pads=[1, 1]),
        "Conv: auto_pad and pads exclude each other",
        "VALID",
    ),
    case(
        "transposed: channels",
        lambda: transposed_convolution(ones(1, 2, 5), ones(3, 2, 1)),
        "ConvTranspose: W must have X's rank, 2 input channels on axis 0",
        "(3, 2, 1)",
        "(1, 2, 5)",
    ),
    case(
        "transposed: group",
        lambda: transposed_convolution(ones(1, 3, 5), ones(3, 2, 1), group=2),
        "ConvTranspose: group must divide the channels; it is 2 for 3",
        "(1, 3, 5)",
    ),
    case(
        "transposed: output padding",
        lambda: transposed_convolution(ones(1, 2, 5), ones(2, 3, 1), strides=[2], output_padding=[2]),
        "ConvTranspose: output_padding must be less than the stride or the dilation",
        "(2,)",
    ),
    case(
        "transposed: nothing left",
        lambda: transposed_convolution(ones(1, 2, 5), ones(2, 3, 1), pads=[3, 2]),
        "ConvTranspose: pads must leave something of each axis",
        "(1, 2, 5)",
    ),
    case(
        "transposed: longer than there is",
        lambda: transposed_convolution(ones(1, 2, 5), ones(2, 3, 1), output_shape=[6]),
        "ConvTranspose: the output must not be longer than what the windows cover",
        "(6,)",
        "(1, 2, 5)",
    ),
    case(
        "transposed: SAME with a kernel shorter than the stride",
        lambda: transposed_convolution(ones(1, 2, 5), ones(2, 3, 1), strides=[2], auto_pad="SAME_UPPER"),
        "ConvTranspose: the output must not be longer than what the windows cover",
        "(10,)",
    ),
    case(
        "transposed: empty axis",
        lambda: transposed_convolution(ones(1, 2, 0), ones(2, 3, 1)),
        "ConvTranspose: no spatial axis may be empty",
        "(1, 2, 0)",
    ),
    case(
        "gemm: vectors",
        lambda: gemm(ones(3), ones(3, 2)),
        "Gemm: A and B must be matrices",
        "(3,)",
        "(3, 2)",
    ),
    case(
        "gemm: inner extents",
        lambda: gemm(ones(2, 3), ones(3, 4), transpose_b=True),
        "Gemm: the inner extents must agree",
        "(2, 3)",
        "(4, 3)",
    ),
    case(
        "gemm: C of another extent",
        lambda: gemm(ones(2, 3), ones(3, 4), ones(2)),
        "Gemm: C must broadcast to A·B unidirectionally",
        "(2,)",
        "(2, 4)",
    ),
    case(
        "gemm: C that would widen the product",
        lambda: gemm(ones(1, 3), ones(3, 4), ones(2, 4)),
        "Gemm: C must broadcast",
        "(2, 4)",
        "(1, 4)",
    ),
    case(
        "gemm: integers",
        lambda: gemm(ones(2, 3, dtype=np.int64), ones(3, 4, dtype=np.int64)),
        "Gemm: A must be one of",
        "int64",
    ),
]


@pytest.mark.parametrize(("call", "rule", "shapes"), REFUSED)
def test_an_error_names_the_rule_and_the_shapes(call: Callable[[], Any], rule: str, shapes: tuple[str, ...]) -> None:
    with pytest.raises(ValueError) as raised:
        call()
    message = str(raised.value)
    assert rule in message
    assert [shape for shape in shapes if shape not in message] == []


#: Near misses of the above: each looks like one that is refused, and is allowed.
