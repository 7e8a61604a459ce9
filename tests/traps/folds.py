"""A BatchNormalization or an affine map beside a linear operator that it must not be folded into, or not so.

Whatever is done, the outputs must stay what they are.
"""

from collections.abc import Mapping

import numpy as np

from tests.cases import Constant, weights
from tests.claims import Trap

# The parameters of a BatchNormalization of four channels.
VECTORS: dict[str, Constant] = {
    "gamma": (4,),
    "beta": (4,),
    "mean": (4,),
    "variance": np.abs(weights("variance", (4,))),
}
BN = "BatchNormalization<epsilon=0.01>"
PARAMETERS = "gamma, beta, mean, variance"


def trap(
    name: str,
    text: str,
    why: str,
    constants: Mapping[str, Constant],
    *,
    dims: str = "B 4 6 6",
    outputs: tuple[str, ...] = ("y",),
    inputs: Mapping[str, str] | None = None,
    overridable: tuple[str, ...] = (),
    evaluated_in_double: bool = True,
) -> Trap:
    """A fold that isn't plain."""
    return Trap(
        f"fold: {name}",
        text,
        why=why,
        rule=None,
        invites=None,
        inputs={"x": dims} | dict(inputs or {}),
        outputs=outputs,
        constants=VECTORS | dict(constants),
        overridable=overridable,
        opsets=(14, 23),
        evaluated_in_double=evaluated_in_double,
    )


