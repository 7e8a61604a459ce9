"""The same work on many models: in parallel processes, each failure kept to the model that it belongs to."""

from normgraph.batch.cluster import run_on
from normgraph.batch.places import Place, delivered, expand, fetched, is_of_this_process, is_pattern, is_url, places
from normgraph.batch.processes import Failed, Outcome, attempt, run_all, workers_for

__all__ = [
    "Failed",
    "Outcome",
    "Place",
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
