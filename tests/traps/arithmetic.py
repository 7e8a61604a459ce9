"""Almost a LayerNormalization: one step of the arithmetic is another."""

from collections.abc import Mapping

import numpy as np

from tests.cases import Constant
from tests.claims import Norm, Trap

CENTRE = "m = ReduceMean<axes=[-1]>(x)  d = Sub(x, m)"
VARIANCE = "q = Mul(d, d)  v = ReduceMean<axes=[-1]>(q)"
DEVIATION = "e = Add(v, 1e-5)  s = Sqrt(e)"
# The variance by itself, where d is wrong: d divided by its own root mean square would be an RMS norm.
SPREAD = "mean = ReduceMean<axes=[-1]>(x)  c = Sub(x, mean)  q = Mul(c, c)  v = ReduceMean<axes=[-1]>(q)"
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
    trap("fourth power for a square", CENTRE, "q = Pow(d, 4.)  v = ReduceMean<axes=[-1]>(q)", NORMALIZE,
        AFFINE, why="the fourth moment isn't the variance", rule="power"),
    trap("fourth power by two Muls", CENTRE, "a = Mul(d, d)  q = Mul(a, a)  v = ReduceMean<axes=[-1]>(q)",
        NORMALIZE, AFFINE, why="the fourth moment isn't the variance", rule="power"),
    trap("sixth power, half of it root", CENTRE, "q = Pow(d, 6.)  v = ReduceMean<axes=[-1]>(q)", NORMALIZE,
        AFFINE, why="the sixth moment isn't the variance", rule="power"),
    trap("one and a half for a square", CENTRE, "a = Abs(d)  q = Pow(a, 1.5)  v = ReduceMean<axes=[-1]>(q)",
        NORMALIZE, AFFINE, why="the exponent isn't two", rule=None),
    trap("mean absolute deviation", CENTRE, "q = Abs(d)  v = ReduceMean<axes=[-1]>(q)", "s = Add(v, 1e-5)",
        "n = Div(d, s)", AFFINE, why="the mean absolute deviation isn't the standard deviation", rule=None),
    trap("exponents that differ", CENTRE, "q = Pow(d, mixed)  v = ReduceMean<axes=[-1]>(q)", NORMALIZE,
        AFFINE, why="one of the eight exponents is four", rule="exponent",
        constants={"mixed": [2.0] * 7 + [4.0]}),
    trap("cubed", CENTRE, "a = Mul(d, d)  q = Mul(a, d)  c = Mul(q, q)  v = ReduceMean<axes=[-1]>(c)",
        "e = Add(v, 1e-5)  s = Pow(e, 0.16666666666666666)", "n = Div(d, s)", AFFINE,
        why="the sixth root of the sixth moment isn't the standard deviation", rule="power"),
    trap("squared twice in the numerator", CENTRE, VARIANCE, DEVIATION, "c = Mul(d, d)  n = Div(c, s)",
        AFFINE, why="the square of the centred value is divided", rule="power"),
    trap("product of two means", CENTRE, "a = ReduceMean<axes=[-1]>(d)  v = Mul(a, a)", NORMALIZE, AFFINE,
        why="the square of the mean of the centred value is zero, not the variance", rule=None),
]  # fmt: skip

