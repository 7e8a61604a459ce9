"""LayerNormalization in the algebra's spellings: each step in each of its ways, and steps in combination.

The steps hand on x → m, d (mean, centred) → v (variance) → n (normalized) → y.
"""

import numpy as np

from tests.cases import Constant, weights
from tests.claims import Norm, Spelling

LN = "LayerNormalization"

CENTRE = {
    "sub": "m = ReduceMean<axes=[-1]>(x)  d = Sub(x, m)",
    "add a negated mean": "m = ReduceMean<axes=[-1]>(x)  o = Neg(m)  d = Add(x, o)",
    "add to a negated mean": "m = ReduceMean<axes=[-1]>(x)  o = Neg(m)  d = Add(o, x)",
    "sum with a negated mean": "m = ReduceMean<axes=[-1]>(x)  o = Mul(m, -1.)  d = Sum(x, o)",
    "negate mean minus x": "m = ReduceMean<axes=[-1]>(x)  o = Sub(m, x)  d = Neg(o)",
    "mean of the negative": "k = Neg(x)  m = ReduceMean<axes=[-1]>(k)  d = Add(x, m)",
    "sum over count": "t = ReduceSum<axes=[-1]>(x)  m = Div(t, 8.)  d = Sub(x, m)",
    "sum by inverse count": "t = ReduceSum<axes=[-1]>(x)  m = Mul(0.125, t)  d = Sub(x, m)",
    "sum by reciprocal of count": """
        k = Reciprocal(8.)  t = ReduceSum<axes=[-1]>(x)  m = Mul(t, k)  d = Sub(x, m)""",
    "sum over count from the shape": """
        f = Shape(x)  i = Gather(f, -1)  k = Cast<to=1>(i)
        t = ReduceSum<axes=[-1]>(x)  m = Div(t, k)  d = Sub(x, m)""",
    "sum over count from two sizes": """
        a = Size(x)  p = Cast<to=1>(a)  t = ReduceSum<axes=[-1]>(x)
        b = Size(t)  r = Cast<to=1>(b)  k = Div(p, r)  m = Div(t, k)  d = Sub(x, m)""",
    "mean of scaled": "k = Mul(x, 4.)  t = ReduceMean<axes=[-1]>(k)  m = Div(t, 4.)  d = Sub(x, m)",
    "sum of scaled": "k = Mul(x, 0.125)  m = ReduceSum<axes=[-1]>(k)  d = Sub(x, m)",
    "keepdims 0 and Unsqueeze": """
        t = ReduceMean<axes=[-1], keepdims=0>(x)  m = Unsqueeze<axes=[-1]>(t)  d = Sub(x, m)""",
    "keepdims 0 and Reshape": """
        t = ReduceMean<axes=[-1], keepdims=0>(x)  m = Reshape(t, [0, -1, 1])  d = Sub(x, m)""",
    "keepdims 0 and Reshape to a computed shape": """
        f = Shape(x)  b = Slice(f, [0], [2])  k = Concat<axis=0>(b, [1])
        t = ReduceMean<axes=[-1], keepdims=0>(x)  m = Reshape(t, k)  d = Sub(x, m)""",
    "Squeeze and Unsqueeze": """
        k = ReduceMean<axes=[-1]>(x)  t = Squeeze<axes=[2]>(k)  m = Unsqueeze<axes=[2]>(t)  d = Sub(x, m)""",
    "mean expanded": "m = ReduceMean<axes=[-1]>(x)  f = Shape(x)  o = Expand(m, f)  d = Sub(x, o)",
    "mean tiled": "m = ReduceMean<axes=[-1]>(x)  o = Tile(m, [1, 1, 8])  d = Sub(x, o)",
    "centred twice": """
        k = ReduceMean<axes=[-1]>(x)  c = Sub(x, k)  m = ReduceMean<axes=[-1]>(c)  d = Sub(c, m)""",
    "centred from a shifted copy": """
        k = Add(x, 3.)  t = ReduceMean<axes=[-1]>(k)  m = Sub(t, 3.)  d = Sub(x, m)""",
    "half and half": """
        m = ReduceMean<axes=[-1]>(x)  h = Mul(x, 0.5)  a = Sub(h, m)  d = Add(a, h)""",
}

