"""Almost an RMS, instance, group or Lp normalization."""

from collections.abc import Mapping

import numpy as np

from tests.cases import Constant
from tests.claims import Norm, Trap

RMS, LP, GN, IN = "RMSNormalization", "LpNormalization", "GroupNormalization", "InstanceNormalization"


def trap(
    name: str,
    text: str,
    *,
    why: str,
    rule: str | None,
    invites: Norm | None,
    inputs: Mapping[str, str] | None = None,
    constants: Mapping[str, Constant] | None = None,
    opsets: tuple[int, int] = (11, 23),
) -> Trap:
    """A trap whose input is [B, S, 8] unless said otherwise."""
    return Trap(
        name,
        text,
        why=why,
        rule=rule,
        invites=invites,
        inputs={"x": "B S 8"} | dict(inputs or {}),
        constants=constants or {},
        opsets=opsets,
    )


ROOT_MEAN_SQUARES = [
    trap("RMS: epsilon outside the root", """
        q = Mul(x, x)  v = ReduceMean<axes=[-1]>(q)  a = Sqrt(v)  s = Add(a, 1e-3)  y = Div(x, s)""",
        why="epsilon is added to the root", rule="epsilon-outside", invites=Norm(RMS, epsilon=1e-3)),
    trap("RMS: norm over root of count, plus epsilon", """
        a = ReduceL2<axes=[-1]>(x)  b = Div(a, 2.8284271247461903)  s = Add(b, 1e-3)  y = Div(x, s)""",
        why="epsilon is added to the root", rule="epsilon-outside", invites=Norm(RMS, epsilon=1e-3)),
    trap("RMS: mean instead of mean square", "v = ReduceMean<axes=[-1]>(x)  e = Add(v, 1e-5)  y = Div(x, e)",
        why="divided by the mean", rule=None, invites=Norm(RMS)),
    trap("RMS: fourth power", """
        q = Pow(x, 4.)  v = ReduceMean<axes=[-1]>(q)  e = Add(v, 1e-5)  s = Sqrt(e)  y = Div(x, s)""",
        why="the fourth moment isn't the mean square", rule="power", invites=Norm(RMS)),
    trap("RMS: no root", "q = Mul(x, x)  v = ReduceMean<axes=[-1]>(q)  e = Add(v, 1e-5)  y = Div(x, e)",
        why="divided by the mean square, not by its root", rule="root", invites=Norm(RMS)),
    trap("RMS: of another tensor", """
        q = Mul(z, z)  v = ReduceMean<axes=[-1]>(q)  e = Add(v, 1e-5)  s = Sqrt(e)  y = Div(x, s)""",
        why="the mean square is that of another tensor", rule="different-base", invites=Norm(RMS),
        inputs={"z": "B S 8"}),
    trap("RMS: gate squared with x", """
        q = Mul(x, z)  a = Abs(q)  v = ReduceMean<axes=[-1]>(a)  e = Add(v, 1e-5)  s = Sqrt(e)
        y = Div(x, s)""", why="x is multiplied by another tensor, not by itself", rule=None,
        invites=Norm(RMS), inputs={"z": "B S 8"}),
    trap("RMS: keepdims 0 in a square", """
        q = Mul(x, x)  v = ReduceMean<axes=[-1], keepdims=0>(q)  e = Add(v, 1e-5)  s = Sqrt(e)
        y = Div(x, s)""", why="the roots of the rows divide the columns", rule="broadcast", invites=Norm(RMS),
        inputs={"x": "4 4"}),
    trap("RMS: over part of the axis", """
        a = Slice(x, [0], [4], [2])  q = Mul(a, a)  v = ReduceMean<axes=[-1]>(q)  e = Add(v, 1e-5)
        s = Sqrt(e)  y = Div(x, s)""", why="the mean square is that of the first half", rule="different-base",
        invites=Norm(RMS)),
    trap("RMS: gain before the square", """
        g = Mul(x, gamma)  q = Mul(g, g)  v = ReduceMean<axes=[-1]>(q)  e = Add(v, 1e-5)  s = Sqrt(e)
        y = Div(x, s)""", why="the mean square has unequal weights", rule="weighted-mean", invites=Norm(RMS)),
]  # fmt: skip

