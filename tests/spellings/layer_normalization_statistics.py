"""LayerNormalization whose statistics or centred value are needed elsewhere: they stay, or the operator gives them."""

from collections.abc import Mapping

from tests.cases import Constant
from tests.claims import Norm, Spelling
from tests.traps.arithmetic import AFFINE, CENTRE, NORMALIZE, VARIANCE

LN = "LayerNormalization"
PLAIN = f"{CENTRE}  {VARIANCE}  {NORMALIZE}  {AFFINE}"
READ = PLAIN.replace("y = Add", "k = Add")
STAYING = "ReduceMean Sub Mul ReduceMean"


def needed(
    name: str,
    text: str,
    after: str | None,
    *,
    outputs: tuple[str, ...] = ("y",),
    norm: Norm | None = None,
    inputs: Mapping[str, str] | None = None,
    constants: Mapping[str, Constant] | None = None,
    opsets: tuple[int, int] = (11, 23),
    dtypes: tuple[str, ...] = ("float",),
) -> Spelling:
    """One LayerNormalization of a [B, S, 8] input, of which more than the result is needed."""
    return Spelling(
        f"needed: {name}",
        text,
        inputs={"x": "B S 8"} | dict(inputs or {}),
        outputs=outputs,
        constants=constants or {},
        claims=(norm or Norm(LN, scale="gamma", bias="beta"),),
        after=after,
        opsets=opsets,
        dtypes=dtypes,
    )