VARIANCE = {
    "Pow": "q = Pow(d, 2.)  v = ReduceMean<axes=[-1]>(q)",
    "Mul": "q = Mul(d, d)  v = ReduceMean<axes=[-1]>(q)",
    "ReduceSumSquare": "q = ReduceSumSquare<axes=[-1]>(d)  v = Div(q, 8.)",
    "ReduceL2 squared": "q = ReduceL2<axes=[-1]>(d)  k = Mul(q, q)  v = Mul(k, 0.125)",
    "moments": "xx = Mul(x, x)  u = ReduceMean<axes=[-1]>(xx)  mm = Mul(m, m)  v = Sub(u, mm)",
    "not below zero": "q = Mul(d, d)  a = ReduceMean<axes=[-1]>(q)  v = Max(a, 0.)",
    "Pow of Abs": "a = Abs(d)  q = Pow(a, 2.)  v = ReduceMean<axes=[-1]>(q)",
    "Abs of Mul": "q = Mul(d, d)  a = Abs(q)  v = ReduceMean<axes=[-1]>(a)",
    "Mul of a copy": """
        k = ReduceMean<axes=[-1]>(x)  c = Sub(x, k)  q = Mul(c, d)  v = ReduceMean<axes=[-1]>(q)""",
    "Mul by mean minus x": "c = Sub(m, x)  q = Mul(c, c)  v = ReduceMean<axes=[-1]>(q)",
    "Pow by a vector of twos": "q = Pow(d, [2., 2., 2., 2., 2., 2., 2., 2.])  v = ReduceMean<axes=[-1]>(q)",
    "sum over count": "q = Mul(d, d)  a = ReduceSum<axes=[-1]>(q)  v = Div(a, 8.)",
    "keepdims 0 and Unsqueeze": """
        q = Mul(d, d)  a = ReduceMean<axes=[-1], keepdims=0>(q)  v = Unsqueeze<axes=[2]>(a)""",
    "moments of Pow": "a = Pow(x, 2.)  b = ReduceMean<axes=[-1]>(a)  c = Pow(m, 2.)  v = Sub(b, c)",
    "moments of the centred": """
        a = Mul(d, d)  b = ReduceMean<axes=[-1]>(a)  t = ReduceMean<axes=[-1]>(d)  c = Mul(t, t)
        v = Sub(b, c)""",
    "moments about a constant": """
        o = Sub(x, 0.125)  a = Mul(o, o)  b = ReduceMean<axes=[-1]>(a)  t = Sub(m, 0.125)  c = Mul(t, t)
        v = Sub(b, c)""",
    "covariance with x": "q = Mul(x, d)  v = ReduceMean<axes=[-1]>(q)",
    "moments not below zero": """
        a = Mul(x, x)  b = ReduceMean<axes=[-1]>(a)  c = Mul(m, m)  k = Sub(b, c)  v = Max(0., k)""",
    "moments through Relu": """
        a = Mul(x, x)  b = ReduceMean<axes=[-1]>(a)  c = Mul(m, m)  k = Sub(b, c)  v = Relu(k)""",
    "clipped from below": "q = Mul(d, d)  a = ReduceMean<axes=[-1]>(q)  v = Clip(a, 0.)",
    "deviation squared": "q = Mul(d, d)  a = ReduceMean<axes=[-1]>(q)  s0 = Sqrt(a)  v = Mul(s0, s0)",
}
# The first six stand for their kind in the products below.
COMBINED = tuple(VARIANCE)[:6]

NORMALIZE = {
    "Div by Sqrt": "e = Add(v, 1e-5)  s = Sqrt(e)  n = Div(d, s)",
    "Mul by Reciprocal of Sqrt": "e = Add(v, 1e-5)  s = Sqrt(e)  r = Reciprocal(s)  n = Mul(d, r)",
    "Mul by Sqrt of Reciprocal": "e = Add(v, 1e-5)  s = Reciprocal(e)  r = Sqrt(s)  n = Mul(r, d)",
    "Mul by Pow -0.5": "e = Add(1e-5, v)  r = Pow(e, -0.5)  n = Mul(d, r)",
    "Div by Pow 0.5": "e = Add(v, 1e-5)  s = Pow(e, 0.5)  n = Div(d, s)",
    "Mul by Pow -1 of Sqrt": "e = Add(v, 1e-5)  s = Sqrt(e)  r = Pow(s, -1.)  n = Mul(d, r)",
    "Mul by one over Sqrt": "e = Add(v, 1e-5)  s = Sqrt(e)  r = Div(1., s)  n = Mul(r, d)",
}

