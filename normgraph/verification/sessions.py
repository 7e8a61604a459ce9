"""Whole models in ONNX Runtime's CPU provider, opened from their files so that their size doesn't matter."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir

from normgraph.constants import Array
from normgraph.execution import NotRunnable
from normgraph.model_io import Source, as_model, load, save
from normgraph.runtime import first_line, onnxruntime

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
            self._session = runtime.InferenceSession(str(path), options, providers=[PROVIDER])
        except Exception as failure:  # ONNX Runtime's exceptions have no common root of their own
            told = first_line(failure).replace(f"{path.parent}/", "")
            raise NotRunnable(f"ONNX Runtime refuses it: {told}") from failure
        self._make = runtime.OrtValue
        self._inputs = {item.name for item in self._session.get_inputs()}
        self.outputs: tuple[str, ...] = tuple(item.name for item in self._session.get_outputs())

    def __call__(self, feed: Mapping[str, Array], names: Sequence[str] | None = None) -> dict[str, Array]:
        """The outputs, all of them or those that are named; what isn't a tensor is left out.

        Raises:
            NotRunnable: ONNX Runtime fails on these inputs.
        """
        wanted = list(self.outputs if names is None else names)
        try:
            fed = {name: self._value(array) for name, array in feed.items() if name in self._inputs}
            values = self._session.run_with_ort_values(wanted, fed)
        except Exception as failure:
            raise NotRunnable(f"ONNX Runtime fails on it: {first_line(failure)}") from failure
        return {name: _array(value) for name, value in zip(wanted, values, strict=True) if value.is_tensor()}

    def _value(self, array: Array) -> Any:
        if array.dtype == ml_dtypes.bfloat16:  # which NumPy hasn't got, so its bits are handed over
            bits = np.ascontiguousarray(array).view(np.uint16)
            return self._make.ortvalue_from_numpy_with_onnx_type(bits, onnx.TensorProto.BFLOAT16)
        return self._make.ortvalue_from_numpy(np.ascontiguousarray(array).reshape(array.shape))


def _array(value: Any) -> Array:
    if value.data_type() != "tensor(bfloat16)":
        return np.asarray(value.numpy())
    shape = tuple(value.shape())
    count = int(np.prod(shape, dtype=np.int64))
    bits = (ctypes.c_uint16 * count).from_address(value.data_ptr()) if count else ()
    return np.asarray(np.asarray(bits, np.uint16).view(ml_dtypes.bfloat16)).reshape(shape)


def description(*, optimized: bool) -> str:
    """The runtime and how it is set up, for reports."""
    state = "on" if optimized else "off"
    return f"ONNX Runtime {onnxruntime().__version__}, {PROVIDER}, its graph optimizations {state}"
