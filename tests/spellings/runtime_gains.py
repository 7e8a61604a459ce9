"""Gains and biases that are known at run time only and stand within: no node makes the norm without them.

The norm is fused without them, and they are applied behind it, as the graph broadcasts them.
"""

from collections.abc import Mapping

import numpy as np

from tests.cases import Constant, weights
from tests.claims import Norm, Spelling

LN, RMS, IN = "LayerNormalization", "RMSNormalization", "InstanceNormalization"
FED = {"a": "8", "b": "8"}


def rate(axes: str = "[-1]", x: str = "x") -> str:
    """From x to the mean m and the reciprocal r of the deviation s, as TensorFlow takes them."""
    return f"""
        m = ReduceMean<axes={axes}>({x})  d = Sub({x}, m)  q = Mul(d, d)  v = ReduceMean<axes={axes}>(q)
        e = Add(v, 1e-5)  s = Sqrt(e)  r = Reciprocal(s)"""


# x·(r·γ) + (β − μ·r·γ), as tf.nn.batch_normalization has it.
BATCH = "k = Mul(r, a)  xk = Mul(x, k)  mk = Mul(m, k)  o = Sub(b, mk)  y = Add(xk, o)"

WIDENED = f"""
    h = Cast<to=1>(x)  aa = Cast<to=1>(a)  bb = Cast<to=1>(b)  {rate(x="h").replace("1e-5", "1e-5f32")}
    k = Mul(r, aa)  xk = Mul(h, k)  mk = Mul(m, k)  o = Sub(bb, mk)  z = Add(xk, o)  y = Cast<to=10>(z)"""


def runtime(
    name: str,
    text: str,
    after: str | None = None,
    *,
    kind: str = LN,
    axes: tuple[int, ...] = (-1,),
    scale: float | str = "a",
    bias: float | str = "b",
    epsilon: float | str = "1e-5",
    of: str = "x",
    output: str = "y",
    inputs: Mapping[str, str] | None = None,
    constants: Mapping[str, Constant] | None = None,
    overridable: tuple[str, ...] = (),
    opsets: tuple[int, int] = (11, 23),
    dtypes: tuple[str, ...] = ("float",),
) -> Spelling:
    """A norm whose gain is `a` and whose bias is `b`, unless it is said otherwise."""
    return Spelling(
        f"run time: {name}",
        text,
        inputs={"x": "B S 8"} | dict(FED if inputs is None else inputs),
        constants=constants or {},
        overridable=overridable,
        opsets=opsets,
        dtypes=dtypes,
        claims=(Norm(kind, axes=axes, epsilon=epsilon, scale=scale, bias=bias, of=of, output=output),),
        after=after,
    )


