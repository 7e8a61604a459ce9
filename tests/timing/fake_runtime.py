"""An ONNX Runtime of a machine with a GPU, as far as sessions, bindings and values go; it notes what it is asked."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest


@dataclass
class Value:
    """A tensor on a device."""

    array: Any
    device: str
    onnx_type: int = 1

    def shape(self) -> list[int]:
        return list(self.array.shape)

    def element_type(self) -> int:
        return self.onnx_type


@dataclass
class Options:
    graph_optimization_level: str = ""
    intra_op_num_threads: int = 0
    log_severity_level: int = 2
    entries: dict[str, str] = field(default_factory=dict)

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value

    add_run_config_entry = add_session_config_entry


class Binding:
    def __init__(self) -> None:
        self.inputs: dict[str, Value] = {}
        self.outputs: dict[str, Any] = {}
        self.synchronized = 0

    def bind_ortvalue_input(self, name: str, value: Value) -> None:
        self.inputs[name] = value

    def bind_output(self, name: str, device: str) -> None:
        self.outputs[name] = device

    def bind_ortvalue_output(self, name: str, value: Value) -> None:
        self.outputs[name] = value

    def get_outputs(self) -> list[Value]:
        return [Value(np.zeros((2, 3), np.float32), "cuda", 10) for _ in self.outputs]

    def copy_outputs_to_cpu(self) -> list[Any]:
        return [np.zeros((2, 3), np.float32) for _ in self.outputs]

    def synchronize_outputs(self) -> None:
        self.synchronized += 1


class Session:
    """A model of inputs x (real) and s (text) and output y."""

    def __init__(self, source: str | bytes, options: Options, providers: list[Any], **further: Any) -> None:
        self.source, self.options, self.providers, self.further = source, options, providers, further
        self.binding = Binding()
        self.runs: list[dict[str, str]] = []
        runtime().sessions.append(self)
        if "refused" in str(source):
            raise ValueError("it is bad\nand more")

    def get_providers(self) -> list[str]:
        named = [entry if isinstance(entry, str) else entry[0] for entry in self.providers]
        return [name for name in named if name in runtime().startable]

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name="x"), SimpleNamespace(name="s")]

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(name="y")]

    def io_binding(self) -> Binding:
        return self.binding

    def get_provider_graph_assignment_info(self) -> list[Any]:
        parts = (("CUDAExecutionProvider", 7), ("CPUExecutionProvider", 2), ("CUDAExecutionProvider", 1))
        return [SimpleNamespace(ep_name=name, get_nodes=lambda count=count: [None] * count) for name, count in parts]

    def run_with_iobinding(self, binding: Binding, options: Options | None = None) -> None:
        self.runs.append({} if options is None else dict(options.entries))


def runtime() -> Any:
    return sys.modules["onnxruntime"]


def _value(array: Any, device: str, number: int) -> Value:
    assert number == 0
    return Value(array, device)


def install(
    monkeypatch: pytest.MonkeyPatch,
    built: tuple[str, ...] = ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
    startable: tuple[str, ...] | None = None,
) -> Any:
    """Put it in the place of ONNX Runtime; returns the module, whose `sessions` are those that were opened."""
    module: Any = ModuleType("onnxruntime")
    module.__version__ = "1.31.0"
    module.sessions, module.startable = [], built if startable is None else startable
    module.preloaded = 0
    module.get_available_providers = lambda: list(built)
    module.SessionOptions = module.RunOptions = Options
    module.InferenceSession = Session
    module.GraphOptimizationLevel = SimpleNamespace(ORT_DISABLE_ALL="off", ORT_ENABLE_ALL="on")
    module.OrtValue = SimpleNamespace(
        ortvalue_from_numpy=_value,
        ortvalue_from_numpy_with_onnx_type=lambda array, kind: Value(array, "cpu", kind),
        ortvalue_from_shape_and_type=lambda shape, kind, device, _: Value(np.empty(shape), device, kind),
    )

    def preload_dlls() -> None:
        module.preloaded += 1
        print("libcudnn.so.9 wasn't found")  # noqa: T201

    module.preload_dlls = preload_dlls
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    return module
