"""LayerNormalization with something behind it that isn't its gain or bias: fused up to there."""

from collections.abc import Mapping

import numpy as np

from tests.cases import Constant, weights
from tests.claims import Norm, Spelling

LN = "LayerNormalization"
# From x to the normalized n.
NORMALIZED = """
    m = ReduceMean<axes=[-1]>(x)  d = Sub(x, m)  q = Pow(d, 2.)  v = ReduceMean<axes=[-1]>(q)
    e = Add(v, 1e-5)  s = Sqrt(e)  n = Div(d, s)"""
MULTIPLIED: dict[str, Constant] = {"gamma*beta": weights("gamma", (8,)) * weights("beta", (8,))}
FIRST = NORMALIZED.replace("[-1]", "[1]")


def in_part(
    name: str,
    text: str,
    after: str | None,
    *,
    output: str = "n",
    scale: float | str = 1.0,
    axes: tuple[int, ...] = (-1,),
    inputs: Mapping[str, str] | None = None,
    constants: Mapping[str, Constant] | None = None,
    overridable: tuple[str, ...] = (),
    bias: float | str = 0.0,
    native: bool = False,
) -> Spelling:
    """A LayerNormalization up to `output`."""
    return Spelling(
        f"in part: {name}",
        text,
        inputs={"x": "B S 8"} | dict(inputs or {}),
        constants=({"ones": np.ones(8)} if native else {}) | dict(constants or {}),
        opsets=(17, 23) if native else (11, 23),
        overridable=overridable,
        claims=(Norm(LN, axes=axes, scale=scale, bias=bias, output=output),),
        after=after,
    )


