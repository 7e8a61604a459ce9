"""The same work on a Dask cluster that is there already."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from normgraph.batch.processes import Failed, Item, Outcome, Result, attempt
from normgraph.errors import UsageError

#: Seconds to wait for the cluster's scheduler.
PATIENCE = 10
#: Seconds to wait for its workers by default: clusters that grow as work comes in take minutes to start one.
WAIT = 300.0
#: Seconds without a worker before that is told.
TOLD_AFTER = 3.0
#: Seconds between two looks at what is done, and between two questions for workers.
_LOOK, _ASK = 0.1, 1.0


def run_on(
    address: str,
    work: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    wait: float = WAIT,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Outcome[Item, Result]]:
    """Yield the outcome of every item as soon as it is there, as `normgraph.batch.run_all` does.

    An item whose worker is lost is done again by another; one that costs several workers in turn fails. The
    workers need normgraph in the same version, and the paths that the items name. Where the caller stops early or is
    interrupted, what hasn't begun is cancelled; a worker finishes the item that it is at.

    Args:
        address: the scheduler's, such as ``tcp://10.0.0.5:8786``, or the path of its scheduler file.
        work: the function; it, the items and the results must be picklable.
        items: what it is called with, one at a time.
        wait: seconds that the cluster may be without any worker, at the beginning or later.
        tell: told, in a sentence, that it is.

    Raises:
        UsageError: Dask isn't installed, there is no scheduler at the address, or no worker comes.
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
            absence = _Absence(client, address, wait, tell)
            while completed.count():
                done = completed.next_batch(block=False)
                for future in done:
                    position = positions[future.key]
                    yield Outcome(position, items[position], _result(future))
                    future.release()
                if not done:
                    absence.check()
                    time.sleep(_LOOK)
        finally:
            client.cancel(futures)


class _Absence:
    """How long a cluster has been without workers: told once each time, and not borne without end."""

    def __init__(self, client: Any, address: str, wait: float, tell: Callable[[str], None]) -> None:
        self._client, self._address, self._wait, self._tell = client, address, wait, tell
        self._asked = self._seen = time.monotonic()
        self._told = False

    def check(self) -> None:
        """Ask for workers, if the last time is a while ago.

        Raises:
            UsageError: there has been none for too long.
        """
        now = time.monotonic()
        if now - self._asked < _ASK:
            return
        self._asked = now
        # Where the scheduler is lost, that has an error of its own.
        if self._client.status != "running" or self._client.scheduler_info()["workers"]:
            self._seen, self._told = now, False
        elif now - self._seen >= self._wait:
            raise UsageError(
                f"a Dask cluster must have a worker, and for {self._wait:g} s there has been none: {self._address}; "
                "start one with `dask worker`, or wait longer with --dask-wait"
            )
        elif now - self._seen >= TOLD_AFTER and not self._told:
            self._told = True
            self._tell(
                f"the Dask cluster has no worker: {self._address}; waiting for one, up to {self._wait:g} s "
                "(`dask worker` starts one)"
            )


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
