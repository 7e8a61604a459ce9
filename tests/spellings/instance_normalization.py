"""InstanceNormalization: each channel of each sample normalized over its spatial axes."""

from collections.abc import Mapping

import numpy as np

from tests.cases import Constant, weights
from tests.claims import Norm, Spelling

IN = "InstanceNormalization"
_gamma, _beta = weights("gamma", (4, 1, 1)), weights("beta", (4, 1, 1))
NAMED: dict[str, Constant] = {
    "gamma": _gamma,
    "beta": _beta,
    "gamma_4": _gamma.ravel(),
    "beta_4": _beta.ravel(),
    "gamma_1411": _gamma[None],
    "beta_1411": _beta[None],
    "gamma_41": _gamma[:, :, 0],
    "beta_41": _beta[:, :, 0],
    "ones": np.ones(4),
    "zeros": np.zeros(4),
    "ones_20": np.ones(20),
    "gamma, Bessel": _gamma * np.sqrt(19 / 20),
}
GAIN_BIAS = "g = Mul(n, gamma)  y = Add(g, beta)"


def instance_norm(
    name: str,
    text: str,
    dims: str = "B 4 H W",
    axes: tuple[int, ...] = (2, 3),
    *,
    scale: float | str = "gamma",
    bias: float | str = "beta",
    epsilon: float | str = "1e-5",
    of: str = "x",
    output: str = "y",
    inputs: Mapping[str, str] | None = None,
    dtypes: tuple[str, ...] = ("float",),
    opsets: tuple[int, int] = (11, 23),
) -> Spelling:
    """One InstanceNormalization of four channels."""
    return Spelling(
        f"instance: {name}",
        text,
        inputs={"x": dims} | dict(inputs or {}),
        constants=NAMED,
        claims=(Norm(IN, axes=axes, epsilon=epsilon, scale=scale, bias=bias, of=of, output=output),),
        dtypes=dtypes,
        opsets=opsets,
    )


def over(axes: str, x: str = "x") -> str:
    """The plain spelling up to the normalized n."""
    return f"""
        m = ReduceMean<axes={axes}>({x})  d = Sub({x}, m)  q = Mul(d, d)  v = ReduceMean<axes={axes}>(q)
        e = Add(v, 1e-5)  s = Sqrt(e)  n = Div(d, s)"""


REDUCED = [
    instance_norm("two spatial axes", f"{over('[2, 3]')}  {GAIN_BIAS}", dtypes=("float", "float16", "bfloat16")),
    instance_norm("without gain and bias", over("[2, 3]").replace("n =", "y ="), scale=1.0, bias=0.0),
    instance_norm("gain alone", f"{over('[-1, -2]')}  y = Mul(n, gamma)", bias=0.0),
    instance_norm("parameters [1, C, 1, 1]",
        f"{over('[2, 3]')}  g = Mul(gamma_1411, n)  y = Add(beta_1411, g)"),
    instance_norm("one spatial axis", f"{over('[2]')}  g = Mul(n, gamma_41)  y = Add(g, beta_41)", "B 4 W",
        (2,), scale="gamma_41", bias="beta_41"),
    instance_norm("three spatial axes", f"{over('[2, 3, 4]')}  y = Mul(n, 0.5)", "B 4 3 H W", (2, 3, 4),
        scale=0.5, bias=0.0),
    instance_norm("one axis at a time", f"""
        a = ReduceMean<axes=[3]>(x)  m = ReduceMean<axes=[2]>(a)  d = Sub(x, m)  q = Mul(d, d)
        b = ReduceMean<axes=[2]>(q)  v = ReduceMean<axes=[3]>(b)  e = Add(v, 1e-5)  s = Sqrt(e)  n = Div(d, s)
        {GAIN_BIAS}"""),
    instance_norm("moments", f"""
        m = ReduceMean<axes=[2, 3]>(x)  d = Sub(x, m)  a = Mul(x, x)  b = ReduceMean<axes=[2, 3]>(a)
        c = Mul(m, m)  v = Sub(b, c)  e = Add(v, 1e-5)  s = Sqrt(e)  n = Div(d, s)  {GAIN_BIAS}"""),
    instance_norm("TensorFlow", """
        m = ReduceMean<axes=[2, 3]>(x)  d = Sub(x, m)  q = Mul(d, d)  v = ReduceMean<axes=[2, 3]>(q)
        e = Add(v, 1e-5)  s = Sqrt(e)  r = Reciprocal(s)  k = Mul(r, gamma)  a = Mul(x, k)  b = Mul(m, k)
        o = Sub(beta, b)  y = Add(a, o)"""),
    instance_norm("GlobalAveragePool", f"""
        m = GlobalAveragePool(x)  d = Sub(x, m)  q = Mul(d, d)  v = GlobalAveragePool(q)
        e = Add(v, 1e-5)  s = Sqrt(e)  n = Div(d, s)  {GAIN_BIAS}"""),
    instance_norm("sums over a count from the shape", f"""
        f = Shape(x)  h = Gather(f, 2)  w = Gather(f, 3)  i = Mul(h, w)  k = Cast<to=1>(i)
        a = ReduceSum<axes=[2, 3]>(x)  m = Div(a, k)  d = Sub(x, m)  q = Mul(d, d)
        b = ReduceSum<axes=[2, 3]>(q)  v = Div(b, k)  e = Add(v, 1e-5)  s = Sqrt(e)  n = Div(d, s)
        {GAIN_BIAS}"""),
    instance_norm("Bessel's correction", f"""
        m = ReduceMean<axes=[2, 3]>(x)  d = Sub(x, m)  q = Mul(d, d)  a = ReduceSum<axes=[2, 3]>(q)
        v = Div(a, 19.)  e = Add(v, 1e-5)  s = Sqrt(e)  n = Div(d, s)  {GAIN_BIAS}""", "B 4 4 5",
        scale="gamma, Bessel", epsilon=19 / 20 * 1e-5),
    instance_norm("float16 that computes in float", f"""
        c = Cast<to=1>(x)  m = ReduceMean<axes=[2, 3]>(c)  d = Sub(c, m)  q = Mul(d, d)
        v = ReduceMean<axes=[2, 3]>(q)  e = Add(v, 1e-5f32)  s = Sqrt(e)  i = Div(d, s)
        n = Cast<to=10>(i)  {GAIN_BIAS}""", epsilon="1e-5f32", dtypes=("float16",)),
]  # fmt: skip

