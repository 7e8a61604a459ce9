"""Fuzzing the reader of models: whatever a file holds, it is read as onnx reads it or refused in one line, and soon.

    python -m tests.fuzz_reader [--minutes N] [--seed N]

mutates the small models of the tests, each time another few fields.  With atheris installed, `--atheris` lets it choose
the bytes instead, guided by the coverage of `normgraph.model_io`.  Prints a summary; stops at the first finding, whose
file it leaves in the current folder.
"""

from __future__ import annotations

import argparse
import inspect
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import onnx
import onnx_ir as ir

from normgraph import model_io
from normgraph.errors import BadModelError
from normgraph.model_io import external, reading, wire
from tests.model_files import MODELS
from tests.mutated_files import mutated

#: Seconds in which a file of a few kilobytes has to be read or refused.
SOON = 5.0


def examined(content: bytes, path: Path) -> str:
    """Read a file of this content and say how it fared.

    Raises:
        AssertionError: it is read otherwise than onnx reads it, refused in more than one line, or not soon.
    """
    path.write_bytes(content)
    begin = time.process_time()
    refusal = ""
    try:
        model = model_io.load(path)
    except BadModelError as error:
        refusal, fate = str(error), "refused"
    else:
        fate = "read"
        assert all(len(t.tobytes()) == t.nbytes for t in held(model)), "numbers are missing"
        assert numbers_of(model) == numbers_of(ir.from_proto(onnx.ModelProto.FromString(content))), "read otherwise"
    assert "\n" not in refusal, f"more than one line: {refusal}"
    assert time.process_time() - begin < SOON, "it took too long"
    return fate


def held(model: ir.Model) -> list[ir.TensorProtocol]:
    """The tensors of initializers that hold numbers."""
    values = (value.const_value for graph in model.graphs() for value in graph.initializers.values())
    return [tensor for tensor in values if tensor is not None and is_numeric(tensor)]


def numbers_of(model: ir.Model) -> dict[str, bytes | None]:
    """The bytes of each tensor that has any and lies in the model itself."""
    return {
        f"{graph.name}/{name}": None if not is_numeric(value.const_value) else value.const_value.tobytes()
        for graph in model.graphs()
        for name, value in graph.initializers.items()
        if value.const_value is not None
    }


def is_numeric(tensor: ir.TensorProtocol | None) -> bool:
    """Whether a tensor holds numbers whose bytes can be compared."""
    if tensor is None or isinstance(tensor, ir.ExternalTensor):
        return False
    return tensor.dtype not in (ir.DataType.STRING, ir.DataType.UNDEFINED)


def fuzzed(seed: int, minutes: float, at_most: int | None = None) -> Counter[str]:
    """Mutate models until the time is over; how they fared.

    Raises:
        AssertionError: a finding, whose file is left in the current folder.
    """
    source, fates = random.Random(seed), Counter[str]()
    contents = [build().SerializeToString() for build in MODELS]
    end = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end and (at_most is None or fates.total() < at_most):
            content = source.choice(contents)
            for _ in range(source.choice((1, 1, 1, 2, 3, 8))):
                content = mutated(content, source)
            try:
                fates[examined(content, Path(folder) / "mutated.onnx")] += 1
            except Exception:
                Path("finding.onnx").write_bytes(content)
                raise
    return fates


def guided(arguments: list[str]) -> None:
    """The same with atheris, which chooses the bytes, beginning with the small models; the arguments are its own."""
    import atheris

    for module in (external, reading, wire):
        for name, value in list(vars(module).items()):
            if inspect.isfunction(value) and value.__module__ == module.__name__:
                setattr(module, name, atheris.instrument_func(value))
    folder = Path(tempfile.mkdtemp())
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, build in enumerate(MODELS):
        (corpus / f"{number}.onnx").write_bytes(build().SerializeToString())

    def one(data: bytes) -> None:
        if data:
            examined(data, folder / "fuzzed.onnx")

    atheris.Setup([sys.argv[0], *arguments, str(corpus)], one)
    atheris.Fuzz()


def main() -> int:
    """Fuzz and tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--atheris", nargs=argparse.REMAINDER, help="let atheris choose the bytes; its own arguments")
    options = parser.parse_args()
    logging.disable()  # onnx_ir has much to say about such files
    if options.atheris is not None:
        guided(options.atheris)
        return 0
    fates = fuzzed(options.seed, options.minutes)
    sys.stdout.write(f"{fates.total():,} files in {options.minutes:g} minutes: {dict(fates)}; no findings\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