ROOTS = [
    trap("no root", CENTRE, VARIANCE, "e = Add(v, 1e-5)  n = Div(d, e)", AFFINE,
        why="divided by the variance, not by its root", rule="root"),
    trap("cube root", CENTRE, VARIANCE, "e = Add(v, 1e-5)  s = Pow(e, 0.3333333333333333)  n = Div(d, s)",
        AFFINE, why="the cube root of the variance isn't the standard deviation", rule="root"),
    trap("root of the root", CENTRE, VARIANCE, "e = Add(v, 1e-5)  a = Sqrt(e)  s = Sqrt(a)  n = Div(d, s)",
        AFFINE, why="divided by the fourth root of the variance", rule="root"),
    trap("exponent close to a half", CENTRE, VARIANCE, "e = Add(v, 1e-5)  s = Pow(e, 0.499)  n = Div(d, s)",
        AFFINE, why="0.499 isn't a half", rule="root"),
    trap("multiplied by the deviation", CENTRE, VARIANCE, DEVIATION, "n = Mul(d, s)", AFFINE,
        why="multiplied by the standard deviation instead of divided", rule="root"),
    trap("divided by the inverse", CENTRE, VARIANCE, DEVIATION, "r = Reciprocal(s)  n = Div(d, r)", AFFINE,
        why="divided by the inverse deviation, so multiplied by the deviation", rule="root"),
    trap("the wrong way up", CENTRE, VARIANCE, DEVIATION, "n = Div(s, d)", AFFINE,
        why="the deviation is divided by the centred value", rule="inverted"),
    trap("deviation plus variance", CENTRE, VARIANCE, "a = Sqrt(v)  s = Add(a, v)  n = Div(d, s)", AFFINE,
        why="standard deviation and variance are added", rule="root"),
]  # fmt: skip

CENTRES = [
    trap("mean added", "m = ReduceMean<axes=[-1]>(x)  d = Add(x, m)", SPREAD, NORMALIZE, AFFINE,
        why="the mean is added, not subtracted", rule="half-centred"),
    trap("two means subtracted", "m = ReduceMean<axes=[-1]>(x)  a = Mul(m, 2.)  d = Sub(x, a)", SPREAD,
        NORMALIZE, AFFINE, why="twice the mean is subtracted", rule="half-centred"),
    trap("x doubled alone", "m = ReduceMean<axes=[-1]>(x)  a = Mul(x, 2.)  d = Sub(a, m)", SPREAD, NORMALIZE,
        AFFINE, why="the mean of x is subtracted from twice x", rule="half-centred"),
    trap("sum for a mean", "m = ReduceSum<axes=[-1]>(x)  d = Sub(x, m)", SPREAD, NORMALIZE, AFFINE,
        why="the sum is subtracted, not the mean", rule="half-centred"),
    trap("sum over another count", "a = ReduceSum<axes=[-1]>(x)  m = Div(a, 7.)  d = Sub(x, m)", SPREAD,
        NORMALIZE, AFFINE, why="the sum of eight is divided by seven", rule="half-centred"),
    trap("root mean square for a mean",
        "a = Mul(x, x)  b = ReduceMean<axes=[-1]>(a)  m = Sqrt(b)  d = Sub(x, m)", SPREAD, NORMALIZE, AFFINE,
        why="the root mean square is subtracted, not the mean", rule="root"),
    trap("centred by a constant", "d = Sub(x, 0.25)", SPREAD, NORMALIZE, AFFINE,
        why="a constant is subtracted, not the mean", rule="half-centred"),
    trap("numerator not centred", CENTRE, VARIANCE, DEVIATION, "n = Div(x, s)", AFFINE,
        why="x itself is divided by its standard deviation", rule="half-centred"),
    trap("variance not centred", CENTRE, "q = Mul(x, x)  v = ReduceMean<axes=[-1]>(q)", NORMALIZE, AFFINE,
        why="the centred value is divided by the root mean square of x", rule="half-centred"),
    trap("variance about a constant", CENTRE, "c = Sub(x, 0.25)  q = Mul(c, c)  v = ReduceMean<axes=[-1]>(q)",
        NORMALIZE, AFFINE, why="the spread is taken about a constant, not the mean", rule="half-centred"),
    trap("mean alone", CENTRE, VARIANCE, DEVIATION, "n = Div(m, s)", AFFINE,
        why="the mean is divided by the deviation", rule=None),
    trap("variance for a gain", CENTRE, VARIANCE, NORMALIZE, "y = Mul(n, v)",
        why="the variance stands in the place of the gain", rule="inner-reader",
        invites=Norm("LayerNormalization")),
    trap("centred where a condition holds", "m = ReduceMean<axes=[-1]>(x)  a = Sub(x, m)  b = Greater(x, 0.)",
        "d = Where(b, a, x)", SPREAD, NORMALIZE, AFFINE, why="what is below zero isn't centred",
        rule="condition", opsets=(13, 23)),
    trap("clipped behind the mean", "m = ReduceMean<axes=[-1]>(x)  a = Sub(x, m)  d = Clip(a, -0.5, 0.5)",
        SPREAD, NORMALIZE, AFFINE, why="the centred value is clipped", rule="clamp"),
]  # fmt: skip

