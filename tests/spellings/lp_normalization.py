"""LpNormalization: x divided by its norm, kept from zero in whichever way frameworks do."""

from collections.abc import Mapping

from tests.cases import Constant
from tests.claims import Norm, Spelling

LP = "LpNormalization"


def lp_norm(
    name: str,
    text: str,
    guard: str = "none",
    epsilon: float | str = 0.0,
    *,
    dims: str = "B S 8",
    axes: tuple[int, ...] = (-1,),
    p: int = 2,
    scale: float | str = 1.0,
    output: str = "y",
    constants: Mapping[str, Constant] | None = None,
    dtypes: tuple[str, ...] = ("float",),
    opsets: tuple[int, int] = (11, 23),
) -> Spelling:
    """One division by a norm, over the last axis of a [B, S, 8] input unless said otherwise."""
    norm = Norm(LP, axes=axes, epsilon=epsilon, scale=scale, output=output, p=p, guard=guard)
    return Spelling(
        f"Lp: {name}",
        text,
        inputs={"x": dims},
        constants=constants or {},
        claims=(norm,),
        dtypes=dtypes,
        opsets=opsets,
    )


BARE = [
    lp_norm("ReduceL2", "a = ReduceL2<axes=[-1]>(x)  y = Div(x, a)"),
    lp_norm("ReduceL2 and Reciprocal", "a = ReduceL2<axes=[-1]>(x)  r = Reciprocal(a)  y = Mul(x, r)"),
    lp_norm("ReduceL2, keepdims 0",
        "a = ReduceL2<axes=[-1], keepdims=0>(x)  b = Unsqueeze<axes=[2]>(a)  y = Div(x, b)"),
    lp_norm("ReduceL2, expanded",
        "a = ReduceL2<axes=[-1]>(x)  f = Shape(x)  b = Expand(a, f)  y = Div(x, b)"),
    lp_norm("ReduceSumSquare", "a = ReduceSumSquare<axes=[-1]>(x)  s = Sqrt(a)  y = Div(x, s)"),
    lp_norm("sum of Mul", "q = Mul(x, x)  a = ReduceSum<axes=[-1]>(q)  s = Sqrt(a)  y = Div(x, s)"),
    lp_norm("sum of Pow, Pow -0.5",
        "q = Pow(x, 2.)  a = ReduceSum<axes=[-1]>(q)  r = Pow(a, -0.5)  y = Mul(x, r)"),
    lp_norm("L1 by ReduceL1", "a = ReduceL1<axes=[-1]>(x)  y = Div(x, a)", p=1),
    lp_norm("L1 by Abs", "b = Abs(x)  a = ReduceSum<axes=[-1]>(b)  y = Div(x, a)", p=1),
    lp_norm("over channels", "a = ReduceL2<axes=[1]>(x)  y = Div(x, a)", dims="B 8 H W", axes=(1,)),
    lp_norm("over a whole sample", "a = ReduceL2<axes=[1, 2]>(x)  y = Div(x, a)", dims="B 4 8", axes=(1, 2)),
    lp_norm("scaled by a number", "a = ReduceL2<axes=[-1]>(x)  n = Div(x, a)  y = Mul(n, 20.)", scale=20.0),
    lp_norm("scaled per channel", "a = ReduceL2<axes=[1]>(x)  n = Div(x, a)  y = Mul(n, w)", dims="B 8 H W",
        axes=(1,), scale="w", constants={"w": (8, 1, 1)}),
    lp_norm("native", "y = LpNormalization<axis=-1, p=2>(x)"),
    lp_norm("native L1", "y = LpNormalization<axis=1, p=1>(x)", axes=(1,), p=1),
]  # fmt: skip

