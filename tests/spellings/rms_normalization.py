"""RMSNormalization: x divided by the root of the mean of its squares."""

import numpy as np

from tests.cases import Constant, weights
from tests.claims import Norm, Spelling
from tests.spellings.layer_normalization import DTYPES, NORMALIZE

RMS = "RMSNormalization"
MEAN_SQUARE = {
    "Mul": "q = Mul(x, x)  v = ReduceMean<axes=[-1]>(q)",
    "Pow": "q = Pow(x, 2.)  v = ReduceMean<axes=[-1]>(q)",
    "ReduceSumSquare": "q = ReduceSumSquare<axes=[-1]>(x)  v = Mul(q, 0.125)",
    "sum over count": "q = Mul(x, x)  a = ReduceSum<axes=[-1]>(q)  v = Div(a, 8.)",
    "ReduceL2 squared": "q = ReduceL2<axes=[-1]>(x)  a = Mul(q, q)  v = Div(a, 8.)",
    "keepdims 0": "q = Mul(x, x)  a = ReduceMean<axes=[-1], keepdims=0>(q)  v = Unsqueeze<axes=[-1]>(a)",
    "not below zero": "q = Mul(x, x)  a = ReduceMean<axes=[-1]>(q)  v = Max(a, 0.)",
    "of Abs": "a = Abs(x)  q = Mul(a, a)  v = ReduceMean<axes=[-1]>(q)",
}
MUL, ROOT = MEAN_SQUARE["Mul"], "e = Add(v, 1e-5)  s = Sqrt(e)"
DIV = f"{ROOT}  n = Div(x, s)"
RSQRT = f"{ROOT}  r = Reciprocal(s)  n = Mul(x, r)"
FLOAT, HALF, BFLOAT = 1, 10, 16

_gamma = weights("gamma", (8,))
NAMED: dict[str, Constant] = {
    "1+gamma": 1 + _gamma,
    "gamma/sqrt(8)": _gamma / np.sqrt(8),
    "gamma_f32": _gamma.astype(np.float32),
}


def rms_norm(
    name: str,
    *steps: str,
    scale: float | str = "gamma",
    bias: float | str = 0.0,
    epsilon: float | str = "1e-5",
    axes: tuple[int, ...] = (-1,),
    dims: str = "B S 8",
    of: str = "x",
    output: str = "y",
    dtypes: tuple[str, ...] = ("float",),
    shape: tuple[int, ...] = (8,),
    opsets: tuple[int, int] = (11, 23),
    expanded: tuple[str, ...] = (),
    hard: str = "",
) -> Spelling:
    """One RMSNormalization, of a [B, S, 8] input unless `dims` says otherwise."""
    norm = Norm(RMS, axes=axes, epsilon=epsilon, scale=scale, bias=bias, of=of, output=output)
    return Spelling(
        f"RMS: {name}",
        "\n".join(steps),
        inputs={"x": dims},
        constants=NAMED | {"gamma": shape},
        claims=(norm,),
        dtypes=dtypes,
        opsets=opsets,
        expanded=expanded,
        hard=hard,
    )


GAIN = "y = Mul(n, gamma)"
PRODUCTS = [
    rms_norm(f"{square}, {divide}", text, of_d.replace("(d", "(x").replace(", d)", ", x)"), GAIN)
    for square, text in MEAN_SQUARE.items()
    for divide, of_d in NORMALIZE.items()
    if square in ("Mul", "Pow") or divide == "Mul by Reciprocal of Sqrt"
]

CAST = f"""
    c = Cast<to={FLOAT}>(x)  q = Pow(c, 2.f32)  v = ReduceMean<axes=[-1]>(q)  e = Add(v, 1e-5f32)
    s = Sqrt(e)"""