GAIN = "g = Mul(n, gamma)"
NATIVE = "n = LayerNormalization<epsilon=0.00001>(x, ones)"
BEHIND_A_NATIVE_ONE = [
    in_part("a native one takes in its gain and bias", f"{NATIVE}  {GAIN}  y = Add(g, beta)", LN, native=True,
        output="y", scale="gamma", bias="beta"),
    in_part("a native one takes in what is multiplied out", f"{NATIVE}  h = Add(n, beta)  y = Mul(h, gamma)", LN,
        native=True, output="y", scale="gamma", bias="gamma*beta", constants=MULTIPLIED),
    in_part("a native one, gain that is fed", f"{NATIVE}  y = Mul(n, z)", f"{LN} Mul", native=True,
        inputs={"z": "8"}),
    in_part("a native one, gain that may be overridden", f"{NATIVE}  y = Mul(n, gamma)", f"{LN} Mul", native=True,
        overridable=("gamma",)),
    in_part("a native one, gain per row and column", f"{NATIVE}  y = Mul(n, w)", f"{LN} Mul", native=True,
        inputs={"x": "B 3 8"}, constants={"w": (3, 8)}),
    in_part("a native one, read before its gain too", f"{NATIVE}  {GAIN}  a = Exp(n)  y = Mul(g, a)",
        f"{LN} Mul Exp Mul", native=True),
    in_part("a native one, transposed", f"{NATIVE}  y = Transpose<perm=[0, 2, 1]>(n)", f"{LN} Transpose",
        native=True),
]  # fmt: skip
TABLE = [
    *BEHIND_A_NATIVE_ONE,
    in_part("gain that is fed, per element", f"{NORMALIZED}  y = Mul(n, z)", f"{LN} Mul",
        inputs={"z": "B S 8"}),
    in_part("gain and bias that are fed, per sample",
        f"{NORMALIZED}  w = Add(a, 1.)  h = Mul(n, w)  y = Add(h, b)", f"Add {LN} Mul Add",
        inputs={"a": "B 1 8", "b": "B 1 8"}),
    in_part("gain and bias that are fed, per channel", f"{NORMALIZED}  h = Mul(n, a)  y = Add(h, b)", None,
        inputs={"a": "8", "b": "8"}),
    in_part("gain by a quotient that is fed", f"{NORMALIZED}  w = Div(a, b)  y = Mul(n, w)", f"Div {LN} Mul",
        inputs={"a": "B S 8", "b": "B S 1"}),
    in_part("divided by what is fed", f"{NORMALIZED}  y = Div(n, z)", f"{LN} Div", inputs={"z": "B S 1"}),
    in_part("residual", f"{NORMALIZED}  {GAIN}  y = Add(g, z)", f"{LN} Add", output="g", scale="gamma",
        inputs={"z": "B S 8"}),
    in_part("its own residual", f"{NORMALIZED}  {GAIN}  y = Add(g, x)", f"{LN} Add", output="g",
        scale="gamma"),
    in_part("gate after the gain", f"{NORMALIZED}  {GAIN}  y = Mul(g, z)", f"{LN} Mul", output="g",
        scale="gamma", inputs={"z": "B S 8"}),
    in_part("gain per row and column", f"{NORMALIZED}  y = Mul(n, w)", f"{LN} Mul", inputs={"x": "B 3 8"},
        constants={"w": (3, 8)}),
    in_part("gain per sample", f"{NORMALIZED}  y = Mul(n, w)", f"{LN} Mul", inputs={"x": "2 3 8"},
        constants={"w": (2, 1, 8)}),
    in_part("bias per row", f"{NORMALIZED}  {GAIN}  y = Add(g, b)", f"{LN} Add", output="g", scale="gamma",
        inputs={"x": "B 3 8"}, constants={"b": (3, 1)}),
    in_part("position embedding for a bias", f"{NORMALIZED}  {GAIN}  y = Add(g, b)", f"{LN} Add", output="g",
        scale="gamma", inputs={"x": "B 3 8"}, constants={"b": (1, 3, 8)}),
    in_part("gain that enlarges", f"{NORMALIZED}  y = Mul(n, w)", f"{LN} Mul", inputs={"x": "3 8"},
        constants={"w": (2, 3, 8)}),
    in_part("gain that enlarges an axis of one", f"{NORMALIZED}  y = Mul(n, w)", f"{LN} Mul",
        inputs={"x": "B 1 8"}, constants={"w": (3, 8)}),
    in_part("bias that enlarges", f"{NORMALIZED}  {GAIN}  y = Add(g, b)", f"{LN} Add", output="g",
        scale="gamma", inputs={"x": "3 8"}, constants={"b": (2, 3, 8)}),
    in_part("channels first, gain along the last axis", f"{FIRST}  y = Mul(n, w)",
        f"Transpose {LN} Transpose Mul", axes=(1,), inputs={"x": "B 8 H 4"}, constants={"w": (4,)}),
    in_part("overridable gain", f"{NORMALIZED}  {GAIN}  y = Add(g, beta)", None, overridable=("gamma",)),
    in_part("overridable bias", f"{NORMALIZED}  y = Add(n, beta)", None, overridable=("beta",)),
    in_part("squared", f"{NORMALIZED}  y = Mul(n, n)", f"{LN} Mul"),
    in_part("to the fourth power", f"{NORMALIZED}  y = Pow(n, 4.)", f"{LN} Pow"),
    in_part("reciprocal", f"{NORMALIZED}  y = Reciprocal(n)", f"{LN} Reciprocal"),
    in_part("absolute value", f"{NORMALIZED}  y = Abs(n)", f"{LN} Abs"),
    in_part("rectified", f"{NORMALIZED}  y = Relu(n)", f"{LN} Relu"),
    in_part("clipped", f"{NORMALIZED}  y = Clip(n, -1., 1.)", f"{LN} Clip"),
    in_part("its mean taken", f"{NORMALIZED}  a = Mul(n, gamma)  y = ReduceMean<axes=[-1]>(a)",
        f"{LN} ReduceMean", output="a", scale="gamma"),
    in_part("gain by a mask", f"{NORMALIZED}  w = Cast<to=1>(flag)  y = Mul(n, w)", f"Cast {LN} Mul",
        inputs={"flag": "bool"}),
]  # fmt: skip