AFFINE: dict[str, tuple[str, float | str, float | str]] = {
    "gain and bias": ("g = Mul(n, gamma)  y = Add(g, beta)", "gamma", "beta"),
    "operands swapped": ("g = Mul(gamma, n)  y = Add(beta, g)", "gamma", "beta"),
    "gain alone": ("y = Mul(n, gamma)", "gamma", 0.0),
    "bias alone": ("y = Add(n, beta)", 1.0, "beta"),
    "gain that is a number": ("g = Mul(n, 1.5)  y = Add(g, beta)", 1.5, "beta"),
    "bias that is a number": ("g = Mul(n, gamma)  y = Add(g, 0.75)", "gamma", 0.75),
    "numbers alone": ("g = Mul(n, 0.5)  y = Add(g, [-2.])", 0.5, -2.0),
    "leading ones": ("g = Mul(n, gain_1x8)  y = Add(g, bias_1x1x8)", "gain_1x8", "bias_1x1x8"),
    "two gains": ("g = Mul(n, gamma)  h = Mul(g, 0.25)  y = Add(h, beta)", "gamma/4", "beta"),
    "two biases": ("g = Mul(n, gamma)  h = Add(g, beta)  y = Add(h, beta)", "gamma", "2*beta"),
    "gain by division": ("g = Div(n, 0.25)  y = Add(g, beta)", 4.0, "beta"),
    "bias subtracted": ("g = Mul(n, gamma)  y = Sub(g, beta)", "gamma", "-beta"),
    "bias minus": ("g = Mul(n, gamma)  y = Sub(beta, g)", "-gamma", "beta"),
    "negated": ("g = Mul(n, gamma)  h = Sub(g, beta)  y = Neg(h)", "-gamma", "beta"),
    "bias before gain": ("g = Add(n, beta)  y = Mul(g, gamma)", "gamma", "gamma*beta"),
    "one plus the stored gain": ("w = Add(gamma, 1.)  g = Mul(n, w)  y = Add(g, beta)", "1+gamma", "beta"),
    "stored as [1, 8]": ("w = Squeeze<axes=[0]>(gain_1x8)  y = Mul(n, w)", "gain_1x8", 0.0),
    "expanded": (
        "f = Shape(x)  w = Expand(gamma, f)  g = Mul(n, w)  b = Expand(beta, f)  y = Add(g, b)",
        "gamma",
        "beta",
    ),
    "gain in two parts": ("g = Mul(n, gamma)  h = Mul(n, 2.)  y = Add(g, h)", "2+gamma", 0.0),
}

# What may make a gain before the norm, where the gain is computed in the graph.
REMAINS = {"one plus the stored gain": None, "stored as [1, 8]": None}

# Orders that put the gain before the normalization: from d and s, and from x, m and s.
FROM_CENTRED = {
    "gain over deviation": "k = Div(gamma, s)  g = Mul(k, d)  y = Add(g, beta)",
    "gain on the centred": "k = Mul(d, gamma)  g = Div(k, s)  y = Add(g, beta)",
    "bias under the division": "k = Mul(d, gamma)  b = Mul(s, beta)  g = Add(k, b)  y = Div(g, s)",
}
FROM_X = {
    "TensorFlow": """
        r = Reciprocal(s)  k = Mul(r, gamma)  a = Mul(x, k)  b = Mul(m, k)  o = Sub(beta, b)
        y = Add(a, o)""",
    "TensorFlow, subtracting": """
        r = Reciprocal(s)  k = Mul(r, gamma)  a = Mul(x, k)  b = Mul(m, k)  o = Sub(b, beta)
        y = Sub(a, o)""",
    "distributed": "a = Div(x, s)  b = Div(m, s)  c = Sub(a, b)  g = Mul(c, gamma)  y = Add(g, beta)",
}

_gamma, _beta = weights("gamma", (8,)), weights("beta", (8,))
# Constants that the graphs name, and what becomes of gamma and beta, which only the claims name.
NAMED: dict[str, Constant] = {
    "gain_1x8": (1, 8),
    "bias_1x1x8": (1, 1, 8),
    "gamma/4": _gamma / 4,
    "2*beta": 2 * _beta,
    "-gamma": -_gamma,
    "-beta": -_beta,
    "gamma*beta": _gamma * _beta,
    "1+gamma": 1 + _gamma,
    "2+gamma": 2 + _gamma,
    "gamma, Bessel": _gamma * np.sqrt(7 / 8),
    "gamma/sqrt(8)": _gamma / np.sqrt(8),
    "3*gamma": 3 * _gamma,
    "nan": float("nan"),
}


