"""Whether the conditions of a contract can hold, and can fail: what can't do either was meant otherwise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Protocol

from normgraph.check.quantities import FORBIDDEN


class Demand(Protocol):
    """A quantity, a comparison and a number."""

    @property
    def quantity(self) -> str:
        """A key of `normgraph.check.quantities.QUANTITIES`."""

    @property
    def comparison(self) -> str:
        """One of ``= <= >= < >``."""

    @property
    def number(self) -> int:
        """What the quantity is compared with."""


def inconsistencies(expect: Sequence[Demand], forbid: Iterable[str]) -> Iterator[str]:
    """What is wrong with conditions, a clause for each mistake.

    Args:
        expect: what is demanded of quantities.
        forbid: keys of `normgraph.check.quantities.FORBIDDEN`.
    """
    rows = [(demand.quantity, str(demand), _range(demand.comparison, demand.number)) for demand in expect]
    for _, told, (low, high) in rows:
        if high < 0:
            yield f"'{told}' can't hold, since a number is never below 0"
        elif (low, high) == (0, math.inf):
            yield f"'{told}' holds of every model, since a number is never below 0"
    none = [(FORBIDDEN[name].quantity, f"no {name}", (0, 0)) for name in forbid if FORBIDDEN[name].quantity]
    for (quantity, told, (low, high)), (other, also, (least, most)) in combinations([*rows, *none], 2):
        if quantity == other and max(low, least) > min(high, most):
            yield f"'{told}' and '{also}' can't both hold"


def _range(comparison: str, number: int) -> tuple[float, float]:
    """The least and the greatest whole number from 0 on that a comparison admits."""
    match comparison:
        case "=":
            return number, number
        case "<=":
            return 0, number
        case "<":
            return 0, number - 1
        case ">=":
            return number, math.inf
        case _:
            return number + 1, math.inf
