"""Folds that are only made when asked for."""

import numpy as np

from tests.folds.claims import hit, miss, norm, same

LN = "LayerNormalization<axis=-1>"
MATRICES: dict[str, tuple[int, ...]] = {"g": (4,), "s": (4,), "w": (4, 5), "v": (4, 6), "c": (5,), "d": (6,)}

DUPLICATED = [
    hit("a Conv that something else reads", f"h = Conv(x, w)  a = {norm('h')}  b = Relu(h)  y = Add(a, b)",
        "Conv Conv Relu Add", "duplicate", constants={"w": (4, 4, 3, 3)}),
    hit("a Conv that is an output", f"h = Conv(x, w)  y = {norm('h')}", "Conv Conv", "duplicate",
        constants={"w": (4, 4, 3, 3)}, outputs=("y", "h")),
    hit("a MatMul that something else reads",
        "h = MatMul(x, w)  b = Mul(h, k)  a = Add(b, c)  r = Relu(h)  y = Mul(a, r)",
        "MatMul MatMul Add Relu Mul", "duplicate", dims="B S 4", constants={"w": (4, 5), "k": (5,), "c": (5,)}),
    hit("two norms of one Conv",
        f"h = Conv(x, w)  a = {norm('h')}  b = BatchNormalization(h, beta, gamma, mean, variance)  r = Relu(a)  "
        "y = Mul(r, b)", "Conv Conv Relu Mul", "duplicate", "backward", constants={"w": (4, 4, 3, 3)}),
    miss("what isn't linear isn't copied", f"h = Relu(x)  a = {norm('h')}  b = Sigmoid(h)  y = Add(a, b)",
         "no-neighbour", "Relu"),
    miss("a Transpose that something else reads isn't copied",
         f"h = Conv(x, w)  t = Transpose<perm=[0, 1, 3, 2]>(h)  a = {norm('t')}  b = Relu(t)  y = Add(a, b)",
         "inner-reader", "'t'", constants={"w": (4, 4, 3, 3)}),
    miss("a Conv isn't copied for what a Transpose passes on",
         f"h = Conv(x, w)  t = Transpose<perm=[0, 1, 3, 2]>(h)  a = {norm('t')}  b = Relu(h)  y = Add(a, b)",
         "inner-reader", "'h'", constants={"w": (4, 4, 3, 3)}),
    miss("a Conv isn't copied for a norm that nothing reads", f"h = Conv(x, w)  a = {norm('h')}  y = Relu(h)",
         "no-neighbour", constants={"w": (4, 4, 3, 3)}),
]  # fmt: skip

GAINS = [
    hit("a LayerNormalization before two products",
        f"n = {LN}(x, g, s)  a = MatMul(n, w)  p = Add(a, c)  b = MatMul(n, v)  q = Add(b, d)  r = Relu(p)  "
        "y = Concat<axis=-1>(r, q)", "LayerNormalization MatMul Add MatMul Add Relu Concat", "gain", dims="B S 4",
        constants=MATRICES, opsets=(17, 23)),
    hit("a LayerNormalization with nothing but a bias", f"n = {LN}(x, e, s)  p = MatMul(n, w)  y = Add(p, c)",
        "LayerNormalization MatMul Add", "gain", dims="B S 4", constants={**MATRICES, "e": [1.0] * 4}, opsets=(17, 23)),
    hit("a LayerNormalization without bias", f"n = {LN}(x, g)  y = MatMul(n, w)", "LayerNormalization MatMul", "gain",
        dims="B S 4", constants=MATRICES, opsets=(17, 23)),
    hit("an RMSNormalization through a Reshape and Gemm",
        "n = RMSNormalization<axis=-1>(x, g)  r = Reshape(n, [-1, 4])  y = Gemm(r, w, c)",
        "RMSNormalization Reshape Gemm", "gain", dims="B S 4", constants=MATRICES, opsets=(23, 23),
        evaluated_in_double=False),
    miss("a bias that would take an Add", f"n = {LN}(x, g, s)  y = MatMul(n, w)", "no-gain", "1 new nodes",
         dims="B S 4", constants=MATRICES, opsets=(17, 23)),
    same("a LayerNormalization without gain or bias", f"n = {LN}(x, e, o)  y = MatMul(n, w)", dims="B S 4",
         constants={**MATRICES, "e": [1.0] * 4, "o": [0.0] * 4}, opsets=(17, 23)),
    same("a gain that the caller may override", f"n = {LN}(x, g)  y = MatMul(n, w)", dims="B S 4", constants=MATRICES,
         overridable=("g",), opsets=(17, 23)),
    same("a bias that the caller may override", f"n = {LN}(x, g, s)  p = MatMul(n, w)  y = Add(p, c)", dims="B S 4",
         constants=MATRICES, overridable=("s",), opsets=(17, 23)),
    same("a gain for each row", f"n = {LN}(x, r)  y = MatMul(n, w)", dims="B 3 4", constants={**MATRICES, "r": (3, 4)},
         opsets=(17, 23)),
    same("a LayerNormalization that nothing reads", f"n = {LN}(x, g)  p = MatMul(n, w)  y = Relu(x)", dims="B S 4",
         constants=MATRICES, opsets=(17, 23)),
    miss("a LayerNormalization that something else reads",
         f"n = {LN}(x, g)  a = MatMul(n, m)  r = Relu(n)  y = Mul(a, r)", "no-neighbour", "Relu", dims="B S 4",
         constants={**MATRICES, "m": (4, 4)}, opsets=(17, 23)),
    miss("a gain along another axis than is summed over",
         f"n = {LN}(x, g)  t = Transpose<perm=[0, 2, 1]>(n)  y = MatMul(t, m)", "layout", "MatMul", dims="B 3 4",
         constants={**MATRICES, "m": np.arange(12.0).reshape(3, 4)}, opsets=(17, 23)),
]  # fmt: skip