LAYER = [
    runtime("TensorFlow's", rate() + BATCH, f"{LN} Mul Add"),
    runtime("TensorFlow's, operands swapped",
        rate() + "k = Mul(a, r)  xk = Mul(k, x)  mk = Mul(k, m)  o = Sub(b, mk)  y = Add(o, xk)", f"{LN} Mul Add"),
    runtime("TensorFlow's, per sample", rate() + BATCH, f"{LN} Mul Add", inputs={"a": "B 1 8", "b": "B 1 8"}),
    runtime("TensorFlow's, a bias per sample", rate() + BATCH, f"{LN} Mul Add", inputs={"a": "8", "b": "B 1 8"}),
    runtime("TensorFlow's, a dynamic batch of its own", rate() + BATCH, f"{LN} Mul Add",
        inputs={"a": "A 1 8", "b": "A 1 8"}),
    runtime("TensorFlow's, one number", rate() + BATCH, f"{LN} Mul Add", inputs={"a": "1", "b": "1"}),
    runtime("TensorFlow's, made of what is fed",
        "t = MatMul(c, w)  u = Add(t, 1.)  f = Sigmoid(u)  a = Unsqueeze<axes=[1]>(f)  b = Neg(a)" + rate() + BATCH,
        f"MatMul Add Sigmoid Unsqueeze Neg {LN} Mul Add", inputs={"c": "B 4"}, constants={"w": (4, 8)}),
    runtime("TensorFlow's, made of the input by another way", "f = MatMul(x, w)  a = Sigmoid(f)" + rate() + BATCH,
        f"MatMul Sigmoid {LN} Mul Add", inputs={"b": "8"}, constants={"w": (8, 8)}),
    runtime("TensorFlow's, constant bias", rate() + BATCH.replace("b,", "beta,"), f"{LN} Mul Add", bias="beta",
        inputs={"a": "8"}),
    runtime("TensorFlow's, constant gain", rate() + BATCH.replace("a)", "gamma)"), f"{LN} Add", scale="gamma",
        inputs={"b": "8"}),
    runtime("TensorFlow's, no gain", rate() + "xk = Mul(x, r)  mk = Mul(m, r)  o = Sub(b, mk)  y = Add(xk, o)",
        f"{LN} Add", scale=1.0, inputs={"b": "8"}),
    runtime("TensorFlow's, no bias", rate() + "k = Mul(r, a)  xk = Mul(x, k)  mk = Mul(m, k)  y = Sub(xk, mk)",
        f"{LN} Mul", bias=0.0, inputs={"a": "8"}),
    runtime("TensorFlow's, the bias behind",
        rate() + "k = Mul(r, a)  xk = Mul(x, k)  mk = Mul(m, k)  n = Sub(xk, mk)  y = Add(n, b)", f"{LN} Mul Add",
        bias=0.0, output="n"),
    runtime("TensorFlow's, gain and constant gain",
        rate() + "l = Mul(r, gamma)  k = Mul(l, a)  xk = Mul(x, k)  mk = Mul(m, k)  y = Sub(xk, mk)", f"{LN} Mul",
        scale="a", bias=0.0, constants={"gamma": np.full(8, 1.0)}, inputs={"a": "8"}),
    runtime("TensorFlow's, gain a bias too", rate() + BATCH.replace("Sub(b", "Sub(a"), f"{LN} Mul", bias="a",
        inputs={"a": "8"}),
    runtime("TensorFlow's, the gain on the bias too", "t = Mul(a, b)" + rate() + BATCH.replace("Sub(b", "Sub(t"),
        f"Mul {LN} Mul Add", bias="t"),
    runtime("TensorFlow's, may be overridden", rate() + BATCH, f"{LN} Mul Add", scale="a", bias="b", inputs={},
        constants={"a": weights("a", (8,)), "b": weights("b", (8,))}, overridable=("a", "b")),
    runtime("TensorFlow's, two axes", rate("[1, 2]") + BATCH, f"{LN} Mul Add", axes=(1, 2),
        inputs={"x": "B 3 8", "a": "3 8", "b": "3 8"}),
    runtime("TensorFlow's, by Casts", WIDENED, f"{LN} Mul Add", epsilon="1e-5f32", dtypes=("float16",),
        opsets=(17, 23)),
    runtime("twice negated", rate() + "k = Mul(r, a)  j = Neg(k)  xk = Mul(x, j)  mk = Mul(m, j)  y = Sub(mk, xk)",
        f"{LN} Mul", bias=0.0, inputs={"a": "8"}),
    runtime("gain before the division", rate() + "g = Mul(a, d)  n = Div(g, s)  y = Add(n, b)", f"{LN} Mul Add",
        bias=0.0, output="n"),
    runtime("gain before the division, constant bias", rate() + "g = Mul(d, a)  n = Div(g, s)  y = Add(n, beta)",
        f"{LN} Mul Add", bias="beta", inputs={"a": "8"}),
    runtime("gain over the deviation", rate() + "k = Div(a, s)  y = Mul(d, k)", f"{LN} Mul", bias=0.0,
        inputs={"a": "8"}),
    runtime("Flax's", rate() + "k = Mul(r, a)  n = Mul(d, k)  y = Add(n, b)", f"{LN} Mul Add", bias=0.0, output="n"),
    runtime("gain per element", rate() + "k = Div(a, s)  y = Mul(d, k)", f"{LN} Mul", bias=0.0,
        inputs={"a": "B S 8"}),
    runtime("gain per row", rate() + "k = Div(a, s)  y = Mul(d, k)", f"{LN} Mul", bias=0.0, inputs={"a": "B S 1"}),
    runtime("transposed within", rate() + """
        k = Mul(r, a)  xk = Mul(x, k)  mk = Mul(m, k)  o = Sub(b, mk)  t = Transpose<perm=[1, 0, 2]>(xk)
        u = Transpose<perm=[1, 0, 2]>(o)  w = Add(t, u)  y = Transpose<perm=[1, 0, 2]>(w)""", f"{LN} Mul Add"),
]  # fmt: skip

