"""LayerNormalization over one axis or several, trailing or not, and through changes of layout."""

from collections.abc import Mapping

from tests.cases import Constant
from tests.claims import Norm, Spelling

TRAILING, ELSEWHERE = "LayerNormalization", "Transpose LayerNormalization Transpose"


def over(
    name: str,
    dims: str,
    axes: tuple[int, ...],
    text: str,
    *,
    after: str | None,
    shape: tuple[int, ...] = (),
    of: str = "x",
    output: str = "y",
    constants: Mapping[str, Constant] | None = None,
    opsets: tuple[int, int] = (11, 23),
) -> Spelling:
    """A LayerNormalization over `axes`, with gain and bias of `shape` unless that is empty."""
    scaled = Norm("LayerNormalization", axes=axes, of=of, output=output, scale="gamma", bias="beta")
    bare = Norm("LayerNormalization", axes=axes, of=of, output=output)
    return Spelling(
        f"axes: {name}",
        text,
        inputs={"x": dims},
        claims=(scaled if shape else bare,),
        after=after,
        constants=({"gamma": shape, "beta": shape} if shape else {}) | dict(constants or {}),
        opsets=opsets,
    )


def written(axes: str, mean: str = "") -> str:
    """The plain spelling, with gain and bias; the mean's axes may be written otherwise."""
    return f"""
        m = ReduceMean<axes={mean or axes}>(x)  d = Sub(x, m)
        q = Mul(d, d)  v = ReduceMean<axes={axes}>(q)  e = Add(v, 1e-5)  s = Sqrt(e)
        n = Div(d, s)  g = Mul(n, gamma)  y = Add(g, beta)"""


# The same up to the normalized n.
PLAIN = written("[-1]").replace("g = Mul(n, gamma)  y = Add(g, beta)", "")

WRITTEN = [
    over("last, counted from the front", "B S 8", (-1,), written("[2]"), shape=(8,), after=TRAILING),
    over("last, counted both ways", "B S 8", (-1,), written("[2]", mean="[-1]"), shape=(8,), after=TRAILING),
    over("last two", "B 4 8", (-2, -1), written("[-2, -1]"), shape=(4, 8), after=TRAILING),
    over("last two, other order", "B 4 8", (-2, -1), written("[-1, -2]", mean="[1, 2]"), shape=(4, 8),
        after=TRAILING),
    over("last two, gain of the last", "B 4 8", (-2, -1), written("[-2, -1]"), shape=(8,), after=TRAILING),
    over("last two, gain of the first", "B 4 8", (-2, -1), written("[-2, -1]"), shape=(4, 1), after=TRAILING),
    over("an image, gain per element", "B 3 4 5", (1, 2, 3), written("[1, 2, 3]"), shape=(3, 4, 5),
        after=TRAILING),
    over("an image, gain per channel", "B 3 4 5", (1, 2, 3), written("[-3, -2, -1]"), shape=(3, 1, 1),
        after=TRAILING),
    over("every axis of a vector", "8", (0,), written("[0]"), shape=(8,), after=TRAILING),
    over("every axis of a vector, keepdims 0", "8", (0,), written("[0]").replace("[0]", "[0], keepdims=0"),
        shape=(8,), after=TRAILING),
    over("every axis of a matrix", "4 8", (0, 1), written("[0, 1]"), shape=(4, 8), after=TRAILING),
    over("every axis, keepdims 0", "4 8", (0, 1), written("[0, 1]").replace("1]", "1], keepdims=0"),
        shape=(4, 8), after=TRAILING),
    over("every axis, by default", "4 8", (0, 1), written("[]").replace("<axes=[]>", ""), shape=(4, 8),
        after=TRAILING),
    over("of one element and a last", "B 1 8", (-2, -1), written("[-2, -1]"), shape=(8,), after=TRAILING),
    over("channels first", "B 8 H W", (1,), written("[1]"), shape=(8, 1, 1), after=ELSEWHERE),
    over("channels first, gain [1, C, 1, 1]", "B 8 H W", (1,), written("[-3]"), shape=(1, 8, 1, 1),
        after=ELSEWHERE),
    over("channels first, one spatial axis", "B 8 W", (1,), written("[1]"), shape=(8, 1), after=ELSEWHERE),
    over("first of three", "8 B S", (0,), written("[0]"), shape=(8, 1, 1), after=ELSEWHERE),
    over("first of two, keepdims 0", "8 B", (0,), written("[0]").replace("[0]", "[0], keepdims=0"),
        shape=(8, 1), after=ELSEWHERE),
    over("first and last", "4 B 8", (0, 2), written("[0, 2]"), shape=(4, 1, 8), after=ELSEWHERE),
    over("second and last", "B 4 H 8", (1, 3), written("[1, -1]"), shape=(4, 1, 8), after=ELSEWHERE),
    over("middle two of four", "B 3 4 S", (1, 2), written("[1, 2]"), shape=(3, 4, 1), after=ELSEWHERE),
]  # fmt: skip

