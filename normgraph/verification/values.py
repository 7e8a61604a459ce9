"""What a model's outputs are as arrays: tensors of any type, and the parts of sequences, maps and optionals."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from normgraph.constants import Array

#: Types that ONNX Runtime hands over as bits only, or not at all; in NumPy they are ml_dtypes' own.
_BITS = frozenset(
    int(kind)
    for kind in ir.DataType
    if kind is ir.DataType.BFLOAT16 or kind.name.startswith("FLOAT8") or (kind.is_integer() and kind.bitwidth < 8)
)


def array_of(value: Any) -> Array:
    """A tensor of ONNX Runtime's, an ``OrtValue``, as an array; types that NumPy hasn't got are ml_dtypes'."""
    kind = value.element_type()
    if kind not in _BITS:
        return np.asarray(value.numpy())
    raw = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
    proto = onnx.TensorProto(data_type=kind, dims=value.shape(), raw_data=raw)
    return np.array(ir.TensorProtoTensor(proto).numpy())


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
