"""Almost a LayerNormalization: the statistics run over other axes than they are subtracted along."""

from tests.claims import Norm
from tests.traps.arithmetic import trap

# From d to y.
REST = """
    q = Mul(d, d)  v = ReduceMean<axes=[-1]>(q)  e = Add(v, 1e-5)  s = Sqrt(e)  n = Div(d, s)
    g = Mul(n, gamma)  y = Add(g, beta)"""
# The same with a variance of its own: d divided by its own root mean square would be an RMS norm.
APART = """
    mean = ReduceMean<axes=[-1]>(x)  c = Sub(x, mean)  q = Mul(c, c)  v = ReduceMean<axes=[-1]>(q)
    e = Add(v, 1e-5)  s = Sqrt(e)  n = Div(d, s)  g = Mul(n, gamma)  y = Add(g, beta)"""


def layer_norm(*axes: int, of: str = "x") -> Norm:
    """A LayerNormalization with gain and bias."""
    return Norm("LayerNormalization", axes=axes, scale="gamma", bias="beta", of=of)


LAST, LAST_TWO = layer_norm(-1), layer_norm(-2, -1)
DIFFER = "mean and variance run over different axes"

DIFFERENT = [
    trap("mean over the last axis, variance over the one before",
        "m = ReduceMean<axes=[2]>(x)  d = Sub(x, m)", APART.replace("[-1]", "[1]"), why=DIFFER,
        rule="axes-differ", invites=LAST),
    trap("mean over two axes, variance over one", "m = ReduceMean<axes=[1, 2]>(x)  d = Sub(x, m)", APART,
        why=DIFFER, rule="axes-differ", invites=LAST),
    trap("mean over one axis, variance over two", "m = ReduceMean<axes=[2]>(x)  d = Sub(x, m)",
        APART.replace("[-1]", "[1, 2]"), why=DIFFER, rule="axes-differ", invites=LAST_TWO),
    trap("mean over space, variance over channels too", "m = ReduceMean<axes=[2, 3]>(x)  d = Sub(x, m)",
        APART.replace("[-1]", "[1, 2, 3]"), why=DIFFER, rule="axes-differ",
        invites=layer_norm(2, 3), inputs={"x": "B 3 4 5"}),
    trap("moments over different axes", """
        m = ReduceMean<axes=[-1]>(x)  d = Sub(x, m)  a = Mul(x, x)  b = ReduceMean<axes=[1, 2]>(a)
        c = ReduceMean<axes=[1, 2]>(x)  f = Mul(c, c)  v = Sub(b, f)  e = Add(v, 1e-5)  s = Sqrt(e)
        n = Div(d, s)  g = Mul(n, gamma)  y = Add(g, beta)""", why=DIFFER, rule="axes-differ", invites=LAST),
    trap("variance over everything", "m = ReduceMean<axes=[-1]>(x)  d = Sub(x, m)",
        APART.replace("<axes=[-1]>", ""), why="without axes the variance runs over everything",
        rule="axes-differ", invites=LAST),
    trap("no axes, and that means none", "m = ReduceMean<noop_with_empty_axes=1>(x)  d = Sub(x, m)", APART,
        why="a reduction over no axes leaves x as it is", rule=None, invites=LAST, opsets=(18, 23)),
]  # fmt: skip