MOMENTS = [
    trap("moments added", CENTRE, "a = Mul(x, x)  b = ReduceMean<axes=[-1]>(a)  c = Mul(m, m)  v = Add(b, c)",
        NORMALIZE, AFFINE, why="the square of the mean is added to the mean of the square",
        rule="not-a-normalization"),
    trap("moments, mean not squared", CENTRE,
        "a = Mul(x, x)  b = ReduceMean<axes=[-1]>(a)  k = Sub(b, m)  v = Abs(k)", NORMALIZE, AFFINE,
        why="the mean is subtracted where its square should be", rule="half-centred"),
    trap("moments, half of the square", CENTRE, "a = Mul(x, x)  b = ReduceMean<axes=[-1]>(a)  c = Mul(m, m)",
        "k = Mul(c, 0.5)  v = Sub(b, k)", NORMALIZE, AFFINE, why="half the square of the mean is subtracted",
        rule="not-a-normalization"),
    trap("cross moment", CENTRE, "b = ReduceMean<axes=[-1]>(z)  f = Sub(z, b)  a = Mul(d, f)  c = Abs(a)",
        "v = ReduceMean<axes=[-1]>(c)", NORMALIZE, AFFINE,
        why="the covariance with another tensor isn't the variance", rule="different-base",
        inputs={"z": "B S 8"}),
]  # fmt: skip

UNEQUAL = np.array([1, 2, 3, 4, 4, 3, 2, 1]) / 20
WEIGHTS = [
    trap("weighted mean", "a = Mul(x, w)  m = ReduceSum<axes=[-1]>(a)  d = Sub(x, m)", SPREAD, NORMALIZE,
        AFFINE, why="the mean has unequal weights", rule="weighted-mean", constants={"w": UNEQUAL}),
    trap("weighted variance", CENTRE, "q = Mul(d, d)  a = Mul(q, w)  v = ReduceSum<axes=[-1]>(a)", NORMALIZE,
        AFFINE, why="the variance has unequal weights", rule="weighted-mean", constants={"w": UNEQUAL}),
    trap("gain before the variance", CENTRE, "c = Mul(d, gamma)  q = Mul(c, c)  v = ReduceMean<axes=[-1]>(q)",
        NORMALIZE, AFFINE, why="the variance is that of the scaled value", rule="weighted-mean"),
    trap("bias before the variance", CENTRE, "c = Add(d, beta)  q = Mul(c, c)  v = ReduceMean<axes=[-1]>(q)",
        NORMALIZE, AFFINE, why="the spread is that of the shifted value", rule="weighted-mean"),
    trap("mean by an uneven matrix", "m = MatMul(x, w)  d = Sub(x, m)", SPREAD, NORMALIZE, AFFINE,
        why="the matrix has unequal weights", rule="different-base", constants={"w": UNEQUAL[:, None]}),
    trap("mean where a mask says", "a = Mul(x, z)  b = ReduceSum<axes=[-1]>(a)  k = ReduceSum<axes=[-1]>(z)",
        "m = Div(b, k)  d = Sub(x, m)", SPREAD, NORMALIZE, AFFINE, why="the mean is weighted by what is fed",
        rule="different-base", inputs={"z": "B S 8"}),
    trap("mean of a window", "t = Transpose<perm=[0, 2, 1]>(x)",
        "a = AveragePool<kernel_shape=[3], pads=[1, 1]>(t)  m = Transpose<perm=[0, 2, 1]>(a)  d = Sub(x, m)",
        SPREAD, NORMALIZE, AFFINE, why="the mean of a window isn't that of the axis", rule="different-base"),
]  # fmt: skip