RESHAPED = [
    instance_norm("spatial axes merged", f"""
        f = Shape(x)  t = Reshape(x, [0, 0, -1])  {over("[2]", "t")}
        g = Mul(n, gamma_41)  b = Add(g, beta_41)  y = Reshape(b, f)"""),
    instance_norm("batch and channels merged", f"""
        t = Reshape(x, [-1, 20])  {over("[1]", "t")}  h = Reshape(n, [-1, 4, 4, 5])
        g = Mul(h, gamma)  y = Add(g, beta)""", "B 4 4 5"),
    instance_norm("channels last", f"{over('[1, 2]')}  g = Mul(n, gamma_4)  y = Add(g, beta_4)", "B H W 4",
        (1, 2), scale="gamma_4", bias="beta_4"),
    instance_norm("gain and bias per row", f"{over('[-1]')}  g = Mul(n, gamma_41)  y = Add(g, beta_41)",
        "B 4 8", (-1,), scale="gamma_41", bias="beta_41"),
    instance_norm("over the channels of a square, gain along space",
        f"{over('[1]')}  g = Mul(n, gamma_4)  y = Add(g, beta_4)", "B 4 4", (1,), scale="gamma_4",
        bias="beta_4"),
    instance_norm("transposed to channels last and back", f"""
        t = Transpose<perm=[0, 2, 3, 1]>(x)  {over("[1, 2]", "t")}  g = Mul(n, gamma_4)  b = Add(g, beta_4)
        y = Transpose<perm=[0, 3, 1, 2]>(b)"""),
    instance_norm("LayerNormalization of the merged axes", """
        f = Shape(x)  t = Reshape(x, [0, 0, 20])  n = LayerNormalization<axis=-1>(t, ones_20)
        g = Mul(n, gamma_41)  b = Add(g, beta_41)  y = Reshape(b, f)""", "B 4 4 5",
        epsilon="1e-5f32", opsets=(17, 23)),
]  # fmt: skip

NATIVE = [
    instance_norm("native", "y = InstanceNormalization<epsilon=0.001>(x, gamma_4, beta_4)",
        epsilon="1e-3f32"),
    instance_norm("native, gain and bias outside", f"n = InstanceNormalization(x, ones, zeros)  {GAIN_BIAS}",
        epsilon="1e-5f32"),
    instance_norm("gain and bias that are fed", f"{over('[2, 3]')}  g = Mul(n, a)  y = Add(g, b)", scale=1.0,
        bias=0.0, output="n", inputs={"a": "B 4 1 1", "b": "B 4 1 1"}),
]  # fmt: skip

TABLE = [*REDUCED, *RESHAPED, *NATIVE]