LP_NORMS = [
    trap("Lp: L1 under a root", "a = ReduceL1<axes=[-1]>(x)  s = Sqrt(a)  y = Div(x, s)",
        why="the root of the L1 norm isn't a norm", rule=None, invites=Norm(LP, epsilon=0.0)),
    trap("Lp: L2 without its root", "a = ReduceSumSquare<axes=[-1]>(x)  y = Div(x, a)",
        why="divided by the square of the norm", rule="root", invites=Norm(LP, epsilon=0.0)),
    trap("Lp: sum without absolute values", "a = ReduceSum<axes=[-1]>(x)  y = Div(x, a)",
        why="the sum of x isn't its L1 norm", rule=None, invites=Norm(LP, epsilon=0.0, p=1)),
    trap("Lp: norm of the other axis in a square", "a = ReduceL2<axes=[-1], keepdims=0>(x)  y = Div(x, a)",
        why="the norms of the rows divide the columns", rule="broadcast", invites=Norm(LP, epsilon=0.0),
        inputs={"x": "4 4"}),
    trap("Lp: norm of another tensor", "a = ReduceL2<axes=[-1]>(z)  y = Div(x, a)",
        why="the norm is that of another tensor", rule=None, invites=Norm(LP, epsilon=0.0),
        inputs={"z": "B S 8"}),
    trap("Lp: third power", """
        b = Abs(x)  q = Pow(b, 3.)  a = ReduceSum<axes=[-1]>(q)  s = Pow(a, 0.3333333333333333)
        y = Div(x, s)""", why="the operator knows the first and the second norm alone", rule=None,
        invites=Norm(LP, epsilon=0.0)),
]  # fmt: skip

BOUNDED = Norm(LP, epsilon=0.5, guard="below the norm")
BOUNDED_LENGTHS = [
    trap("Lp: length of at most a number",
        "a = ReduceL2<axes=[-1]>(x)  c = Min(a, 0.5)  b = Identity(c)  y = Div(x, b)",
        why="the smaller of length and number divides, not the larger", rule="clamp", invites=BOUNDED),
    trap("Lp: bounded on both sides",
        "a = ReduceL2<axes=[-1]>(x)  c = Clip(a, 0.5, 2.)  b = Identity(c)  y = Div(x, b)",
        why="long vectors aren't divided by their length", rule="clamp", invites=BOUNDED),
    trap("Lp: another bound for each row", "a = ReduceL2<axes=[-1]>(x)  c = Max(a, w)  b = Identity(c)  y = Div(x, b)",
        why="the bound isn't one number", rule="clamp", invites=BOUNDED, inputs={"x": "B 3 8"},
        constants={"w": np.array([[0.5], [1.5], [2.5]])}),
    trap("Lp: a bound that is fed", "a = ReduceL2<axes=[-1]>(x)  c = Max(a, z)  b = Identity(c)  y = Div(x, b)",
        why="the bound is the caller's", rule="different-base", invites=BOUNDED, inputs={"z": "B S 1"}),
    trap("Lp: the bounded length multiplies",
        "a = ReduceL2<axes=[-1]>(x)  c = Max(a, 0.5)  b = Identity(c)  y = Mul(x, b)",
        why="multiplied, not divided", rule=None, invites=BOUNDED),
    trap("Lp: the square bounded, without a root",
        "a = ReduceSumSquare<axes=[-1]>(x)  c = Max(a, 0.5)  b = Identity(c)  y = Div(x, b)",
        why="divided by the square of the length", rule="clamp", invites=BOUNDED),
    trap("Lp: centred before the division", """
        m = ReduceMean<axes=[-1]>(x)  d = Sub(x, m)  a = ReduceL2<axes=[-1]>(x)  c = Max(a, 0.5)  b = Identity(c)
        y = Div(d, b)""", why="the length is that of x, and what it divides is centred", rule="clamp",
        invites=BOUNDED),
    trap("Lp: bounded by the length of the columns", """
        a = ReduceL2<axes=[1]>(x)  c = Max(a, 0.5)  b = ReduceL2<axes=[-1]>(x)  e = Max(b, 0.5)  f = Mul(c, e)
        s = Sqrt(f)  y = Div(x, s)""", why="divided by the geometric mean of two lengths", rule=None, invites=BOUNDED,
        inputs={"x": "B 8 8"}),
    trap("Lp: inverse of at least a number", """
        a = ReduceL2<axes=[-1]>(x)  r = Reciprocal(a)  c = Max(r, 2.)  y = Mul(x, c)""",
        why="short vectors are divided by their length, and long ones are not", rule=None, invites=BOUNDED),
    trap("Lp: the absolute value of the sum", """
        a = ReduceSum<axes=[-1]>(x)  b = Abs(a)  c = Max(b, 0.5)  y = Div(x, c)""",
        why="the absolute value is taken behind the sum", rule=None, invites=Norm(LP, epsilon=0.5, p=1,
        guard="below the norm")),
]  # fmt: skip