def layer_norm(
    name: str,
    *steps: str,
    scale: float | str = "gamma",
    bias: float | str = "beta",
    epsilon: float | str = "1e-5",
    of: str = "x",
    opsets: tuple[int, int] = (11, 23),
    dtypes: tuple[str, ...] = ("float",),
    after: str | None = LN,
) -> Spelling:
    """One LayerNormalization over the last axis of a [B, S, 8] input, and whatever `after` says."""
    norm = Norm(LN, epsilon=epsilon, scale=scale, bias=bias, of=of)
    return Spelling(
        name,
        "\n".join(steps),
        claims=(norm,),
        after=after,
        constants=NAMED,
        opsets=opsets,
        dtypes=dtypes,
    )


SUB, POW, DIV = CENTRE["sub"], VARIANCE["Pow"], NORMALIZE["Div by Sqrt"]
MEAN = "m = ReduceMean<axes=[-1]>(x)"
GAIN_BIAS = AFFINE["gain and bias"][0]
DEVIATION = "e = Add(v, 1e-5)  s = Sqrt(e)"

CENTRES = [layer_norm(f"centre: {name}", text, POW, DIV, GAIN_BIAS) for name, text in CENTRE.items()]

VARIANCES = [
    layer_norm(f"variance: {name}", SUB, text, DIV, GAIN_BIAS)
    for name, text in VARIANCE.items()
    if name not in COMBINED
]

PRODUCTS = [
    layer_norm(f"{square}, {divide}", SUB, VARIANCE[square], text, GAIN_BIAS)
    for square in COMBINED
    for divide, text in NORMALIZE.items()
]

AFFINES = [
    layer_norm(f"affine: {name}", SUB, POW, DIV, text, scale=scale, bias=bias, after=REMAINS.get(name, LN))
    for name, (text, scale, bias) in AFFINE.items()
] + [
    layer_norm(f"affine: none, {name}", SUB, POW, text.replace("n =", "y ="), scale=1.0, bias=0.0)
    for name, text in NORMALIZE.items()
]

REORDERINGS = [
    layer_norm(f"{name}, {square}", centre, VARIANCE[square], DEVIATION, text)
    for texts, centre_of_moments in ((FROM_CENTRED, SUB), (FROM_X, MEAN))
    for name, text in texts.items()
    for square, centre in (("Pow", SUB), ("moments", centre_of_moments))
]

MEAN_SQUARE = "q = Mul(d, d)  v = ReduceMean<axes=[-1]>(q)"
EPSILONS = [
    layer_norm(f"epsilon: {name}", SUB, MEAN_SQUARE, text, "s = Sqrt(e)  n = Div(d, s)", GAIN_BIAS)
    for name, text in {
        "[1]": "e = Add(v, [1e-5])",
        "[1, 1]": "e = Add(v, [[1e-5]])",
        "[1, 1, 1]": "e = Add(v, [[[1e-5]]])",
        "subtracted": "e = Sub(v, -1e-5)",
        "in two parts": "a = Add(v, 6e-6)  e = Add(a, 4e-6)",
        "a product": "k = Mul(2.5e-3, 4e-3)  e = Add(v, k)",
        "ConstantOfShape": "k = ConstantOfShape<value = float[1] {1e-5}>([1])  e = Add(v, k)",
        "ConstantOfShape of the variance's": """
            f = Shape(v)  k = ConstantOfShape<value = float[1] {1e-5}>(f)  e = Add(v, k)""",
        "Expand": "f = Shape(v)  k = Expand(1e-5, f)  e = Add(v, k)",
        "Constant node": "k = Constant<value = float {1e-5}>()  e = Add(v, k)",
        "Cast from double": "k = Cast<to=1>(1e-5f64)  e = Add(v, k)",
        "Unsqueeze": "k = Unsqueeze<axes=[0, 1]>(1e-5)  e = Add(v, k)",
        "Identity": "k = Identity(1e-5)  e = Add(v, k)",
    }.items()
] + [
    layer_norm("epsilon: before the mean", SUB,
        "q = Mul(d, d)  k = Add(q, 1e-5)  e = ReduceMean<axes=[-1]>(k)", "s = Sqrt(e)  n = Div(d, s)",
        GAIN_BIAS),
    layer_norm("epsilon: inside the square", SUB,
        "k = Add(d, 0.01)  q = Mul(k, k)  e = ReduceMean<axes=[-1]>(q)", "s = Sqrt(e)  n = Div(d, s)",
        GAIN_BIAS, epsilon=1e-4),
    layer_norm("epsilon: none", SUB, POW, "s = Sqrt(v)  n = Div(d, s)", GAIN_BIAS, epsilon=0.0),
    layer_norm("epsilon: large", SUB, POW, "e = Add(v, 0.25)  s = Sqrt(e)  n = Div(d, s)", GAIN_BIAS,
        epsilon=0.25),
]  # fmt: skip