SQUARE = {"x": "4 4 4"}
BROADCAST = [
    trap("keepdims 0, mean along another axis", "m = ReduceMean<axes=[-1], keepdims=0>(x)  d = Sub(x, m)",
        REST, why="the means of the rows are subtracted along the columns", rule="broadcast", invites=LAST,
        inputs=SQUARE),
    trap("keepdims 0, variance along another axis", "m = ReduceMean<axes=[-1]>(x)  d = Sub(x, m)",
        REST.replace("[-1]", "[-1], keepdims=0"), why="the deviations of the rows divide along the columns",
        rule="broadcast", invites=LAST, inputs=SQUARE),
    trap("keepdims 0 in both", "m = ReduceMean<axes=[-1], keepdims=0>(x)  d = Sub(x, m)",
        REST.replace("[-1]", "[-1], keepdims=0"),
        why="what belongs to the rows is broadcast along the columns", rule="broadcast", invites=LAST,
        inputs=SQUARE),
    trap("keepdims 0 in a square matrix", "m = ReduceMean<axes=[1], keepdims=0>(x)  d = Sub(x, m)", REST,
        why="the means of the rows are subtracted from the columns", rule="broadcast", invites=LAST,
        inputs={"x": "4 4"}),
    trap("keepdims 0 of a middle axis", "m = ReduceMean<axes=[1], keepdims=0>(x)  d = Sub(x, m)",
        REST.replace("[-1]", "[1]"), why="what belongs to the first axis is broadcast along the middle one",
        rule="broadcast", invites=layer_norm(1), inputs=SQUARE),
    trap("keepdims 0, unsqueezed at the wrong place",
        "a = ReduceMean<axes=[-1], keepdims=0>(x)  m = Unsqueeze<axes=[1]>(a)  d = Sub(x, m)", REST,
        why="the means of the rows are subtracted along the columns", rule="broadcast", invites=LAST,
        inputs=SQUARE),
    trap("keepdims 0 of everything but the batch", """
        m = ReduceMean<axes=[1], keepdims=0>(x)  d = Sub(x, m)""", REST.replace("[-1]", "[1]"),
        why="the means of the samples are subtracted along the features", rule="broadcast",
        invites=layer_norm(1), inputs={"x": "4 4"}),
    trap("mean of the transposed, not transposed back",
        "t = Transpose<perm=[0, 2, 1]>(x)  m = ReduceMean<axes=[-1]>(t)  d = Sub(x, m)", REST,
        why="the means of the columns are subtracted from the rows", rule="broadcast", invites=LAST,
        inputs=SQUARE),
    trap("variance of the transposed", """
        m = ReduceMean<axes=[-1]>(x)  d = Sub(x, m)  t = Transpose<perm=[0, 2, 1]>(d)  q = Mul(t, t)
        v = ReduceMean<axes=[1]>(q)  e = Add(v, 1e-5)  s = Sqrt(e)
        n = Div(d, s)  g = Mul(n, gamma)  y = Add(g, beta)""",
        why="the deviations of the rows divide the columns", rule="broadcast", invites=LAST, inputs=SQUARE),
    trap("square of x times its transpose", """
        m = ReduceMean<axes=[-1]>(x)  d = Sub(x, m)  t = Transpose<perm=[0, 2, 1]>(d)  q = Mul(d, t)
        a = Abs(q)  v = ReduceMean<axes=[-1]>(a)  e = Add(v, 1e-5)  s = Sqrt(e)
        n = Div(d, s)  g = Mul(n, gamma)  y = Add(g, beta)""",
        why="the centred value is multiplied by its own transpose", rule="broadcast", invites=LAST,
        inputs=SQUARE),
    trap("mean of another shape of the same tensor", """
        t = Reshape(x, [4, 4, 4])  p = Transpose<perm=[2, 0, 1]>(t)  k = Reshape(p, [4, 16])
        m = ReduceMean<axes=[-1]>(k)  d = Sub(x, m)""", REST, why="the mean runs over elements of other rows",
        rule="broadcast", invites=LAST, inputs={"x": "4 16"}),
    trap("groups that are interleaved", """
        t = Reshape(x, [0, 2, 4])  m = ReduceMean<axes=[1]>(t)  a = Concat<axis=1>(m, m)
        k = Reshape(a, [0, 8])  d = Sub(x, k)""", APART, why="each mean is that of every fourth element",
        rule="concat", invites=LAST, inputs={"x": "B 8"}),
    trap("batch of one broadcast over another", """
        m = ReduceMean<axes=[-1]>(x)  d = Sub(z, m)""", APART.replace("(x", "(z"),
        why="the mean is that of another tensor, of one row", rule="different-base",
        invites=layer_norm(-1, of="z"), inputs={"x": "1 8", "z": "B 8"}),
]  # fmt: skip

TABLE = [*DIFFERENT, *BROADCAST]
