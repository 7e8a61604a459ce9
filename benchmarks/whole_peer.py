"""One tool on one or many models, in a process of its own, and how long it worked once it had been imported.

Run by `whole.py` and `speed.py`: `python whole_peer.py TOOL TARGET SOURCE ...` writes TARGET, or into the folder TARGET
for more than one source, and prints a JSON object with the seconds of wall and of CPU time that passed behind the
imports.  Needs onnx and the tool; exits with NOT_INSTALLED without the tool.
"""

from __future__ import annotations

import atexit
import gc
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tools import NOT_INSTALLED, OTHERS, Optimize, Tool, answering, load_and_save


def normgraph() -> Optimize:
    """`normgraph optimize`: every rewrite proven, the output on disk before it gets its name."""
    from normgraph.importing import frugally

    atexit.register(gc.freeze)  # as the command ends
    with frugally():  # as it imports them
        import normgraph.cli.optimize
        from normgraph.runtime import onnxruntime

        onnxruntime()

    def work(source: str, target: str) -> None:
        status = normgraph.cli.main(["optimize", source, "--output", target, "--quiet"])
        if status:
            raise RuntimeError(f"normgraph ended with {status}")

    return work


TOOLS: Mapping[str, Tool] = {"onnx.load + save": load_and_save, "normgraph": normgraph, **OTHERS}


def main() -> int:
    """Work off the sources."""
    answers = answering()
    tool, target, *sources = sys.argv[1:]
    try:
        work = TOOLS[tool]()
    except ImportError:
        return NOT_INSTALLED
    wall, cpu = time.perf_counter(), time.process_time()
    failed = 0
    for source in sources:
        try:
            work(source, target if len(sources) == 1 else str(Path(target) / Path(source).name))
        except Exception as failure:  # every tool has its own
            print(f"{tool} on {source}: {type(failure).__name__}: {failure}", file=sys.stderr)
            failed += 1
    result = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "failed": failed}
    print(json.dumps(result), file=answers, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
