"""What would change it: for the rule of each reason one clause, so that no reason leaves its reader without."""

from __future__ import annotations

from collections.abc import Mapping

#: Rule → what would make the site one that is rewritten, to be read behind the reason.
REMEDIES: Mapping[str, str] = {
    # It is no normalization.
    "inverted": "divide the centred value by the deviation",
    "clamp": "add a constant epsilon to the variance instead of the bound",
    "epsilon-outside": "add it to the variance, before the Sqrt",
    "power": "take the mean of squares, and divide the value itself",
    "axes-differ": "take both over the same axes",
    "epsilon-varies": "add one number that isn't negative",
    "root": "divide by the Sqrt of the variance",
    "half-centred": "subtract the mean once, both from the value and for the variance, or from neither",
    "not-a-normalization": "write it as one of these",
    # Its value couldn't be followed.
    "different-base": "make it a constant, or compute it from the tensor that is normalized alone",
    "integer-base": "keep to floating types from the statistics to the division",
    "training-mode": "export the model in inference mode",
    "spatial": "give it one parameter for each channel",
    "exponent": "raise to one constant number",
    "sign": "take the root of a mean of squares and a positive number",
    "condition": "leave the choice out, or put it before or behind the normalization",
    "division-by-zero": "add an epsilon to the divisor",
    "weighted-mean": "take the mean of whole dimensions, each element counting alike",
    "axes": "give the axes as constants",
    "shape": "export with the shape fixed, or run shape inference before",
    "reshape": "put the Reshape before or behind the normalization, or keep its axes whole",
    "broadcast": "keep the dimensions that are reduced (keepdims = 1)",
    "concat": "put the Concat before or behind the normalization",
    "too-complex": "write it in fewer terms, or with smaller constants",
    "invalid-node": "mend the node: the model can't run",
    # It was recognised and is kept.
    "not-fused": "`normgraph optimize` fuses it",
    "inner-reader": "let these read the input or the result of the normalization",
    "graph-output": "remove the graph output, or take the normalization's input or result for it",
    "no-operator": "choose another target, or a newer version of it",
    "no-kernel": "export it in a type that the kernel takes",
    "contrib": "permit it with --allow-contrib",
    "not-worth-it": "--target onnx has the operator all the same",
    "already-best": "nothing has to change",
    "no-gain": "nothing would be gained by another form",
    "guard": "without this epsilon it would be one operator",
    "layout": "move the axes with a Transpose to where the operator has them",
    "dynamic-axis": "export with this size fixed",
    "epsilon-precision": "choose an epsilon that the type can hold",
    "parameter-range": "choose numbers that the type can hold",
    "opset": "export at an opset that has it, or ask for one with --opset",
    "slower-here": "without --autotune and --tuning it is replaced all the same",
    "proof-failed": "milder constants, or a wider type, may pass",
    "model-verification-failed": "without --verify model it is written, and `normgraph verify` tells where they part",
    # A scale and shift per channel is kept.
    "not-folded": "`normgraph optimize` folds it",
    "no-neighbour": "put it next to a Conv, Gemm or MatMul",
    "not-constant": "export it as a constant",
    "padding": "put it behind what pads",
    "negative-gain": "put it behind the MaxPool, or make the gain positive",
}