ZERO_STAYS = "zero stays"
LENGTH = "a = ReduceL2<axes=[-1]>(x)"
SPARED = [
    lp_norm("TensorFlow: divide_no_nan",
        f"{LENGTH}  t = Equal(a, 0.)  n = Div(x, a)  y = Where(t, 0., n)", ZERO_STAYS, opsets=(11, 23)),
    lp_norm("divide_no_nan by the squared length", """
        q = Mul(x, x)  a = ReduceSum<axes=[-1]>(q)  t = Equal(a, 0.)  s = Sqrt(a)  n = Div(x, s)
        y = Where(t, 0., n)""", ZERO_STAYS),
    lp_norm("quotient where the length is positive",
        f"{LENGTH}  t = Greater(a, 0.)  n = Div(x, a)  y = Where(t, n, 0.)", ZERO_STAYS),
    lp_norm("reciprocal unless the length is zero",
        f"{LENGTH}  t = Equal(0., a)  r = Reciprocal(a)  s = Where(t, 0., r)  y = Mul(x, s)", ZERO_STAYS),
    lp_norm("L1: divide_no_nan",
        "a = ReduceL1<axes=[-1]>(x)  t = Equal(a, 0.)  n = Div(x, a)  y = Where(t, 0., n)", ZERO_STAYS, p=1),
    lp_norm("divide_no_nan, scaled", f"{LENGTH}  t = Equal(a, 0.)  n = Div(x, a)  s = Where(t, 0., n)  y = Mul(s, 20.)",
        ZERO_STAYS, scale=20.0),
]  # fmt: skip

BELOW_NORM, BELOW_POWER = "below the norm", "below the power"
ADDED_NORM, ADDED_POWER = "added to the norm", "added to the power"
GUARDED = [
    lp_norm("PyTorch: clamped and expanded", """
        a = ReduceL2<axes=[-1]>(x)  c = Clip(a, 0.02)  f = Shape(x)  b = Expand(c, f)  y = Div(x, b)""",
        BELOW_NORM, "0.02"),
    lp_norm("PyTorch, its own epsilon", """
        a = ReduceL2<axes=[-1]>(x)  c = Clip(a, 1e-12)  f = Shape(x)  b = Expand(c, f)  y = Div(x, b)""",
        BELOW_NORM, "1e-12"),
    lp_norm("PyTorch, over channels", "a = ReduceL2<axes=[1]>(x)  c = Clip(a, 0.02)  y = Div(x, c)",
        BELOW_NORM, "0.02", dims="B 8 H W", axes=(1,)),
    lp_norm("norm at least epsilon", "a = ReduceL2<axes=[-1]>(x)  c = Max(a, 0.02)  y = Div(x, c)",
        BELOW_NORM, "0.02"),
    lp_norm("L1 norm at least epsilon", "a = ReduceL1<axes=[-1]>(x)  c = Max(0.02, a)  y = Div(x, c)",
        BELOW_NORM, "0.02", p=1),
    lp_norm("Keras 3: inverse at most a number", """
        q = Mul(x, x)  a = ReduceSum<axes=[-1]>(q)  s = Sqrt(a)  r = Reciprocal(s)  c = Min(r, 50.)  y = Mul(x, c)""",
        BELOW_NORM, 0.02),
    lp_norm("TensorFlow: sum at least epsilon", """
        q = Mul(x, x)  a = ReduceSum<axes=[-1]>(q)  c = Max(a, 1e-4)  s = Sqrt(c)  r = Reciprocal(s)
        y = Mul(x, r)""", BELOW_POWER, "1e-4"),
    lp_norm("epsilon added to the sum", """
        q = Mul(x, x)  a = ReduceSum<axes=[-1]>(q)  e = Add(a, 1e-4)  s = Sqrt(e)  y = Div(x, s)""",
        ADDED_POWER, "1e-4"),
    lp_norm("epsilon added to the sum, Pow",
        "a = ReduceSumSquare<axes=[-1]>(x)  e = Add(a, 1e-4)  r = Pow(e, -0.5)  y = Mul(r, x)", ADDED_POWER,
        "1e-4"),
    lp_norm("epsilon added to the norm", "a = ReduceL2<axes=[-1]>(x)  e = Add(a, 0.02)  y = Div(x, e)",
        ADDED_NORM, "0.02"),
    lp_norm("epsilon added to the L1 norm", "a = ReduceL1<axes=[-1]>(x)  e = Add(a, 0.02)  y = Div(x, e)",
        ADDED_NORM, "0.02", p=1),
    lp_norm("float16 that computes in float", """
        c = Cast<to=1>(x)  a = ReduceL2<axes=[-1]>(c)  b = Clip(a, 0.02f32)  n = Div(c, b)
        y = Cast<to=10>(n)""", BELOW_NORM, "0.02f32", dtypes=("float16",)),
]  # fmt: skip

TABLE = [*BARE, *SPARED, *GUARDED]