# The variance or the centred value times a number: gain and epsilon take it up.
SCALED = [
    # γ·d/√(8/7·V + ε) = γ·√(7/8) · d/√(V + 7/8·ε)
    layer_norm("scaled: Bessel's correction", SUB,
        "q = Mul(d, d)  k = ReduceSum<axes=[-1]>(q)  v = Div(k, 7.)", DIV, GAIN_BIAS, scale="gamma, Bessel",
        epsilon=7 / 8 * 1e-5),
    layer_norm("scaled: Bessel's correction as a factor", SUB, POW, "b = Mul(v, 8.)  w = Div(b, 7.)",
        "e = Add(w, 1e-5)  s = Sqrt(e)  n = Div(d, s)", GAIN_BIAS, scale="gamma, Bessel",
        epsilon=7 / 8 * 1e-5),
    layer_norm("scaled: sum of squares", SUB,
        "v = ReduceSumSquare<axes=[-1]>(d)  e = Add(v, 8e-5)  s = Sqrt(e)", "n = Div(d, s)", GAIN_BIAS,
        scale="gamma/sqrt(8)"),
    layer_norm("scaled: L2 norm of the centred", SUB, "s = ReduceL2<axes=[-1]>(d)  n = Div(d, s)", GAIN_BIAS,
        scale="gamma/sqrt(8)", epsilon=0.0),
    layer_norm("scaled: variance and epsilon doubled", SUB, POW,
        "a = Mul(v, 2.)  e = Add(a, 2e-5)  s = Sqrt(e)", "k = Mul(d, 1.4142135623730951)  n = Div(k, s)",
        GAIN_BIAS),
    layer_norm("scaled: variance and epsilon doubled after", SUB, POW,
        "a = Add(v, 1e-5)  e = Mul(a, 9.)  s = Sqrt(e)", "k = Div(d, s)  n = Mul(k, 9.)", GAIN_BIAS,
        scale="3*gamma"),
    layer_norm("scaled: centred value tripled", SUB,
        "c = Mul(d, 3.)  q = Mul(c, c)  v = ReduceMean<axes=[-1]>(q)",
        "e = Add(v, 9e-5)  s = Sqrt(e)  n = Div(c, s)", GAIN_BIAS),
    layer_norm("scaled: x tripled, not compensated",
        "c = Mul(x, 3.)  m = ReduceMean<axes=[-1]>(c)  d = Sub(c, m)", POW, DIV, GAIN_BIAS, of="c",
        after=f"Mul {LN}"),
    layer_norm("scaled: x shifted", "c = Add(x, 5.)  m = ReduceMean<axes=[-1]>(c)  d = Sub(c, m)", POW, DIV,
        GAIN_BIAS, after=None),
    layer_norm("scaled: mean minus x", "m = ReduceMean<axes=[-1]>(x)  d = Sub(m, x)", POW, DIV, GAIN_BIAS,
        scale="-gamma"),
    layer_norm("scaled: mean minus x, gain negative", "m = ReduceMean<axes=[-1]>(x)  d = Sub(m, x)", POW, DIV,
        "w = Neg(gamma)  g = Mul(n, w)  y = Add(g, beta)"),
]  # fmt: skip

