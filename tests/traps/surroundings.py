"""A LayerNormalization by its arithmetic that its surroundings, or what isn't constant, forbid to fuse."""

import numpy as np

from tests.claims import Norm
from tests.traps.arithmetic import AFFINE, CENTRE, NORMALIZE, VARIANCE, trap

PLAIN = (CENTRE, VARIANCE, NORMALIZE, AFFINE)
AN_OUTPUT = "an inner value is an output of the graph"
READ = "an inner value is read by a node outside"

READERS = [
    trap("centred value is an output", *PLAIN, outputs=("y", "d"), why=AN_OUTPUT, rule="graph-output",
        invites=None),
    trap("deviation is an output", *PLAIN, outputs=("y", "s"), why=AN_OUTPUT, rule="graph-output",
        invites=None),
    trap("mean is an output", *PLAIN, outputs=("m", "y"), why=AN_OUTPUT, rule="graph-output", invites=None),
    trap("variance is an output", *PLAIN, outputs=("y", "v"), why=AN_OUTPUT, rule="graph-output",
        invites=None),
    trap("mean and variance are outputs", *PLAIN, outputs=("y", "m", "v"), why=AN_OUTPUT, rule="graph-output",
        invites=None),
    trap("centred value read elsewhere", *PLAIN[:3],
        "g = Mul(n, gamma)  a = Add(g, beta)  b = Relu(d)  y = Add(a, b)", why=READ, rule="inner-reader",
        invites=None),
    trap("deviation read elsewhere", *PLAIN[:3],
        "g = Mul(n, gamma)  a = Add(g, beta)  b = Exp(s)  y = Add(a, b)", why=READ, rule="inner-reader",
        invites=None),
    trap("scaled back", *PLAIN, "z = Mul(y, s)  w = Add(z, m)", outputs=("y", "w"),
        why="the statistics are used again, to undo the normalization", rule="inner-reader", invites=None),
    trap("centred value read in a sub-graph", *PLAIN, """
        z = If(flag)<
            then_branch = yes () => (a) { a = Identity(d) }, else_branch = no () => (b) { b = Neg(d) }>""",
        inputs={"flag": "bool"}, outputs=("y", "z"), why="an inner value is read from within a sub-graph",
        rule="inner-reader", invites=None),
    trap("variance read in one branch", *PLAIN, """
        z = If(flag)<
            then_branch = yes () => (a) { a = Sqrt(v) }, else_branch = no () => (b) { b = Identity(v) }>""",
        inputs={"flag": "bool"}, outputs=("y", "z"), why="an inner value is read from within a sub-graph",
        rule="inner-reader", invites=None),
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
    trap("chosen by a condition that is fed", CENTRE, VARIANCE, NORMALIZE,
        "k = Where(flag, n, d)  g = Mul(k, gamma)", "y = Add(g, beta)", inputs={"flag": "bool"},
        why="the normalization is skipped where what is fed says so", rule="inner-reader"),
]  # fmt: skip

TABLE = [*READERS, *NOT_CONSTANT]
