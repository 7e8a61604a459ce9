"""The same work on many models: in parallel processes, each failure kept to the model that it belongs to."""

from normgraph.batch.places import expand
from normgraph.batch.processes import Failed, Outcome, run_all, workers_for

__all__ = ["Failed", "Outcome", "expand", "run_all", "workers_for"]
