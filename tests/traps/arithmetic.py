"""Almost a LayerNormalization: one step of the arithmetic is another."""

from collections.abc import Mapping

import numpy as np

from tests.cases import Constant
from tests.claims import Norm, Trap

CENTRE = "m = ReduceMean<axes=[-1]>(x)  d = Sub(x, m)"
VARIANCE = "q = Mul(d, d)  v = ReduceMean<axes=[-1]>(q)"
DEVIATION = "e = Add(v, 1e-5)  s = Sqrt(e)"
NORMALIZE = f"{DEVIATION}  n = Div(d, s)"
AFFINE = "g = Mul(n, gamma)  y = Add(g, beta)"
LAYER_NORM = Norm("LayerNormalization", scale="gamma", bias="beta")


def trap(
    name: str,
    *steps: str,
    why: str,
    rule: str | None,
    invites: Norm | None = LAYER_NORM,
    inputs: Mapping[str, str] | None = None,
    constants: Mapping[str, Constant] | None = None,
    outputs: tuple[str, ...] = ("y",),
    overridable: tuple[str, ...] = (),
    opsets: tuple[int, int] = (11, 23),
    dtypes: tuple[str, ...] = ("float",),
) -> Trap:
    """A trap that looks like a LayerNormalization of a [B, S, 8] input."""
    return Trap(
        name,
        "\n".join(steps),
        why=why,
        rule=rule,
        invites=invites,
        inputs={"x": "B S 8"} | dict(inputs or {}),
        constants=constants or {},
        outputs=outputs,
        overridable=overridable,
        opsets=opsets,
        dtypes=dtypes,
    )


POWERS = [
    trap("fourth power for a square", CENTRE, "q = Pow(d, 4.)  v = ReduceMean<axes=[-1]>(q)", NORMALIZE, AFFINE,
         why="the fourth moment isn't the variance", rule="power"),
    trap("fourth power by two Muls", CENTRE, "a = Mul(d, d)  q = Mul(a, a)  v = ReduceMean<axes=[-1]>(q)", NORMALIZE,
         AFFINE, why="the fourth moment isn't the variance", rule="power"),
    trap("sixth power, half of it root", CENTRE, "q = Pow(d, 6.)  v = ReduceMean<axes=[-1]>(q)", NORMALIZE, AFFINE,
         why="the sixth moment isn't the variance", rule="power"),
    trap("one and a half for a square", CENTRE, "a = Abs(d)  q = Pow(a, 1.5)  v = ReduceMean<axes=[-1]>(q)", NORMALIZE,
         AFFINE, why="the exponent isn't two", rule="sign"),
    trap("mean absolute deviation", CENTRE, "q = Abs(d)  v = ReduceMean<axes=[-1]>(q)", "s = Add(v, 1e-5)",
         "n = Div(d, s)", AFFINE, why="the mean absolute deviation isn't the standard deviation", rule="sign"),
    trap("exponents that differ", CENTRE, "q = Pow(d, mixed)  v = ReduceMean<axes=[-1]>(q)", NORMALIZE, AFFINE,
         why="one of the eight exponents is four", rule="exponent", constants={"mixed": [2.0] * 7 + [4.0]}),
    trap("cubed", CENTRE, "a = Mul(d, d)  q = Mul(a, d)  c = Mul(q, q)  v = ReduceMean<axes=[-1]>(c)",
         "e = Add(v, 1e-5)  s = Pow(e, 0.16666666666666666)", "n = Div(d, s)", AFFINE,
         why="the sixth root of the sixth moment isn't the standard deviation", rule="power"),
    trap("squared twice in the numerator", CENTRE, VARIANCE, DEVIATION, "c = Mul(d, d)  n = Div(c, s)", AFFINE,
         why="the square of the centred value is divided", rule="not-a-normalization"),
    trap("product of two means", CENTRE, "a = ReduceMean<axes=[-1]>(d)  v = Mul(a, a)", NORMALIZE, AFFINE,
         why="the square of the mean of the centred value is zero, not the variance", rule=None),
]  # fmt: skip

