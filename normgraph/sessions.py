"""Models opened in ONNX Runtime to be run again and again on the same inputs, placed where the provider wants them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from normgraph.errors import MissingProviderError, RefusedError, UsageError
from normgraph.providers import PROVIDERS, Provider
from normgraph.runtime import first_line, onnxruntime

#: Levels of ONNX Runtime's own graph optimizations: as they are asked for → as it calls them.
LEVELS: Mapping[str, str] = {
    "disabled": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
_CPU = PROVIDERS["cpu"].execution
#: More threads than this, and than so many for each processor, are a slip of the pen: starting them takes minutes.
MOST_THREADS, THREADS_PER_PROCESSOR = 64, 4
#: What ONNX Runtime's run options take for "don't capture this run".
_NO_GRAPH = ("gpu_graph_id", "-1")
#: NumPy's kinds of types that live on the host alone: texts.
_HOST_KINDS = frozenset("OSU")

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """How models are run.

    Attributes:
        provider: what runs them.
        level: a key of `LEVELS`.
        threads: threads within an operator; 0 for as many as ONNX Runtime takes by itself.
        graphs: whether a run is captured as a CUDA graph, which is then launched as a whole.

    Raises:
        UsageError: there is no such level, the provider has no graphs, or there are more threads than can be started.
    """

    provider: Provider = PROVIDERS["cpu"]
    level: str = "all"
    threads: int = 0
    graphs: bool = False

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise UsageError(f"there is no level '{self.level}': choose one of {', '.join(LEVELS)}")
        most = max(MOST_THREADS, THREADS_PER_PROCESSOR * (os.cpu_count() or 1))
        if not 0 <= self.threads <= most:
            raise UsageError(
                f"threads within an operator are a number from 0 to {most} here, and {self.threads} are asked for: "
                f"take no more than the machine has processors, which is {os.cpu_count()}"
            )
        if self.graphs and not self.provider.graphs:
            able = ", ".join(name for name, provider in PROVIDERS.items() if provider.graphs)
            raise UsageError(f"CUDA graphs need one of the providers {able}, and '{self.provider.name}' is asked for")


class OpenedModel:
    """A model, and inputs for it: both in place, so that a run is nothing but a run.

    Inputs are copied to the provider's device once, and outputs stay there.  With CUDA graphs, whose addresses may not
    change, a first run that isn't captured shows how large the outputs are.

    Args:
        source: the model's file, or its bytes.
        feed: an array for each input.
        setting: how it is run.
        name: what the model is called in messages.

    Raises:
        MissingProviderError: the provider can't be started on this machine.
        RefusedError: ONNX Runtime refuses the model or the inputs.
    """

    def __init__(self, source: Path | bytes, feed: Mapping[str, Array], setting: Setting, name: str = "") -> None:
        self._name = name or (str(source) if isinstance(source, Path) else "the model")
        self._setting = setting
        self._session = _session(source, setting, self._name)
        try:
            self._binding = self._session.io_binding()
            for item in self._session.get_inputs():
                if item.name not in feed:
                    raise UsageError(
                        f"every input must be fed, and '{item.name}' isn't: {self._name}; "
                        "compare models that take the same inputs"
                    )
                self._binding.bind_ortvalue_input(item.name, _placed(feed[item.name], setting.provider.device))
            for item in self._session.get_outputs():
                self._binding.bind_output(item.name, setting.provider.device)
            if setting.graphs:
                self._fix_outputs()
        except UsageError:
            raise
        except Exception as failure:  # ONNX Runtime's exceptions have no common root of their own
            raise _refused(self._name, setting, failure) from failure

    def run(self) -> None:
        """Run it once; when this returns, the outputs are there.

        Raises:
            RefusedError: ONNX Runtime fails.
        """
        try:
            self._session.run_with_iobinding(self._binding)  # asking for options of a run would take 30 µs of it
            self._binding.synchronize_outputs()
        except Exception as failure:
            raise _refused(self._name, self._setting, failure) from failure

    def outputs(self) -> list[Array]:
        """What the last run computed, on the host."""
        return [np.asarray(array) for array in self._binding.copy_outputs_to_cpu()]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of what the last run computed, by name."""
        made = self._binding.get_outputs()
        return {item.name: tuple(value.shape()) for item, value in zip(self._session.get_outputs(), made, strict=True)}

    def placement(self) -> Mapping[str, int]:
        """How many nodes run on which of ONNX Runtime's providers; nothing for the CPU's, or where it doesn't tell."""
        told = getattr(self._session, "get_provider_graph_assignment_info", None)  # since ONNX Runtime 1.24
        counts: Counter[str] = Counter()
        if told is not None and self._setting.provider.execution != _CPU:
            for part in told():
                counts[part.ep_name] += len(part.get_nodes())
        return counts

    def _fix_outputs(self) -> None:
        uncaptured = onnxruntime().RunOptions()
        uncaptured.add_run_config_entry(*_NO_GRAPH)
        self._session.run_with_iobinding(self._binding, uncaptured)
        made = self._binding.get_outputs()
        for item, value in zip(self._session.get_outputs(), made, strict=True):
            fixed = onnxruntime().OrtValue.ortvalue_from_shape_and_type(
                value.shape(), value.element_type(), self._setting.provider.device, 0
            )
            self._binding.bind_ortvalue_output(item.name, fixed)


def _session(source: Path | bytes, setting: Setting, name: str) -> Any:
    runtime, provider = onnxruntime(), setting.provider
    options = runtime.SessionOptions()
    options.graph_optimization_level = getattr(runtime.GraphOptimizationLevel, LEVELS[setting.level])
    options.intra_op_num_threads = setting.threads
    options.log_severity_level = 4
    # The threads of a model that isn't running would spin on and disturb the one that is.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    chain: list[Any] = [_CPU]
    if provider.execution != _CPU:
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        chosen = {**provider.options, **(provider.graphs if setting.graphs else {})}
        chain[:0] = [(provider.execution, chosen), *provider.behind]
    opened = str(source) if isinstance(source, Path) else source
    try:
        session = runtime.InferenceSession(opened, options, providers=chain, enable_fallback=0)
    except Exception as failure:
        raise _refused(name, setting, failure) from failure
    if provider.execution not in session.get_providers():
        raise MissingProviderError(
            f"a provider must start on this machine, and '{provider.name}' doesn't: ONNX Runtime {runtime.__version__} "
            "was built with it, but finds no device or not the libraries that it needs; check that the driver is there "
            "(nvidia-smi) and that the versions of CUDA and cuDNN are those that it was built for"
        )
    return session


def _placed(array: Array, device: str) -> Any:
    """An array as a value on the device; what NumPy or the device has no type for stays on the host."""
    value = onnxruntime().OrtValue
    contiguous = np.asarray(array, order="C")
    if contiguous.dtype.kind == "V" or contiguous.dtype.name == "bfloat16":  # one of ml_dtypes'
        import onnx_ir

        element_type = int(onnx_ir.DataType.from_numpy(contiguous.dtype))
        return value.ortvalue_from_numpy_with_onnx_type(
            contiguous.view(np.dtype(f"u{contiguous.itemsize}")), element_type
        )
    return value.ortvalue_from_numpy(contiguous, "cpu" if contiguous.dtype.kind in _HOST_KINDS else device, 0)


def _refused(name: str, setting: Setting, failure: Exception) -> RefusedError:
    return RefusedError(
        f"a model must run on the provider {setting.provider.name}, and this one doesn't: {name} "
        f"({first_line(failure)}); check it with onnx.checker, its inputs, or choose another provider"
    )
