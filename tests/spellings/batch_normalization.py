"""BatchNormalization with given statistics: an affine map per channel, however it is written."""

from collections.abc import Mapping

import numpy as np

from tests.cases import Constant, weights
from tests.claims import Norm, Spelling

BN = "BatchNormalization"
_mean, _variance = weights("mean", (4, 1, 1)), np.abs(weights("variance", (4, 1, 1)))
_gamma, _beta = weights("gamma", (4, 1, 1)), weights("beta", (4, 1, 1))
_inverse = 1 / np.sqrt(_variance + 1e-5)
# γ·(x − μ)/√(σ² + ε) + β = S·x + T
S = _gamma * _inverse
T = _beta - _mean * S
ALL: dict[str, Constant] = {
    "mean": _mean,
    "variance": _variance,
    "deviation": np.sqrt(_variance + 1e-5),
    "inverse": _inverse,
    "gamma": _gamma,
    "beta": _beta,
    "S": S,
    "T": T,
    "S without gamma": _inverse,
    "T without gamma": -_mean * _inverse,
}
# By the axes that follow the channels': none, one, two (as above), three.
FLAT = {name: np.asarray(value).reshape(4) for name, value in ALL.items()}
# Stored without the spatial axes, where the operator or the graph adds them: only the claim has them.
STORED = FLAT | {"S": S, "T": T, "stored S": S.ravel(), "stored T": T.ravel()}
LINE = {name: np.asarray(value).reshape(4, 1) for name, value in ALL.items()}
VOLUME = {name: np.asarray(value).reshape(4, 1, 1, 1) for name, value in ALL.items()}
BATCHED = {name: np.asarray(value).reshape(1, 4, 1, 1) for name, value in ALL.items()}


def batch_norm(
    name: str,
    text: str,
    dims: str = "B 4 H W",
    *,
    constants: Mapping[str, Constant] = ALL,
    scale: float | str = "S",
    bias: float | str = "T",
    dtypes: tuple[str, ...] = ("float",),
) -> Spelling:
    """One affine map of four channels."""
    claims = (Norm(BN, axes=(), scale=scale, bias=bias),)
    inputs = {"x": dims}
    return Spelling(f"batch: {name}", text, inputs=inputs, constants=constants, claims=claims, dtypes=dtypes)


WRITTEN_OUT = """
    d = Sub(x, mean)  e = Add(variance, 1e-5)  s = Sqrt(e)  n = Div(d, s)  g = Mul(n, gamma)
    y = Add(g, beta)"""
FROZEN = """
    e = Add(variance, 1e-5)  s = Sqrt(e)  r = Reciprocal(s)  k = Mul(gamma, r)
    a = Mul(mean, k)  b = Sub(beta, a)  i = Mul(x, k)  y = Add(i, b)"""

TABLE = [
    batch_norm("statistics written out", WRITTEN_OUT),
    batch_norm("deviation stored",
        "d = Sub(x, mean)  n = Div(d, deviation)  g = Mul(n, gamma)  y = Add(g, beta)"),
    batch_norm("inverse deviation stored",
        "d = Sub(x, mean)  n = Mul(d, inverse)  g = Mul(n, gamma)  y = Add(g, beta)"),
    batch_norm("scale and shift", "a = Mul(x, S)  y = Add(a, T)"),
    batch_norm("scale and shift, constants first", "a = Mul(S, x)  y = Add(T, a)"),
    batch_norm("scale and shift of [1, C, 1, 1]", "a = Mul(x, S)  y = Add(a, T)", constants=BATCHED),
    batch_norm("scale alone", "y = Mul(x, S)", bias=0.0),
    batch_norm("shift alone", "y = Add(x, T)", scale=1.0),
    batch_norm("frozen: constants computed in the graph", FROZEN),
    batch_norm("without gain and bias", "d = Sub(x, mean)  y = Mul(d, inverse)", scale="S without gamma",
        bias="T without gamma"),
    batch_norm("TensorFlow", """
        e = Add(variance, 1e-5)  r = Pow(e, -0.5)  k = Mul(r, gamma)  a = Mul(x, k)  b = Mul(mean, k)
        o = Sub(beta, b)  y = Add(a, o)"""),
    batch_norm("channels last", WRITTEN_OUT, "B H W 4", constants=FLAT),
    batch_norm("matrix", WRITTEN_OUT, "B 4", constants=FLAT),
    batch_norm("one spatial axis", WRITTEN_OUT, "B 4 W", constants=LINE),
    batch_norm("three spatial axes", "a = Mul(x, S)  y = Add(a, T)", "B 4 3 H W", constants=VOLUME),
    batch_norm("mean minus x",
        "d = Sub(mean, x)  n = Div(d, deviation)  g = Mul(n, gamma)  y = Sub(beta, g)"),
    batch_norm("parameters unsqueezed in the graph", """
        w = Unsqueeze<axes=[1, 2]>("stored S")  b = Unsqueeze<axes=[1, 2]>("stored T")
        a = Mul(x, w)  y = Add(a, b)""", constants=STORED),
    batch_norm("parameters reshaped in the graph", """
        w = Reshape("stored S", [1, 4, 1, 1])  b = Reshape("stored T", [1, -1, 1, 1])
        a = Mul(x, w)  y = Add(a, b)""", constants=STORED),
    batch_norm("native", "y = BatchNormalization<epsilon=0.00001>(x, gamma, beta, mean, variance)",
        constants=STORED),
    batch_norm("native, scaled and shifted behind", """
        n = BatchNormalization<epsilon=0.00001>(x, ones, zeros, mean, variance)  g = Mul(n, w)
        y = Add(g, b)""",
        constants=STORED | {"ones": np.ones(4), "zeros": np.zeros(4), "w": _gamma, "b": _beta}),
    batch_norm("double", WRITTEN_OUT, dtypes=("double",)),
    batch_norm("float16", "a = Mul(x, S)  y = Add(a, T)", dtypes=("float16",)),
]  # fmt: skip
