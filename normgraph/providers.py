"""ONNX Runtime's execution providers, by the names that people type: one row each."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from normgraph.errors import MissingProviderError, UsageError
from normgraph.runtime import onnxruntime


@dataclass(frozen=True, slots=True)
class Provider:
    """An execution provider of ONNX Runtime.

    Attributes:
        name: as ``--provider`` takes it.
        execution: what ONNX Runtime calls it.
        device: where its inputs and outputs are bound, as ``OrtValue`` names devices.
        target: the row of `normgraph.targets.TARGETS` that says which operators it has.
        install: what brings it.
        options: its options.
        graphs: further options that capture a run as a CUDA graph; none where it can't.
        behind: the providers of ONNX Runtime that take the nodes it leaves, before the CPU's.
        libraries: whether it needs CUDA's libraries to be loaded first.
    """

    name: str
    execution: str
    device: str
    target: str
    install: str
    options: Mapping[str, str] = field(default_factory=dict)
    graphs: Mapping[str, str] = field(default_factory=dict)
    behind: tuple[str, ...] = ()
    libraries: bool = False


#: The builds of ONNX Runtime share one import package: the files of two beside each other are neither's.
_IN_ITS_PLACE = "after `pip uninstall onnxruntime`, since only one build of ONNX Runtime may be there"
#: The table of providers.
PROVIDERS: Mapping[str, Provider] = {
    provider.name: provider
    for provider in (
        Provider("cpu", "CPUExecutionProvider", "cpu", "onnxruntime", "'normgraph[cpu]'"),
        Provider(
            "cuda",
            "CUDAExecutionProvider",
            "cuda",
            "onnxruntime-cuda",
            f"'normgraph[gpu]', {_IN_ITS_PLACE}",
            options={"device_id": "0"},
            graphs={"enable_cuda_graph": "1"},
            libraries=True,
        ),
        Provider(
            "tensorrt",
            "TensorrtExecutionProvider",
            "cuda",
            "tensorrt",
            f"'normgraph[gpu]' and TensorRT, {_IN_ITS_PLACE}",
            options={"device_id": "0"},
            graphs={"trt_cuda_graph_enable": "1"},
            behind=("CUDAExecutionProvider",),
            libraries=True,
        ),
        Provider(
            "openvino",
            "OpenVINOExecutionProvider",
            "cpu",
            "openvino",
            f"'onnxruntime-openvino', {_IN_ITS_PLACE}",
        ),
        Provider("coreml", "CoreMLExecutionProvider", "cpu", "coreml", "'normgraph[cpu]' on macOS"),
        Provider(
            "dml",
            "DmlExecutionProvider",
            "dml",
            "directml",
            f"'onnxruntime-directml' on Windows, {_IN_ITS_PLACE}",
        ),
    )
}
DEFAULT_PROVIDER = "cpu"


def present() -> list[str]:
    """The names of the providers that the installed ONNX Runtime was built with.

    Raises:
        MissingRuntimeError: no ONNX Runtime is installed.
    """
    built = set(onnxruntime().get_available_providers())
    return [name for name, provider in PROVIDERS.items() if provider.execution in built]


def provider_named(name: str) -> Provider:
    """The row of a provider that the installed ONNX Runtime has, its libraries loaded.

    Raises:
        UsageError: there is no provider of that name.
        MissingProviderError: the installed ONNX Runtime lacks it.
        MissingRuntimeError: no ONNX Runtime is installed.
    """
    provider = PROVIDERS.get(name)
    if provider is None:
        raise UsageError(f"there is no provider '{name}': choose one of {', '.join(PROVIDERS)}")
    found = present()
    if name not in found:
        raise MissingProviderError(
            f"a provider must be part of the installed ONNX Runtime, and '{name}' isn't: {onnxruntime().__version__} "
            f"has {', '.join(found) or 'none that is known'}; install {provider.install}"
        )
    if provider.libraries:
        load_cuda_libraries()
    return provider


def load_cuda_libraries() -> None:
    """Load CUDA's libraries from wherever PyTorch or NVIDIA's wheels put them, as ONNX Runtime itself doesn't."""
    preload = getattr(onnxruntime(), "preload_dlls", None)  # since ONNX Runtime 1.21
    if preload is not None:
        with contextlib.redirect_stdout(sys.stderr):  # it prints what it doesn't find
            preload()
