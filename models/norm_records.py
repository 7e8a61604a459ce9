"""What must be found in an export: read off the PyTorch modules that ran, never off a matcher of graphs."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any

import onnx
import torch
from manifest import Norm, Record, nodes
from spellings import ChannelsLayerNorm, WrittenNorm
from torch import Tensor, nn
from transformers.models.convnext.modeling_convnext import ConvNextLayerNorm
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm
from transformers.models.t5.modeling_t5 import T5LayerNorm
from written_norms import FrozenBatchNorm, SharedLayerNorm, UnitLengthNorm, WrittenInstanceNorm, WrittenRMSNorm


@dataclass(frozen=True)
class Description:
    """What one kind of module says of itself: ONNX operator name, axes of its own input from its rank, epsilon."""

    kind: str
    axes: Callable[[Any, int], Sequence[int]]
    epsilon: str = "eps"
    statistics: str = "sample"


def _trailing(norm: Any, rank: int) -> Sequence[int]:
    return range(-len(norm.normalized_shape), 0)


def _last(norm: Any, rank: int) -> Sequence[int]:
    return (-1,)


def _plane(norm: Any, rank: int) -> Sequence[int]:
    return range(2, rank)


def _batch(norm: Any, rank: int) -> Sequence[int]:
    return [axis for axis in range(rank) if axis != 1]


# Module class → description; the first row that fits applies, so subclasses come first.
DESCRIPTIONS: tuple[tuple[type[nn.Module] | UnionType, Description], ...] = (
    (
        ConvNextLayerNorm,
        Description(
            "LayerNormalization",
            lambda norm, rank: (1,) if norm.data_format == "channels_first" else (-1,),
        ),
    ),
    (nn.LayerNorm, Description("LayerNormalization", _trailing)),
    (WrittenNorm, Description("LayerNormalization", lambda norm, rank: norm.axes)),
    (ChannelsLayerNorm, Description("LayerNormalization", lambda norm, rank: norm.axes)),
    (nn.RMSNorm, Description("RMSNormalization", _trailing)),
    (LlamaRMSNorm, Description("RMSNormalization", _last, "variance_epsilon")),
    (T5LayerNorm, Description("RMSNormalization", _last, "variance_epsilon")),
    (GemmaRMSNorm, Description("RMSNormalization", _last)),
    (Qwen3RMSNorm, Description("RMSNormalization", _last, "variance_epsilon")),
    (WrittenRMSNorm, Description("RMSNormalization", _last)),
    (SharedLayerNorm, Description("LayerNormalization", _last)),
    (UnitLengthNorm, Description("LpNormalization", lambda norm, rank: norm.axes)),
    (nn.GroupNorm, Description("GroupNormalization", lambda norm, rank: range(1, rank))),
    (nn.InstanceNorm1d | nn.InstanceNorm2d | nn.InstanceNorm3d, Description("InstanceNormalization", _plane)),
    (WrittenInstanceNorm, Description("InstanceNormalization", _plane)),
    (nn.BatchNorm1d | nn.BatchNorm2d, Description("BatchNormalization", _batch, statistics="running")),
    (FrozenBatchNorm, Description("BatchNormalization", _batch, statistics="running")),
)


def description(module: nn.Module) -> Description | None:
    """The description of a norm module, None for any other module.

    Raises TypeError for a module that calls itself a norm and has no row in DESCRIPTIONS.
    """
    for cls, found in DESCRIPTIONS:
        if isinstance(module, cls):
            return found
    if "norm" in type(module).__name__.lower():
        raise TypeError(f"{type(module).__qualname__} has no row in DESCRIPTIONS: add one")
    return None


def norm_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module, Description]]:
    """Every norm module of a model with its scope, in the order of definition."""
    for scope, module in model.named_modules():
        found = description(module)
        if found is not None:
            yield scope, module, found


def _record(scope: str, module: Any, found: Description, shape: Sequence[int]) -> Record:
    norm = Norm(
        kind=found.kind,
        axes=tuple(found.axes(module, len(shape))),
        epsilon=getattr(module, found.epsilon),
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        statistics="batch" if found.statistics == "running" and module.training else found.statistics,
        groups=module.num_groups if isinstance(module, nn.GroupNorm) else None,
        guard=getattr(module, "guard", None),
        near_miss=getattr(module, "near_miss", None),
    )
    return norm.record(scope, shape)


def calls(model: nn.Module, inputs: tuple[Tensor, ...]) -> list[Record]:
    """One record per call of a norm module, in the order of the calls."""
    records: list[Record] = []

    def recorder(scope: str, found: Description) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            records.append(_record(scope, module, found, args[0].shape))

        return hook

    handles = [m.register_forward_hook(recorder(s, found)) for s, m, found in norm_modules(model)]
    try:
        with torch.no_grad():
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return records


def merged(runs: Iterable[list[Record]]) -> list[Record]:
    """The records of several runs as one list: a dimension that differs between runs becomes None.

    A call that only some runs make (a branch not taken) is kept. Records pair by scope and its n-th call.
    """
    result: dict[tuple[str, int], Record] = {}
    for run in runs:
        seen: Counter[str] = Counter()
        for record in run:
            key = (record["scope"], seen[record["scope"]])
            seen[record["scope"]] += 1
            known = result.setdefault(key, {**record})
            known["shape"] = [a if a == b else None for a, b in zip(known["shape"], record["shape"], strict=True)]
            for field, value in record.items():
                if field != "shape" and known[field] != value:
                    raise ValueError(f"{record['scope']}: {field} differs between sizes: {known[field]}, {value}")
    return list(result.values())


def scope_of(node: onnx.NodeProto) -> str:
    """The module scope that the exporter wrote into a node's metadata (dynamo) or name (TorchScript)."""
    for entry in node.metadata_props:
        if entry.key == "pkg.torch.onnx.name_scopes":
            scopes: list[str] = ast.literal_eval(entry.value)
            return scopes[-2] if len(scopes) > 1 else ""
    parts: list[str] = []
    for part in node.name.split("/")[1:-1]:
        if parts and part.startswith(parts[-1] + "."):
            parts.pop()  # below a module of a ModuleList, TorchScript repeats that module's own name
        parts.append(part)
    return ".".join(parts)


