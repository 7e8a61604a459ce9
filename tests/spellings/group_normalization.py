"""GroupNormalization: the channels in contiguous groups, each normalized over itself and the spatial axes."""

import numpy as np

from tests.cases import Constant, weights
from tests.claims import Norm, Spelling

GN = "GroupNormalization"
_gamma, _beta = weights("gamma", (8, 1, 1)), weights("beta", (8, 1, 1))
NAMED: dict[str, Constant] = {
    "gamma": _gamma,
    "beta": _beta,
    "gamma_8": _gamma.ravel(),
    "beta_8": _beta.ravel(),
    "gamma_81": _gamma[:, :, 0],
    "beta_81": _beta[:, :, 0],
    "gamma_4211": _gamma.reshape(4, 2, 1, 1),
    "beta_4211": _beta.reshape(4, 2, 1, 1),
    "ones": np.ones(4),
    "zeros": np.zeros(4),
    "ones_8": np.ones(8),
    "zeros_8": np.zeros(8),
    "ones_40": np.ones(40),
    "w": weights("w", (4,)),
    "w of each channel": np.repeat(weights("w", (4,)), 2).reshape(8, 1, 1),
}
GAIN_BIAS = "g = Mul(h, gamma)  y = Add(g, beta)"


def group_norm(
    name: str,
    text: str,
    dims: str = "B 8 H W",
    *,
    groups: int = 4,
    axes: tuple[int, ...] = (1,),
    scale: float | str = "gamma",
    bias: float | str = "beta",
    epsilon: float | str = "1e-5",
    dtypes: tuple[str, ...] = ("float",),
    opsets: tuple[int, int] = (11, 23),
    expanded: tuple[str, ...] = (),
) -> Spelling:
    """One GroupNormalization of eight channels, which are at `axes`."""
    norm = Norm(GN, axes=axes, epsilon=epsilon, scale=scale, bias=bias, groups=groups)
    return Spelling(
        f"group: {name}",
        text,
        inputs={"x": dims},
        constants=NAMED,
        claims=(norm,),
        dtypes=dtypes,
        opsets=opsets,
        expanded=expanded,
    )


def over(axes: str, suffix: str = "") -> str:
    """The plain spelling from t up to the normalized n."""
    return f"""
        m = ReduceMean<axes={axes}>(t)  d = Sub(t, m)  q = Mul(d, d)  v = ReduceMean<axes={axes}>(q)
        e = Add(v, 1e-5{suffix})  s = Sqrt(e)  n = Div(d, s)"""


BY_INSTANCE = [
    group_norm("PyTorch: InstanceNormalization of the groups", f"""
        f = Shape(x)  t = Reshape(x, [0, 4, -1])  n = InstanceNormalization(t, ones, zeros)  h = Reshape(n, f)
        {GAIN_BIAS}""", epsilon="1e-5f32"),
    group_norm("PyTorch, static shape", f"""
        t = Reshape(x, [0, 4, -1])  n = InstanceNormalization(t, ones, zeros)  h = Reshape(n, [-1, 8, 4, 5])
        {GAIN_BIAS}""", "B 8 4 5", epsilon="1e-5f32"),
    group_norm("PyTorch, parameters made four-dimensional", """
        f = Shape(x)  t = Reshape(x, [0, 4, -1])  n = InstanceNormalization(t, ones, zeros)
        h = Reshape(n, f)  w = Unsqueeze<axes=[1, 2]>(gamma_8)  b = Unsqueeze<axes=[1, 2]>(beta_8)
        g = Mul(h, w)  y = Add(g, b)""", epsilon="1e-5f32"),
    group_norm("PyTorch, without gain and bias", """
        f = Shape(x)  t = Reshape(x, [0, 4, -1])  n = InstanceNormalization(t, ones, zeros)
        y = Reshape(n, f)""", scale=1.0, bias=0.0, epsilon="1e-5f32"),
    group_norm("groups of one channel", f"""
        f = Shape(x)  t = Reshape(x, [0, 8, -1])  n = InstanceNormalization(t, ones_8, zeros_8)
        h = Reshape(n, f)  {GAIN_BIAS}""", groups=8, epsilon="1e-5f32"),
    group_norm("LayerNormalization of the groups", f"""
        f = Shape(x)  t = Reshape(x, [0, 4, 40])  n = LayerNormalization<axis=-1>(t, ones_40)
        h = Reshape(n, f)  {GAIN_BIAS}""", "B 8 4 5", epsilon="1e-5f32", opsets=(17, 23)),
]  # fmt: skip

