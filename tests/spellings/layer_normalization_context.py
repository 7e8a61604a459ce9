"""LayerNormalization in its surroundings: read by others, several at once, in sub-graphs and functions."""

import numpy as np

from tests.claims import Norm, Spelling

LN = "LayerNormalization"


def plain(x: str, y: str, prefix: str = "", gain: str = "gamma", bias: str = "beta") -> str:
    """The plain spelling from x to y; the prefix keeps the names of several apart."""
    p = prefix
    return f"""
        {p}m = ReduceMean<axes=[-1]>({x})  {p}d = Sub({x}, {p}m)  {p}q = Pow({p}d, 2.)
        {p}v = ReduceMean<axes=[-1]>({p}q)  {p}e = Add({p}v, 1e-5)  {p}s = Sqrt({p}e)
        {p}n = Div({p}d, {p}s)  {p}g = Mul({p}n, {gain})  {y} = Add({p}g, {bias})"""


def norm(of: str = "x", output: str = "y", scale: float | str = "gamma", bias: float | str = "beta") -> Norm:
    """The claim of that."""
    return Norm(LN, of=of, output=output, scale=scale, bias=bias)


MORE = {"gamma2": (8,), "beta2": (8,)}
# From x to the normalized n.
NORMALIZED = plain("x", "unused").partition("g = ")[0]

READERS = [
    Spelling("context: residual before and after", f"""
        h = Add(x, z)  {plain("h", "k")}  a = Relu(k)  y = Add(a, h)""", inputs={"x": "B S 8", "z": "B S 8"},
        claims=(norm("h", "k"),), after="Add LayerNormalization Relu Add"),
    Spelling("context: x read by others", f"""
        {plain("x", "k")}  a = Exp(x)  b = Mul(a, k)  y = Add(b, x)""",
        claims=(norm(output="k"),), after="LayerNormalization Exp Mul Add"),
    Spelling("context: x is an output too", f"h = Relu(x)  {plain('h', 'y')}",
        outputs=("y", "h"), claims=(norm("h"),), after="Relu LayerNormalization"),
    Spelling("context: y read by several", f"{plain('x', 'k')}  a = Relu(k)  b = Neg(k)  y = Mul(a, b)",
        claims=(norm(output="k"),), after="LayerNormalization Relu Neg Mul"),
    Spelling("context: y is an output and read", f"{plain('x', 'y')}  z = Relu(y)",
        outputs=("y", "z"), claims=(norm(),), after="LayerNormalization Relu"),
    Spelling("context: outputs in another order", f"z = Exp(x)  {plain('x', 'y')}",
        outputs=("z", "y"), claims=(norm(),), after="Exp LayerNormalization"),
    Spelling("context: normalized value is an output", f"{plain('x', 'y')}", outputs=("y", "n"),
        claims=(norm(output="n", scale=1.0, bias=0.0), norm()), after=f"{LN} {LN}"),
    Spelling("context: normalized value read by a second gain",
        f"{NORMALIZED}  a = Mul(n, gamma)  b = Mul(n, gamma2)  y = Max(a, b)", constants=MORE,
        claims=(norm(output="a", bias=0.0), norm(output="b", scale="gamma2", bias=0.0)),
        after=f"{LN} {LN} Max"),
    Spelling("context: shape of an inner value is an output", f"{plain('x', 'y')}  z = Shape(d)",
        outputs=("y", "z"), claims=(norm(),), after="LayerNormalization Shape"),
    Spelling("context: row of an inner value counted", f"""
        {plain("x", "k")}  f = Shape(n)  i = Gather(f, 1)  a = Cast<to=1>(i)  y = Mul(k, a)""",
        claims=(norm(output="k"),), after=None),
    Spelling("context: between two linear layers", f"""
        h = MatMul(x, w1)  i = Add(h, b1)  {plain("i", "k")}  a = MatMul(k, w2)  y = Add(a, b2)""",
        constants={"w1": (8, 8), "w2": (8, 4), "b1": (8,), "b2": (4,)},
        claims=(norm("i", "k"),), after="MatMul Add LayerNormalization MatMul Add"),
]  # fmt: skip