ROOTS = [
    trap("no root", CENTRE, VARIANCE, "e = Add(v, 1e-5)  n = Div(d, e)", AFFINE,
         why="divided by the variance, not by its root", rule="root"),
    trap("cube root", CENTRE, VARIANCE, "e = Add(v, 1e-5)  s = Pow(e, 0.3333333333333333)  n = Div(d, s)", AFFINE,
         why="the cube root of the variance isn't the standard deviation", rule="root"),
    trap("root of the root", CENTRE, VARIANCE, "e = Add(v, 1e-5)  a = Sqrt(e)  s = Sqrt(a)  n = Div(d, s)", AFFINE,
         why="divided by the fourth root of the variance", rule="root"),
    trap("exponent close to a half", CENTRE, VARIANCE, "e = Add(v, 1e-5)  s = Pow(e, 0.499)  n = Div(d, s)", AFFINE,
         why="0.499 isn't a half", rule="root"),
    trap("multiplied by the deviation", CENTRE, VARIANCE, DEVIATION, "n = Mul(d, s)", AFFINE,
         why="multiplied by the standard deviation instead of divided", rule=None),
    trap("divided by the inverse", CENTRE, VARIANCE, DEVIATION, "r = Reciprocal(s)  n = Div(d, r)", AFFINE,
         why="divided by the inverse deviation, so multiplied by the deviation", rule=None),
    trap("the wrong way up", CENTRE, VARIANCE, DEVIATION, "n = Div(s, d)", AFFINE,
         why="the deviation is divided by the centred value", rule="inverted"),
    trap("reciprocal of the whole", CENTRE, VARIANCE, NORMALIZE, "i = Reciprocal(n)  g = Mul(i, gamma)",
         "y = Add(g, beta)", why="what is scaled is the reciprocal of the normalized value", rule=None, invites=LAYER_NORM),
    trap("variance of half the root", CENTRE, VARIANCE, "a = Sqrt(v)  s = Add(a, v)  n = Div(d, s)", AFFINE,
         why="standard deviation and variance are added", rule="not-a-normalization"),
]  # fmt: skip

CENTRES = [
    trap("mean added", "m = ReduceMean<axes=[-1]>(x)  d = Add(x, m)", VARIANCE, NORMALIZE, AFFINE,
         why="the mean is added, not subtracted", rule="not-a-normalization"),
    trap("two means subtracted", "m = ReduceMean<axes=[-1]>(x)  a = Mul(m, 2.)  d = Sub(x, a)", VARIANCE, NORMALIZE,
         AFFINE, why="twice the mean is subtracted", rule="not-a-normalization"),
    trap("x doubled alone", "m = ReduceMean<axes=[-1]>(x)  a = Mul(x, 2.)  d = Sub(a, m)", VARIANCE, NORMALIZE, AFFINE,
         why="the mean of x is subtracted from twice x", rule="not-a-normalization"),
    trap("sum for a mean", "m = ReduceSum<axes=[-1]>(x)  d = Sub(x, m)", VARIANCE, NORMALIZE, AFFINE,
         why="the sum is subtracted, not the mean", rule="not-a-normalization"),
    trap("sum over another count", "a = ReduceSum<axes=[-1]>(x)  m = Div(a, 7.)  d = Sub(x, m)", VARIANCE, NORMALIZE,
         AFFINE, why="the sum of eight is divided by seven", rule="not-a-normalization"),
    trap("root mean square for a mean", "a = Mul(x, x)  b = ReduceMean<axes=[-1]>(a)  m = Sqrt(b)  d = Sub(x, m)",
         VARIANCE, NORMALIZE, AFFINE, why="the root mean square is subtracted, not the mean", rule="not-a-normalization"),
    trap("numerator not centred", CENTRE, VARIANCE, DEVIATION, "n = Div(x, s)", AFFINE,
         why="x itself is divided by its standard deviation", rule="half-centred"),
    trap("variance not centred", CENTRE, "q = Mul(x, x)  v = ReduceMean<axes=[-1]>(q)", NORMALIZE, AFFINE,
         why="the centred value is divided by the root mean square of x", rule="half-centred"),
    trap("variance about zero of a constant shift", CENTRE, "c = Sub(x, 0.25)  q = Mul(c, c)",
         "v = ReduceMean<axes=[-1]>(q)", NORMALIZE, AFFINE, why="the spread is taken about a constant, not the mean",
         rule="not-a-normalization"),
    trap("centred by a constant", "d = Sub(x, 0.25)", VARIANCE, NORMALIZE, AFFINE,
         why="a constant is subtracted, not the mean", rule="not-a-normalization"),
    trap("mean, not centred at all", CENTRE, VARIANCE, DEVIATION, "n = Div(m, s)", "g = Mul(n, gamma)",
         "y = Add(g, beta)", why="the mean is divided by the deviation", rule=None, invites=LAYER_NORM),
    trap("mean added back", CENTRE, VARIANCE, NORMALIZE, "g = Mul(n, gamma)  y = Add(g, m)",
         why="the mean stands in the place of the bias", rule="inner-reader",
         invites=Norm("LayerNormalization", scale="gamma")),
    trap("deviation for a bias", CENTRE, VARIANCE, NORMALIZE, "g = Mul(n, gamma)  y = Add(g, s)",
         why="the deviation stands in the place of the bias", rule="inner-reader",
         invites=Norm("LayerNormalization", scale="gamma")),
    trap("deviation for a gain", CENTRE, VARIANCE, NORMALIZE, "y = Mul(n, v)",
         why="the variance stands in the place of the gain", rule="inner-reader", invites=Norm("LayerNormalization")),
]  # fmt: skip