OTHERS = [
    rms_norm("without gain", MUL, DIV.replace("n =", "y ="), scale=1.0),
    rms_norm("gain first operand", MUL, RSQRT, "y = Mul(gamma, n)"),
    rms_norm("gain with the reciprocal", MUL, ROOT, "r = Reciprocal(s)  k = Mul(r, gamma)  y = Mul(x, k)"),
    rms_norm("gain on x", MUL, ROOT, "k = Mul(x, gamma)  y = Div(k, s)"),
    rms_norm("one plus the stored gain", MUL, RSQRT, "w = Add(gamma, 1.)  y = Mul(n, w)", scale="1+gamma"),
    rms_norm("with a bias", MUL, RSQRT, "g = Mul(n, gamma)  y = Add(g, beta)", bias="beta"),
    rms_norm("all types", MUL, RSQRT, GAIN, dtypes=DTYPES),
    rms_norm("norm over root of count",
        "a = ReduceL2<axes=[-1]>(x)  s = Div(a, 2.8284271247461903)  n = Div(x, s)", GAIN, epsilon=0.0),
    rms_norm("norm, root of count in the gain", "a = ReduceL2<axes=[-1]>(x)  n = Div(x, a)", GAIN,
        scale="gamma/sqrt(8)", epsilon=0.0),
    rms_norm("sum of squares", "q = Mul(x, x)  a = ReduceSum<axes=[-1]>(q)  e = Add(a, 8e-5)  s = Sqrt(e)",
        "n = Div(x, s)", GAIN, scale="gamma/sqrt(8)"),
    # γ·(x/2)/√(E[x²]/4 + ε) = γ·x/√(E[x²] + 4ε)
    rms_norm("of half of x", "h = Mul(x, 0.5)  q = Mul(h, h)  v = ReduceMean<axes=[-1]>(q)", ROOT,
        "n = Div(h, s)", GAIN, epsilon=4e-5),
    rms_norm("two axes", "q = Mul(x, x)  v = ReduceMean<axes=[1, 2]>(q)", RSQRT, GAIN, dims="B 4 8",
        axes=(1, 2), shape=(4, 8)),
    rms_norm("channels first", "q = Mul(x, x)  v = ReduceMean<axes=[1]>(q)", RSQRT, GAIN, dims="B 8 H W",
        axes=(1,), shape=(8, 1, 1)),
    rms_norm("of each head", "h = Reshape(x, [0, 0, 4, 8])  q = Mul(h, h)  v = ReduceMean<axes=[-1]>(q)",
        f"{ROOT}  r = Reciprocal(s)  n = Mul(h, r)  g = Mul(n, gamma)  y = Transpose<perm=[0, 2, 1, 3]>(g)",
        dims="B S 32", of="h", output="g"),
    rms_norm("half, back before the gain", CAST, f"n = Div(c, s)  h = Cast<to={HALF}>(n)  y = Mul(h, gamma)",
        epsilon="1e-5f32", dtypes=("float16",), opsets=(13, 23)),
    rms_norm("half, back after the gain", CAST,
        f"n = Div(c, s)  g = Mul(n, gamma_f32)  y = Cast<to={HALF}>(g)", scale="gamma_f32", epsilon="1e-5f32",
        dtypes=("float16",), opsets=(13, 23)),
    rms_norm("half, x itself multiplied", CAST, f"r = Reciprocal(s)  h = Cast<to={HALF}>(r)  n = Mul(x, h)",
        GAIN, epsilon="1e-5f32", dtypes=("float16",), opsets=(13, 23)),
    rms_norm("bfloat16, back before the gain", CAST,
        f"r = Reciprocal(s)  n = Mul(c, r)  h = Cast<to={BFLOAT}>(n)  y = Mul(gamma, h)", epsilon="1e-5f32",
        dtypes=("bfloat16",), opsets=(13, 23)),
    rms_norm("the standard's body", "y = RMSNormalization<axis=-1>(x, gamma)", epsilon="1e-5f32",
        dtypes=("float", "float16"), expanded=(RMS,), opsets=(23, 23)),
    rms_norm("the standard's body, two axes", "y = RMSNormalization<axis=1, epsilon=0.001>(x, gamma)",
        epsilon="1e-3f32", dims="B 4 8", axes=(1, 2), shape=(4, 8), expanded=(RMS,), opsets=(23, 23)),
    rms_norm("native", "y = RMSNormalization<axis=-1>(x, gamma)", epsilon="1e-5f32", opsets=(23, 23)),
]  # fmt: skip

RESIDUAL = """
    h = Add(x, z)  q = Mul(h, h)  v = ReduceMean<axes=[-1]>(q)  e = Add(v, 1e-5)  s = Sqrt(e)
    r = Reciprocal(s)  n = Mul(h, r)  g = Mul(n, gamma)  k = Relu(g)  y = Add(h, k)"""
IN_CONTEXT = [
    Spelling("RMS: residual before and after", RESIDUAL, inputs={"x": "B S 8", "z": "B S 8"},
        claims=(Norm(RMS, scale="gamma", of="h", output="g"),)),
    Spelling("RMS: gain that is fed", RESIDUAL.replace("gamma", "w"),
        inputs={"x": "B S 8", "z": "B S 8", "w": "B 1 8"}, claims=(Norm(RMS, of="h", output="n"),)),
]  # fmt: skip

TABLE = [*PRODUCTS, *OTHERS, *IN_CONTEXT]