SEVERAL = [
    Spelling("several: of a norm", plain("x", "k", "a") + plain("k", "y", "b", "gamma2", "beta2"),
        constants=MORE, claims=(norm(output="k"), norm("k", "y", "gamma2", "beta2")), after=f"{LN} {LN}"),
    Spelling("several: of a norm without gain", f"""
        {NORMALIZED}  {plain("n", "y", "b", "gamma2", "beta2")}""", constants=MORE,
        claims=(norm(output="n", scale=1.0, bias=0.0), norm("n", "y", "gamma2", "beta2")),
        after=f"{LN} {LN}"),
    Spelling("several: of a norm that is read elsewhere", f"""
        {plain("x", "k", "a")}  {plain("k", "l", "b", "gamma2", "beta2")}  y = Mul(k, l)""", constants=MORE,
        claims=(norm(output="k"), norm("k", "l", "gamma2", "beta2")), after=f"{LN} {LN} Mul"),
    Spelling("several: three in a row", plain("x", "k", "a") + plain("k", "l", "b") + plain("l", "y", "c"),
        claims=(norm(output="k"), norm("k", "l"), norm("l", "y")), after=f"{LN} {LN} {LN}"),
    Spelling("several: side by side", f"""
        {plain("x", "k", "a")}  {plain("z", "l", "b", "gamma2", "beta2")}  y = Add(k, l)""",
        inputs={"x": "B S 8", "z": "B S 8"}, constants=MORE,
        claims=(norm(output="k"), norm("z", "l", "gamma2", "beta2")), after=f"{LN} {LN} Add"),
    Spelling("several: of the same x, apart", plain("x", "y", "a") + plain("x", "z", "b", "gamma2", "beta2"),
        outputs=("y", "z"), constants=MORE, claims=(norm(), norm(output="z", scale="gamma2", bias="beta2")),
        after=f"{LN} {LN}"),
    Spelling("several: of the same x, sharing the statistics", """
        m = ReduceMean<axes=[-1]>(x)  d = Sub(x, m)  q = Mul(d, d)  v = ReduceMean<axes=[-1]>(q)
        e = Add(v, 1e-5)  s = Sqrt(e)  r = Reciprocal(s)
        a = Mul(r, gamma)  b = Mul(d, a)  y = Add(b, beta)
        i = Mul(r, gamma2)  j = Mul(d, i)  z = Add(j, beta2)""", outputs=("y", "z"), constants=MORE,
        claims=(norm(), norm(output="z", scale="gamma2", bias="beta2")), after=f"{LN} {LN}"),
    Spelling("several: of the same x, sharing the centred value", f"""
        {plain("x", "y")}  i = Add(v, 0.125)  j = Sqrt(i)  z = Div(d, j)""", outputs=("y", "z"),
        claims=(norm(), Norm(LN, epsilon=0.125, output="z")), after=f"{LN} {LN}"),
]  # fmt: skip