MOMENTS = [
    trap("moments added", CENTRE, "a = Mul(x, x)  b = ReduceMean<axes=[-1]>(a)  c = Mul(m, m)  v = Add(b, c)", NORMALIZE,
         AFFINE, why="the square of the mean is added to the mean of the square", rule="not-a-normalization"),
    trap("moments, mean not squared", CENTRE, "a = Mul(x, x)  b = ReduceMean<axes=[-1]>(a)  c = Abs(b)  k = Sub(c, m)",
         "v = Abs(k)", NORMALIZE, AFFINE, why="the mean is subtracted where its square should be", rule="sign"),
    trap("moments, half of the square", CENTRE, "a = Mul(x, x)  b = ReduceMean<axes=[-1]>(a)  c = Mul(m, m)",
         "k = Mul(c, 0.5)  v = Sub(b, k)", NORMALIZE, AFFINE, why="half the square of the mean is subtracted",
         rule="not-a-normalization"),
    trap("moments the other way round", CENTRE, "a = Mul(x, x)  b = ReduceMean<axes=[-1]>(a)  c = Mul(m, m)",
         "k = Sub(c, b)  l = Abs(k)  v = Mul(l, 2.)", "e = Sub(1., v)  a2 = Abs(e)  s = Sqrt(a2)  n = Div(d, s)", AFFINE,
         why="one minus twice the variance is under the root", rule="sign"),
    trap("cross moment", CENTRE, "b = ReduceMean<axes=[-1]>(z)  f = Sub(z, b)  a = Mul(d, f)  c = Abs(a)",
         "v = ReduceMean<axes=[-1]>(c)", NORMALIZE, AFFINE, why="the covariance with another tensor isn't the variance",
         rule="different-base", inputs={"z": "B S 8"}),
]  # fmt: skip

WEIGHTS = [
    trap("weighted mean", "a = Mul(x, w)  m = ReduceSum<axes=[-1]>(a)  d = Sub(x, m)", VARIANCE, NORMALIZE, AFFINE,
         why="the mean has unequal weights", rule="weighted-mean",
         constants={"w": np.array([1, 2, 3, 4, 4, 3, 2, 1]) / 20}),
    trap("weighted variance", CENTRE, "q = Mul(d, d)  a = Mul(q, w)  v = ReduceSum<axes=[-1]>(a)", NORMALIZE, AFFINE,
         why="the variance has unequal weights", rule="weighted-mean",
         constants={"w": np.array([1, 2, 3, 4, 4, 3, 2, 1]) / 20}),
    trap("gain before the variance", CENTRE, "c = Mul(d, gamma)  q = Mul(c, c)  v = ReduceMean<axes=[-1]>(q)",
         DEVIATION, "g = Div(c, s)  y = Add(g, beta)", why="the variance is that of the scaled value",
         rule="weighted-mean"),
    trap("bias before the mean", "c = Add(x, beta)  m = ReduceMean<axes=[-1]>(c)  d = Sub(x, m)", VARIANCE, NORMALIZE,
         "y = Mul(n, gamma)", why="the mean is that of the shifted value", rule="not-a-normalization",
         invites=Norm("LayerNormalization", scale="gamma")),
    trap("mean by an uneven matrix", "m = MatMul(x, w)  d = Sub(x, m)", VARIANCE, NORMALIZE, AFFINE,
         why="the matrix has unequal weights", rule=None, constants={"w": np.array([[1, 2, 3, 4, 4, 3, 2, 1]]).T / 20}),
    trap("mean where a mask says", "a = Mul(x, z)  b = ReduceSum<axes=[-1]>(a)  c = Mul(z, z)",
         "k = ReduceSum<axes=[-1]>(c)  m = Div(b, k)  d = Sub(x, m)", VARIANCE, NORMALIZE, AFFINE,
         why="the mean is weighted by what is fed", rule=None, inputs={"z": "B S 8"}),
    trap("centred where a condition holds", "m = ReduceMean<axes=[-1]>(x)  a = Sub(x, m)  c = Greater(x, 0.)",
         "d = Where(c, a, x)", VARIANCE, NORMALIZE, AFFINE, why="what is below zero isn't centred", rule=None,
         opsets=(13, 23)),
    trap("local mean", "t = Transpose<perm=[0, 2, 1]>(x)",
         "a = AveragePool<kernel_shape=[3], pads=[1, 1]>(t)  m = Transpose<perm=[0, 2, 1]>(a)  d = Sub(x, m)",
         VARIANCE, NORMALIZE, AFFINE, why="the mean of a window isn't that of the axis", rule=None),
]  # fmt: skip

