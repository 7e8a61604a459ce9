"""A budget of time, as contracts write it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from normgraph.errors import UsageError

_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}
_DURATION = re.compile(r"\s*(?P<number>\d+(?:\.\d+)?|\.\d+)\s*(?P<unit>s|ms|us|µs)\s*")


def parse_duration(text: str, where: str) -> float:
    """Seconds of a text such as ``5ms`` or ``0.2 s``.

    Raises:
        UsageError: it isn't one, or is zero.
    """
    found = _DURATION.fullmatch(text)
    seconds = 0.0 if found is None else float(found["number"]) * _UNITS[found["unit"]]
    if seconds <= 0:
        raise UsageError(f"a time must be a number and a unit, s, ms or us, not '{text}': {where}; write it as in 5ms")
    return seconds


@dataclass(frozen=True)
class LatencyBudget:
    """How long a run of a model may take.

    Attributes:
        seconds: the time that half of the runs have to keep within.
        provider: what runs it, a key of `normgraph.providers.PROVIDERS`.
        threads: threads within an operator; 0 for as many as ONNX Runtime takes by itself.
        dims: sizes of dynamic dimensions.
    """

    seconds: float
    provider: str = "cpu"
    threads: int = 0
    dims: tuple[tuple[str, int], ...] = ()


def shown(seconds: float) -> str:
    """Seconds as people read them.

    >>> shown(0.0042), shown(2.5), shown(0.00007)
    ('4.2 ms', '2.5 s', '70 us')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"
