"""LayerNormalization with Casts around it and inside: less precision that computes in more."""

from tests.cases import weights
from tests.claims import Norm, Spelling

FLOAT, HALF, DOUBLE, BFLOAT = 1, 10, 11, 16


def core(d: str, suffix: str) -> str:
    """From the centred d to the normalized n, in the type of the suffix."""
    return f"""
        q = Pow({d}, 2.{suffix})  v = ReduceMean<axes=[-1]>(q)
        e = Add(v, 1e-5{suffix})  s = Sqrt(e)  n = Div({d}, s)"""


def cast(
    name: str,
    text: str,
    *,
    scale: str | float = "gamma",
    bias: str | float = "beta",
    epsilon: str = "1e-5f32",
    of: str = "x",
    output: str = "y",
    dtype: str = "float16",
    after: str | None = None,
    dtypes: tuple[str, ...] = (),
) -> Spelling:
    """A LayerNormalization of a [B, S, 8] input of half precision, unless `dtype` says otherwise."""
    norm = Norm("LayerNormalization", epsilon=epsilon, scale=scale, bias=bias, of=of, output=output)
    return Spelling(
        f"casts: {name}",
        text,
        claims=(norm,),
        after=after,
        constants={
            "gamma_f32": weights("gamma_f32", (8,)).astype("float32"),
            "beta_f32": weights("beta_f32", (8,)).astype("float32"),
            "gamma_f16": weights("gamma_f16", (8,)).astype("float16"),
            "beta_f16": weights("beta_f16", (8,)).astype("float16"),
        },
        dtypes=dtypes or (dtype,),
        opsets=(13, 23),
    )


UP, DOWN = f"c = Cast<to={FLOAT}>(x)", f"Cast<to={HALF}>"
CENTRED = "m = ReduceMean<axes=[-1]>(c)  d = Sub(c, m)"
ONE = "LayerNormalization"

HALVES = [
    cast("back before the gain",
        f"{UP}  {CENTRED} {core('d', 'f32')} h = {DOWN}(n)  g = Mul(h, gamma)  y = Add(g, beta)", after=ONE),
    cast("back between gain and bias", f"{UP}  {CENTRED} {core('d', 'f32')}"
         f" g = Mul(n, gamma_f32)  h = {DOWN}(g)  y = Add(h, beta)", scale="gamma_f32", after=ONE),
    cast("back after the bias", f"{UP}  {CENTRED} {core('d', 'f32')}"
         f" g = Mul(n, gamma_f32)  b = Add(g, beta_f32)  y = {DOWN}(b)", scale="gamma_f32", bias="beta_f32",
        after=ONE),
    cast("back after the bias, both stored in half", f"{UP}  {CENTRED} {core('d', 'f32')}"
         f" w = Cast<to={FLOAT}>(gamma)  k = Cast<to={FLOAT}>(beta)"
         f" g = Mul(n, w)  b = Add(g, k)  y = {DOWN}(b)",
        after=ONE),
    cast("back after the normalization alone", f"{UP}  {CENTRED} {core('d', 'f32')} y = {DOWN}(n)", scale=1.0,
        bias=0.0, after=ONE),
    cast("not back", f"{UP}  {CENTRED} {core('d', 'f32')} g = Mul(n, gamma_f32)  y = Add(g, beta_f32)",
        of="c", scale="gamma_f32", bias="beta_f32", after="Cast LayerNormalization"),
    cast("TorchScript: centred in half, the rest in double",
        f"m = ReduceMean<axes=[-1]>(x)  c = Sub(x, m)  d = Cast<to={DOUBLE}>(c) {core('d', 'f64')}"
         f" h = {DOWN}(n)  g = Mul(h, gamma)  y = Add(g, beta)", epsilon="1e-5f64", after=ONE),
    cast("TorchScript, as its optimizer leaves it",
        f"m = ReduceMean<axes=[-1]>(x)  c = Sub(x, m)  d = Cast<to={FLOAT}>(c)"
         "q = Pow(d, 2.f32)  v = ReduceMean<axes=[-1]>(q)  e = Add(v, 1e-5f32)  s = Sqrt(e)"
         f" h = {DOWN}(s)  n = Div(c, h)  g = Mul(n, gamma)  y = Add(g, beta)", after=ONE),
    cast("the square alone in float",
        f"m = ReduceMean<axes=[-1]>(x)  d = Sub(x, m)  c = Cast<to={FLOAT}>(d)  q = Mul(c, c)"
         f" a = ReduceMean<axes=[-1]>(q)  v = {DOWN}(a)  e = Add(v, 1e-3)  s = Sqrt(e)  n = Div(d, s)"
         " g = Mul(n, gamma)  y = Add(g, beta)", epsilon="1e-3", after=ONE),
    cast("inverse deviation in float",
        f"{UP}  {CENTRED}  q = Mul(d, d)  v = ReduceMean<axes=[-1]>(q)  e = Add(v, 1e-5f32)  s = Sqrt(e)"
         f" r = Reciprocal(s)  n = Mul(d, r)  h = {DOWN}(n)  g = Mul(h, gamma)  y = Add(g, beta)", after=ONE),
    cast("half and back twice", f"c = Cast<to={FLOAT}>(x)  i = {DOWN}(c)  j = Cast<to={FLOAT}>(i)"
         f" m = ReduceMean<axes=[-1]>(j)  d = Sub(j, m) {core('d', 'f32')} h = {DOWN}(n)  g = Mul(h, gamma)"
         "  y = Add(g, beta)", after=None),
    cast("moments in float", f"{UP}  {CENTRED}  a = Mul(c, c)  b = ReduceMean<axes=[-1]>(a)  k = Mul(m, m)"
         "  v = Sub(b, k)  e = Add(v, 1e-3f32)  s = Sqrt(e)  n = Div(d, s)"
         f" h = {DOWN}(n)  g = Mul(h, gamma)  y = Add(g, beta)", epsilon="1e-3f32", after=ONE),
]  # fmt: skip

