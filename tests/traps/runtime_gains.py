"""Gains known at run time only that stand within something which is no normalization times a gain plus a bias."""

from tests.claims import Norm
from tests.spellings.runtime_gains import BATCH, FED, rate
from tests.traps.arithmetic import trap

GIVEN = Norm("LayerNormalization", scale="a", bias="b")
SUM = "o = Sub(b, mk)  y = Add(xk, o)"

TABLE = [
    trap("run time: the gain squared", rate(), "l = Mul(r, a)  k = Mul(l, a)  xk = Mul(x, k)  mk = Mul(m, k)", SUM,
        why="the gain is taken twice", rule="different-base", invites=GIVEN, inputs=FED),
    trap("run time: the gain on x alone", rate(), "k = Mul(r, a)  xk = Mul(x, k)  mk = Mul(m, r)", SUM,
        why="the mean isn't multiplied by the gain", rule="different-base", invites=GIVEN, inputs=FED),
    trap("run time: the gain on the mean alone", rate(), "k = Mul(r, a)  xk = Mul(x, r)  mk = Mul(m, k)", SUM,
        why="x isn't multiplied by the gain", rule="half-centred", invites=GIVEN, inputs=FED),
    trap("run time: another gain for the mean", rate(), "k = Mul(r, a)  l = Mul(r, c)  xk = Mul(x, k)  mk = Mul(m, l)",
        SUM, why="x and its mean have two gains", rule="different-base", invites=GIVEN, inputs=FED | {"c": "8"}),
    trap("run time: the gain of the mean turned", rate("[2]"),
        "k = Mul(r, a)  t = Transpose<perm=[0, 2, 1]>(a)  l = Mul(r, t)  xk = Mul(x, k)  mk = Mul(m, l)", SUM,
        why="the gain of the mean is its transpose", rule="different-base", invites=GIVEN,
        inputs={"x": "B 8 8", "a": "1 8 8", "b": "8"}),
    trap("run time: a gain per row of a square", """
        m = ReduceMean<axes=[1], keepdims=0>(x)  p = Mul(x, x)  u = ReduceMean<axes=[1], keepdims=0>(p)  w = Mul(m, m)
        v = Sub(u, w)  e = Add(v, 1e-5)  s = Sqrt(e)  r = Reciprocal(s)  l = Mul(r, a)  k = Unsqueeze<axes=[1]>(l)
        t = Unsqueeze<axes=[1]>(m)  xk = Mul(x, k)  mk = Mul(t, k)""", SUM,
        why="it would have to be moved to be applied behind the norm: there it would be a gain per column",
        rule="different-base", invites=GIVEN, inputs={"x": "8 8", "a": "8", "b": "8"}),
    trap("run time: a gain per channel of a cube, transposed", """
        m = ReduceMean<axes=[1]>(x)  d = Sub(x, m)  q = Mul(d, d)  v = ReduceMean<axes=[1]>(q)  e = Add(v, 1e-5)
        s = Sqrt(e)  r = Reciprocal(s)  k = Mul(r, a)  l = Mul(x, k)  mk = Mul(m, k)
        xk = Transpose<perm=[0, 2, 1]>(l)  t = Transpose<perm=[0, 2, 1]>(mk)  o = Sub(b, t)  y = Add(xk, o)""",
        why="gain and bias are along different axes", rule="different-base",
        invites=Norm("LayerNormalization", axes=(1,), scale="a", bias="b"),
        inputs={"x": "B 8 8", "a": "8", "b": "8"}),
    trap("run time: one more than the gain for x", rate(),
        "k = Mul(r, a)  l = Add(k, r)  xk = Mul(x, l)  mk = Mul(m, k)", SUM, why="x has one gain more than its mean",
        rule="different-base", invites=GIVEN, inputs=FED),
    trap("run time: the rate over the gain", rate(), "k = Div(r, a)  xk = Mul(x, k)  mk = Mul(m, k)", SUM,
        why="it is divided by what looks like the gain", rule="different-base", invites=GIVEN, inputs=FED),
    trap("run time: the gain on the variance",
        rate().replace("e = Add(v,", "w = Mul(v, a)  e = Add(w,"), "xk = Mul(x, r)  mk = Mul(m, r)", SUM,
        why="the variance is multiplied by it", rule="different-base", invites=GIVEN, inputs=FED),
    trap("run time: a mean with the gain as weights",
        rate().replace("m = ReduceMean<axes=[-1]>(x)", "w = Mul(x, a)  m = ReduceMean<axes=[-1]>(w)"), BATCH,
        why="the mean is weighted", rule="different-base", invites=GIVEN, inputs=FED),
    trap("run time: a bias that is divided too", rate(),
        "k = Mul(r, a)  xk = Mul(x, k)  mk = Mul(m, k)  w = Mul(b, r)  o = Sub(w, mk)  y = Add(xk, o)",
        why="the bias is divided by the deviation", rule="different-base", invites=GIVEN, inputs=FED),
    trap("run time: the mean of another tensor", rate(),
        "k = Mul(r, a)  z = ReduceMean<axes=[-1]>(c)  xk = Mul(x, k)  mk = Mul(z, k)", SUM,
        why="the mean is another tensor's", rule="different-base", invites=GIVEN, inputs=FED | {"c": "B S 8"}),
    trap("run time: a gain that makes the result larger", rate(), BATCH, why="the result has more rows than x",
        rule="different-base", invites=None, inputs={"x": "1 S 8", "a": "B 1 8", "b": "8"}),
    trap("run time: a gain of a higher rank", rate(), BATCH, why="the result has another rank than x",
        rule="different-base", invites=None, inputs={"x": "B S 8", "a": "1 1 1 8", "b": "8"}),
    trap("run time: a gain computed from the rate", rate(), "a = Sigmoid(r)", BATCH,
        why="what the gain is computed from has to stay, and that is most of it", rule="inner-reader", invites=None,
        inputs={"b": "8"}),
    trap("run time: the scaled value is an output", rate(), BATCH,
        why="what makes it has to stay, and that is most of it", rule="graph-output", invites=None, inputs=FED,
        outputs=("y", "xk")),
]  # fmt: skip
