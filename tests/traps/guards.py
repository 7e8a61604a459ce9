"""Almost a LayerNormalization behind a choice: here the choice matters."""

from tests.claims import Trap
from tests.traps.arithmetic import AFFINE, CENTRE, DEVIATION, LAYER_NORM, NORMALIZE, SPREAD, VARIANCE, trap

CENTRED = "m = ReduceMean<axes=[-1]>(x)  a = Sub(x, m)"
ENDS = "low = ReduceMin<axes=[-1]>(x)  high = ReduceMax<axes=[-1]>(x)  t = Equal(low, high)"
LENGTH = "a = ReduceL2<axes=[-1]>(x)"
OPSETS = (16, 23)


def guard(name: str, *steps: str, why: str, rule: str | None = "condition", often: bool = True) -> Trap:
    """A trap for LayerNormalization; `often` if it differs from one on random numbers."""
    invites = LAYER_NORM if often else None
    return trap(f"guard: {name}", *steps, AFFINE, why=why, rule=rule, opsets=OPSETS, invites=invites)


TABLE = [
    guard("one for a constant row", CENTRED, ENDS, "d = Where(t, 1., a)", SPREAD, NORMALIZE,
        why="a constant row becomes one, not zero", often=False),
    guard("zero unless the row is constant", CENTRED, ENDS, "d = Where(t, a, 0.)", SPREAD, NORMALIZE,
        why="a row that isn't constant becomes zero, so that everything does", rule=None),
    guard("x unless the row is constant", CENTRED, ENDS, "d = Where(t, 0., x)", SPREAD, NORMALIZE,
        why="what isn't constant isn't centred"),
    guard("x for a constant row", CENTRED, ENDS, "d = Where(t, x, a)", SPREAD, NORMALIZE,
        why="a constant row stays what it is", often=False),
    guard("constant along another axis", CENTRED,
        "low = ReduceMin<axes=[1]>(x)  high = ReduceMax<axes=[1]>(x)  t = Equal(low, high)  d = Where(t, 0., a)",
        SPREAD, NORMALIZE, why="what is constant along the sentence isn't along the features", often=False),
    guard("largest over one axis, smallest over two", CENTRED,
        "low = ReduceMin<axes=[1, 2]>(x)  high = ReduceMax<axes=[-1]>(x)  t = Equal(low, high)  d = Where(t, 0., a)",
        SPREAD, NORMALIZE, why="the largest of a row may be the smallest of all", often=False),
    guard("largest of x, smallest of its square", CENTRED,
        "p = Mul(x, x)  low = ReduceMin<axes=[-1]>(p)  high = ReduceMax<axes=[-1]>(x)  t = Equal(low, high)",
        "d = Where(t, 0., a)", SPREAD, NORMALIZE, why="these may be equal in any row", often=False),
    guard("largest twice", CENTRED, "high = ReduceMax<axes=[-1]>(x)  t = Equal(high, high)  d = Where(t, 0., a)",
        SPREAD, NORMALIZE, why="it is always zero", rule=None),
    guard("mean not zero", CENTRED, "t = Equal(m, 0.)  d = Where(t, 0., a)", SPREAD, NORMALIZE,
        why="a row around zero becomes zero", often=False),
    guard("mean zero or not", CENTRED, "t = Equal(m, 0.)  d = Where(t, x, a)", "u = Equal(m, 1.)  h = Where(u, 0., d)",
        "mean = ReduceMean<axes=[-1]>(x)  k = Sub(x, mean)  q = Mul(k, k)  v = ReduceMean<axes=[-1]>(q)",
        DEVIATION, "n = Div(h, s)", why="a row around one becomes zero", often=False),
    guard("one for a vector of zeros", LENGTH, "t = Equal(a, 0.)  b = Div(x, a)  n = Where(t, 1., b)",
        why="a vector of zeros becomes ones", rule="inner-reader", often=False),
    guard("zero where another length is zero", LENGTH, "p = ReduceL2<axes=[1]>(x)  t = Equal(p, 0.)",
        "b = Div(x, a)  n = Where(t, 0., b)", why="a column of zeros says nothing of the row", often=False),
    guard("zero unless the length is zero", LENGTH, "t = Equal(a, 0.)  b = Div(x, a)  n = Where(t, b, 0.)",
        why="everything becomes zero or not a number", rule="inner-reader"),
    guard("zero for a row whose mean is zero", LENGTH, "m = ReduceMean<axes=[-1]>(x)",
        "t = Equal(m, 0.)  b = Div(x, a)  n = Where(t, 0., b)", why="a row around zero becomes zero", often=False),
    guard("variance where it is large", CENTRE, "q = Mul(d, d)  a = ReduceMean<axes=[-1]>(q)  t = Greater(a, 1.)",
        "v = Where(t, a, 0.)", NORMALIZE, why="a small variance is dropped"),
    guard("what is above the mean", CENTRE, VARIANCE, DEVIATION,
        "t = Greater(d, 0.)  h = Where(t, d, 0.)  n = Div(h, s)", why="what is below the mean becomes zero"),
]  # fmt: skip