def add_forms(records: list[Record], model: onnx.ModelProto) -> None:
    """Add to each record "native" where the graph holds that operator for it, else what it is instead.

    As many native nodes as norms of that kind: all are native. Otherwise the exporter's scopes decide.
    Raises ValueError where they don't account for the native nodes.
    """
    everything = [node for part in (model.graph, *model.functions) for node in nodes(part)]
    for kind in sorted({record["kind"] for record in records}):
        same = [record for record in records if record["kind"] == kind]
        scopes = [scope_of(node) for node in everything if node.op_type == kind]
        every = len(scopes) == len(same)
        for record in same:
            spelled = "affine" if record["statistics"] == "running" else "decomposed"
            record["form"] = "native" if every or record["scope"] in scopes else spelled
        # A native node may also be part of another norm: InstanceNormalization inside a GroupNorm.
        foreign = set() if every else set(scopes) - {record["scope"] for record in records}
        if foreign:
            raise ValueError(f"{kind} nodes at no norm that PyTorch called: {sorted(foreign)}")


def silent(model: nn.Module, inputs: Sequence[tuple[Tensor, ...]], rtol: float, atol: float) -> list[str]:
    """The scopes of norms whose output could be 10 % off in places without the model's output leaving the tolerance."""

    def wrong(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        # Every other element: a norm of what is 5 % off as a whole is the same.
        return output * (1 + 0.1 * (torch.arange(output.shape[-1]) % 2)).to(output.dtype)

    result = []
    with torch.no_grad():
        expected = [model(*values) for values in inputs]
        for scope, module, _ in norm_modules(model):
            handle = module.register_forward_hook(wrong)
            actual = [model(*values) for values in inputs]
            handle.remove()
            if all(torch.allclose(a, b, rtol, atol) for a, b in zip(actual, expected, strict=True)):
                result.append(scope)
    return result
