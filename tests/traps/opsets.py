"""A LayerNormalization below opset 17, beside an operator that another opset reads differently.

Whether it is fused or not, the neighbour must go on meaning the same.
"""

from tests.claims import Trap

PLAIN = """
    m = ReduceMean<axes=[-1]>(h)  d = Sub(h, m)  q = Pow(d, 2.)  v = ReduceMean<axes=[-1]>(q)
    e = Add(v, 1e-5)  s = Sqrt(e)  n = Div(d, s)  g = Mul(n, gamma)  k = Add(g, beta)"""


def beside(
    name: str, neighbour: str, why: str, opsets: tuple[int, int] = (11, 12), evaluated_in_double: bool = True
) -> Trap:
    """A LayerNormalization from h to k, with neighbours from x to h or from k to y."""
    before, _, after = neighbour.partition("…")
    return Trap(
        f"opset: {name}",
        f"{before or 'h = Identity(x)'}  {PLAIN}  {after or 'y = Identity(k)'}",
        inputs={"x": "B 3 8"} | ({"flag": "bool"} if "flag" in neighbour else {}),
        constants={"roi": [0.0] * 8, "scales": [1.0, 1.0, 2.0, 2.0]},
        opsets=opsets,
        evaluated_in_double=evaluated_in_double,
        why=why,
        rule=None,
        invites=None,
    )


TABLE = [
    beside("Softmax", "…y = Softmax<axis=1>(k)", "below 13 it runs over all axes from 1 on"),
    beside("Softmax by default", "…y = Softmax(k)", "below 13 its axis is 1, then the last"),
    beside("LogSoftmax", "…y = LogSoftmax<axis=1>(k)", "below 13 it runs over all axes from 1 on"),
    beside("Hardmax", "…y = Hardmax<axis=1>(k)", "below 13 it runs over all axes from 1 on",
        evaluated_in_double=False),
    beside("Split", "a, b = Split<axis=-1, split=[4, 4]>(x)  h = Concat<axis=-1>(b, a)…",
        "since 13 the parts are an input"),
    beside("Split by default", "a, b = Split<axis=-1>(x)  h = Concat<axis=-1>(b, a)…",
        "since 18 the number of parts must be said", opsets=(11, 13)),
    beside("Unsqueeze and Squeeze", "a = Unsqueeze<axes=[1]>(x)  h = Squeeze<axes=[1]>(a)…",
        "since 13 the axes are an input"),
    beside("ReduceSum", "…a = ReduceSum<axes=[1]>(k)  y = Mul(a, k)", "since 13 the axes are an input"),
    beside("ReduceMax", "…a = ReduceMax<axes=[1]>(k)  y = Mul(a, k)", "since 18 the axes are an input",
        opsets=(11, 13)),
    beside("Dropout", "…y = Dropout<ratio=0.25>(k)", "since 12 the ratio is an input", opsets=(11, 11)),
    beside("Resize", "…a = Unsqueeze<axes=[0]>(k)  y = Resize<mode=\"nearest\">(a, roi, scales)",
        "since 13 the region of interest is optional, since 18 and 19 there are new attributes",
        evaluated_in_double=False),
    beside("Pad", "…y = Pad(k, [0, 1, 0, 0, 0, 1])", "since 18 the axes are an input", opsets=(11, 13)),
    beside("Clip", "…y = Clip(k, -1., 1.)", "since 12 other types, the same otherwise"),
    beside("in an If", """…y = If(flag)<
        then_branch = yes () => (a) { a = Softmax<axis=1>(k) },
        else_branch = no () => (b) { c, l = Split<axis=-1, split=[2, 6]>(k)  b = Concat<axis=-1>(l, c) }>""",
        "the neighbours are in sub-graphs"),
]  # fmt: skip
