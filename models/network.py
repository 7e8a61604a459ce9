"""Networks of norms for any framework: what they say of their norms, and their random parameters."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from exporting import TOLERANCE, Array, compare, random_inputs
from manifest import Export, Input, Norm, Record, nodes

FloatArray = npt.NDArray[np.float32]
#: Calls the norm of that name on a tensor of the framework.
Call = Callable[[str, Any], Any]


@dataclass(frozen=True)
class Site:
    """A norm in a network: a function of one tensor, and what the framework says that it computes."""

    apply: Callable[[Any], Any]
    norm: Norm


@dataclass
class Network:
    """A function of one tensor that calls each of its norms once.

    Attributes:
        sites: the norms by their scopes.
        forward: the network, from `call(scope, tensor)` and its input.
        form_of: what became of a norm in a graph, from its scope, where the exporter leaves scopes in nodes' names.
        wrong: the scope whose output is 5 % off, if one is.
        shapes: those of the norms' inputs at the last call, in the order of the calls.
    """

    sites: Mapping[str, Site]
    forward: Callable[[Call, Any], Any]
    form_of: Callable[[str, onnx.ModelProto], str] | None = None
    wrong: str | None = None
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def __call__(self, x: Any) -> Any:
        """The output, a tensor of the framework as the input is."""
        self.shapes = {}
        return self.forward(self._call, x)

    def _call(self, scope: str, x: Any) -> Any:
        self.shapes[scope] = tuple(x.shape)
        y = self.sites[scope].apply(x)
        return y * 1.05 if scope == self.wrong else y


@dataclass(frozen=True)
class Sample:
    """A network to export: its input, and the exporters with their opsets.

    Attributes:
        name: what the files' names begin with.
        title: what it holds.
        build: makes the network, the same at each call.
        shape: of the input.
        exports: exporter and opset of each file.
        dtype: of the input and the output.
        dynamic: as in Input.
    """

    name: str
    title: str
    build: Callable[[], Network]
    shape: tuple[int, ...]
    exports: tuple[tuple[str, int], ...]
    dtype: str = "float32"
    dynamic: tuple[tuple[int, str, int], ...] = ((0, "batch", 3),)

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The one input, x."""
        return (Input("x", self.shape, dynamic=self.dynamic),)


def checked_export(
    sample: Sample,
    exporter: str,
    opset: int,
    versions: Mapping[str, str],
    export: Callable[[Network, Sample, str, int], onnx.ModelProto],
    tensor: Callable[[Array], Any],
) -> tuple[Record, Export]:
    """Export a sample, compare it with its framework and describe its norms.

    Args:
        sample: the sample.
        exporter: one of its exporters.
        opset: the opset.
        versions: of the packages that took part.
        export: the exporter, from a network, its sample, the exporter's name and the opset.
        tensor: makes a tensor of the framework of an array.

    Raises:
        ValueError: the exporter wrote another opset than the one asked for.
        AssertionError: the export doesn't compute what the network does, or a norm has no visible effect.
    """
    network = sample.build()
    proto = export(network, sample, exporter, opset)
    found = {entry.domain: entry.version for entry in proto.opset_import}
    if found[""] != opset:
        raise ValueError(f"asked for opset {opset}, the exporter wrote {found['']}")
    result = Export(sample.name, sample.title, exporter, opset, sample.dtype, sample.inputs, dict(versions), proto)

    def draw(second_size: bool, seed: int) -> list[Array]:
        return random_inputs(sample.inputs, np.dtype(sample.dtype), second_size, seed)

    def run(inputs: Sequence[Array]) -> Array:
        return np.asarray(network(tensor(inputs[0])))

    shapes = compare(result, draw, run)
    hidden = _silent(network, sample, run, [draw(False, seed) for seed in range(4)])
    assert not hidden, f"a wrong value of these norms would not show: {hidden}"
    return result.record(shapes, _records(network, run, draw, proto)), result


def _silent(
    network: Network,
    sample: Sample,
    run: Callable[[Sequence[Array]], Array],
    draws: Sequence[Sequence[Array]],
) -> list[str]:
    """The scopes of norms whose output could be 5 % off without the network's leaving the tolerance."""
    rtol, atol = TOLERANCE[sample.dtype]
    expected = [run(values).astype(np.float64) for values in draws]
    hidden = []
    for scope in network.sites:
        network.wrong = scope
        wrong = [run(values).astype(np.float64) for values in draws]
        if all(np.allclose(a, b, rtol, atol) for a, b in zip(wrong, expected, strict=True)):
            hidden.append(scope)
    network.wrong = None
    return hidden


def _records(
    network: Network,
    run: Callable[[Sequence[Array]], Array],
    draw: Callable[[bool, int], Sequence[Array]],
    proto: onnx.ModelProto,
) -> list[Record]:
    """One record per norm, in the order of the calls; dimensions that differ between sizes are None."""
    run(draw(False, 0))
    first = dict(network.shapes)
    run(draw(True, 0))
    records = []
    for scope, shape in first.items():
        record = network.sites[scope].norm.record(scope, shape)
        second = network.shapes[scope]
        record["shape"] = [a if a == b else None for a, b in zip(shape, second, strict=True)]
        records.append(record)
    assert len(records) == len(network.sites), "a norm of the network isn't called"
    if network.form_of is None:
        _add_forms([record for record in records if "near_miss" not in record], proto)
    else:
        for record in records:
            record["form"] = network.form_of(record["scope"], proto)
    return records


def _add_forms(records: list[Record], proto: onnx.ModelProto) -> None:
    """Add "native" where the graph holds that operator for each norm of the kind, else what it is instead.

    Raises ValueError where it holds it for some of them: these exporters leave no scopes to tell which.
    """
    operators = Counter(node.op_type for part in (proto.graph, *proto.functions) for node in nodes(part))
    for kind, count in Counter(record["kind"] for record in records).items():
        native = operators[kind]
        if native not in (0, count):
            raise ValueError(f"{native} of the {count} norms are a {kind}: put them in samples of their own")
        for record in records:
            if record["kind"] == kind:
                stored = record["statistics"] == "running"
                record["form"] = "native" if native else "affine" if stored else "decomposed"


class Draw:
    """Random parameters, from a name: the same for the same name and order of calls."""

    def __init__(self, name: str) -> None:
        self._random = np.random.default_rng(zlib.crc32(name.encode()))

    def gain(self, *shape: int) -> FloatArray:
        """About one, one in eight negative."""
        sign = np.where(self._random.random(shape) < 0.125, -1.0, 1.0)
        return (sign * (1.0 + 0.3 * self._random.standard_normal(shape))).astype(np.float32)

    def bias(self, *shape: int) -> FloatArray:
        """About zero: biases and stored means."""
        return (0.5 * self._random.standard_normal(shape)).astype(np.float32)

    def variance(self, *shape: int) -> FloatArray:
        """Uniform in [0.5, 2)."""
        return (0.5 + 1.5 * self._random.random(shape)).astype(np.float32)

    def weight(self, *shape: int) -> FloatArray:
        """Of a layer whose last dimension are its outputs, all others what they are sums of."""
        return (self._random.standard_normal(shape) / np.sqrt(np.prod(shape[:-1]))).astype(np.float32)

    def epsilon(self) -> float:
        """Two digits, log-uniform in [1e-6, 1e-3]."""
        return float(f"{10 ** (-6 + 3 * self._random.random()):.1e}")
