"""Means and sums written as linear operators: matrix products, Einsum, convolutions and pools with even weights."""

from collections.abc import Mapping

import numpy as np

from tests.cases import Constant
from tests.claims import Norm, Spelling

EIGHTHS = np.full((8, 1), 0.125)
NAMED: dict[str, Constant] = {
    "column": EIGHTHS,
    "row": EIGHTHS.T,
    "vector": EIGHTHS[:, 0],
    "square": np.full((8, 8), 0.125),
    "ones": np.ones((8, 1)),
    "centring": np.eye(8) - 0.125,
    "point": EIGHTHS.reshape(1, 8, 1, 1),
    "points": np.full((8, 8, 1, 1), 0.125),
    "window": np.full((8, 1, 4, 5), 0.05),
    "whole": np.full((1, 8, 4, 5), 1 / 160),
    "gamma_81": (8, 1),
    "gamma_811": (8, 1, 1),
    "beta_811": (8, 1, 1),
}
NORMALIZE = "e = Add(v, 1e-5)  s = Sqrt(e)  n = Div(d, s)"
AFFINE = "g = Mul(n, gamma)  y = Add(g, beta)"
PER_CHANNEL = "g = Mul(n, gamma_811)  y = Add(g, beta_811)"
VARIANCE = "q = Mul(d, d)  v = ReduceMean<axes=[-1]>(q)"
IMAGE = "2 8 4 5"


def linear(
    name: str,
    *steps: str,
    kind: str = "LayerNormalization",
    dims: str = "B S 8",
    axes: tuple[int, ...] = (-1,),
    scale: float | str = "gamma",
    bias: float | str = "beta",
    constants: Mapping[str, Constant] = NAMED,
    opsets: tuple[int, int] = (13, 23),
) -> Spelling:
    """One norm of a [B, S, 8] input unless said otherwise."""
    norm = Norm(kind, axes=axes, scale=scale, bias=bias)
    text = "\n".join(steps)
    return Spelling(f"linear: {name}", text, inputs={"x": dims}, constants=constants, claims=(norm,), opsets=opsets)


def per_channel(name: str, *steps: str, axes: tuple[int, ...] = (2, 3)) -> Spelling:
    """One InstanceNormalization of an image."""
    parameters = {"scale": "gamma_811", "bias": "beta_811"}
    return linear(name, *steps, PER_CHANNEL, kind="InstanceNormalization", dims=IMAGE, axes=axes, **parameters)