K = Norm(LN, scale="gamma", bias="beta", output="k")
N = Norm(LN, output="n")
RMS = Norm("RMSNormalization", axes=(1,), of="d", output="z")
TABLE = [
    needed("the mean is an output", PLAIN, LN, outputs=("m", "y")),
    needed("the mean without its dimension", PLAIN.replace("(x)  d", "(x)  p = Squeeze<axes=[2]>(m)  d"),
        f"{LN} Squeeze", outputs=("y", "p")),
    needed("the mean taken without its dimension",
        PLAIN.replace("m = ReduceMean<axes=[-1]>(x)",
            "p = ReduceMean<axes=[-1], keepdims=0>(x)  m = Unsqueeze<axes=[2]>(p)"), f"{LN} Squeeze",
        outputs=("y", "p")),
    needed("the centred value is an output", PLAIN, f"{LN} Sub", outputs=("y", "d")),
    needed("the deviation is an output", PLAIN, f"{LN} Reciprocal", outputs=("y", "s")),
    needed("the inverse deviation is an output", PLAIN.replace("n = Div(d, s)", "r = Reciprocal(s)  n = Mul(d, r)"),
        LN, outputs=("y", "r")),
    needed("mean and inverse deviation, as in training",
        PLAIN.replace("n = Div(d, s)", "r = Reciprocal(s)  n = Mul(d, r)"), LN, outputs=("y", "m", "r")),
    needed("the variance is an output", PLAIN, f"{STAYING} {LN}", outputs=("y", "v")),
    needed("mean and variance are outputs", PLAIN, f"{STAYING} {LN}", outputs=("y", "m", "v")),
    needed("variance and deviation are outputs", PLAIN, f"{STAYING} {LN} Reciprocal", outputs=("y", "s", "v")),
    needed("the mean is read before and behind", f"a = Exp(x)  {READ}  b = Mul(a, m)  c = Add(k, m)  y = Add(b, c)",
        f"Exp {LN} Mul Add Add", norm=K),
    needed("the mean is read in between", f"{CENTRE}  a = Exp(m)  {VARIANCE}  {NORMALIZE}  g = Mul(n, gamma)  "
        "k = Add(g, beta)  y = Add(a, k)", f"{LN} Exp Add", norm=K),
    needed("the centred value is read elsewhere", f"{READ}  b = Relu(d)  y = Add(k, b)", f"{LN} Sub Relu Add", norm=K),
    needed("the deviation is read elsewhere", f"{READ}  b = Exp(s)  y = Add(k, b)", f"{LN} Reciprocal Exp Add", norm=K),
    needed("scaled back", f"{PLAIN}  z = Mul(y, s)  w = Add(z, m)", f"{LN} Reciprocal Mul Add", outputs=("y", "w")),
    needed("the centred value is read in a sub-graph", f"""{PLAIN}
        z = If(flag)<
            then_branch = yes () => (a) {{ a = Identity(d) }}, else_branch = no () => (b) {{ b = Neg(d) }}>""",
        f"{LN} Sub If Identity Neg", inputs={"flag": "bool"}, outputs=("y", "z")),
    needed("the variance is read in one branch", f"""{PLAIN}
        z = If(flag)<
            then_branch = yes () => (a) {{ a = Sqrt(v) }}, else_branch = no () => (b) {{ b = Identity(v) }}>""",
        f"{STAYING} {LN} If Sqrt Identity", inputs={"flag": "bool"}, outputs=("y", "z")),
    needed("normalized or only centred, as what is fed says", f"""{CENTRE}  {VARIANCE}  {NORMALIZE}
        k = Where(flag, n, d)  g = Mul(k, gamma)  y = Add(g, beta)""", f"{LN} Sub Where Mul Add", norm=N,
        inputs={"flag": "bool"}),
    needed("the mean added back", f"{CENTRE}  {VARIANCE}  {NORMALIZE}  y = Add(n, m)", f"{LN} Add", norm=N),
    needed("the deviation for a bias", f"{CENTRE}  {VARIANCE}  {NORMALIZE}  g = Mul(n, gamma)  y = Add(g, s)",
        f"{LN} Reciprocal Add", norm=Norm(LN, scale="gamma", output="g")),
    needed("zero where the deviation is one", f"{CENTRE}  {VARIANCE}  {NORMALIZE}  t = Equal(s, 1.)  "
        "y = Where(t, 0., n)", f"{LN} Reciprocal Equal Where", norm=N),
    needed("the size of the mean", f"{READ}  f = Size(m)  a = Cast<to=1>(f)  y = Mul(a, k)",
        None, norm=K),
    needed("channels first, the mean stays", """
        m = ReduceMean<axes=[1]>(x)  d = Sub(x, m)  q = Mul(d, d)  v = ReduceMean<axes=[1]>(q)  e = Add(v, 1e-5)
        s = Sqrt(e)  n = Div(d, s)  y = Mul(n, w)""", f"ReduceMean Transpose {LN} Transpose", outputs=("y", "m"),
        inputs={"x": "B 8 H W"}, constants={"w": (8, 1, 1)}, norm=Norm(LN, axes=(1,), scale="w")),
    needed("two axes", """
        m = ReduceMean<axes=[1, 2]>(x)  d = Sub(x, m)  q = Mul(d, d)  v = ReduceMean<axes=[1, 2]>(q)  e = Add(v, 1e-5)
        s = Sqrt(e)  n = Div(d, s)  y = Mul(n, gamma)""", f"{LN} Reciprocal", outputs=("y", "m", "s"),
        inputs={"x": "B 3 8"}, norm=Norm(LN, axes=(1, 2), scale="gamma")),
    needed("double: the mean stays", PLAIN.replace("1e-5", "0.0009765625"), f"ReduceMean {LN}", outputs=("y", "m"),
        norm=Norm(LN, scale="gamma", bias="beta", epsilon=0.0009765625), dtypes=("double",)),
    needed("float16 that computes in float, the mean in float", f"""
        c = Cast<to=1>(x)  m = ReduceMean<axes=[-1]>(c)  d = Sub(c, m)  {VARIANCE}
        {NORMALIZE.replace("1e-5", "1e-5f32")}  h = Cast<to=10>(n)  g = Mul(h, gamma)  y = Add(g, beta)""", LN,
        outputs=("y", "m"), norm=Norm(LN, scale="gamma", bias="beta", epsilon="1e-5f32"), dtypes=("float16",),
        opsets=(17, 23)),
    needed("float16, the mean in float16", PLAIN.replace("1e-5", "1e-3"), f"{LN} Cast", outputs=("y", "m"),
        norm=Norm(LN, scale="gamma", bias="beta", epsilon="1e-3"), dtypes=("float16",), opsets=(17, 23)),
    Spelling("needed: of a norm of columns that reads the first one's centred value", f"""
        {PLAIN}  a = Mul(d, d)  b = ReduceMean<axes=[1]>(a)  c = Add(b, 1e-5)  f = Sqrt(c)  z = Div(d, f)""",
        inputs={"x": "2 8 8"}, outputs=("y", "z"), claims=(Norm(LN, scale="gamma", bias="beta"), RMS), opsets=(23, 23),
        after=f"{LN} Sub Transpose RMSNormalization Transpose"),
]  # fmt: skip
