"""What a command costs: wall time, CPU time and peak memory, those of all processes that it starts included."""

from __future__ import annotations

import os
import resource
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Seconds between two looks at the memory of a process and its children.
INTERVAL = 0.02
PAGE = resource.getpagesize()
#: The share of the machine's free memory that a command may take before it is refused more.
SHARE = 0.8


@dataclass(frozen=True)
class Cost:
    """What a command cost.

    Attributes:
        wall: seconds from its start to its end.
        cpu: seconds of CPU time.
        memory: bytes at the peak: those resident in it and its children at once, pages of mapped files included.
        status: its exit status; None if it was stopped because it took too long.
        output: what it printed.
        errors: what it printed to standard error.
    """

    wall: float
    cpu: float
    memory: int
    status: int | None
    output: str
    errors: str


def cost_of(command: Sequence[str], environment: Mapping[str, str], patience: float) -> Cost:
    """Run a command and say what it cost.

    Args:
        command: the command.
        environment: its environment.
        patience: the seconds after which it is stopped.
    """
    free = int(SHARE * _free_memory())

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (free, free))

    begin = time.perf_counter()
    process = subprocess.Popen(
        command,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=limited,  # noqa: PLW1509 - no thread is running yet
        start_new_session=True,
    )
    peak = [0]
    ended = threading.Event()
    late = threading.Timer(patience, process.kill)
    watch = threading.Thread(target=_watch, args=(process.pid, peak, ended), daemon=True)
    texts: list[bytes] = [b"", b""]

    def read(position: int) -> None:
        stream = (process.stdout, process.stderr)[position]
        assert stream is not None
        texts[position] = stream.read()

    readers = [threading.Thread(target=read, args=(position,), daemon=True) for position in (0, 1)]
    for thread in (late, watch, *readers):
        thread.start()
    _, raw, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(raw)
    ended.set()
    stopped = not late.is_alive()
    late.cancel()
    for thread in (watch, *readers):
        thread.join()
    memory = max(peak[0], usage.ru_maxrss * 1024)
    status = None if stopped and process.returncode < 0 else process.returncode
    output, errors = (text.decode(errors="replace") for text in texts)
    return Cost(wall, usage.ru_utime + usage.ru_stime, memory, status, output, errors)


def _watch(root: int, peak: list[int], ended: threading.Event) -> None:
    while not ended.wait(INTERVAL):
        peak[0] = max(peak[0], sum(_resident(process) for process in _tree(root)))


def _tree(root: int) -> list[int]:
    found = [root]
    for process in found:
        try:
            for task in Path(f"/proc/{process}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        except OSError:  # it has ended in the meantime
            continue
    return found


def _resident(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def _free_memory() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/meminfo tells nothing of the memory available")
