"""Almost a LayerNormalization: epsilon isn't one number added to the variance, or the variance is bounded."""

import numpy as np

from tests.claims import Norm
from tests.traps.arithmetic import AFFINE, CENTRE, DEVIATION, VARIANCE, trap

WITHOUT = Norm("LayerNormalization", epsilon=0.0, scale="gamma", bias="beta")
DIVIDE = "n = Div(d, s)"

PLACES = [
    trap("epsilon outside the root", CENTRE, VARIANCE, "a = Sqrt(v)  s = Add(a, 1e-5)", DIVIDE, AFFINE,
        why="epsilon is added to the deviation", rule="epsilon-outside"),
    trap("epsilon outside the root, Reciprocal", CENTRE, VARIANCE,
        "a = Sqrt(v)  s = Add(a, 1e-3)  r = Reciprocal(s)", "n = Mul(d, r)", AFFINE,
        why="epsilon is added to the deviation", rule="epsilon-outside",
        invites=Norm("LayerNormalization", epsilon=1e-3, scale="gamma", bias="beta")),
    trap("epsilon inside and outside", CENTRE, VARIANCE, "e = Add(v, 1e-5)  a = Sqrt(e)  s = Add(a, 1e-3)",
        DIVIDE, AFFINE, why="an epsilon is added to the variance and another to the deviation",
        rule="epsilon-outside"),
    trap("epsilon outside, Bessel's correction", CENTRE,
        "q = Mul(d, d)  b = ReduceSum<axes=[-1]>(q)  v = Div(b, 7.)", "a = Sqrt(v)  s = Add(a, 1e-3)", DIVIDE,
        AFFINE, why="epsilon is added to the deviation", rule="epsilon-outside",
        invites=Norm("LayerNormalization", epsilon=1e-3, scale="gamma", bias="beta")),
    trap("epsilon on the inverse", CENTRE, VARIANCE,
        "a = Sqrt(v)  b = Reciprocal(a)  r = Add(b, 1.)  n = Mul(d, r)", AFFINE,
        why="epsilon is added to the inverse deviation", rule="not-a-normalization", invites=WITHOUT),
    trap("epsilon added to the numerator", CENTRE, VARIANCE, DEVIATION, "c = Add(d, 0.125)  n = Div(c, s)",
        AFFINE, why="a number is added to the centred value that is divided", rule="not-a-normalization"),
    trap("epsilon times the mean", CENTRE, VARIANCE,
        "a = Mul(m, m)  b = Mul(a, 1e-3)  e = Add(v, b)  s = Sqrt(e)", DIVIDE, AFFINE,
        why="what is added to the variance grows with the mean", rule="not-a-normalization", invites=WITHOUT),
]  # fmt: skip

VARYING = [
    trap("epsilon per channel", CENTRE, VARIANCE, "e = Add(v, several)  s = Sqrt(e)", DIVIDE, AFFINE,
        why="epsilon differs along the last axis", rule="epsilon-varies",
        constants={"several": [1e-5, 1e-5, 1e-5, 1e-5, 1e-5, 1e-5, 1e-5, 1e-2]}),
    trap("epsilon per row", CENTRE, VARIANCE, "e = Add(v, several)  s = Sqrt(e)", DIVIDE, AFFINE,
        why="epsilon differs along the rows", rule="epsilon-varies", inputs={"x": "B 3 8"},
        constants={"several": np.array([[1e-5], [1e-3], [1e-2]])}),
    trap("epsilon that is fed", CENTRE, VARIANCE, "e = Add(v, z)  s = Sqrt(e)", DIVIDE, AFFINE,
        why="epsilon is no constant", rule="different-base", invites=None, inputs={"z": "1"}),
    trap("epsilon that may be overridden", CENTRE, VARIANCE, "e = Add(v, small)  s = Sqrt(e)", DIVIDE, AFFINE,
        why="the initializer is an input of the graph too", rule="different-base", constants={"small": 1e-5},
        overridable=("small",)),
    trap("negative epsilon", CENTRE, VARIANCE,
        "c = Add(v, 0.25)  e = Sub(c, 0.2500152587890625)  a = Max(e, 1e-6)", "s = Sqrt(a)", DIVIDE, AFFINE,
        why="the sum of the constants is negative, and bounded behind", rule=None),
    trap("epsilon that float32 rounds", CENTRE, VARIANCE, "e = Add(v, 1e-5)  s = Sqrt(e)", DIVIDE, AFFINE,
        why="the operator keeps epsilon as a float32, three parts in a hundred million away",
        rule="epsilon-precision", invites=None, dtypes=("double",)),
    trap("epsilon below float32", CENTRE, VARIANCE, "e = Add(v, 1e-50)  s = Sqrt(e)", DIVIDE, AFFINE,
        why="the operator keeps epsilon as a float32, in which this is zero", rule="epsilon-precision",
        invites=None, dtypes=("double",)),
]  # fmt: skip

