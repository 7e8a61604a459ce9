"""Maps per channel written in products and sums: where they stay, and what is no such map at all."""

import numpy as np

from tests.folds.claims import miss, same

LAST: dict[str, object] = {"k": (4,), "c": (4,), "w": (4, 4)}
FIRST: dict[str, object] = {"k": (4, 1, 1), "w": (4, 4, 1, 1)}
LAST_DIMS = "B 6 6 4"
MAP = "a = Mul({0}, k)  {1} = Add(a, c)"
QUANTIZED = (np.arange(16) % 7 - 3).astype(np.int8).reshape(4, 4)

TABLE = [
    miss("channels last, between activations", f"r = Relu(x)  {MAP.format('r', 'h')}  y = Relu(h)", "no-neighbour",
         "behind it, Relu", dims=LAST_DIMS, constants=LAST),
    miss("channels last, in four operators",
         "r = Relu(x)  a = Sub(r, c)  b = Div(a, d)  e = Mul(b, k)  h = Add(e, g)  y = Relu(h)", "no-neighbour",
         "before it", dims=LAST_DIMS, constants={**LAST, "d": [1.0, 2.0, 3.0, 4.0], "g": (4,)}),
    miss("channels last, two maps in a row",
         "r = Relu(x)  a = Mul(r, k)  b = Add(a, c)  e = Mul(b, d)  h = Add(e, g)  y = Relu(h)", "no-neighbour",
         "2 scales stay apart, since they run along dimension 3", dims="B 6 6 4",
         constants=dict.fromkeys("kcdg", (4,))),
    miss("channels last, of a product that something else reads",
         f"h = MatMul(x, w)  {MAP.format('h', 'b')}  r = Relu(h)  s = Sigmoid(b)  y = Add(s, r)", "inner-reader",
         "Relu", dims=LAST_DIMS, constants=LAST),
    miss("channels last, of a product that is an output",
         f"h = MatMul(x, w)  {MAP.format('h', 'y')}", "graph-output", "'h'", dims=LAST_DIMS, constants=LAST,
         outputs=("y", "h")),
    miss("channels last, before a Conv that pads",
         f"{MAP.format('x', 'h')}  t = Transpose<perm=[0, 3, 1, 2]>(h)  y = Conv<pads=[1, 1, 1, 1]>(t, v)", "padding",
         "no one number", dims=LAST_DIMS, constants={**LAST, "v": (4, 4, 3, 3)}),
    miss("channels last, behind a product with a weight that is fed",
         f"h = MatMul(x, w)  {MAP.format('h', 'y')}", "not-constant", "fed by the caller", dims=LAST_DIMS,
         constants={"k": (4,), "c": (4,)}, inputs={"w": "4 4"}),
    miss("channels last, behind a product with a quantized weight",
         f"q = DequantizeLinear(w, s, z)  h = MatMul(x, q)  {MAP.format('h', 'y')}", "not-constant", "quantized",
         dims=LAST_DIMS, constants={**LAST, "w": QUANTIZED, "s": 0.05, "z": np.int8(1)}, evaluated_in_double=False),
    miss("a gain alone, behind a Conv that something else reads",
         "h = Conv(x, w)  a = Mul(h, k)  r = Relu(h)  y = Add(a, r)", "inner-reader", "Relu", constants=FIRST),
    miss("a gain alone, negative, behind pooling",
         "h = Conv(x, w)  p = MaxPool<kernel_shape=[2, 2]>(h)  y = Mul(p, k)", "negative-gain", "MaxPool",
         constants={**FIRST, "k": np.asarray([1.0, -1.0, 2.0, 3.0]).reshape(4, 1, 1)}),
    miss("a gain alone, that the caller may override", "h = Conv(x, w)  y = Mul(h, k)", "not-constant",
         "take it out of the graph's inputs", constants=FIRST, overridable=("k",)),
    miss("a gain alone, quantized", "h = MatMul(x, w)  g = DequantizeLinear(k, s)  y = Mul(h, g)", "not-constant",
         "'g' is quantized", dims=LAST_DIMS, constants={**LAST, "k": np.asarray([1, 2, -3, 4], np.int8), "s": 0.5},
         evaluated_in_double=False),
    miss("along what a Reshape makes of channels and space",
         "h = Conv(x, w)  f = Reshape(h, [0, 8, 18])  y = Mul(f, k)", "layout", "channels of Conv",
         constants={**FIRST, "k": (8, 1)}),
    miss("along space, behind a Reshape", "h = Conv(x, w)  f = Reshape(h, [-1, 6])  y = Mul(f, k)", "layout", "Conv",
         constants={**FIRST, "k": (6,)}),
    miss("of weights that vanish in half precision", "h = Conv(x, w)  y = Mul(h, k)", "parameter-range", "would lose",
         constants={**FIRST, "k": np.asarray([1e-6, 1.0, 1.0, 1.0]).reshape(4, 1, 1)}, dtypes=("float16",)),

    same("a gain between activations", "r = Relu(x)  a = Mul(r, k)  y = Relu(a)", dims=LAST_DIMS, constants=LAST),
    same("a bias between activations", "r = Relu(x)  a = Add(r, k)  y = Relu(a)", dims=LAST_DIMS, constants=LAST),
    same("one number", "r = Relu(x)  a = Mul(r, 0.5)  b = Add(a, 3.0)  y = Relu(b)"),
    same("numbers along two dimensions", "h = MatMul(x, w)  r = Relu(h)  a = Mul(r, k)  y = Add(a, c)", dims=LAST_DIMS,
         constants={**LAST, "k": (6, 4)}),
    same("factors that are computed", "h = MatMul(x, w)  s = ReduceMean<axes=[0, 1, 2], keepdims=0>(x)  y = Mul(h, s)",
         dims=LAST_DIMS, constants=LAST),
    same("a gain that is fed", "h = MatMul(x, w)  y = Mul(h, g)", dims=LAST_DIMS, constants=LAST, inputs={"g": "4"}),
]  # fmt: skip
