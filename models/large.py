"""Write models of the sizes that are deployed, too large to be kept here; the same bytes with the same versions.

    python models/large.py --list
    python models/large.py NAME ... --output DIR [--dense] [--unchecked]

writes DIR/NAME.onnx.  Those of PyTorch are exported by its TorchScript exporter with random weights, and compared with
PyTorch in ONNX Runtime before they are written; they need the extra `exporters`.  The others are built node by node.

`external-10gb` has its weights in NAME.onnx.data, a sparse file: its large matrices are holes, which take no room on
the disk and read as zeros, while its gains, biases and everything in the model's own file hold numbers.  That is good
for what doesn't look at large matrices, and for nothing else: a copy may be as sparse, and then costs nothing either.
With `--dense` they hold random numbers.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from decoder_stack import Stack, write_stack

if TYPE_CHECKING:
    from entry import Architecture


@dataclass(frozen=True)
class Built:
    """A model built node by node, and whether its weights are external data."""

    title: str
    stack: Stack
    external: bool = False


BUILT = {
    "external-10gb": Built("14 layers of width 4096, external data", Stack(14, 4096, 14336, 32), external=True),
    "norms-1000": Built("500 layers of width 64: 1,000 LayerNorms", Stack(500, 64, 128, 4)),
    "nodes-100000": Built("1,640 layers of width 16: 100,040 nodes", Stack(1640, 16, 32, 2)),
}


def full_size() -> dict[str, Architecture]:
    """PyTorch's, by name."""
    from full_size import FULL_SIZE

    return {architecture.name: architecture for architecture in FULL_SIZE}


def write_exported(architecture: Architecture, path: Path, checked: bool) -> None:
    """Export with PyTorch, compare, write.

    Raises:
        AssertionError: ONNX Runtime doesn't compute what PyTorch does.
    """
    import torch
    from export_torch import check, exported
    from manifest import Export

    torch.set_num_threads(1)
    (exporter, opset), *_ = architecture.exports
    quiet = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        warnings.simplefilter("ignore")
        proto = exported(architecture, exporter, opset)
    made = Export(
        architecture.name, architecture.title, exporter, opset, architecture.dtype, architecture.inputs, {}, proto
    )
    if checked:
        check(architecture, made, seeds=(1,), of_largest=True)
    path.write_bytes(made.content)


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the models that are named; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="models to write; see --list")
    parser.add_argument("--output", type=Path, default=Path(), metavar="DIR", help="where to (default: here)")
    parser.add_argument("--dense", action="store_true", help="random numbers in the place of a sparse file's holes")
    parser.add_argument("--unchecked", action="store_true", help="don't compare with PyTorch, which costs memory")
    parser.add_argument("--list", action="store_true", help="list the models, and write none that isn't named")
    options = parser.parse_args(arguments)
    titles = {name: built.title for name, built in BUILT.items()}
    exports = {} if set(options.names) <= BUILT.keys() and not options.list else full_size()
    titles |= {name: architecture.title for name, architecture in exports.items()}
    if options.list or not options.names:
        print("\n".join(f"{name:14} {title}" for name, title in sorted(titles.items())))
    if unknown := sorted(set(options.names) - titles.keys()):
        print(f"no model is called {', '.join(unknown)}; there are {', '.join(sorted(titles))}", file=sys.stderr)
        return 2
    options.output.mkdir(parents=True, exist_ok=True)
    for name in options.names:
        path = options.output / f"{name}.onnx"
        if name in BUILT:
            write_stack(BUILT[name].stack, path, BUILT[name].external, options.dense)
        else:
            write_exported(exports[name], path, not options.unchecked)
        for file in (path, path.with_name(f"{path.name}.data")):
            if file.exists() and file.stat().st_size < 1 << 31:
                print(f"{file}: {file.stat().st_size / 1e6:,.1f} MB, sha256 {digest(file)}", flush=True)
            elif file.exists():
                print(f"{file}: {file.stat().st_size / 1e6:,.1f} MB", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
