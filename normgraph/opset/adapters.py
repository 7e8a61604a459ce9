"""What it takes to keep a node's meaning across a version that changed its operator.

Each function takes the node's form before the version and returns its form at it, or the reason why there
is none.  Their source is the text of the operator's version before and after, in ONNX's operator changelog.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from normgraph.opset.form import Form, NewConstant

Adapter: TypeAlias = Callable[[Form], Form | str]

#: Float8 types for which Cast 24 turned the saturated image of ±∞ from NaN into the largest finite value.
_UNSIGNED_ZERO = frozenset({ir.DataType.FLOAT8E4M3FNUZ, ir.DataType.FLOAT8E5M2FNUZ})


def _name(dtype: ir.DataType | None) -> str:
    return "unknown" if dtype is None else dtype.name.lower()


def to_input(name: str, index: int, dtype: npt.DTypeLike, *, role: str = "", rank: int = 0) -> Adapter:
    """Attribute `name` became the input at `index`, called `role`, of `dtype` and at least rank `rank`."""

    def adapt(form: Form) -> Form | str:
        if name not in form.attributes:
            return form
        data = np.array(form.attribute(name), dtype, ndmin=rank)
        if data.size == 0:
            return f"its attribute '{name}' is empty, and whether that means all or nothing was never settled"
        return form.without(name).with_input(index, NewConstant(role or name, data))

    return adapt


def dropped(reason: str) -> Adapter:
    """No node keeps its meaning, because of what the version did."""
    return lambda _: reason


def renamed(op_type: str) -> Adapter:
    """The operator gave way to another one that means the same for the same inputs and attributes."""
    return lambda form: replace(form, op_type=op_type)


def default_made_explicit(name: str, value: str) -> Adapter:
    """The operator used to do what it now does where attribute `name` is `value`, which isn't the default."""
    return lambda form: form.with_attributes(**{name: value})


def floating(form: Form) -> Form | str:
    """The version no longer takes integers, for which the operator made little sense."""
    dtype = form.dtype(0)
    if dtype is not None and dtype.is_floating_point():
        return form
    return f"from this version on it takes floating-point numbers only, and its input's type is {_name(dtype)}"


def coerced_to_matrix(form: Form) -> Form | str:
    """Softmax, LogSoftmax, Hardmax 13: over one axis k, before over the flattened axes k, …, r − 1.

    The two are the same where every axis after k has size 1: y = f(x; k) = f(x; k, …, r − 1).
    """
    axis, shape = form.attribute("axis", 1), form.shape(0)
    if axis == -1:
        return form
    if shape is not None:
        if not -len(shape) <= axis < len(shape):
            return f"its axis {axis} is none of the {len(shape)} of its input"
        if all(size == 1 for size in shape[axis % len(shape) + 1 :]):
            # Left out, the axis was 1 and is now the last one.
            is_default = "axis" not in form.attributes
            return form.with_attributes(axis=1) if is_default and len(shape) != 2 else form
    if form.target < 14 and (shape is None or not all(shape)):
        return "it must be flattened, and before opset 14 Reshape can't give empty tensors their shape back"
    return replace(form.without("axis"), flattened_at=axis)


def slice_10(form: Form) -> Form | str:
    """Slice 10: the attributes became inputs; axes left out were the first ones, and are now all of them."""
    starts, ends = form.attribute("starts", ()), form.attribute("ends", ())
    axes = form.attribute("axes") or range(len(starts))
    form = form.without("starts", "ends", "axes")
    for index, (role, values) in enumerate((("starts", starts), ("ends", ends), ("axes", axes)), start=1):
        form = form.with_input(index, NewConstant(role, np.array(values, np.int64)))
    return form


def clip_11(form: Form) -> Form | str:
    """Clip 11: the bounds became inputs of x's type, whose ends they default to, before to those of float."""
    dtype = form.dtype(0)
    if dtype is None:
        return "its bounds become tensors of its input's type, which is unknown"
    adapted = form.without("min", "max")
    for index, role in enumerate(("min", "max"), start=1):
        if role in form.attributes:
            adapted = adapted.with_input(index, NewConstant(role, _rounded(form.attribute(role), dtype)))
        elif dtype != ir.DataType.FLOAT:
            return f"it has no bound '{role}', whose default for {_name(dtype)} this version changed"
    return adapted


def dropout_10(form: Form) -> Form | str:
    """Dropout 10: the mask became boolean."""
    if form.is_read(1):
        return "its mask is read, and this version made it boolean"
    return replace(form, outputs=1)


