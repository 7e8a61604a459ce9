"""Large tensors are worked on in blocks: same results, bounded memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from normgraph.kernels import gemm as gemm_module
from normgraph.kernels import precision, windows
from normgraph.kernels.batch_normalization import batch_normalization, batch_normalization_training
from normgraph.kernels.convolution import convolution
from normgraph.kernels.gemm import gemm
from normgraph.kernels.group_normalization import group_normalization
from normgraph.kernels.instance_normalization import instance_normalization
from normgraph.kernels.layer_normalization import layer_normalization
from normgraph.kernels.lp_normalization import lp_normalization
from normgraph.kernels.mean_variance_normalization import mean_variance_normalization
from normgraph.kernels.precision import Array, blocks
from normgraph.kernels.rms_normalization import rms_normalization
from normgraph.kernels.transposed_convolution import transposed_convolution

FOUR = np.array([0.5, -1.0, 2.0, 3.0])
KERNELS: dict[str, Callable[[Array], Array]] = {
    "layer": lambda x: layer_normalization(x, FOUR[:, None, None] + np.zeros(x.shape[1:]), FOUR[:, None, None], axis=1),
    "layer, scale along the batch": lambda x: layer_normalization(x, np.arange(x.shape[0]).reshape(-1, 1, 1, 1) + 1.0),
    "rms": lambda x: rms_normalization(x, np.arange(x.shape[-1]) + 1.0),
    "instance": lambda x: instance_normalization(x, FOUR, FOUR),
    "group": lambda x: group_normalization(x, FOUR, FOUR, num_groups=2),
    "lp": lambda x: lp_normalization(x, axis=1),
    "mean-variance": lambda x: mean_variance_normalization(x, axes=(1, 3)),
    "batch": lambda x: batch_normalization(x, FOUR, FOUR, FOUR, FOUR**2),
    "training": lambda x: batch_normalization_training(x, FOUR, FOUR, FOUR, FOUR).y,
    "running mean": lambda x: batch_normalization_training(x, FOUR, FOUR, FOUR, FOUR).running_mean,
    "running variance": lambda x: batch_normalization_training(x, FOUR, FOUR, FOUR, FOUR).running_variance,
    "convolution": lambda x: convolution(x, np.arange(72.0).reshape(2, 4, 3, 3), FOUR[:2]),
    "transposed": lambda x: transposed_convolution(x, np.arange(72.0).reshape(4, 2, 3, 3), FOUR[:2]),
    "gemm": lambda x: gemm(x.reshape(-1, x.shape[-1]), np.ones((x.shape[-1], 3)), np.arange(3.0)),
    "gemm, summand a column": lambda x: gemm(
        x.reshape(x.shape[0], -1), x.reshape(x.shape[0], -1), FOUR[:1], transpose_b=True
    ),
}


def limit(monkeypatch: pytest.MonkeyPatch, elements: int) -> None:
    for module in (precision, windows, gemm_module):
        monkeypatch.setattr(module, "BLOCK_ELEMENTS", elements)


@pytest.mark.parametrize("elements", [1, 7, 60, 10_000])
@pytest.mark.parametrize(
    ("shape", "whole"),
    [
        ((4, 3, 5), (2,)),
        ((4, 3, 5), (0, 2)),
        ((4, 3, 5), (0,)),
        ((4, 3, 5), ()),
        ((4, 3, 5), (0, 1, 2)),
        ((17,), ()),
        ((), ()),
        ((2, 0, 3), (2,)),
        ((2, 3, 0), (2,)),
    ],
)
def test_blocks_cover_each_element_once_and_cut_no_whole_axis(
    shape: tuple[int, ...], whole: tuple[int, ...], elements: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(monkeypatch, elements)
    covered = np.zeros(shape, int)
    unavoidable = int(np.prod([shape[axis] for axis in whole]))
    for index in blocks(shape, whole):
        part = covered[index]
        assert [part.shape[axis] for axis in whole] == [shape[axis] for axis in whole]
        assert part.size <= max(elements, unavoidable)
        covered[index] += 1
    assert (covered == 1).all()


@pytest.mark.parametrize("elements", [1, 50, 333])
@pytest.mark.parametrize("name", KERNELS)
def test_the_size_of_the_blocks_does_not_show(name: str, elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(3).normal(2.0, 1.0, (5, 4, 6, 7))
    whole = KERNELS[name](x)
    limit(monkeypatch, elements)
    np.testing.assert_allclose(KERNELS[name](x), whole, rtol=1e-13, atol=1e-13)


#: Where statistics are taken over the batch, one channel must fit: many narrow ones.
MANY = np.ones(512)
LARGE: dict[str, tuple[Callable[[Array], Array], tuple[int, ...]]] = {
    **{
        name: (KERNELS[name], (768, 4, 16, 32))
        for name in ("layer", "rms", "instance", "group", "lp", "batch", "convolution", "transposed", "gemm")
    },
    "mean-variance": (mean_variance_normalization, (6, 512, 16, 32)),
    "training": (lambda x: batch_normalization_training(x, MANY, MANY, MANY, MANY).y, (6, 512, 16, 32)),
}


@pytest.mark.parametrize("name", LARGE)
def test_memory_beyond_the_result_is_bounded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, shape = LARGE[name]
    x = np.ones(shape, np.float16)
    block = 8 * 8192
    limit(monkeypatch, 8192)
    assert x.size * 8 == 192 * block, "a copy in float64 would take 12 MiB"
    tracemalloc.start()
    try:
        y = kernel(x)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - y.nbytes < 16 * block