OF_Z = {"z": "B S 8"}
BASES = [
    trap("variance of another tensor", CENTRE, "a = ReduceMean<axes=[-1]>(z)  b = Sub(z, a)  q = Mul(b, b)",
        "v = ReduceMean<axes=[-1]>(q)", NORMALIZE, AFFINE, why="the variance is that of another tensor",
        rule="different-base", inputs=OF_Z),
    trap("mean of another tensor", "m = ReduceMean<axes=[-1]>(z)  d = Sub(x, m)", SPREAD, NORMALIZE, AFFINE,
        why="the mean is that of another tensor", rule="different-base", inputs=OF_Z),
    trap("statistics of another tensor", "m = ReduceMean<axes=[-1]>(z)  b = Sub(z, m)  q = Mul(b, b)",
        "v = ReduceMean<axes=[-1]>(q)", "d = Sub(x, m)", NORMALIZE, AFFINE,
        why="mean and variance are those of another tensor", rule="different-base", inputs=OF_Z),
    trap("variance behind the activation", CENTRE, "r = Relu(x)  a = ReduceMean<axes=[-1]>(r)  b = Sub(r, a)",
        "q = Mul(b, b)  v = ReduceMean<axes=[-1]>(q)", NORMALIZE, AFFINE,
        why="the variance is that of the rectified x", rule="different-base"),
    trap("mean of a part", "a = Slice(x, [0], [4], [2])  m = ReduceMean<axes=[-1]>(a)  d = Sub(x, m)", SPREAD,
        NORMALIZE, AFFINE, why="the mean is that of the first half of the axis", rule="different-base"),
    trap("mean of two tensors side by side",
        "a = Concat<axis=-1>(x, z)  m = ReduceMean<axes=[-1]>(a)  d = Sub(x, m)", SPREAD, NORMALIZE, AFFINE,
        why="the mean is over two tensors", rule="different-base", inputs=OF_Z),
    trap("elementwise Mean", "m = Mean(x, z)  d = Sub(x, m)", SPREAD, NORMALIZE, AFFINE,
        why="Mean of two tensors runs over the tensors, not over an axis", rule="different-base",
        inputs=OF_Z),
    trap("running mean", "a = CumSum(x, -1)  m = Mul(a, 0.125)  d = Sub(x, m)", SPREAD, NORMALIZE, AFFINE,
        why="a cumulative sum isn't the sum", rule="different-base"),
    trap("largest for a mean", "m = ReduceMax<axes=[-1]>(x)  d = Sub(x, m)", SPREAD, NORMALIZE, AFFINE,
        why="the largest is subtracted, not the mean", rule="half-centred"),
    trap("range for a deviation", CENTRE,
        "a = ReduceMax<axes=[-1]>(x)  b = ReduceMin<axes=[-1]>(x)  k = Sub(a, b)",
        "s = Add(k, 1e-5)  n = Div(d, s)", AFFINE, why="divided by the range, not by the standard deviation",
        rule=None),
    trap("mean of the truncated",
        "a = Cast<to=6>(x)  b = Cast<to=1>(a)  m = ReduceMean<axes=[-1]>(b)  d = Sub(x, m)", SPREAD,
        NORMALIZE, AFFINE, why="the mean is that of whole numbers", rule="integer-base"),
    trap("variance of the truncated", CENTRE, "a = Cast<to=7>(d)  c = Cast<to=1>(a)  q = Mul(c, c)",
        "v = ReduceMean<axes=[-1]>(q)", NORMALIZE, AFFINE, why="the variance is that of whole numbers",
        rule="integer-base"),
    trap("mean of integers", "m = ReduceMean<axes=[-1]>(x)  a = Sub(x, m)  d = Cast<to=1>(a)", VARIANCE,
        NORMALIZE, AFFINE, inputs={"x": "int32 B S 8"}, why="the mean of integers is truncated", rule=None),
    trap("mean truncated", "f = Cast<to=1>(x)  b = ReduceMean<axes=[-1]>(f)  m = Cast<to=6>(b)",
        "a = Sub(x, m)  d = Cast<to=1>(a)", VARIANCE, NORMALIZE, AFFINE, inputs={"x": "int32 B S 8"},
        why="the mean is truncated before it is subtracted", rule=None),
]  # fmt: skip

TABLE = [*POWERS, *ROOTS, *CENTRES, *MOMENTS, *WEIGHTS, *BASES]
