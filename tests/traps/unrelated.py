"""Reductions that have nothing to do with a normalization: nothing is to be said of them."""

from collections.abc import Mapping

from tests.cases import Constant
from tests.claims import Trap


def unrelated(
    name: str,
    text: str,
    inputs: Mapping[str, str] | None = None,
    constants: Mapping[str, Constant] | None = None,
    opsets: tuple[int, int] = (11, 23),
) -> Trap:
    """A graph without a site; its input is [B, S, 8]."""
    return Trap(
        f"unrelated: {name}",
        text,
        inputs={"x": "B S 8"} | dict(inputs or {}),
        constants=constants or {},
        opsets=opsets,
        why="no normalization",
        rule=None,
        invites=None,
    )


TABLE = [
    unrelated("mean pooling", "y = ReduceMean<axes=[1]>(x)"),
    unrelated("masked mean pooling",
        "a = Mul(x, z)  b = ReduceSum<axes=[1]>(a)  c = ReduceSum<axes=[1]>(z)  y = Div(b, c)",
        {"z": "B S 8"}),
    unrelated("global average pooling", "t = Transpose<perm=[0, 2, 1]>(x)  y = GlobalAveragePool(t)"),
    unrelated("centred alone", "m = ReduceMean<axes=[-1]>(x)  y = Sub(x, m)"),
    unrelated("softmax written out",
        "m = ReduceMax<axes=[-1]>(x)  d = Sub(x, m)  e = Exp(d)  s = ReduceSum<axes=[-1]>(e)  y = Div(e, s)"),
    unrelated("logarithm of a sum of exponentials", """
        m = ReduceMax<axes=[-1]>(x)  d = Sub(x, m)  e = Exp(d)  s = ReduceSum<axes=[-1]>(e)  l = Log(s)
        y = Add(l, m)"""),
    unrelated("between smallest and largest", """
        a = ReduceMin<axes=[-1]>(x)  b = ReduceMax<axes=[-1]>(x)  d = Sub(x, a)  r = Sub(b, a)
        y = Div(d, r)"""),
    unrelated("mean squared difference", """
        d = Sub(x, z)  q = Mul(d, d)  y = ReduceMean<axes=[-1]>(q)""", {"z": "B S 8"}),
    unrelated("distance", "d = Sub(x, z)  q = Mul(d, d)  a = ReduceSum<axes=[-1]>(q)  y = Sqrt(a)",
        {"z": "B S 8"}),
    unrelated("variance alone", """
        m = ReduceMean<axes=[-1]>(x)  d = Sub(x, m)  q = Mul(d, d)  y = ReduceMean<axes=[-1]>(q)"""),
    unrelated("deviation alone", """
        m = ReduceMean<axes=[-1]>(x)  d = Sub(x, m)  q = Mul(d, d)  v = ReduceMean<axes=[-1]>(q)
        y = Sqrt(v)"""),
    unrelated("squeeze and excitation", """
        m = ReduceMean<axes=[1]>(x)  h = MatMul(m, a)  r = Relu(h)  k = MatMul(r, b)  s = Sigmoid(k)
        y = Mul(x, s)""", constants={"a": (8, 4), "b": (4, 8)}),
    unrelated("attention scores scaled", """
        t = Transpose<perm=[0, 2, 1]>(x)  a = MatMul(x, t)  b = Div(a, 2.8284271247461903)
        y = Softmax<axis=-1>(b)""", opsets=(13, 23)),
    unrelated("exponential linear unit of a sum", "s = ReduceSum<axes=[-1]>(x)  y = Elu(s)"),
    unrelated("norm alone", "y = ReduceL2<axes=[-1]>(x)"),
]  # fmt: skip
