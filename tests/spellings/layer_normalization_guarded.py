"""LayerNormalization behind a choice that is always the same, or that makes no difference.

jax2onnx takes zero for the centred value of a constant row, TensorFlow for a quotient by zero, jax.numpy not a number
for the variance of nothing.  Weights that are all one, and their sums, are TensorFlow's and JAX's too.
"""

from tests.claims import Spelling
from tests.spellings.layer_normalization import DEVIATION, DIV, GAIN_BIAS, MEAN, POW, SUB, layer_norm

OPSETS = (16, 23)  # from when comparisons and Where take every type
CENTRED = f"{MEAN}  a = Sub(x, m)"
ENDS = "low = ReduceMin<axes=[-1]>(x)  high = ReduceMax<axes=[-1]>(x)"
SQUARE = "q = Mul(d, d)  a = ReduceMean<axes=[-1]>(q)"
FINITE = "z = Sub(m, m)  f = Equal(z, 0.)"
ONES = "shape = Shape(x)  ones = ConstantOfShape<value=float[1] {1}>(shape)"
WEIGHTED = f"""
    {ONES}  w = Mul(x, ones)  a = ReduceSum<axes=[-1]>(w)  total = ReduceSum<axes=[-1]>(ones)  k = Div(a, total)
    none = Equal(total, 0.)  m = Where(none, 0., k)  d = Sub(x, m)  q = Mul(d, d)  b = Mul(q, ones)
    c = ReduceSum<axes=[-1]>(b)  h = Div(c, total)  v = Where(none, 0., h)"""


def guarded(name: str, *steps: str, opsets: tuple[int, int] = OPSETS, dtypes: tuple[str, ...] = ("float",)) -> Spelling:
    return layer_norm(f"guarded: {name}", *steps, GAIN_BIAS, opsets=opsets, dtypes=dtypes, after=None)


TABLE = [
    guarded("zero for a constant row", CENTRED, ENDS, FINITE,
        "t = Equal(low, high)  u = And(t, f)  d = Where(u, 0., a)", POW, DIV,
        dtypes=("float", "float16")),
    guarded("zero for a constant row, ends swapped", CENTRED, ENDS,
        "t = Equal(high, low)  d = Where(t, 0., a)", POW, DIV),
    guarded("centred unless the row is constant", CENTRED, ENDS,
        "t = Equal(low, high)  u = Not(t)  d = Where(u, a, 0.)", POW, DIV),
    guarded("no range left", CENTRED, ENDS, "r = Sub(high, low)  t = Equal(r, 0.)  d = Where(t, 0., a)", POW, DIV),
    guarded("no range either way", CENTRED, ENDS, "r = Sub(high, low)  o = Sub(low, high)  t = Equal(r, 0.)",
        "u = Equal(o, 0.)  w = And(t, u)  d = Where(w, 0., a)", POW, DIV),
    guarded("variance where positive", SUB, SQUARE, "t = Greater(a, 0.)  v = Where(t, a, 0.)", DIV),
    guarded("variance unless negative", SUB, SQUARE, "t = Less(a, 0.)  v = Where(t, 0., a)", DIV),
    guarded("variance where zero is no more", SUB, SQUARE, "t = LessOrEqual(0., a)  v = Where(t, a, 0.)", DIV),
    guarded("quotient unless the deviation is zero", SUB, POW, DEVIATION,
        "t = Equal(s, 0.)  b = Div(d, s)  n = Where(t, 0., b)"),
    guarded("quotient where the deviation is positive", SUB, POW, DEVIATION,
        "t = Greater(s, 0.)  b = Div(d, s)  n = Where(t, b, 0.)"),
    guarded("not a number for the variance of nothing", SUB, SQUARE,
        "k = Sub(8., 0.)  t = Greater(k, 0.)  v = Where(t, a, nan)", DIV),
    guarded("weights that are all one", WEIGHTED, DIV, opsets=(18, 23)),
]  # fmt: skip
