"""Walks the protobuf wire format of an ONNX model and rewrites single tensors in it, and nothing else.

A message is a run of fields, each a tag (field number and wire type, one varint) and a payload; a payload
of wire type 2 begins with its length and may hold a message itself. So a tensor's bytes can be found, cut
out or put in by reading only the tags and lengths on the way to it
(https://protobuf.dev/programming-guides/encoding/; field numbers from onnx.proto).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, overload

VARINT, FIXED64, LENGTH_DELIMITED, START_GROUP, END_GROUP, FIXED32 = range(6)
FIXED_SIZES = {FIXED64: 8, FIXED32: 4}

# Deeper nesting is refused by protobuf's own parser too.
MAX_DEPTH = 100
MAX_VARINT_BYTES = 10
# Protobuf's parsers take no message above this size.
MAX_MESSAGE_BYTES = 2**31 - 1

# Message -> field number -> message, for every path from a model to a tensor that an IR tensor stands for.
CHILDREN: dict[str, dict[int, str]] = {
    "ModelProto": {7: "GraphProto", 25: "FunctionProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto"},
    "FunctionProto": {7: "NodeProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {5: "TensorProto", 6: "GraphProto", 10: "TensorProto", 11: "GraphProto"},
}
# Fields that hold one tensor: a second occurrence is merged into the first, not added to it.
SINGULAR_TENSORS = {("AttributeProto", 5)}


class MalformedError(Exception):
    """The bytes break the wire format; the message says where and how."""


class UnusualError(Exception):
    """The bytes are legal, but use a feature of the wire format that is left to protobuf's own parser."""


class Buffer(Protocol):
    """Bytes that can be read at a position or over a range: ``bytes``, or a file."""

    @overload
    def __getitem__(self, at: int, /) -> int: ...

    @overload
    def __getitem__(self, at: slice, /) -> bytes: ...


class Piece(Protocol):
    """A run of output bytes: a memoryview, or a tensor that can write its bytes."""

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        ...


Pieces = list[Piece]
Edit = Callable[[int, int], Pieces | None]


def varint(buffer: Buffer, position: int, end: int) -> tuple[int, int]:
    """Reads the base-128 number at a position; returns it and the position after it.

    Raises:
        MalformedError: It runs past ``end`` or is longer than ten bytes.
    """
    value = 0
    for count, at in enumerate(range(position, min(end, position + MAX_VARINT_BYTES))):
        byte = buffer[at]
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, at + 1
    raise MalformedError(f"the number at byte {position} doesn't end")


def encode_varint(value: int) -> bytes:
    """Writes a non-negative number in base 128, least significant group first."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def fields(buffer: Buffer, start: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Yields (number, wire type, start of the tag, start of the payload, end) of each field in a message.

    Raises:
        MalformedError: A field runs past ``end``, or a tag is none.
        UnusualError: A field is a group, which protobuf has deprecated.
    """
    position = start
    while position < end:
        tag, payload = varint(buffer, position, end)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == LENGTH_DELIMITED:
            length, payload = varint(buffer, payload, end)
            stop = payload + length
        elif wire_type == VARINT:
            _, stop = varint(buffer, payload, end)
        elif wire_type in FIXED_SIZES:
            stop = payload + FIXED_SIZES[wire_type]
        elif wire_type in (START_GROUP, END_GROUP):
            raise UnusualError(f"field {number} at byte {position} is a group")
        else:
            raise MalformedError(f"byte {position} begins no field")
        if number == 0:
            raise MalformedError(f"byte {position} begins no field")
        if stop > end:
            raise MalformedError(
                f"field {number} at byte {position} claims {stop - payload:,} bytes where {end - payload:,} are left"
            )
        yield number, wire_type, position, payload, stop
        position = stop


def kept(buffer: Buffer, start: int, end: int) -> bytes:
    """The bytes of a range that goes to protobuf's parser.

    Raises:
        MalformedError: It takes no message so large.
    """
    if end - start > MAX_MESSAGE_BYTES:
        raise MalformedError(
            f"{end - start:,} bytes at byte {start} are no weights, and protobuf takes {MAX_MESSAGE_BYTES:,}"
        )
    return buffer[start:end]


def length_delimited(number: int, size: int) -> memoryview:
    """The tag and length that precede a payload of ``size`` bytes."""
    return memoryview(encode_varint(number << 3 | LENGTH_DELIMITED) + encode_varint(size))


def size_of(pieces: Sequence[Piece]) -> int:
    """The size in bytes of pieces written one after the other."""
    return sum(piece.nbytes for piece in pieces)


def rewrite(
    buffer: Buffer,
    start: int,
    end: int,
    edit: Edit,
    wanted: Callable[[int, int], bool],
    message: str = "ModelProto",
    depth: int = 0,
) -> Pieces | None:
    """Replaces tensors inside a message, adjusting the lengths of all messages around them.

    Args:
        buffer: The bytes that hold the message.
        start: Where the message begins.
        end: Where it ends.
        edit: Given the bounds of a TensorProto, returns the pieces to put in its place, or None to leave it.
        wanted: Given the bounds of a message, tells whether a tensor to edit may be inside; what isn't wanted
            is copied without being read.
        message: The name of the message.
        depth: How many messages are around it.

    Returns:
        The pieces of the rewritten message, or None when nothing in it was edited.

    Raises:
        MalformedError: The bytes aren't a message, or messages are nested too deep.
        UnusualError: The message can't be rewritten field by field; protobuf's own parser can read it.
    """
    if depth > MAX_DEPTH:
        raise MalformedError(f"messages are nested more than {MAX_DEPTH} deep at byte {start}")
    children = CHILDREN[message]
    pieces: Pieces = []
    copied = start
    seen: set[int] = set()
    for number, wire_type, tag, payload, stop in fields(buffer, start, end):
        child = children.get(number)
        if child is None or wire_type != LENGTH_DELIMITED:
            continue
        if (message, number) in SINGULAR_TENSORS and number in seen:
            raise UnusualError(f"field {number} of the {message} at byte {start} is given twice")
        seen.add(number)
        if not wanted(payload, stop):
            continue
        if child == "TensorProto":
            inner = edit(payload, stop)
        else:
            inner = rewrite(buffer, payload, stop, edit, wanted, child, depth + 1)
        if inner is not None:
            pieces += [memoryview(kept(buffer, copied, tag)), length_delimited(number, size_of(inner)), *inner]
            copied = stop
    if not pieces:
        return None
    return [*pieces, memoryview(kept(buffer, copied, end))]
