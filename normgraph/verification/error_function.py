"""Erf of doubles, which ONNX Runtime has no kernel for, in operators that it has.

With z = |x| and t = 1/(1 + z/2), erf(x) = sign(x)·(1 − t·exp(g(t) − z²)), where g(t) = log(exp(z²)·erfc(z)/t) is so
smooth from t = 0 to t = 1 that a polynomial of degree 28 is as good as doubles are.  The polynomial is made here, by
interpolation at Chebyshev's points (Press et al., "Numerical Recipes", 3rd edition, section 6.2.2, has the idea).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import onnx
from numpy.polynomial import chebyshev
from onnx import helper, numpy_helper

from normgraph.widening import graphs_of, nodes_of

DOMAIN = "normgraph.double"
_NAME = "Erf"
#: The IR version from which on a model may hold functions.
_WITH_FUNCTIONS = 8
_DEGREE = 28
#: From here on the continued fraction of erfc is as good as doubles are, with so many of its terms.
_FAR, _TERMS = 2.0, 120


def without_erf(model: onnx.ModelProto) -> None:
    """Give a model of doubles a function in the place of each Erf.

    Args:
        model: the model, which is changed; all floating tensors in it are doubles.
    """
    found = [node for node in nodes_of(model) if node.op_type == _NAME and node.domain in ("", "ai.onnx")]
    if not found:
        return
    for node in found:
        node.domain = DOMAIN
    for holder in (model, *model.functions):
        holder.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    opsets = [entry for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    model.functions.append(_function(opsets))
    model.ir_version = max(model.ir_version, _WITH_FUNCTIONS)
    for graph in graphs_of(model):
        del graph.value_info[:]


def _function(opsets: list[onnx.OperatorSetIdProto]) -> onnx.FunctionProto:
    constants = {f"c{power}": number for power, number in enumerate(coefficients())} | {"half": 0.5, "one": 1.0}
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(number)))
        for name, number in constants.items()
    ]

    def made(operator: str, *operands: str) -> str:
        nodes.append(helper.make_node(operator, operands, [f"v{len(nodes)}"]))
        return str(nodes[-1].output[0])

    z = made("Abs", "x")
    t = made("Div", "one", made("Add", "one", made("Mul", z, "half")))
    u = made("Sub", made("Add", t, t), "one")
    total = f"c{_DEGREE}"
    for power in range(_DEGREE - 1, -1, -1):
        total = made("Add", made("Mul", total, u), f"c{power}")
    complement = made("Mul", t, made("Exp", made("Sub", total, made("Mul", z, z))))
    nodes.append(helper.make_node("Mul", [made("Sign", "x"), made("Sub", "one", complement)], ["y"]))
    return helper.make_function(DOMAIN, _NAME, ["x"], ["y"], nodes, opsets)


@lru_cache(maxsize=1)
def coefficients() -> tuple[float, ...]:
    """Those of the polynomial g in u = 2·t − 1, the constant first."""
    return tuple(chebyshev.cheb2poly(chebyshev.chebinterpolate(np.vectorize(_logarithm), _DEGREE)).tolist())


def _logarithm(u: float) -> float:
    """g(t) = log(exp(z²)·erfc(z)/t) with t = (u + 1)/2 and z = 2/t − 2."""
    t = (u + 1) / 2
    z = 2 / t - 2
    if z < _FAR:
        return math.log(math.exp(z * z) * math.erfc(z) / t)
    fraction = z  # exp(z²)·erfc(z) = 1/(√π·(z + ½/(z + 1/(z + 1½/(z + …)))))
    for term in range(_TERMS, 0, -1):
        fraction = z + term / 2 / fraction
    return -math.log(math.sqrt(math.pi) * fraction * t)