# Steps that change nothing: those before or behind the norm may stay.
IDLE = [
    layer_norm("idle: Identity on the way", "i = Identity(x)  m = ReduceMean<axes=[-1]>(i)  j = Identity(m)",
        "d = Sub(i, j)", POW, DIV, "k = Identity(n)  g = Mul(k, gamma)  h = Add(g, beta)  y = Identity(h)",
        after=None),
    layer_norm("idle: Dropout", SUB, POW, DIV, "k = Dropout(n)  g = Mul(k, gamma)  y = Add(g, beta)"),
    layer_norm("idle: Cast to the same type", "i = Cast<to=1>(x)  m = ReduceMean<axes=[-1]>(i)",
        "d = Sub(i, m)", POW, DIV, GAIN_BIAS),
    layer_norm("idle: zero added, times one", SUB, POW, "a = Mul(v, 1.)  e = Add(a, 1e-5)  s = Sqrt(e)",
        "n = Div(d, s)  k = Add(n, 0.)  g = Mul(k, gamma)  y = Add(g, beta)"),
    layer_norm("idle: double negation", SUB, POW, DEVIATION, "a = Neg(d)  b = Neg(s)  n = Div(a, b)",
        GAIN_BIAS),
    layer_norm("idle: Unsqueeze and Squeeze", "i = Unsqueeze<axes=[0]>(x)  m = ReduceMean<axes=[3]>(i)",
        "d = Sub(i, m)", POW, DIV, "g = Mul(n, gamma)  h = Add(g, beta)  y = Squeeze<axes=[0]>(h)",
        after=None),
    layer_norm("idle: mean twice", "m = ReduceMean<axes=[-1]>(x)  k = ReduceMean<axes=[2]>(x)  c = Sub(x, k)",
        "d = Sub(x, m)  q = Mul(c, c)  v = ReduceMean<axes=[-1]>(q)", DIV, GAIN_BIAS),
    layer_norm("idle: one input to Sum and Max", "i = Sum(x)  k = Max(i)  m = ReduceMean<axes=[-1]>(k)",
        "d = Sub(x, m)", POW, DIV, GAIN_BIAS),
    layer_norm("idle: Slice of everything", "i = Slice(x, [0], [9223372036854775807], [1])",
        "m = ReduceMean<axes=[-1]>(i)  d = Sub(i, m)", POW, DIV, GAIN_BIAS, after=None),
    layer_norm("idle: branch that nobody reads", SUB, POW, DIV, "a = Reciprocal(s)  b = Mul(d, a)",
        GAIN_BIAS),
    layer_norm("idle: square root squared", SUB, POW, DEVIATION, "a = Mul(s, s)  b = Div(d, a)",
        "n = Mul(b, s)", GAIN_BIAS),
]  # fmt: skip

DTYPES = ("float", "float16", "bfloat16")
# LayerNormalization keeps epsilon as a float32: in double, only one that float32 holds can be fused.
EXACT = "1.52587890625e-05"
ELEMENT_TYPES = [
    layer_norm("three types", SUB, POW, DIV, GAIN_BIAS, dtypes=DTYPES),
    layer_norm("three types, Mul by Pow -0.5", SUB, MEAN_SQUARE, NORMALIZE["Mul by Pow -0.5"], GAIN_BIAS,
        dtypes=DTYPES),
    layer_norm("three types, neither gain nor bias", SUB, MEAN_SQUARE,
        "e = Add(v, 1e-3)  s = Sqrt(e)  y = Div(d, s)", scale=1.0, bias=0.0, epsilon="1e-3", dtypes=DTYPES),
    layer_norm("three types, TensorFlow", SUB, MEAN_SQUARE, DEVIATION, FROM_X["TensorFlow"], dtypes=DTYPES),
    layer_norm("double", SUB, POW, DIV.replace("1e-5", EXACT), GAIN_BIAS, epsilon=EXACT, dtypes=("double",)),
    layer_norm("double, TensorFlow", SUB, POW, DEVIATION.replace("1e-5", EXACT), FROM_X["TensorFlow"],
        epsilon=EXACT, dtypes=("double",)),
    layer_norm("double, moments", SUB, VARIANCE["moments"], DIV.replace("1e-5", EXACT), GAIN_BIAS,
        epsilon=EXACT, dtypes=("double",)),
    layer_norm("integer exponent", SUB, "q = Pow(d, 2)  v = ReduceMean<axes=[-1]>(q)", DIV, GAIN_BIAS,
        opsets=(13, 23)),
    layer_norm("half-precision exponent", SUB, "q = Pow(d, 2.f16)  v = ReduceMean<axes=[-1]>(q)", DIV,
        GAIN_BIAS, opsets=(13, 23)),
]  # fmt: skip

TABLE = [
    *CENTRES,
    *VARIANCES,
    *PRODUCTS,
    *AFFINES,
    *REORDERINGS,
    *EPSILONS,
    *SCALED,
    *IDLE,
    *ELEMENT_TYPES,
]
