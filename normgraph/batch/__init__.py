"""The same work on many models: in parallel processes, each failure kept to the model that it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from normgraph.batch.places import (
    Place,
    absolute,
    delivered,
    expand,
    fetched,
    is_of_this_process,
    is_pattern,
    is_url,
    places,
)
from normgraph.lazily import from_modules

if TYPE_CHECKING:
    from normgraph.batch.cluster import run_on
    from normgraph.batch.processes import Failed, Outcome, attempt, run_all, workers_for

__all__ = [
    "Failed",
    "Outcome",
    "Place",
    "absolute",
    "attempt",
    "delivered",
    "expand",
    "fetched",
    "is_of_this_process",
    "is_pattern",
    "is_url",
    "places",
    "run_all",
    "run_on",
    "workers_for",
]

_HOMES = {
    "Failed": "processes",
    "Outcome": "processes",
    "attempt": "processes",
    "run_all": "processes",
    "run_on": "cluster",
    "workers_for": "processes",
}

__getattr__ = from_modules(__name__, _HOMES)
