"""Whether the tensors that a model's own message holds have as many numbers as their type and shape ask for.

Nobody else looks: a tensor without numbers is read by onnx_ir as zeros of whatever size it claims to have.
"""

import onnx
import onnx_ir as ir

from normgraph.errors import BadModelError
from normgraph.model_io.tensors import elements, packed_size

# The fields of numbers in a TensorProto, and the types whose numbers they hold; int32_data holds those of all others.
FIELDS = {
    "float_data": {ir.DataType.FLOAT, ir.DataType.COMPLEX64},
    "double_data": {ir.DataType.DOUBLE, ir.DataType.COMPLEX128},
    "int64_data": {ir.DataType.INT64},
    "uint64_data": {ir.DataType.UINT32, ir.DataType.UINT64},
    "int32_data": set[ir.DataType](),
}
FIELD_OF = {dtype: field for field, types in FIELDS.items() for dtype in types}


def check_numbers(tensor: ir.TensorProtocol, name: str) -> None:
    """Make sure that a tensor that was parsed with its model holds all of its numbers, and no more.

    Args:
        tensor: the tensor; one that lies elsewhere is no matter here.
        name: what its model is called in messages.

    Raises:
        BadModelError: it doesn't, or has no type or a negative dimension.
    """
    where = f"{name} (tensor {tensor.name!r})"
    if isinstance(tensor, ir.StringTensor):
        given, needed, things = len(tensor.string_data()), elements(tensor, where), "texts"
    elif isinstance(tensor, ir.serde.TensorProtoTensor):
        if tensor.raw.HasField("raw_data"):
            given, needed, things = len(tensor.raw.raw_data), packed_size(tensor, where), "bytes"
        else:
            given, needed, things = _in_fields(tensor.raw, tensor.dtype), _needed(tensor, where), "numbers"
    else:
        return
    if given != needed:
        raise BadModelError(
            f"a tensor must hold the {things} that its type and shape ask for, and {given:,} are given for "
            f"{tensor.dtype.name}{tensor.shape}, which takes {needed:,}: {where}; "
            "export the model again"
        )


def _in_fields(proto: onnx.TensorProto, dtype: ir.DataType) -> int:
    """How many numbers there are where those of this type belong; none if there are some elsewhere, too."""
    counts = {field: len(getattr(proto, field)) for field in FIELDS}
    given = counts.pop(FIELD_OF.get(dtype, "int32_data"))
    return 0 if any(counts.values()) else given


def _needed(tensor: ir.TensorProtocol, where: str) -> int:
    """How many numbers stand for a tensor: two for a complex element, one for several of 2 or 4 bits."""
    packed = packed_size(tensor, where)  # refuses what no numbers can stand for
    if tensor.dtype.bitwidth in (2, 4):
        return packed
    parts = 2 if tensor.dtype in (ir.DataType.COMPLEX64, ir.DataType.COMPLEX128) else 1
    return parts * elements(tensor, where)
