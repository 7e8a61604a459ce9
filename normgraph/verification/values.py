"""What a model's outputs are as arrays: tensors of any type, and the parts of sequences, maps and optionals."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from normgraph.constants import Array

#: Types that ONNX Runtime hands over as bits only, or not at all, and the types that hold their values.
_HELD_BY: Mapping[int, Any] = {
    ir.DataType.BFLOAT16: None,  # ml_dtypes' own
    ir.DataType.INT4: np.int8,
    ir.DataType.UINT4: np.uint8,
    ir.DataType.FLOAT4E2M1: np.float32,
    ir.DataType.INT2: np.int8,
    ir.DataType.UINT2: np.uint8,
}


def array_of(value: Any) -> Array:
    """A tensor of ONNX Runtime's, an ``OrtValue``, as an array; what has no type in NumPy as one that holds it."""
    kind = value.element_type()
    if kind not in _HELD_BY:
        return np.asarray(value.numpy())
    raw = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
    proto = onnx.TensorProto(data_type=kind, dims=value.shape(), raw_data=raw)
    array = ir.TensorProtoTensor(proto).numpy()
    held = _HELD_BY[kind]
    return np.array(array) if held is None else array.astype(held)


def parts(name: str, value: Any) -> dict[str, Array]:
    """The arrays that a value consists of, by names of their own.

    Args:
        name: what the value is called.
        value: as ONNX Runtime and onnx's reference evaluator return them: an array, a list for a sequence, a mapping,
            None for an optional without a value.

    Returns:
        A tensor under its name. Of a sequence ``name (length)`` and ``name[0]``, ``name[1]``, …; of a mapping
        ``name (keys)`` and ``name (values)``; nothing counts as a sequence without elements.
    """
    if value is None:
        return parts(name, [])
    if isinstance(value, Mapping):
        return {f"{name} (keys)": np.asarray(list(value)), f"{name} (values)": np.asarray(list(value.values()))}
    if not isinstance(value, list):
        return {name: np.asarray(value)}
    found = {f"{name} (length)": np.asarray(len(value))}
    for number, element in enumerate(value):
        found |= parts(f"{name}[{number}]", element)
    return found


def owner(part: str, names: list[str]) -> str | None:
    """The value among those named of which this is a part; None where it is none of theirs."""
    if part in names:
        return part
    return next((name for name in names if part.startswith((f"{name}[", f"{name} ("))), None)
