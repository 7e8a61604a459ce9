"""Files of models that somebody tampered with: mutations that know what fields a message has."""

from __future__ import annotations

import random
from collections.abc import Callable

from normgraph.model_io import wire

#: A field of a message: its number, its wire type, and the bytes behind the tag (behind the length, where it has one).
Field = tuple[int, int, bytes]
#: Sizes and offsets that readers go wrong on.
NUMBERS = (0, 1, 127, 128, 255, 4095, 4096, 2**31 - 1, 2**31, 2**32, 2**62, 2**63, 2**64 - 1)


def fields_of(message: bytes) -> list[Field]:
    """The fields of a message; none where it isn't one."""
    try:
        found = list(wire.fields(message, 0, len(message)))
    except (wire.MalformedError, wire.UnusualError):
        return []
    return [(number, kind, message[payload:stop]) for number, kind, _, payload, stop in found]


def encoded(fields: list[Field]) -> bytes:
    """The message of these fields."""
    return b"".join(_encoded(field) for field in fields)


def _encoded(field: Field, length: int | None = None) -> bytes:
    number, kind, payload = field
    tag = wire.encode_varint(number << 3 | kind)
    if kind != wire.LENGTH_DELIMITED:
        return tag + payload
    return tag + wire.encode_varint(len(payload) if length is None else length) + payload


def _delete(fields: list[Field], at: int, source: random.Random) -> bytes:
    return encoded(fields[:at] + fields[at + 1 :])


def _repeat(fields: list[Field], at: int, source: random.Random) -> bytes:
    return encoded(fields[:at] + [fields[at]] * source.choice((2, 3, 50)) + fields[at + 1 :])


def _move(fields: list[Field], at: int, source: random.Random) -> bytes:
    others = fields[:at] + fields[at + 1 :]
    return encoded([*others[: (to := source.randint(0, len(others)))], fields[at], *others[to:]])


def _renumber(fields: list[Field], at: int, source: random.Random) -> bytes:
    _, kind, payload = fields[at]
    return encoded(
        [*fields[:at], (source.choice((1, 2, 5, 7, 8, 9, 13, 14, 536870911)), kind, payload), *fields[at + 1 :]]
    )


def _lie_about_length(fields: list[Field], at: int, source: random.Random) -> bytes:
    field = fields[at]
    length = max(0, source.choice((*NUMBERS, len(field[2]) + 1, len(field[2]) - 1)))
    return encoded(fields[:at]) + _encoded(field, length) + encoded(fields[at + 1 :])


def _change_number(fields: list[Field], at: int, source: random.Random) -> bytes:
    number, kind, payload = fields[at]
    if kind == wire.VARINT:
        payload = wire.encode_varint(source.choice(NUMBERS))
    elif payload[:20].isdigit():
        payload = str(source.choice((*NUMBERS, -1))).encode()
    return encoded([*fields[:at], (number, kind, payload), *fields[at + 1 :]])


def _wrap(fields: list[Field], at: int, source: random.Random) -> bytes:
    """The message within itself, often: a graph's field 1 is a node, whose field 5 an attribute, its field 6 one."""
    inner = encoded(fields)
    for _ in range(source.choice((1, 10, 60, 200))):
        for number in (6, 5, 1):
            inner = _encoded((number, wire.LENGTH_DELIMITED, inner))
    return inner + encoded(fields)


def _truncate(fields: list[Field], at: int, source: random.Random) -> bytes:
    message = encoded(fields)
    return message[: source.randint(0, len(message))]


def _flip(fields: list[Field], at: int, source: random.Random) -> bytes:
    message = bytearray(encoded(fields))
    for _ in range(source.randint(1, 4)):
        if message:
            message[source.randrange(len(message))] = source.randrange(256)
    return bytes(message)


MUTATIONS: tuple[Callable[[list[Field], int, random.Random], bytes], ...] = (
    _delete, _repeat, _move, _renumber, _lie_about_length, _change_number, _wrap, _truncate, _flip,
)  # fmt: skip


def mutated(message: bytes, source: random.Random) -> bytes:
    """The message with one field changed, at any depth; all lengths around it fit again, unless they are the change."""
    fields = fields_of(message)
    if not fields:
        return _flip([], 0, source) if not message else bytes(reversed(message))
    at = source.randrange(len(fields))
    number, kind, payload = fields[at]
    deeper = kind == wire.LENGTH_DELIMITED and len(payload) > 2 and fields_of(payload)
    if deeper and source.random() < 0.75:
        return encoded([*fields[:at], (number, kind, mutated(payload, source)), *fields[at + 1 :]])
    return source.choice(MUTATIONS)(fields, at, source)
