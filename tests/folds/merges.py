"""Linear operators side by side or in a row, that become one, and those that had better not."""

from tests.folds.claims import hit, miss, norm, same

PADDED = "Conv<pads=[1, 1, 1, 1]>"
K: dict[str, tuple[int, ...]] = {"w": (4, 4, 3, 3), "v": (4, 4, 1, 1)}
DEPTHWISE: dict[str, tuple[int, ...]] = {"w": (4, 1, 3, 3), "v": (4, 1, 1, 1)}
P3, P2 = ("parallel",) * 3, ("parallel",) * 2

TABLE = [
    hit("RepVGG's block",
        f"a = {PADDED}(x, w)  b = {norm('a')}  c = Conv(x, v)  d = {norm('c')}  i = {norm('x')}  "
        "s = Add(b, d)  t = Add(s, i)  y = Relu(t)", "Conv Relu", "backward", "backward", *P2, constants=K),
    hit("RepVGG's block that halves the size",
        f"a = Conv<pads=[1, 1, 1, 1], strides=[2, 2]>(x, w)  b = {norm('a')}  c = Conv<strides=[2, 2]>(x, v)  "
        f"d = {norm('c')}  s = Add(d, b)  y = Relu(s)", "Conv Relu", "backward", "backward", "parallel", constants=K),
    hit("MobileOne's depthwise block",
        f"a = Conv<pads=[1, 1, 1, 1], group=4>(x, w)  b = {norm('a')}  c = Conv<group=4>(x, v)  d = {norm('c')}  "
        f"i = {norm('x')}  s = Add(b, d)  t = Add(i, s)  y = Relu(t)", "Conv Relu", "backward", "backward", *P2,
        constants=DEPTHWISE),
    hit("two branches added before the widest",
        f"a = Conv(x, v)  i = {norm('x')}  s = Add(a, i)  b = {PADDED}(x, w)  y = Add(s, b)", "Conv", *P2, constants=K),
    hit("four branches, added two by two",
        f"a = Conv(x, v)  b = {PADDED}(x, w)  s = Add(a, b)  c = {PADDED}(x, u)  t = Add(x, c)  y = Add(s, t)", "Conv",
        *P3, constants={**K, "u": (4, 4, 3, 3)}),
    hit("a grouped block with identity",
        "a = Conv<pads=[1, 1, 1, 1], group=2>(x, w)  y = Add(a, x)", "Conv", "parallel",
        constants={"w": (4, 2, 3, 3)}),
    hit("asymmetric kernels on top of a square one",
        f"a = {PADDED}(x, w)  b = Conv<pads=[0, 1, 0, 1]>(x, v)  c = Conv<pads=[1, 0, 1, 0]>(x, u)  s = Add(a, b)  "
        "y = Add(s, c)", "Conv", *P2, constants={"w": (4, 4, 3, 3), "v": (4, 4, 1, 3), "u": (4, 4, 3, 1)}),
    hit("dilated kernels", "a = Conv<pads=[2, 2, 2, 2], dilations=[2, 2]>(x, w)  b = Conv(x, v)  y = Add(a, b)", "Conv",
        "parallel", constants=K),
    hit("padding that is worked out", "a = Conv<auto_pad=\"SAME_UPPER\">(x, w)  b = Conv(x, v)  y = Add(a, b)", "Conv",
        "parallel", constants=K),
    hit("branches and a residual from elsewhere",
        f"a = {PADDED}(x, w)  s = Add(a, z)  b = Conv(x, v)  y = Add(s, b)", "Conv Add", "parallel",
        inputs={"z": "B 4 6 6"}, constants=K),
    hit("a norm behind the branches", f"a = {PADDED}(x, w)  s = Add(a, x)  y = {norm('s')}", "Conv", "parallel",
        "backward", constants=K),
    hit("over one axis", "a = Conv<pads=[1, 1]>(x, w)  b = Conv(x, v)  y = Add(a, b)", "Conv", "parallel", dims="B 4 9",
        constants={"w": (4, 4, 3), "v": (4, 4, 1)}),
    hit("matrices side by side", "a = MatMul(x, w)  b = MatMul(x, v)  s = Add(a, b)  y = Add(s, x)", "MatMul", *P2,
        dims="B S 4", constants={"w": (4, 4), "v": (4, 4)}),
    hit("Gemms side by side", "a = Gemm(x, w, c)  b = Gemm<alpha=2.0>(x, v)  y = Add(a, b)", "Gemm", "parallel",
        dims="B 4", constants={"w": (4, 6), "v": (4, 6), "c": (6,)}),
    hit("a wide layer between narrow ones", "h = Conv(x, w)  y = Conv(h, v)", "Conv", "chain",
        constants={"w": (16, 4, 1, 1), "v": (4, 16, 3, 3)}),
    hit("a pointwise layer behind", f"h = {PADDED}(x, w, c)  y = Conv<strides=[2, 2]>(h, v)", "Conv", "chain",
        constants={"w": (16, 4, 3, 3), "v": (2, 16, 1, 1), "c": (16,)}),
    hit("matrices in a row", "h = MatMul(x, w)  b = Add(h, c)  g = MatMul(b, v)  y = Add(g, d)", "MatMul Add", "chain",
        dims="B S 4", constants={"w": (4, 16), "v": (16, 4), "c": (16,), "d": (4,)}),
    hit("matrices in a row, without biases", "h = MatMul(x, w)  y = MatMul(h, v)", "MatMul", "chain", dims="B S 4",
        constants={"w": (4, 16), "v": (16, 4)}),
    hit("matrices in a row, one number between", "h = MatMul(x, w)  b = Add(h, c)  g = MatMul(b, v)  y = Add(g, d)",
        "MatMul Add", "chain", dims="B S 4", constants={"w": (4, 16), "v": (16, 4), "c": (1,), "d": (4,)}),
    hit("Gemms in a row, one number for a bias", "h = Gemm(x, w, c)  y = Gemm(h, v, d)", "Gemm", "chain", dims="B 4",
        constants={"w": (4, 16), "v": (16, 4), "c": (1, 1), "d": (4,)}),
    hit("Gemms in a row, a bias per row", "h = Gemm(x, w, c)  y = Gemm(h, v)", "Gemm", "chain", dims="3 4",
        constants={"w": (4, 16), "v": (16, 4), "c": (3, 1)}),
    hit("Gemms in a row", "h = Gemm<transB=1>(x, w, c)  y = Gemm<alpha=0.5>(h, v)", "Gemm", "chain", dims="B 4",
        constants={"w": (16, 4), "v": (16, 4), "c": (16,)}),

    same("crossed kernels would be a dearer square",
         "a = Conv<pads=[0, 1, 0, 1]>(x, v)  b = Conv<pads=[1, 0, 1, 0]>(x, u)  y = Add(a, b)",
         constants={"v": (4, 4, 1, 3), "u": (4, 4, 3, 1)}),
    same("dense and depthwise", "a = Conv(x, v)  b = Conv<pads=[1, 1, 1, 1], group=4>(x, w)  y = Add(a, b)",
         constants={"w": (4, 1, 3, 3), "v": (4, 4, 1, 1)}),
    same("a pool that does nothing", f"a = {PADDED}(x, w)  m = MaxPool<kernel_shape=[1, 1]>(x)  y = Add(a, m)",
         constants=K),
    same("inputs that differ", f"a = {PADDED}(x, w)  b = Conv(z, v)  y = Add(a, b)", inputs={"z": "B 4 6 6"},
         constants=K),
    same("a branch that something else reads", f"a = {PADDED}(x, w)  b = Conv(x, v)  s = Add(a, b)  r = Relu(b)  "
         "y = Mul(s, r)", constants=K),
    same("a branch that is an output", f"a = {PADDED}(x, w)  b = Conv(x, v)  y = Add(a, b)", constants=K,
         outputs=("y", "b")),
    same("outputs that broadcast", "a = Conv<strides=[6, 6]>(x, v)  b = Conv(x, u)  y = Add(a, b)",
         constants={"v": (4, 4, 1, 1), "u": (4, 4, 1, 1)}),
    same("an activation between", f"a = {PADDED}(x, w)  b = Conv(x, v)  r = Relu(b)  y = Add(a, r)", constants=K),
    same("taps off each other's grid",
         "a = Conv<pads=[2, 2, 2, 2], dilations=[2, 2]>(x, w)  b = Conv<pads=[1, 1, 1, 1]>(x, u)  y = Add(a, b)",
         constants={"w": (4, 4, 3, 3), "u": (4, 4, 3, 3)}),
    same("a narrow layer between wide ones", "h = Conv(x, w)  y = Conv(h, v)",
         constants={"w": (1, 4, 1, 1), "v": (4, 1, 3, 3)}),
    same("a separable convolution", "h = Conv<group=4>(x, w)  y = Conv(h, v)",
         constants={"w": (4, 1, 3, 3), "v": (4, 4, 1, 1)}),
    same("a bias before padding", f"h = Conv(x, w, c)  y = {PADDED}(h, v)",
         constants={"w": (16, 4, 1, 1), "v": (4, 16, 3, 3), "c": (16,)}),
    same("a layer that something else reads", "h = Conv(x, w)  a = Conv(h, v)  r = Relu(h)  b = GlobalMaxPool(r)  "
         "c = Conv(b, v)  y = Add(a, c)", constants={"w": (16, 4, 1, 1), "v": (4, 16, 1, 1)}),
    miss("a norm beside an activation", f"a = Conv(x, v)  r = Relu(a)  i = {norm('x')}  y = Add(r, i)", "no-neighbour",
         "Add", constants=K),
]  # fmt: skip