ONE_BY_ONE = [
    over("one at a time", "B 4 8", (-2, -1), """
        a = ReduceMean<axes=[-1]>(x)  m = ReduceMean<axes=[-2]>(a)  d = Sub(x, m)
        q = Mul(d, d)  b = ReduceMean<axes=[-2]>(q)  v = ReduceMean<axes=[-1]>(b)
        e = Add(v, 1e-5)  s = Sqrt(e)  y = Div(d, s)""", after=TRAILING),
    over("one at a time, keepdims 0", "B 4 8", (-2, -1), """
        a = ReduceMean<axes=[-1], keepdims=0>(x)  b = ReduceMean<axes=[-1], keepdims=0>(a)
        m = Unsqueeze<axes=[1, 2]>(b)  d = Sub(x, m)  q = Mul(d, d)  v = ReduceMean<axes=[1, 2]>(q)
        e = Add(v, 1e-5)  s = Sqrt(e)  y = Div(d, s)""", after=TRAILING),
    over("mean at once, variance one at a time", "B 3 4 8", (1, 2, 3), """
        m = ReduceMean<axes=[1, 2, 3]>(x)  d = Sub(x, m)  q = Mul(d, d)
        a = ReduceMean<axes=[3]>(q)  v = ReduceMean<axes=[1, 2]>(a)
        e = Add(v, 1e-5)  s = Sqrt(e)  y = Div(d, s)""", after=TRAILING),
    over("sum of one, mean of another", "B 4 8", (-2, -1), """
        a = ReduceSum<axes=[1]>(x)  b = Mul(a, 0.25)  m = ReduceMean<axes=[2]>(b)  d = Sub(x, m)
        q = Mul(d, d)  v = ReduceMean<axes=[1, 2]>(q)
        e = Add(v, 1e-5)  s = Sqrt(e)  y = Div(d, s)""", after=TRAILING),
]  # fmt: skip

# Axes as an input, however that comes about: only since opset 18, so none is left to the builder.
GIVEN = [
    over(f"given by {name}", "B S 8", (-1,), f"""
        {text}  m = ReduceMean(x, a)  d = Sub(x, m)  q = Mul(d, d)  v = ReduceMean<keepdims=1>(q, a)
        e = Add(v, 1e-5)  s = Sqrt(e)  n = Div(d, s)  g = Mul(n, gamma)  y = Add(g, beta)""",
        shape=(8,), after=TRAILING, opsets=(18, 23))
    for name, text in {
        "a Constant node": "a = Constant<value = int64[1] {-1}>()",
        "a list of a Constant node": "a = Constant<value_ints=[-1]>()",
        "Reshape": "a = Reshape(-1, [1])",
        "rank minus one": "f = Shape(x)  r = Shape(f)  a = Sub(r, [1])",
        "Range": "f = Shape(x)  r = Size(f)  b = Add(r, -1)  a = Range(b, r, 1)",
    }.items()
]  # fmt: skip

