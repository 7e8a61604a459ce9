"""A LayerNormalization by its arithmetic that its surroundings, or what isn't constant, forbid to fuse."""

import numpy as np

from tests.claims import Norm
from tests.traps.arithmetic import AFFINE, CENTRE, NORMALIZE, VARIANCE, trap

PLAIN = (CENTRE, VARIANCE, NORMALIZE, AFFINE)

NO_WORK = "a norm would come on top of what stays, and take hardly anything away"
READERS = [
    trap("variance is an output, and nothing is scaled", *PLAIN[:2], "e = Add(v, 1e-5)  s = Sqrt(e)  y = Div(d, s)",
        outputs=("y", "v"), why=NO_WORK, rule="graph-output", invites=None),
    trap("variance read elsewhere, and nothing is scaled", *PLAIN[:2],
        "e = Add(v, 1e-5)  s = Sqrt(e)  n = Div(d, s)  a = Exp(v)  y = Add(n, a)", why=NO_WORK, rule="inner-reader",
        invites=None),
    trap("mean square read elsewhere", "q = Mul(x, x)  v = ReduceMean<axes=[-1]>(q)  e = Add(v, 1e-5)  s = Sqrt(e)",
        "n = Div(x, s)  g = Mul(n, gamma)  a = Tanh(v)  y = Add(g, a)", why=NO_WORK, rule="inner-reader", invites=None,
        opsets=(23, 23)),
]  # fmt: skip

EXPONENT = "p = Pow(d, exponent)  v = ReduceMean<axes=[-1]>(p)"
NOT_CONSTANT = [
    trap("overridable exponent", CENTRE, EXPONENT, NORMALIZE, AFFINE, constants={"exponent": 2.0},
        overridable=("exponent",), why="the initializer is an input of the graph too", rule="different-base"),
    trap("overridable axes", "m = ReduceMean(x, over)  d = Sub(x, m)", VARIANCE, NORMALIZE, AFFINE,
        constants={"over": np.array([1])}, overridable=("over",), inputs={"x": "B 8 8"},
        why="the initializer is an input of the graph too", rule="axes",
        invites=Norm("LayerNormalization", axes=(1,), scale="gamma", bias="beta"), opsets=(18, 23)),
    trap("overridable count", "t = ReduceSum<axes=[-1]>(x)  m = Div(t, count)  d = Sub(x, m)", VARIANCE,
        NORMALIZE, AFFINE, constants={"count": 8.0}, overridable=("count",),
        why="the initializer is an input of the graph too", rule="different-base"),
    trap("overridable root", CENTRE, VARIANCE, "e = Add(v, 1e-5)  r = Pow(e, power)  n = Mul(d, r)", AFFINE,
        constants={"power": -0.5}, overridable=("power",), why="the initializer is an input of the graph too",
        rule="different-base"),
    trap("exponent that is fed", CENTRE, "q = Mul(d, d)  p = Pow(q, z)  v = ReduceMean<axes=[-1]>(p)",
        NORMALIZE, AFFINE, inputs={"z": "1"}, why="the exponent is no constant", rule="different-base"),
    trap("Dropout that may be training", "m = ReduceMean<axes=[-1]>(x)  a = Sub(x, m)",
        "trains = Greater(z, 1e6)  d = Dropout(a, 0.5, trains)", VARIANCE, NORMALIZE, AFFINE,
        inputs={"z": "float"}, why="whether the Dropout does anything is fed", rule="training-mode",
        invites=None, opsets=(13, 23)),
]  # fmt: skip

TABLE = [*READERS, *NOT_CONSTANT]