TABLE = [
    trap("training mode", f"y, a, b = {BN[:-1]}, training_mode=1>(x, {PARAMETERS})",
        "the statistics are those of the batch", {}),
    trap("training mode behind a convolution",
        f"h = Conv(x, w)  y, a, b = {BN[:-1]}, training_mode=1>(h, {PARAMETERS})",
        "the statistics are those of the batch", {"w": (4, 4, 3, 3)}),
    trap("before a convolution that pads", f"h = {BN}(x, {PARAMETERS})  y = Conv<pads=[1, 1, 1, 1]>(h, w)",
        "the padding is zero behind the BatchNormalization, so its bias doesn't fold", {"w": (4, 4, 3, 3)}),
    trap("before a convolution that pads by itself",
        f"h = {BN}(x, {PARAMETERS})  y = Conv<auto_pad=\"SAME_UPPER\">(h, w)",
        "the padding is zero behind the BatchNormalization, so its bias doesn't fold", {"w": (4, 4, 3, 3)}),
    trap("before a convolution that doesn't pad", f"h = {BN}(x, {PARAMETERS})  y = Conv(h, w, c)",
        "the bias folds through the sum of each kernel", {"w": (5, 4, 3, 3), "c": (5,)}),
    trap("before a depthwise convolution", f"h = {BN}(x, {PARAMETERS})  y = Conv<group=4>(h, w)",
        "output channels, not input channels, run along the weight's first axis", {"w": (4, 1, 3, 3)}),
    trap("before a grouped convolution", f"h = {BN}(x, {PARAMETERS})  y = Conv<group=2>(h, w)",
        "each group of the weight has input channels of its own", {"w": (6, 2, 3, 3)}),
    trap("behind a grouped convolution", f"h = Conv<group=2>(x, w)  y = {BN}(h, {PARAMETERS})",
        "output channels run along the weight's first axis, through the groups", {"w": (4, 2, 3, 3)}),
    trap("behind a transposed convolution", f"h = ConvTranspose(x, w)  y = {BN}(h, {PARAMETERS})",
        "output channels run along the weight's second axis", {"w": (4, 4, 3, 3)}),
    trap("behind a grouped transposed convolution",
        f"h = ConvTranspose<group=2>(x, w)  y = {BN}(h, {PARAMETERS})",
        "output channels run along the weight's second axis, within each group", {"w": (4, 2, 3, 3)},
        evaluated_in_double=False),
    trap("weight that two convolutions share",
        f"h = Conv(x, w)  a = {BN}(h, {PARAMETERS})  b = Conv(x, w)  y = Add(a, b)",
        "the other convolution keeps the weight as it is", {"w": (4, 4, 3, 3)}),
    trap("convolution that something else reads",
        f"h = Conv(x, w)  a = {BN}(h, {PARAMETERS})  b = Relu(h)  y = Add(a, b)",
        "the other reader keeps the convolution as it is", {"w": (4, 4, 3, 3)}),
    trap("convolution that is an output", f"h = Conv(x, w)  y = {BN}(h, {PARAMETERS})",
        "the output keeps the convolution as it is", {"w": (4, 4, 3, 3)}, outputs=("y", "h")),
    trap("weight that may be overridden", f"h = Conv(x, w)  y = {BN}(h, {PARAMETERS})",
        "the initializer is an input of the graph too", {"w": (4, 4, 3, 3)}, overridable=("w",)),
    trap("gain that may be overridden", f"h = Conv(x, w)  y = {BN}(h, {PARAMETERS})",
        "the initializer is an input of the graph too", {"w": (4, 4, 3, 3)}, overridable=("gamma",)),
    trap("weight that is fed", f"h = Conv(x, w)  y = {BN}(h, {PARAMETERS})", "the weight is no constant", {},
        inputs={"w": "4 4 3 3"}),
    trap("affine map along the wrong axis", "h = Conv(x, w)  a = Mul(h, k)  y = Add(a, c)",
        "gain and bias run along the last axis, as long as the channels'",
        {"w": (4, 4, 3, 3), "k": (4,), "c": (4,)}),
    trap("Gemm with beta", f"h = Gemm<beta=0.5>(x, w, c)  y = {BN}(h, {PARAMETERS})",
        "half of the bias is added", {"w": (6, 4), "c": (4,)}, dims="B 6"),
    trap("Gemm with alpha and beta", f"h = Gemm<alpha=2.0, beta=0.5>(x, w, c)  y = {BN}(h, {PARAMETERS})",
        "the product is doubled and half of the bias added", {"w": (6, 4), "c": (4,)}, dims="B 6"),
    trap("Gemm of transposed weight", f"h = Gemm<transB=1>(x, w, c)  y = {BN}(h, {PARAMETERS})",
        "output channels run along the weight's first axis", {"w": (4, 6), "c": (4,)}, dims="B 6"),
    trap("Gemm of a square transposed weight", f"h = Gemm<transB=1>(x, w)  y = {BN}(h, {PARAMETERS})",
        "output channels run along the weight's first axis", {"w": (4, 4)}, dims="B 4"),
    trap("Gemm with a bias per row", f"h = Gemm(x, w, c)  y = {BN}(h, {PARAMETERS})",
        "the bias differs along the rows", {"w": (6, 4), "c": (3, 4)}, dims="3 6"),
    trap("activation in between", f"h = Conv(x, w)  r = Relu(h)  y = {BN}(r, {PARAMETERS})",
        "an activation isn't linear", {"w": (4, 4, 3, 3)}),
    trap("gain of opposite sign through an activation",
        f"h = {BN}(x, {PARAMETERS})  r = LeakyRelu(h)  y = Conv(r, w)", "an activation isn't linear",
        {"w": (4, 4, 3, 3)}),
    trap("pooling in between",
        f"h = Conv(x, w)  p = MaxPool<kernel_shape=[2, 2]>(h)  y = {BN}(p, {PARAMETERS})",
        "a largest value doesn't commute with a negative gain", {"w": (4, 4, 3, 3)}),
    trap("residual in between", f"h = Conv(x, w)  r = Add(h, x)  y = {BN}(r, {PARAMETERS})",
        "the residual is normalized too", {"w": (4, 4, 1, 1)}),
    trap("two in a row", f"h = Conv(x, w)  a = {BN}(h, {PARAMETERS})  y = {BN}(a, {PARAMETERS})",
        "the second sees what the first made", {"w": (4, 4, 3, 3)}),
    trap("bias added beyond the channels", "h = Conv(x, w)  y = Add(h, c)", "the bias differs along space",
        {"w": (4, 4, 3, 3), "c": (4, 4, 4)}),
]  # fmt: skip