BASES = [
    trap("variance of another tensor", CENTRE, "a = ReduceMean<axes=[-1]>(z)  b = Sub(z, a)  q = Mul(b, b)",
         "v = ReduceMean<axes=[-1]>(q)", NORMALIZE, AFFINE, why="the variance is that of another tensor",
         rule="different-base", inputs={"z": "B S 8"}),
    trap("mean of another tensor", "m = ReduceMean<axes=[-1]>(z)  d = Sub(x, m)", VARIANCE, NORMALIZE, AFFINE,
         why="the mean is that of another tensor", rule="different-base", inputs={"z": "B S 8"}),
    trap("statistics of another tensor", "m = ReduceMean<axes=[-1]>(z)  b = Sub(z, m)  q = Mul(b, b)",
         "v = ReduceMean<axes=[-1]>(q)", "d = Sub(x, m)", NORMALIZE, AFFINE,
         why="mean and variance are those of another tensor", rule="different-base", inputs={"z": "B S 8"}),
    trap("variance of x after the activation", "r = Relu(x)  m = ReduceMean<axes=[-1]>(x)  d = Sub(x, m)",
         "a = ReduceMean<axes=[-1]>(r)  b = Sub(r, a)  q = Mul(b, b)  v = ReduceMean<axes=[-1]>(q)", NORMALIZE, AFFINE,
         why="the variance is that of the rectified x", rule="not-a-normalization"),
    trap("mean of a part", "a = Slice(x, [0], [4], [2])  m = ReduceMean<axes=[-1]>(a)  d = Sub(x, m)", VARIANCE,
         NORMALIZE, AFFINE, why="the mean is that of the first half of the axis", rule=None),
    trap("mean of two tensors side by side", "a = Concat<axis=-1>(x, z)  m = ReduceMean<axes=[-1]>(a)  d = Sub(x, m)",
         VARIANCE, NORMALIZE, AFFINE, why="the mean is over two tensors", rule=None, inputs={"z": "B S 8"}),
    trap("elementwise Mean", "m = Mean(x, z)  d = Sub(x, m)", VARIANCE, NORMALIZE, AFFINE,
         why="Mean of two tensors runs over the tensors, not over an axis", rule="different-base", inputs={"z": "B S 8"}),
    trap("running mean", "a = CumSum(x, -1)  m = Mul(a, 0.125)  d = Sub(x, m)", VARIANCE, NORMALIZE, AFFINE,
         why="a cumulative sum isn't the sum", rule=None),
    trap("largest for a mean", "m = ReduceMax<axes=[-1]>(x)  d = Sub(x, m)", VARIANCE, NORMALIZE, AFFINE,
         why="the largest is subtracted, not the mean", rule=None),
    trap("range for a deviation", CENTRE, "a = ReduceMax<axes=[-1]>(x)  b = ReduceMin<axes=[-1]>(x)  k = Sub(a, b)",
         "s = Add(k, 1e-5)  n = Div(d, s)", AFFINE, why="divided by the range, not by the standard deviation", rule=None),
    trap("mean of the truncated", "a = Cast<to=6>(x)  c = Cast<to=1>(a)  m = ReduceMean<axes=[-1]>(c)  d = Sub(x, m)",
         VARIANCE, NORMALIZE, AFFINE, why="the mean is that of whole numbers", rule="integer-base"),
    trap("variance of the truncated", CENTRE, "a = Cast<to=7>(d)  c = Cast<to=1>(a)  q = Mul(c, c)",
         "v = ReduceMean<axes=[-1]>(q)", NORMALIZE, AFFINE, why="the variance is that of whole numbers",
         rule="integer-base"),
]  # fmt: skip

TABLE = [*POWERS, *ROOTS, *CENTRES, *MOMENTS, *WEIGHTS, *BASES]
