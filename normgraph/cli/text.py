"""Numbers, names and sizes as people read them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from itertools import product

#: A number within a name; one with leading zeros is part of the name.
_NUMBER = re.compile(r"(?<!\d)(?:0|[1-9]\d*)(?!\d)")
#: From this many consecutive numbers on, only the first and the last are written.
_SHORTEST_RANGE = 3


def printable(text: str) -> str:
    r"""The text with everything escaped that a terminal would obey instead of showing.

    >>> print(printable("norm" + chr(27) + "[31m"))
    norm\x1b[31m
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def scientific(number: float, digits: int) -> str:
    """A number with so many significant digits.

    >>> scientific(0.00014, 2), scientific(8e-05, 2), scientific(1.5, 2), scientific(0.0, 2)
    ('1.4e-4', '8.0e-5', '1.5', '0')
    """
    if math.isinf(number):
        return "overflow"
    if math.isnan(number):
        return "unknown"
    mantissa, _, exponent = f"{number:.{digits - 1}e}".partition("e")
    if number == 0:
        return "0"
    return f"{mantissa}e{int(exponent)}" if int(exponent) else mantissa


def shortest(number: float, digits: int) -> str:
    """A number with up to so many significant digits, as few as tell it.

    >>> shortest(2.2000000171829015e-05, 3), shortest(1e-12, 3), shortest(2.9027462e-05, 3)
    ('2.2e-5', '1e-12', '2.9e-5')
    """
    mantissa, separator, exponent = scientific(number, digits).partition("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return mantissa + separator + exponent


def file_size(count: int) -> str:
    """A number of bytes in powers of 1,000.

    >>> file_size(915), file_size(210_336), file_size(435_000_000)
    ('915 B', '210.3 kB', '435.0 MB')
    """
    size, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while size >= 999.95 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{count} B" if units[0] == "B" else f"{size:.1f} {units[0]}"


def merged(names: Sequence[str]) -> list[tuple[str, tuple[int, ...]]]:
    """Names that differ in nothing but numbers as one, written as shells do, with the positions of each.

    Every number in braces goes with every other: a merged name stands for exactly the names that were given.

    >>> merged(["stem", "layer.0.norm", "layer.1.norm", "layer.2.norm"])
    [('stem', (0,)), ('layer.{0..2}.norm', (1, 2, 3))]
    """
    alike: dict[tuple[str, ...], dict[tuple[int, ...], list[int]]] = {}
    for position, name in enumerate(names):
        numbers = tuple(int(found) for found in _NUMBER.findall(name))
        alike.setdefault(tuple(_NUMBER.split(name)), {}).setdefault(numbers, []).append(position)
    found: list[tuple[str, tuple[int, ...]]] = []
    for parts, members in alike.items():
        for block in _blocks(list(members)):
            text = parts[0] + "".join(_braces(n) + part for n, part in zip(block, parts[1:], strict=True))
            stood_for = [position for numbers in product(*block) for position in members[numbers]]
            found.append((text, tuple(sorted(stood_for))))
    return sorted(found, key=lambda entry: entry[1])


def _blocks(tuples: Iterable[tuple[int, ...]]) -> list[tuple[tuple[int, ...], ...]]:
    """A set of tuples as products of sets that don't overlap."""
    tails: dict[int, list[tuple[int, ...]]] = {}
    for entry in tuples:
        if not entry:
            return [()]
        tails.setdefault(entry[0], []).append(entry[1:])
    heads: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    for head, rest in tails.items():
        heads.setdefault(tuple(sorted(rest)), []).append(head)
    return [(tuple(sorted(same)), *block) for rest, same in heads.items() for block in _blocks(rest)]


def _braces(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return str(numbers[0])
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    written = [f"{run[0]}..{run[-1]}" if len(run) >= _SHORTEST_RANGE else ",".join(map(str, run)) for run in runs]
    return "{" + ",".join(written) + "}"