TABLE = [
    linear("mean by a column", "m = MatMul(x, column)  d = Sub(x, m)", VARIANCE, NORMALIZE, AFFINE),
    linear("mean by a square", "m = MatMul(x, square)  d = Sub(x, m)", VARIANCE, NORMALIZE, AFFINE),
    linear("mean by a vector", "k = MatMul(x, vector)  m = Unsqueeze<axes=[2]>(k)  d = Sub(x, m)", VARIANCE,
        NORMALIZE, AFFINE),
    linear("sum by a column of ones", "t = MatMul(x, ones)  m = Div(t, 8.)  d = Sub(x, m)", VARIANCE, NORMALIZE,
        AFFINE),
    linear("centred by a matrix", "d = MatMul(x, centring)", VARIANCE, NORMALIZE, AFFINE),
    linear("both moments by matrices", "m = MatMul(x, square)  d = Sub(x, m)  q = Mul(d, d)  v = MatMul(q, column)",
        NORMALIZE, AFFINE),
    linear("of columns, by a row from the left", "m = MatMul(row, x)  d = Sub(x, m)  q = Mul(d, d)",
        "v = MatMul(row, q)", NORMALIZE, "y = Mul(n, gamma_81)", dims="B 8 6", axes=(1,), scale="gamma_81", bias=0.0),
    linear("variance by rows times columns", "m = MatMul(x, column)  d = Sub(x, m)",
        "a = Unsqueeze<axes=[2]>(d)  b = Unsqueeze<axes=[3]>(d)  k = MatMul(a, b)  i = Squeeze<axes=[3]>(k)",
        "v = Mul(i, 0.125)", NORMALIZE, AFFINE),
    linear("mean by Gemm", "m = Gemm(x, square)  d = Sub(x, m)", VARIANCE, NORMALIZE, AFFINE, dims="B 8"),
    linear("mean by Gemm, transposed and scaled",
        "m = Gemm<transB=1, alpha=0.25>(x, half)  d = Sub(x, m)  q = Mul(d, d)  v = Gemm<transB=1>(q, row)", NORMALIZE,
        AFFINE, dims="B 8", constants=NAMED | {"half": np.full((1, 8), 0.5)}),
    linear("centred by Gemm", "d = Gemm(x, centring)", VARIANCE, NORMALIZE, AFFINE, dims="B 8"),
    linear("sum by Einsum", 't = Einsum<equation="bsd->bs">(x)  k = Div(t, 8.)',
        "m = Unsqueeze<axes=[-1]>(k)  d = Sub(x, m)", VARIANCE, NORMALIZE, AFFINE),
    linear("mean by Einsum with weights, variance with itself",
        'k = Einsum<equation="...d,d->...">(x, vector)  m = Unsqueeze<axes=[-1]>(k)  d = Sub(x, m)',
        'i = Einsum<equation="bsd, bsd -> bs">(d, d)  j = Unsqueeze<axes=[-1]>(i)  v = Div(j, 8.)', NORMALIZE,
        AFFINE),
    linear("mean by a pointwise convolution", "m = Conv(x, point)  d = Sub(x, m)  q = Mul(d, d)  v = Conv(q, points)",
        NORMALIZE, PER_CHANNEL, dims="B 8 H W", axes=(1,), scale="gamma_811", bias="beta_811"),
    linear("mean by a convolution over all",
        "m = Conv(x, whole)  d = Sub(x, m)  q = Mul(d, d)  v = Conv(q, whole)", NORMALIZE, "y = Mul(n, gamma_811)",
        dims=IMAGE, axes=(1, 2, 3), scale="gamma_811", bias=0.0),
    per_channel("mean by a depthwise convolution",
        "m = Conv<group=8>(x, window)  d = Sub(x, m)  q = Mul(d, d)  v = Conv<group=8>(q, window)", NORMALIZE),
    per_channel("mean by a pool of the whole image", "m = AveragePool<kernel_shape=[4, 5]>(x)  d = Sub(x, m)",
        "q = Mul(d, d)  v = AveragePool<kernel_shape=[4, 5], strides=[4, 5]>(q)", NORMALIZE),
    per_channel("mean by two pools", "a = AveragePool<kernel_shape=[4, 1]>(x)",
        "m = AveragePool<kernel_shape=[1, 5]>(a)  d = Sub(x, m)  q = Mul(d, d)  v = GlobalAveragePool(q)",
        NORMALIZE),
    linear("weights that are all one", "a = Mul(x, even)  m = ReduceMean<axes=[-1]>(a)  d = Sub(x, m)", VARIANCE,
        NORMALIZE, AFFINE, constants=NAMED | {"even": np.ones(8)}),
    linear("root by logarithm and exponential", "m = MatMul(x, column)  d = Sub(x, m)", VARIANCE,
        "e = Add(v, 1e-5)  l = Log(e)  h = Mul(l, -0.5)  r = Exp(h)  n = Mul(d, r)", AFFINE),
    linear("logarithm of a sum", "m = ReduceMean<axes=[-1]>(x)  d = Sub(x, m)  q = Mul(d, d)  k = Add(q, 1e-5)",
        "l = ReduceLogSum<axes=[-1]>(k)  h = Div(l, 2.)  i = Sub(h, 1.0397207708399179)  s = Exp(i)",
        "n = Div(d, s)", AFFINE),
]  # fmt: skip