WIDER = [
    cast("float in, half parameters out", f"{CENTRED.replace('(c', '(x')} {core('d', 'f32')} h = {DOWN}(n)"
         "  g = Mul(h, gamma_f16)  y = Add(g, beta_f16)", dtype="float", scale=1.0, bias=0.0, output="n"),
    cast("variance in double inside float",
        f"m = ReduceMean<axes=[-1]>(x)  d = Sub(x, m)  c = Cast<to={DOUBLE}>(d)  q = Mul(c, c)"
         f" a = ReduceMean<axes=[-1]>(q)  v = Cast<to={FLOAT}>(a)  e = Add(v, 1e-5)  s = Sqrt(e)"
         " n = Div(d, s)  g = Mul(n, gamma)  y = Add(g, beta)", dtype="float", after=ONE),
    cast("all in double inside float", f"c = Cast<to={DOUBLE}>(x)  {CENTRED} {core('d', 'f64')}"
         f" h = Cast<to={FLOAT}>(n)  g = Mul(h, gamma)  y = Add(g, beta)", dtype="float", epsilon="1e-5f64",
        after=ONE),
    cast("bfloat16 in and out, float inside", f"c = Cast<to={FLOAT}>(x)  {CENTRED} {core('d', 'f32')}"
         f" h = Cast<to={BFLOAT}>(n)  g = Mul(h, gamma)  y = Add(g, beta)", dtype="bfloat16", after=ONE),
    cast("bfloat16 in the middle of float", f"i = Cast<to={BFLOAT}>(x)  c = Cast<to={FLOAT}>(i)  {CENTRED}"
         f" {core('d', 'f32')} h = Cast<to={BFLOAT}>(n)  y = Cast<to={FLOAT}>(h)", dtype="float", of="i",
        output="h", scale=1.0, bias=0.0),
    cast("integers made float first",
        f"i = Cast<to=7>(x)  c = Cast<to={FLOAT}>(i)  {CENTRED} {core('d', 'f32')}"
         "  g = Mul(n, gamma)  y = Add(g, beta)", dtype="float", of="c",
        after="Cast Cast LayerNormalization"),
]  # fmt: skip

TABLE = [*HALVES, *WIDER]