def dropout_12(form: Form) -> Form | str:
    """Dropout 12: the ratio became an input; the mask was told what to hold in inference."""
    if form.is_read(1):
        return "its mask is read, and no version before this one says what it holds in inference"
    return to_input("ratio", 1, np.float32)(form)


def pad_11(form: Form) -> Form | str:
    """Pad 11: pads and value became inputs, the latter of x's type, only for mode constant, 0 by default."""
    value = np.float32(form.attribute("value", 0.0))
    adapted = to_input("pads", 1, np.int64)(form.without("value"))
    if isinstance(adapted, str) or form.attribute("mode", "constant") != "constant":
        return adapted
    if value == 0 and not np.signbit(value):
        return adapted
    dtype = form.dtype(0)
    if dtype is None:
        return "its padding becomes a tensor of its input's type, which is unknown"
    return adapted.with_input(2, NewConstant("constant_value", _rounded(value, dtype)))


def _rounded(number: float | np.float32, dtype: ir.DataType) -> npt.NDArray[Any]:
    # A number beyond the type's range becomes infinite, as does what it used to be compared with.
    with np.errstate(over="ignore"):
        return np.asarray(np.float32(number)).astype(dtype.numpy())


def resize_11(form: Form) -> Form | str:
    """Resize 11 (Upsample before 10): where to sample became attributes, and the region of interest an input.

    Before, only enlarging by whole numbers with the nearest neighbour was settled: y[i] = x[⌊i / s⌋].
    """
    scales = form.constant(1)
    if form.attribute("mode", "nearest") != "nearest":
        return "no version before this one says where linear interpolation samples, and runtimes differ"
    if scales is None or not np.all((scales >= 1) & (scales == np.floor(scales))):
        return "no version before this one says which neighbour is nearest but for constant whole scales"
    region = None if form.target >= 13 else NewConstant("roi", np.zeros(0, np.float32))
    sampled = form.with_attributes(coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    return sampled.with_input(2, form.operand(1)).with_input(1, region)


def resize_13(form: Form) -> Form | str:
    """Resize 13: lost tf_half_pixel_for_nn; beside sizes, scales, before empty, must be left out."""
    mode = form.attribute("coordinate_transformation_mode", "half_pixel")
    if mode == "tf_half_pixel_for_nn":
        return f"this version dropped its coordinate_transformation_mode {mode}"
    if form.operand(3) is None or form.operand(2) is None:
        return form
    scales = form.constant(2)
    if scales is None or scales.size:
        return "this version wants either scales or sizes, and its scales aren't known to be empty"
    return form.with_input(2, None)


def batch_normalization_9(form: Form) -> Form | str:
    """BatchNormalization 9: one scale for each channel only, no longer for each element (spatial = 0)."""
    if form.attribute("spatial", 1) == 0:
        return "it normalizes every element on its own (spatial = 0), which this version dropped"
    return form.without("spatial")


def batch_normalization_14(form: Form) -> Form | str:
    """BatchNormalization 14: an attribute tells training from inference, before further outputs did."""
    if any(output.name != "" for output in form.node.outputs[1:]):
        return "its further outputs say that it trains, and this version computes other ones"
    return form


def batch_normalization_15(form: Form) -> Form | str:
    """BatchNormalization 15: in training, statistics are computed in float whatever x's type is."""
    if not form.attribute("training_mode", 0) or form.dtype(0) == ir.DataType.FLOAT:
        return form
    return f"this version computes statistics in float, and its input's type is {_name(form.dtype(0))}"


def conv_transpose_11(form: Form) -> Form | str:
    """ConvTranspose 11: odd padding that follows from the output's shape is split the other way round."""
    if "output_shape" in form.attributes or form.attribute("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return "its padding follows from its output's shape, and this version splits it the other way round"
    return form


def mod_13(form: Form) -> Form | str:
    """Mod 13: fmod = 1 is for floating-point numbers only."""
    return floating(form) if form.attribute("fmod", 0) else form


def quantize_linear_19(form: Form) -> Form | str:
    """QuantizeLinear 19: x and its scale, before always float, must be of one type."""
    if form.dtype(0) == ir.DataType.FLOAT:
        return form
    return f"this version wants its input to be of its scale's type, and it is {_name(form.dtype(0))}"


def split_18(form: Form) -> Form | str:
    """Split 18: the number of equal parts must be told where no sizes are given."""
    if form.operand(1) is not None or "num_outputs" in form.attributes:
        return form
    return form.with_attributes(num_outputs=form.outputs)


def grid_sample_20(form: Form) -> Form | str:
    """GridSample 20: two modes lost their 'bi'."""
    mode = form.attribute("mode")
    return form.with_attributes(mode=mode[2:]) if mode in ("bilinear", "bicubic") else form


def dft_20(form: Form) -> Form | str:
    """DFT 20: the axis became an input, and its default the last signal axis instead of the first."""
    axis = np.array(form.attribute("axis", 1), np.int64)
    bare = form.without("axis")
    return bare if axis == -2 else bare.with_input(2, NewConstant("axis", axis))


def group_normalization_21(form: Form) -> Form | str:
    """GroupNormalization 21: scale and bias for each channel, not each group: γ_c = γ_g for c in group g.

    Its statistics are computed in stash_type, float unless told otherwise, and not in x's type as before.
    """
    dtype, shape, groups = form.dtype(0), form.shape(0), form.attribute("num_groups")
    if dtype is None:
        return "this version must be told in which type to compute, and its input's type is unknown"
    channels = shape[1] if shape is not None and len(shape) > 1 else None
    adapted = form
    for index, role in ((1, "scale"), (2, "bias")) if channels != groups else ():
        per_group = form.constant(index)
        if channels is None or per_group is None:
            return f"this version wants one {role} for each channel, and its {role} or channels aren't known"
        per_channel = np.repeat(per_group, channels // groups)
        adapted = adapted.with_input(index, NewConstant(role, per_channel))
    return adapted if dtype == ir.DataType.FLOAT else adapted.with_attributes(stash_type=dtype.value)


def one_hot_11(form: Form) -> Form | str:
    """OneHot 11: an index i < 0, which gave no one before, counts from the end."""
    dtype, indices = form.dtype(0), form.constant(0)
    unsigned = dtype is not None and dtype.is_integer() and not dtype.is_signed()
    if unsigned or (indices is not None and bool(np.all(indices >= 0))):
        return form
    return "this version counts negative indices from the end, and its indices aren't known to have none"


def average_pool_19(form: Form) -> Form | str:
    """AveragePool 19: with ceil_mode, whether what lies beyond the padding counts was left open before."""
    if form.attribute("ceil_mode", 0) and form.attribute("count_include_pad", 0):
        return "with ceil_mode and count_include_pad, runtimes count what lies beyond the padding or don't"
    return form


def pool_22(form: Form) -> Form | str:
    """AveragePool, MaxPool 22: with ceil_mode, windows that start in the right padding are dropped.

    There is none where stride + end padding ≤ dilation · (kernel − 1) + 1 along every axis, or with auto_pad.
    """
    if not form.attribute("ceil_mode", 0) or form.attribute("auto_pad", "NOTSET") != "NOTSET":
        return form
    kernel = form.attribute("kernel_shape")
    strides, dilations = (form.attribute(name) or [1] * len(kernel) for name in ("strides", "dilations"))
    end_pads = (form.attribute("pads") or [0] * 2 * len(kernel))[len(kernel) :]
    extents = [dilation * (size - 1) + 1 for dilation, size in zip(dilations, kernel, strict=True)]
    if all(s + p <= e for s, p, e in zip(strides, end_pads, extents, strict=True)):
        return form
    return "with ceil_mode, this version drops windows that start in the right padding, and it may have such"


def cast_24(form: Form) -> Form | str:
    """Cast 24: ±∞ saturates to the largest finite number of the float8 types without −0, before to NaN."""
    return _saturated(form, ir.DataType(form.attribute("to")))


def cast_like_24(form: Form) -> Form | str:
    """CastLike 24: as Cast 24."""
    return _saturated(form, form.dtype(1))


def quantize_linear_24(form: Form) -> Form | str:
    """QuantizeLinear 24: saturates as Cast 24."""
    told = form.attribute("output_dtype", 0)
    if told:
        return _saturated(form, ir.DataType(told))
    return _saturated(form, ir.DataType.UINT8 if form.operand(2) is None else form.dtype(2))


def _saturated(form: Form, dtype: ir.DataType | None) -> Form | str:
    if not form.attribute("saturate", 1) or (dtype is not None and dtype not in _UNSIGNED_ZERO):
        return form
    return f"this version changed how infinity saturates in float8 types, and its result is {_name(dtype)}"