NESTED = [
    Spelling("nested: in both branches of an If", f"""
        y = If(flag)<
            then_branch = yes () => (k) {{ {plain("x", "k", "a")} }},
            else_branch = no () => (l) {{ {plain("x", "l", "b")} }}>""",
        inputs={"x": "B S 8", "flag": "bool"}, claims=(norm(), norm()), after=f"If {LN} {LN}"),
    Spelling("nested: of an outer value, read again outside", f"""
        h = Relu(x)
        o = If(flag)<
            then_branch = yes () => (k) {{ {plain("h", "k", "a", "gamma2", "beta2")} }},
            else_branch = no () => (l) {{ {plain("h", "l", "b", "gamma2", "beta2")} }}>
        {plain("o", "y")}""",
        inputs={"x": "B S 8", "flag": "bool"}, constants=MORE,
        claims=(norm("h", "o", "gamma2", "beta2"), norm("h", "o", "gamma2", "beta2"), norm("o")),
        after=f"Relu If {LN} {LN} {LN}"),
    Spelling("nested: begun outside, ended in both branches", """
        m = ReduceMean<axes=[-1]>(x)  d = Sub(x, m)  q = Mul(d, d)  v = ReduceMean<axes=[-1]>(q)
        y = If(flag)<
            then_branch = yes () => (k) { e = Add(v, 1e-5)  s = Sqrt(e)  k = Div(d, s) },
            else_branch = no () => (l) { i = Add(v, 1e-5)  j = Sqrt(i)  l = Div(d, j) }>""",
        inputs={"x": "B S 8", "flag": "bool"}, claims=(Norm(LN), Norm(LN)),
        hard="a region across a sub-graph's border"),
    Spelling("nested: in the body of a Loop", f"""
        y = Loop(1, once, x)<body = step (int64 i, bool c, float[B, S, 8] h) => (bool o, float[B, S, 8] k) {{
            o = Identity(c)  {plain("h", "k")} }}>""", constants={"once": np.array(True)},
        claims=(norm(),), after=f"Loop Identity {LN}"),
    Spelling("nested: in a function", "y = local.norm(x, gamma, beta)", functions=(f"""
        <domain: "local", opset_import: ["" : 17]>
        norm (a, w, b) => (z) {{ {plain("a", "z", "", "w", "b")} }}""",),
        claims=(norm(),)),
    Spelling("nested: in a function, gain outside", "k = local.norm(x)  g = Mul(k, gamma)  y = Add(g, beta)",
        functions=(f"""<domain: "local", opset_import: ["" : 17]> norm (x) => (n) {{ {NORMALIZED} }}""",),
        claims=(norm(),)),
    Spelling("nested: in a function of a function", "y = local.outer(x, gamma, beta)", functions=(f"""
        <domain: "local", opset_import: ["" : 17]> norm (x) => (n) {{ {NORMALIZED} }}""", """
        <domain: "local", opset_import: ["" : 17, "local" : 1]> outer (a, w, b) => (z) {
            h = local.norm(a)  g = Mul(h, w)  z = Add(g, b) }"""), claims=(norm(),)),
    Spelling("nested: in a function with attributes", "y = local.norm<over = [2]>(x)", functions=("""
        <domain: "local", opset_import: ["" : 17]> norm <over> (x) => (z) {
            m = ReduceMean<axes: ints = @over>(x)  d = Sub(x, m)  q = Mul(d, d)
            v = ReduceMean<axes: ints = @over>(q)  e = Add(v, 1e-5)  s = Sqrt(e)  z = Div(d, s) }""",),
        claims=(Norm(LN),), opsets=(11, 17)),
]  # fmt: skip

FLOAT = ("float",)
STANDARD = [
    Spelling(f"the standard's body: {name}", f"y = LayerNormalization<{attributes}>({inputs})",
        inputs={"x": dims}, expanded=(LN,), opsets=(17, 23), dtypes=dtypes,
        constants={"gamma": shape, "beta": shape},
        claims=(Norm(LN, axes=axes, epsilon=epsilon, scale="gamma",
                     bias="beta" if "beta" in inputs else 0.0),))
    for name, dims, attributes, inputs, axes, shape, epsilon, dtypes in (
        ("last axis", "B S 8", "axis=-1", "x, gamma, beta", (-1,), (8,), "1e-5f32", ("float", "float16")),
        ("without bias", "B S 8", "axis=2", "x, gamma", (-1,), (8,), "1e-5f32", FLOAT),
        ("two axes", "B 4 8", "axis=1, epsilon=0.001", "x, gamma, beta", (1, 2), (4, 8), "1e-3f32", FLOAT),
        ("two axes from the end", "B 4 8", "axis=-2", "x, gamma, beta", (1, 2), (4, 8), "1e-5f32", FLOAT),
        ("all axes", "3 8", "axis=0", "x, gamma, beta", (0, 1), (3, 8), "1e-5f32", FLOAT),
    )
]  # fmt: skip

# Found as it is: nothing to rewrite.
NATIVE = [
    Spelling("native: left alone", "y = LayerNormalization<axis=-1, epsilon=0.001>(x, gamma, beta)",
        claims=(Norm(LN, epsilon="1e-3f32", scale="gamma", bias="beta"),), after=LN, opsets=(17, 23)),
]  # fmt: skip

TABLE = [*READERS, *SEVERAL, *NESTED, *STANDARD, *NATIVE]