GROUPS = [
    trap("group: channels interleaved", """
        t = Reshape(x, [0, 2, 4, 20])  m = ReduceMean<axes=[1, 3]>(t)  d = Sub(t, m)  q = Mul(d, d)
        v = ReduceMean<axes=[1, 3]>(q)  e = Add(v, 1e-5)  s = Sqrt(e)  n = Div(d, s)
        h = Reshape(n, [0, 8, 4, 5])  g = Mul(h, gamma)  y = Add(g, beta)""",
        why="every fourth channel makes a group, not neighbours", rule=None,
        invites=Norm(GN, axes=(1,), groups=4, scale="gamma", bias="beta"), inputs={"x": "B 8 4 5"},
        constants={"gamma": (8, 1, 1), "beta": (8, 1, 1)}),
    trap("group: batch in the groups", """
        t = Reshape(x, [1, -1])  m = ReduceMean<axes=[1]>(t)  d = Sub(t, m)  q = Mul(d, d)
        v = ReduceMean<axes=[1]>(q)  e = Add(v, 1e-5)  s = Sqrt(e)  n = Div(d, s)
        y = Reshape(n, [2, 8, 4, 5])""",
        why="the one group holds both samples", rule=None,
        invites=Norm(GN, axes=(1,), groups=1), inputs={"x": "2 8 4 5"}),
    trap("group: gain that isn't the channels'", """
        t = Reshape(x, [0, 4, 16])  n = InstanceNormalization(t, ones, zeros)  h = Reshape(n, [0, 8, 1, 8])
        y = Mul(h, gamma)""", why="the gain runs along the last axis, as long as the channels'", rule=None,
        invites=Norm(GN, axes=(1,), groups=4, scale="per channel"), inputs={"x": "B 8 1 8"},
        constants={"ones": np.ones(4), "zeros": np.zeros(4), "gamma": (8,), "per channel": (8, 1, 1)}),
    trap("instance: over one spatial axis of two", """
        m = ReduceMean<axes=[3]>(x)  d = Sub(x, m)  q = Mul(d, d)  v = ReduceMean<axes=[3]>(q)
        e = Add(v, 1e-5)  s = Sqrt(e)  n = Div(d, s)  y = Mul(n, gamma)""",
        why="the statistics run over one of two spatial axes", rule=None,
        invites=Norm(IN, axes=(2, 3), scale="gamma"), inputs={"x": "B 4 H W"},
        constants={"gamma": (4, 1, 1)}),
    trap("instance: gain along a square's other axis", """
        m = ReduceMean<axes=[2, 3]>(x)  d = Sub(x, m)  q = Mul(d, d)  v = ReduceMean<axes=[2, 3]>(q)
        e = Add(v, 1e-5)  s = Sqrt(e)  n = Div(d, s)  y = Mul(n, gamma)""",
        why="the gain runs along the last axis, not the channels'", rule=None,
        invites=Norm(IN, axes=(2, 3), scale="per channel"), inputs={"x": "B 4 4 4"},
        constants={"gamma": (4,), "per channel": (4, 1, 1)}),
]  # fmt: skip

TABLE = [*ROOT_MEAN_SQUARES, *LP_NORMS, *BOUNDED_LENGTHS, *GROUPS]
