"""The one place that imports ONNX Runtime, of which neither build is installed by default."""

from types import ModuleType

from normgraph.errors import MissingRuntimeError


def onnxruntime() -> ModuleType:
    """Returns the module ``onnxruntime``, whichever build of it is installed.

    Raises:
        MissingRuntimeError: Neither ``onnxruntime`` nor ``onnxruntime-gpu`` is installed. normgraph depends
            on neither by default, because they share this import package and break each other side by side.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingRuntimeError(
            "ONNX Runtime is needed to run models and can't be imported: install 'normgraph[cpu]', "
            f"or 'normgraph[gpu]' for NVIDIA GPUs, but not both ({error})"
        ) from error
    module: ModuleType = onnxruntime
    return module


def first_line(failure: Exception) -> str:
    """What an exception says, to its first line break; where ONNX Runtime announces a list, with that list's first."""
    lines = [line.strip() for line in str(failure).strip().splitlines()]
    if len(lines) > 1 and lines[0].endswith("for the following indices"):
        return f"{lines[0]}: {lines[1]}"
    return lines[0] if lines else type(failure).__name__