BOUNDS = [
    trap("variance at least epsilon", CENTRE, VARIANCE, "e = Max(v, 1e-5)  s = Sqrt(e)", DIVIDE, AFFINE,
        why="the larger of variance and epsilon isn't their sum", rule="clamp"),
    trap("variance clipped from below", CENTRE, VARIANCE, "e = Clip(v, 1e-5)  s = Sqrt(e)", DIVIDE, AFFINE,
        why="the larger of variance and epsilon isn't their sum", rule="clamp"),
    trap("deviation at least epsilon", CENTRE, VARIANCE, "a = Sqrt(v)  s = Max(a, 1e-2)", DIVIDE, AFFINE,
        why="the larger of deviation and epsilon isn't the root of a sum", rule="clamp", invites=WITHOUT),
    trap("deviation where it isn't small", CENTRE, VARIANCE,
        "a = Sqrt(v)  c = Less(a, 1e-2)  s = Where(c, 1., a)", DIVIDE, AFFINE,
        why="small deviations are replaced by one", rule=None, invites=WITHOUT, opsets=(13, 23)),
    trap("variance at most one", CENTRE, VARIANCE, "a = Min(v, 0.5)  e = Add(a, 1e-5)  s = Sqrt(e)", DIVIDE,
        AFFINE, why="the variance is bounded from above", rule="clamp"),
    trap("variance clipped on both sides", CENTRE, VARIANCE,
        "a = Clip(v, 0., 0.5)  e = Add(a, 1e-5)  s = Sqrt(e)", DIVIDE, AFFINE,
        why="the variance is bounded from above", rule="clamp"),
    trap("variance bounded above zero", CENTRE, VARIANCE, "a = Max(v, 1e-4)", "e = Add(a, 1e-5)  s = Sqrt(e)",
        DIVIDE, AFFINE, why="the bound is above what the variance is provably above", rule="clamp"),
    trap("bound that is fed", CENTRE, VARIANCE, "a = Max(v, z)  e = Add(a, 1e-5)  s = Sqrt(e)", DIVIDE,
        AFFINE, why="the bound is no constant", rule="different-base", inputs={"z": "B S 1"}),
]  # fmt: skip

#: E[(x − c)²] + ε − (E[x] − c)²: ε, in its place or in another, where it is little beside c².
SHIFTED = (
    "c = Sub(x, {c})  p = Mul(c, c)  a = ReduceMean<axes=[-1]>(p)  b = Add(a, {e})  "
    "m = ReduceMean<axes=[-1]>(x)  o = Sub(m, {c})  w = Mul(o, o)  v = Sub(b, w)  d = Sub(x, m)"
)
LOST = [
    trap("epsilon lost beside a constant", SHIFTED.format(c="1000.", e="1e-5"), "s = Sqrt(v)", DIVIDE, AFFINE,
        why="the constants cancel, and leave too few digits of epsilon", rule="too-complex", invites=None,
        dtypes=("double",)),
    trap("epsilon outside the root, beside a constant", SHIFTED.format(c="3.", e="1e-5"),
        "r = Sqrt(v)  s = Add(r, 1e-3)", DIVIDE, AFFINE, why="epsilon is added to the deviation too",
        rule="epsilon-outside", invites=None, dtypes=("double",)),
]  # fmt: skip

TABLE = [*PLACES, *VARYING, *BOUNDS, *LOST]