# From c to its norm a.
OTHER = """
    cm = ReduceMean<axes=[-1]>(c)  cd = Sub(c, cm)  cq = Mul(cd, cd)  cv = ReduceMean<axes=[-1]>(cq)
    ce = Add(cv, 1e-5)  cs = Sqrt(ce)  a = Div(cd, cs)"""
LAYER += [
    Spelling("run time: the gain is made of the centred value", rate() + "a = Tanh(d)" + BATCH,
        inputs={"x": "B S 8", "b": "8"}, after=f"ReduceMean Sub Tanh {LN} Mul Add",
        claims=(Norm(LN, scale="a", bias="b"),)),
    Spelling("run time: the gain is made of the mean", rate() + "t = MatMul(m, w)  a = Sigmoid(t)" + BATCH,
        inputs={"x": "B S 8", "b": "8"}, constants={"w": weights("w", (1, 8))},
        after=f"ReduceMean MatMul Sigmoid {LN} Mul Add", claims=(Norm(LN, scale="a", bias="b"),)),
    Spelling("run time: the gain is a norm itself", OTHER + rate() + BATCH,
        inputs={"x": "B S 8", "c": "B 1 8", "b": "8"}, after=f"{LN} {LN} Mul Add",
        claims=(Norm(LN, of="c", output="a"), Norm(LN, scale="a", bias="b"))),
    Spelling("run time: the gain is made of the norm before", OTHER + rate(x="a")
        + "f = Sigmoid(a)  k = Mul(r, f)  xk = Mul(a, k)  mk = Mul(m, k)  o = Sub(b, mk)  y = Add(xk, o)",
        inputs={"x": "1", "c": "B S 8", "b": "8"}, after=f"{LN} Sigmoid {LN} Mul Add",
        claims=(Norm(LN, of="c", output="a"), Norm(LN, of="a", scale="f", bias="b"))),
]  # fmt: skip

ROOT_MEAN_SQUARE = """
    q = Mul(x, x)  v = ReduceMean<axes=[-1]>(q)  e = Add(v, 1e-5)  s = Sqrt(e)  r = Reciprocal(s)"""
ROOT = [
    runtime("RMS, gain first", f"{ROOT_MEAN_SQUARE}  k = Mul(r, a)  y = Mul(x, k)", f"{RMS} Mul", kind=RMS, bias=0.0,
        inputs={"a": "8"}),
    runtime("RMS, gain before the division", f"{ROOT_MEAN_SQUARE}  g = Mul(x, a)  y = Div(g, s)", f"{RMS} Mul",
        kind=RMS, bias=0.0, inputs={"a": "B 1 8"}),
]  # fmt: skip

FIRST = {"x": "B 4 H W", "a": "B 4 1 1", "b": "B 4 1 1"}
INSTANCE = [
    runtime("adaptive instance norm", rate("[2, 3]") + BATCH, f"{IN} Mul Add", kind=IN, axes=(2, 3), inputs=FIRST),
    runtime("adaptive instance norm, channels last", rate("[1, 2]") + BATCH, f"Transpose {IN} Transpose Mul Add",
        kind=IN, axes=(1, 2), inputs={"x": "B H W 4", "a": "B 1 1 4", "b": "B 1 1 4"}),
    runtime("adaptive instance norm, per pixel", rate("[2, 3]") + BATCH, f"{IN} Mul Add", kind=IN, axes=(2, 3),
        inputs={"x": "B 4 H W", "a": "B 4 H W", "b": "B 4 H W"}),
]  # fmt: skip
GROUP = [
    runtime("conditional group norm", "t = Reshape(x, [0, 4, 2, 5, 6])" + rate("[2, 3, 4]", "t") + """
        k = Mul(r, a)  xk = Mul(t, k)  mk = Mul(m, k)  o = Sub(b, mk)  z = Add(xk, o)  y = Reshape(z, [0, 8, 5, 6])""",
        axes=(2, 3, 4), inputs={"x": "B 8 5 6", "a": "B 4 2 1 1", "b": "B 4 2 1 1"}, of="t", output="z"),
]  # fmt: skip
