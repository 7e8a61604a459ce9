"""Whole models in ONNX Runtime's CPU provider, opened from their files so that their size doesn't matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir

from normgraph.constants import Array
from normgraph.execution import NotRunnable
from normgraph.model_io import Source, as_model, load, save
from normgraph.runtime import first_line, onnxruntime
from normgraph.verification.values import array_of, parts

PROVIDER = "CPUExecutionProvider"


@dataclass(frozen=True)
class Subject:
    """A model that is to be run.

    Attributes:
        name: what it is called in reports.
        model: the model, its weights in their files.
        path: the file that ONNX Runtime reads.
    """

    name: str
    model: ir.Model
    path: Path


def subject(source: Source, role: str, folder: Path) -> Subject:
    """A model of whatever origin as a file: its own, or one in a folder for such.

    Args:
        source: a path, or a model.
        role: what a model without a path is called, and its file.
        folder: where it is written if it has no path.

    Raises:
        BadModelError: it can't be read.
        OutputError: it can't be written there.
    """
    if isinstance(source, str) or hasattr(source, "__fspath__"):
        path = Path(source)  # type: ignore[arg-type]
        return Subject(str(path), load(path), path)
    model = as_model(source)
    path = folder / f"{role}.onnx"
    save(model, path)
    return Subject(model.graph.name or role, model, path)


class Session:
    """A model in ONNX Runtime.

    Args:
        path: the model's file; external data is looked for beside it.
        optimized: whether ONNX Runtime's own optimizations are on.

    Raises:
        NotRunnable: ONNX Runtime refuses the model.
    """

    def __init__(self, path: Path, *, optimized: bool = False) -> None:
        runtime = onnxruntime()
        options = runtime.SessionOptions()
        levels = runtime.GraphOptimizationLevel
        options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimized else levels.ORT_DISABLE_ALL
        options.log_severity_level = 4
        try:
            self._session = runtime.InferenceSession(str(path), options, providers=[PROVIDER], enable_fallback=0)
        except Exception as failure:  # ONNX Runtime's exceptions have no common root of their own
            told = first_line(failure).replace(f"{path.parent}/", "")
            raise NotRunnable(f"ONNX Runtime refuses it: {told}") from failure
        self._make = runtime.OrtValue
        taken = (*self._session.get_inputs(), *self._session.get_overridable_initializers())
        self._inputs = {item.name for item in taken}
        self._types = {item.name: item.type for item in self._session.get_outputs()}
        self.outputs: tuple[str, ...] = tuple(self._types)

    def __call__(self, feed: Mapping[str, Array], names: Sequence[str] | None = None) -> dict[str, Array]:
        """The outputs, all of them or those that are named; what isn't a tensor as its `parts`.

        Raises:
            NotRunnable: ONNX Runtime fails on these inputs.
        """
        wanted = list(self.outputs if names is None else names)
        fed = {name: array for name, array in feed.items() if name in self._inputs}
        found: dict[str, Array] = {}
        try:
            for name, result in zip(wanted, self._results(wanted, fed), strict=True):
                found |= parts(name, result)
        except Exception as failure:
            raise NotRunnable(f"ONNX Runtime fails on it: {first_line(failure)}") from failure
        return found

    def _results(self, wanted: list[str], fed: Mapping[str, Array]) -> list[Any]:
        """The outputs as Python has them.

        Only values of ONNX Runtime's own carry bfloat16 and its like; only its plain call takes text, and gives
        sequences and maps.
        """
        text = any(array.dtype.kind in "SUO" for array in fed.values())
        if text or not all(self._types[name].startswith("tensor(") for name in wanted):
            return list(self._session.run(wanted, dict(fed)))
        values = self._session.run_with_ort_values(wanted, {name: self._value(array) for name, array in fed.items()})
        return [array_of(value) for value in values]

    def _value(self, array: Array) -> Any:
        contiguous = np.ascontiguousarray(array).reshape(array.shape)
        if array.dtype.type.__module__ == ml_dtypes.__name__:  # NumPy hasn't got the type, so its bits are handed over
            bits = contiguous.view(f"u{array.dtype.itemsize}")
            return self._make.ortvalue_from_numpy_with_onnx_type(bits, int(ir.DataType.from_numpy(array.dtype)))
        return self._make.ortvalue_from_numpy(contiguous)


def description(*, optimized: bool) -> str:
    """The runtime and how it is set up, for reports."""
    state = "on" if optimized else "off"
    return f"ONNX Runtime {onnxruntime().__version__}, {PROVIDER}, its graph optimizations {state}"
