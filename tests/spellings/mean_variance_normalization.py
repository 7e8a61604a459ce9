"""MeanVarianceNormalization: with 1e-9 added to the deviation, over axes that may hold the batch."""

from tests.claims import Norm, Spelling

MVN = "MeanVarianceNormalization"


def mean_variance_norm(
    name: str,
    text: str,
    axes: tuple[int, ...] = (0, 2, 3),
    epsilon: str | float = "1e-9",
    *,
    dims: str = "B 4 H W",
    opsets: tuple[int, int] = (11, 23),
    expanded: tuple[str, ...] = (),
) -> Spelling:
    """One MeanVarianceNormalization of a [B, 4, H, W] input unless `dims` says otherwise."""
    return Spelling(
        f"mean-variance: {name}",
        text,
        inputs={"x": dims},
        claims=(Norm(MVN, axes=axes, epsilon=epsilon),),
        opsets=opsets,
        expanded=expanded,
    )


def over(axes: str) -> str:
    """The centred d and the deviation s."""
    return f"""
        m = ReduceMean<axes={axes}>(x)  d = Sub(x, m)  q = Mul(d, d)  v = ReduceMean<axes={axes}>(q)
        s = Sqrt(v)"""


TABLE = [
    mean_variance_norm("batch and space", f"{over('[0, 2, 3]')}  e = Add(s, 1e-9)  y = Div(d, e)"),
    mean_variance_norm("batch and space, no epsilon", f"{over('[0, 2, 3]')}  y = Div(d, s)", epsilon=0.0),
    mean_variance_norm("space", f"{over('[2, 3]')}  e = Add(1e-9, s)  y = Div(d, e)", (2, 3)),
    mean_variance_norm("channels and space", f"{over('[1, 2, 3]')}  e = Add(s, 1e-9)  y = Div(d, e)",
        (1, 2, 3)),
    mean_variance_norm("everything", f"{over('[0, 1, 2, 3]')}  e = Add(s, 1e-9)  y = Div(d, e)",
        (0, 1, 2, 3)),
    mean_variance_norm("last axis", f"{over('[-1]')}  e = Add(s, 1e-9)  y = Div(d, e)", (-1,), dims="B S 8"),
    mean_variance_norm("Reciprocal",
        f"{over('[0, 2, 3]')}  e = Add(s, 1e-9)  r = Reciprocal(e)  y = Mul(d, r)"),
    mean_variance_norm("Pow 0.5", """
        m = ReduceMean<axes=[0, 2, 3]>(x)  d = Sub(x, m)  q = Pow(d, 2.)  v = ReduceMean<axes=[0, 2, 3]>(q)
        s = Pow(v, 0.5)  e = Add(s, 1e-9)  y = Div(d, e)"""),
    mean_variance_norm("moments", """
        m = ReduceMean<axes=[0, 2, 3]>(x)  d = Sub(x, m)  a = Mul(x, x)  b = ReduceMean<axes=[0, 2, 3]>(a)
        c = Mul(m, m)  v = Sub(b, c)  s = Sqrt(v)  e = Add(s, 1e-9)  y = Div(d, e)"""),
    mean_variance_norm("the standard's body", "y = MeanVarianceNormalization<axes=[0, 2, 3]>(x)",
        expanded=(MVN,), opsets=(13, 23)),
    mean_variance_norm("the standard's body, space", "y = MeanVarianceNormalization<axes=[2, 3]>(x)", (2, 3),
        expanded=(MVN,), opsets=(13, 17)),
    mean_variance_norm("native", "y = MeanVarianceNormalization<axes=[0, 2, 3]>(x)", opsets=(13, 23)),
]  # fmt: skip