BY_REDUCTION = [
    group_norm("three axes",
        f"f = Shape(x)  t = Reshape(x, [0, 4, -1])  {over('[2]')}  h = Reshape(n, f)  {GAIN_BIAS}",
        dtypes=("float", "float16")),
    group_norm("two axes, batch and groups merged", f"""
        f = Shape(x)  t = Reshape(x, [-1, 40])  {over("[1]")}  h = Reshape(n, f)  {GAIN_BIAS}""", "B 8 4 5"),
    group_norm("five axes", f"""
        t = Reshape(x, [0, 4, 2, 4, 5])  {over("[2, 3, 4]")}  h = Reshape(n, [0, 8, 4, 5])  {GAIN_BIAS}""",
        "B 8 4 5"),
    group_norm("five axes, computed shape", f"""
        f = Shape(x)  i = Slice(f, [2], [4])  j = Slice(f, [0], [1])  k = Concat<axis=0>(j, [4], [2], i)
        t = Reshape(x, k)  {over("[2, 3, 4]")}  h = Reshape(n, f)  {GAIN_BIAS}"""),
    group_norm("five axes, gain and bias before the reshape", f"""
        t = Reshape(x, [0, 4, 2, 4, 5])  {over("[2, 3, 4]")}  g = Mul(n, gamma_4211)  h = Add(g, beta_4211)
        y = Reshape(h, [0, 8, 4, 5])""", "B 8 4 5"),
    group_norm("two groups",
        f"f = Shape(x)  t = Reshape(x, [0, 2, -1])  {over('[2]')}  h = Reshape(n, f)  {GAIN_BIAS}", groups=2),
    group_norm("one spatial axis", f"""
        f = Shape(x)  t = Reshape(x, [0, 4, -1])  {over("[-1]")}  h = Reshape(n, f)
        g = Mul(h, gamma_81)  y = Add(g, beta_81)""", "B 8 W", scale="gamma_81", bias="beta_81"),
    group_norm("no spatial axis", f"""
        t = Reshape(x, [0, 4, 2])  {over("[-1]")}  h = Reshape(n, [0, 8])
        g = Mul(h, gamma_8)  y = Add(g, beta_8)""", "B 8", scale="gamma_8", bias="beta_8"),
    group_norm("moments", f"""
        f = Shape(x)  t = Reshape(x, [0, 4, -1])  m = ReduceMean<axes=[2]>(t)  a = Mul(t, t)
        b = ReduceMean<axes=[2]>(a)  c = Mul(m, m)  v = Sub(b, c)  e = Add(v, 1e-5)  s = Sqrt(e)
        d = Sub(t, m)  n = Div(d, s)  h = Reshape(n, f)  {GAIN_BIAS}"""),
    group_norm("channels last", f"""
        t = Reshape(x, [0, 4, 5, 4, 2])  {over("[1, 2, 4]")}  h = Reshape(n, [0, 4, 5, 8])
        g = Mul(h, gamma_8)  y = Add(g, beta_8)""", "B 4 5 8", axes=(3,), scale="gamma_8", bias="beta_8"),
    group_norm("float16 that computes in float", f"""
        f = Shape(x)  c = Cast<to=1>(x)  t = Reshape(c, [0, 4, -1])  {over("[2]", "f32")}  i = Reshape(n, f)
        h = Cast<to=10>(i)  {GAIN_BIAS}""", epsilon="1e-5f32", dtypes=("float16",)),
]  # fmt: skip

STANDARD = [
    group_norm("the standard's body", "y = GroupNormalization<num_groups=4>(x, gamma_8, beta_8)",
        epsilon="1e-5f32", dtypes=("float", "float16"), expanded=(GN,), opsets=(21, 23)),
    group_norm("the standard's body of opset 18, gain per group",
        "z = Mul(w, 0.)  y = GroupNormalization<num_groups=4>(x, w, z)",
        scale="w of each channel", bias=0.0, epsilon="1e-5f32", expanded=(GN,), opsets=(18, 18)),
    group_norm("native", "y = GroupNormalization<num_groups=4, epsilon=0.001>(x, gamma_8, beta_8)",
        epsilon="1e-3f32", opsets=(21, 23)),
]  # fmt: skip

TABLE = [*BY_INSTANCE, *BY_REDUCTION, *STANDARD]
