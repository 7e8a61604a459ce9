"""The same work on a Dask cluster that is there already."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from normgraph.batch.processes import Failed, Item, Outcome, Result, attempt
from normgraph.errors import UsageError

#: Seconds to wait for the cluster's scheduler.
PATIENCE = 10


def run_on(address: str, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Outcome[Item, Result]]:
    """Yield the outcome of every item as soon as it is there, as `normgraph.batch.run_all` does.

    An item whose worker is lost is done again by another; one that costs several workers in turn fails. The
    workers need normgraph in the same version, and the paths that the items name.

    Args:
        address: the scheduler's, such as ``tcp://10.0.0.5:8786``, or the path of its scheduler file.
        work: the function; it, the items and the results must be picklable.
        items: what it is called with, one at a time.

    Raises:
        UsageError: Dask isn't installed, or there is no scheduler at the address.
    """
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise UsageError("--dask needs Dask's distributed scheduler: install 'normgraph[dask]'") from error
    named = {"address": address} if ":" in address else {"scheduler_file": address}
    if ":" not in address and not Path(address).is_file():  # which Dask would wait for, without an end
        raise UsageError(
            f"a Dask scheduler is named by its address, such as tcp://10.0.0.5:8786, or by its scheduler file, and "
            f"there is no such file: {address}; check the path"
        )
    try:
        client = Client(**named, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        told = " ".join(str(error).split())
        raise UsageError(
            f"there must be a Dask scheduler at the address: {address} ({told}); start one with `dask scheduler`"
        ) from error
    with client:
        futures = [client.submit(attempt, work, item, pure=False) for item in items]
        positions = {future.key: position for position, future in enumerate(futures)}
        try:
            with client.as_current():
                completed = as_completed(futures)
            for future in completed:
                position = positions[future.key]
                yield Outcome(position, items[position], _result(future))
                future.release()
        finally:
            client.cancel(futures)


def _result(future: Any) -> Any:
    if future.status == "finished":
        return future.result()
    if future.status in ("cancelled", "lost"):  # there is no error then
        return Failed(
            "the cluster must keep the work until it is done, and it has cancelled it, or its scheduler is lost; "
            "run it again, and what is done stays"
        )
    error = future.exception()
    told = " ".join(str(error).split())
    return Failed(f"the cluster couldn't do it: {type(error).__name__}: {told}")
