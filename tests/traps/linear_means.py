"""Almost a mean by a linear operator: its weights, its window or what it adds up are others."""

import numpy as np

from tests.claims import Norm
from tests.traps.arithmetic import AFFINE, CENTRE, NORMALIZE, SPREAD, VARIANCE, trap

UNEVEN = np.full((8, 8), 0.125)
UNEVEN[5, 3] = 0.25
CENTRED_WRONG = np.eye(8) - 0.125
CENTRED_WRONG[6, 6] = 0.75
PER_CHANNEL = Norm("InstanceNormalization", axes=(2, 3))
IMAGE = {"x": "2 8 4 5"}
INVERSE = "r = Exp(h)  n = Mul(d, r)"

TABLE = [
    trap("linear: one weight of a matrix is another", "m = MatMul(x, w)  d = Sub(x, m)", SPREAD, NORMALIZE, AFFINE,
        why="one weight of 64 isn't the eighth", rule="different-base", constants={"w": UNEVEN}),
    trap("linear: weights of the wrong size", "m = MatMul(x, w)  d = Sub(x, m)", SPREAD, NORMALIZE, AFFINE,
        why="the sum is divided by four, not by eight", rule="half-centred", constants={"w": np.full((8, 1), 0.25)}),
    trap("linear: the other axis is averaged", "m = MatMul(w, x)  d = Sub(x, m)", SPREAD, NORMALIZE, AFFINE,
        why="the mean is that of the columns", rule="axes-differ", constants={"w": np.full((1, 8), 0.125)},
        inputs={"x": "B 8 8"}),
    trap("linear: a matrix that centres all but one", "d = MatMul(x, w)", SPREAD, NORMALIZE, AFFINE,
        why="one element of the diagonal is another", rule="different-base", constants={"w": CENTRED_WRONG}),
    trap("linear: a matrix that centres twice over", "d = MatMul(x, w)", SPREAD, NORMALIZE, AFFINE,
        why="twice the mean is subtracted", rule="half-centred", constants={"w": np.eye(8) - 0.25}),
    trap("linear: a Gemm with a bias", "m = Gemm(x, w, b)  d = Sub(x, m)", SPREAD, NORMALIZE, AFFINE,
        why="something is added to the mean", rule="not-a-normalization", inputs={"x": "B 8"},
        constants={"w": np.full((8, 8), 0.125), "b": (8,)}),
    trap("linear: a Gemm scaled", "m = Gemm<alpha=0.5>(x, w)  d = Sub(x, m)", SPREAD, NORMALIZE, AFFINE,
        why="half of the mean is subtracted", rule="half-centred", inputs={"x": "B 8"},
        constants={"w": np.full((8, 8), 0.125)}),
    trap("linear: a matrix that is fed", "m = MatMul(x, z)  d = Sub(x, m)", SPREAD, NORMALIZE, AFFINE,
        why="the weights are the caller's", rule="different-base", inputs={"z": "8 1"}, invites=None),
    trap("linear: a matrix that may be overridden", "m = MatMul(x, w)  d = Sub(x, m)", SPREAD, NORMALIZE, AFFINE,
        why="the initializer is an input of the graph too", rule="different-base",
        constants={"w": np.full((8, 1), 0.125)}, overridable=("w",)),
    trap("linear: Einsum over the other axis", 'k = Einsum<equation="bsd->bd">(x)  t = Unsqueeze<axes=[1]>(k)',
        "m = Div(t, 8.)  d = Sub(x, m)", SPREAD, NORMALIZE, AFFINE, why="the sum is that of the columns",
        rule="axes-differ", inputs={"x": "B 8 8"}, opsets=(13, 23)),
    trap("linear: products of different rows", CENTRE, 'q = Einsum<equation="bsd,btd->bs">(d, d)',
        "a = Unsqueeze<axes=[2]>(q)  v = Div(a, 8.)", NORMALIZE, AFFINE, why="each row is multiplied with all others",
        rule="broadcast", opsets=(13, 23)),
    trap("linear: a pool that is padded", "m = AveragePool<kernel_shape=[3, 3], pads=[1, 1, 1, 1]>(x)  d = Sub(x, m)",
        "mean = ReduceMean<axes=[2, 3]>(x)  c = Sub(x, mean)  q = Mul(c, c)  v = ReduceMean<axes=[2, 3]>(q)",
        "e = Add(v, 1e-5)  s = Sqrt(e)  y = Div(d, s)", inputs={"x": "2 8 3 3"},
        why="the mean of each window is subtracted", rule="different-base", invites=PER_CHANNEL),
    trap("linear: a convolution of each channel with all", "m = Conv(x, w)  d = Sub(x, m)",
        "mean = ReduceMean<axes=[2, 3]>(x)  c = Sub(x, mean)  q = Mul(c, c)  v = ReduceMean<axes=[2, 3]>(q)",
        "e = Add(v, 1e-5)  s = Sqrt(e)  y = Div(d, s)", inputs=IMAGE, constants={"w": np.full((8, 8, 4, 5), 0.05)},
        why="the sum runs over the channels too", rule="axes-differ", invites=PER_CHANNEL),
    trap("linear: a convolution with a bias", "m = Conv(x, w, b)  d = Sub(x, m)",
        "mean = ReduceMean<axes=[1]>(x)  c = Sub(x, mean)  q = Mul(c, c)  v = ReduceMean<axes=[1]>(q)",
        "e = Add(v, 1e-5)  s = Sqrt(e)  y = Div(d, s)", inputs=IMAGE, why="something is added to the mean",
        constants={"w": np.full((1, 8, 1, 1), 0.125), "b": [0.5]}, rule="different-base",
        invites=Norm("LayerNormalization", axes=(1,))),
    trap("linear: a weighted sum divided by the count", "a = Mul(x, w)  t = ReduceSum<axes=[-1]>(a)  m = Div(t, 8.)",
        "d = Sub(x, m)", SPREAD, NORMALIZE, AFFINE, why="one weight of eight isn't one", rule="weighted-mean",
        constants={"w": [1.0] * 7 + [1.5]}),
    trap("logarithm: another multiple", CENTRE, VARIANCE, "e = Add(v, 1e-5)  l = Log(e)  h = Mul(l, -1.)", INVERSE,
        AFFINE, why="divided by the variance, not by its root", rule="root"),
    trap("logarithm: something added", CENTRE, VARIANCE,
        "e = Add(v, 1e-5)  l = Log(e)  k = Mul(l, -0.5)  h = Add(k, z)", INVERSE, AFFINE,
        why="what is fed is added to the logarithm", rule="different-base", inputs={"z": "1"}),
    trap("logarithm: of the deviation itself", CENTRE, "l = Log(x)  a = Mul(l, 2.)  q = Exp(a)",
        "v = ReduceMean<axes=[-1]>(q)", NORMALIZE, AFFINE, why="the logarithm of what is negative is no number",
        rule=None, invites=None),
    trap("logarithm: to another base", CENTRE, VARIANCE, "e = Add(v, 1e-5)  l = Log(e)  h = Mul(l, -0.7213475)",
        INVERSE, AFFINE, why="the exponent is −0.72, not −½", rule="root"),
]  # fmt: skip