LAYOUTS = [
    over("transposed there and back", "B 8 H W", (-1,), f"""
        t = Transpose<perm=[0, 2, 3, 1]>(x)  {PLAIN.replace("(x", "(t")}
        g = Mul(n, gamma)  h = Add(g, beta)  y = Transpose<perm=[0, 3, 1, 2]>(h)""",
        shape=(8,), of="t", output="h", after=ELSEWHERE),
    over("transposed and left", "B 8 H W", (-1,), f"""
        t = Transpose<perm=[0, 2, 3, 1]>(x)  {PLAIN.replace("(x", "(t")}
        g = Mul(n, gamma)  y = Add(g, beta)""", shape=(8,), of="t", after="Transpose LayerNormalization"),
    over("batch and sequence swapped", "B S 8", (-1,), f"""
        t = Transpose<perm=[1, 0, 2]>(x)  {PLAIN.replace("(x", "(t")}
        g = Mul(n, gamma)  h = Add(g, beta)  y = Transpose<perm=[1, 0, 2]>(h)""",
        shape=(8,), of="t", output="h", after=ELSEWHERE),
    over("statistics on the transposed", "B 8 H W", (1,), """
        t = Transpose<perm=[0, 2, 3, 1]>(x)  a = ReduceMean<axes=[3]>(t)
        m = Transpose<perm=[0, 3, 1, 2]>(a)  d = Sub(x, m)  q = Mul(d, d)  v = ReduceMean<axes=[1]>(q)
        e = Add(v, 1e-5)  s = Sqrt(e)  n = Div(d, s)  g = Mul(n, gamma)  y = Add(g, beta)""", shape=(8, 1, 1),
        after=ELSEWHERE),
    over("keepdims 0 on the transposed", "B S 8", (-1,), """
        t = Transpose<perm=[2, 0, 1]>(x)  a = ReduceMean<axes=[0], keepdims=0>(t)
        m = Unsqueeze<axes=[-1]>(a)  d = Sub(x, m)  q = Mul(d, d)  v = ReduceMean<axes=[2]>(q)
        e = Add(v, 1e-5)  s = Sqrt(e)  n = Div(d, s)  g = Mul(n, gamma)  y = Add(g, beta)""", shape=(8,),
        after=TRAILING),
    over("variance and division on the transposed", "B 8 W", (1,), """
        m = ReduceMean<axes=[1]>(x)  d = Sub(x, m)  t = Transpose<perm=[0, 2, 1]>(d)  q = Mul(t, t)
        v = ReduceMean<axes=[2]>(q)  e = Add(v, 1e-5)  s = Sqrt(e)  n = Div(t, s)
        a = Transpose<perm=[0, 2, 1]>(n)  g = Mul(a, gamma)  y = Add(g, beta)""", shape=(8, 1),
        after=ELSEWHERE),
    over("sample flattened", "B 4 8", (-1,), f"""
        t = Flatten<axis=1>(x)  {PLAIN.replace("(x", "(t")}
        g = Mul(n, gamma)  h = Add(g, beta)  y = Reshape(h, [-1, 4, 8])""",
        shape=(32,), of="t", output="h", after=None),
    over("rows flattened", "B S 8", (-1,), f"""
        f = Shape(x)  t = Reshape(x, [-1, 8])  {PLAIN.replace("(x", "(t")}
        g = Mul(n, gamma)  h = Add(g, beta)  y = Reshape(h, f)""", shape=(8,), after=None),
    over("spatial axes merged", "B 8 4 5", (1,), f"""
        t = Reshape(x, [0, 8, 20])  {PLAIN.replace("(x", "(t").replace("[-1]", "[1]")}
        g = Mul(n, gamma)  h = Add(g, beta)  y = Reshape(h, [0, 8, 4, 5])""",
        shape=(8, 1), of="t", output="h", after=None),
    over("normalized axes merged, gain after", "B 4 8", (-2, -1), f"""
        t = Reshape(x, [0, 32])  {PLAIN.replace("(x", "(t")}
        h = Reshape(n, [0, 4, 8])  g = Mul(h, gamma)  y = Add(g, beta)""", shape=(4, 8), after=None),
    over("normalized axis split", "B S 8", (-1,), f"""
        t = Reshape(x, [0, 0, 2, 4])  {PLAIN.replace("(x", "(t").replace("[-1]", "[2, 3]")}
        h = Reshape(n, [0, 0, 8])  g = Mul(h, gamma)  y = Add(g, beta)""", shape=(8,), after=None),
    over("two heads of one width", "B S 8", (-1,), f"""
        t = Reshape(x, [0, 0, 2, 4])  {PLAIN.replace("(x", "(t")}
        g = Mul(n, gamma)  h = Add(g, beta)  y = Reshape(h, [0, 0, 8])""",
        shape=(4,), of="t", output="h", after="Reshape LayerNormalization Reshape"),
]  # fmt: skip

TABLE = [*WRITTEN, *ONE_BY_ONE, *GIVEN, *LAYOUTS]
