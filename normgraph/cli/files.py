"""The files of a run: where the output goes, what may not be written over, and how much they take."""

# Path's own questions raise for names that are too long and folders that can't be searched; os.path's say no.
# ruff: noqa: PTH112

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from normgraph.cli.options.optimize import OptimizeOptions
from normgraph.errors import OutputError, UsageError
from normgraph.model_io.disk import is_device
from normgraph.model_io.tensors import OpenFile


def output_of(options: OptimizeOptions) -> Path | None:
    """Where the model is to be written; None for nowhere.

    Raises:
        UsageError: that is the input, or the report is to go where a model is.
        OutputError: nothing can be written there.
    """
    output = _output_of(options)
    if output is not None:
        if not options.in_place and _same(output, options.model):
            raise UsageError(f"the output may not be the input: {output}; name another file, or ask for --in-place")
        check_writable(output, "output")
        if is_device(output):
            raise OutputError(f"the output must be a regular file: {output}; name one, or use --dry-run to write none")
    models = [options.model] if output is None else [options.model, output]
    for path, role in ((options.report, "report"), (options.tuning, "tuning")):
        if path is not None:
            check_spares(path, role, models)
    if (
        options.report is not None
        and options.tuning is not None
        and options.report.resolve() == options.tuning.resolve()
    ):
        raise UsageError(f"the report may not be written over the tuning: {options.report}; name another file")
    return output


def _output_of(options: OptimizeOptions) -> Path | None:
    source = options.model
    if options.dry_run:
        return None
    if options.in_place:
        return source
    if options.output is not None:
        return Path(options.output)
    if not source.name:
        raise UsageError(f"the model must be a file, and '{source}' names none; name one")
    return source.with_name((source.stem if source.suffix.lower() == ".onnx" else source.name) + ".opt.onnx")


def checked_output(source: Path, output: Path) -> Path:
    """The output of a model among several.

    Raises:
        UsageError: it is the input.
        OutputError: nothing can be written there.
    """
    if _same(output, source):
        raise UsageError(f"the output may not be the input: {output}; name another folder, or ask for --in-place")
    check_writable(output, "output")
    return output


def check_spares(path: Path, role: str, models: Iterable[Path]) -> None:
    """Make sure that a file can be put there, and that it isn't one of the models.

    Raises:
        UsageError: it is one.
        OutputError: nothing can be written there.
    """
    for model in models:
        if _same(path, model):
            raise UsageError(f"the {role} may not be written over a model: {model}; name another file")
    check_writable(path, role)


def _same(one: Path, other: Path) -> bool:
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    try:
        return one.samefile(other)
    except OSError:  # one of them isn't there, or can't be looked at
        return False


def check_writable(path: Path, role: str) -> None:
    """Make sure that a file can be put there.

    Raises:
        OutputError: its folder isn't there, or it is a folder itself.
    """
    if not os.path.isdir(path.parent):
        raise OutputError(f"the {role}'s folder must exist: {path.parent}; create it")
    if os.path.isdir(path):
        raise OutputError(f"the {role} must be a file, and this is a folder: {path}; name a file in it")


def size_of(path: Path) -> int:
    """The size of a file in bytes."""
    return path.stat().st_size


def check_data_survives(output: Path, data: list[OpenFile]) -> None:
    """Make sure that the output isn't put in the place of the input's external data.

    Raises:
        UsageError: it would be.
    """
    for target in (output, output.with_name(output.name + ".data")):
        for file in data:
            if _same(target, file.path):
                raise UsageError(
                    f"the output would be written over the input's external data: {file.path}; "
                    "choose another name, or ask for --in-place"
                )


@contextmanager
def written_report(path: Path | None) -> Iterator[list[str]]:
    """A list whose texts are put into a file if the block ends well; if it doesn't, an earlier file stays.

    The file is tried out when the block begins, so that one that can't be written is known of before anything
    else is written.

    Raises:
        OutputError: the file can't be written.
    """
    texts: list[str] = []
    if path is None:
        yield texts
        return
    temporary = path if is_device(path) else path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            yield texts
            file.writelines(texts)
        if temporary is not path:
            temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"the report can't be written: {path} ({reason}); check its folder's permissions") from error
    finally:
        if temporary is not path:
            temporary.unlink(missing_ok=True)
