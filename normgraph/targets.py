"""What each runtime has: the table of targets.

A new target is a row of `TARGETS`, a new operator of one an entry in that row. The entries of ONNX Runtime's
CPU provider were measured, the others read in sources and documentation; `source` says which.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import onnx_ir as ir

from normgraph import lengths, operators, regrouping, statistics
from normgraph.errors import UsageError
from normgraph.lowering import Demand, Operator, Target

_F16, _BF16, _F32, _F64 = (
    frozenset({dtype}) for dtype in (ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.FLOAT, ir.DataType.DOUBLE)
)
_ALL = _F16 | _BF16 | _F32 | _F64
_LAYER = ("LayerNormalization", 17)
_RMS = ("RMSNormalization", 23)
_GROUP = ("GroupNormalization", 21)
_INSTANCE = ("InstanceNormalization", 6)
_LP = ("LpNormalization", 1)
_BATCH = ("BatchNormalization", 9)
_MVN = ("MeanVarianceNormalization", 9)

#: x/max(‖x‖, ε) and its like, for which the standard has no operator, in as few nodes as can be.
_GUARDED = (
    Operator(
        "ReduceL2–Max–Div", 18, _F32 | _F64, lengths.guarded(axes_are_input=True), worth_raising=False, bounds=True
    ),
    Operator("ReduceL2–Max–Div", 8, _F32 | _F64, lengths.guarded(axes_are_input=False), until=17, bounds=True),
)

_STANDARD: Mapping[str, tuple[Operator, ...]] = {
    "LayerNormalization": (
        Operator(*_LAYER, _ALL, operators.layer_normalization, provide=statistics.of_layer_normalization),
    ),
    "RMSNormalization": (Operator(*_RMS, _ALL, operators.rms_normalization, worth_raising=False),),
    "GroupNormalization": (Operator(*_GROUP, _ALL, operators.group_normalization, worth_raising=False),),
    "InstanceNormalization": (
        Operator(*_INSTANCE, _F16 | _F32 | _F64, operators.instance_normalization),
        Operator("InstanceNormalization", 22, _BF16, operators.instance_normalization, worth_raising=False),
    ),
    "LpNormalization": (
        Operator(*_LP, _F16 | _F32 | _F64, lengths.lp_normalization),
        Operator("LpNormalization", 22, _BF16, lengths.lp_normalization, worth_raising=False),
        *_GUARDED,
    ),
    "BatchNormalization": (
        Operator(*_BATCH, _F16 | _F32 | _F64, operators.batch_normalization),
        Operator("BatchNormalization", 14, _BF16, operators.batch_normalization),
    ),
    "MeanVarianceNormalization": (
        Operator(*_MVN, _F16 | _F32 | _F64, operators.mean_variance_normalization),
        Operator("MeanVarianceNormalization", 13, _BF16, operators.mean_variance_normalization),
    ),
}

_SIMPLIFIED = Operator("SimplifiedLayerNormalization", 1, _ALL, operators.simplified_layer_normalization, contrib=True)
_REGROUPED = Operator(
    "Reshape–InstanceNormalization–Reshape", 6, _F16 | _F32, regrouping.grouped_instance_normalization
)

#: How fast operators of ONNX Runtime's CPU provider are beside the nodes that they replace, its own optimizations all
#: on: the figures of benchmarks/operators.py (docs/performance.md), with the version that they were measured on.
_CPU_SPEED: Mapping[str, str] = {
    "BatchNormalization": "1.9× the nodes' speed (1.32)",
    "GroupNormalization": "1.2–1.6× the nodes' speed, where GroupNormalization-21 has 0.7–0.8× (1.32)",
    "InstanceNormalization": "2.7–3.4× the nodes' speed (1.32)",
    "LayerNormalization": "1.9–3.7× the nodes' speed, 1.0× where the runtime fuses them itself (1.32)",
    "RMSNormalization": "1.6–3.1× the nodes' speed, 1.0× where the runtime fuses them itself (1.32)",
}
_LOSING = (
    "it has no InstanceNormalization of doubles, and its LayerNormalization with a scale per channel loses half of "
    "their digits where the mean is far from zero (1.32)"
)
_ONLY = "the one operator for it that takes bfloat16, not timed (1.32)"
#: The table of targets.
TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target("onnx", "the ONNX standard", _STANDARD, {}),
        Target(
            "onnxruntime",
            "ONNX Runtime's CPU provider, measured on 1.32",
            {
                kind: tuple(
                    operator if operator.measured else replace(operator, measured=_CPU_SPEED[kind])
                    for operator in entries
                )
                for kind, entries in {
                    "BatchNormalization": (Operator(*_BATCH, _F32 | _F64, operators.batch_normalization),),
                    "LayerNormalization": (
                        Operator(
                            *_LAYER,
                            _ALL,
                            operators.layer_normalization,
                            provide=statistics.of_layer_normalization,
                            declined=_F64,
                            because="its LayerNormalization of doubles has 0.3–0.9× the nodes' speed (1.32)",
                        ),
                    ),
                    "RMSNormalization": (
                        _SIMPLIFIED,
                        Operator(*_RMS, _F16 | _F32 | _F64, operators.rms_normalization, since=(1, 23)),
                    ),
                    # In float16 the runtime puts casts around InstanceNormalization, and is still 1.2–2.7× as fast.
                    "GroupNormalization": (
                        _REGROUPED,
                        Operator(
                            "Reshape–LayerNormalization–Reshape",
                            17,
                            _BF16 | _F64,
                            regrouping.grouped_layer_normalization,
                            measured=_ONLY,
                            declined=_F64,
                            because=_LOSING,
                        ),
                    ),
                    "InstanceNormalization": (
                        Operator(*_INSTANCE, _F16 | _F32, operators.instance_normalization),
                        Operator(
                            *_LAYER,
                            _BF16 | _F64,
                            regrouping.layer_normalization_of_instances,
                            measured=_ONLY,
                            declined=_F64,
                            because=_LOSING,
                        ),
                    ),
                }.items()
            }
            | {"LpNormalization": _GUARDED},
            {
                "LpNormalization": "its LpNormalization has 0.5–1.1× the nodes' speed (1.32)",
                "MeanVarianceNormalization": "its MeanVarianceNormalization kernel leaves the epsilon out",
            },
            provable=True,
        ),
        Target(
            "onnxruntime-cuda",
            "ONNX Runtime's CUDA provider, read in its sources",
            {
                "BatchNormalization": (Operator(*_BATCH, _F16 | _F32 | _F64, operators.batch_normalization),),
                "LayerNormalization": (
                    Operator(*_LAYER, _ALL, operators.layer_normalization, provide=statistics.of_layer_normalization),
                ),
                "RMSNormalization": (
                    _SIMPLIFIED,
                    Operator(*_RMS, _F16 | _F32 | _F64, operators.rms_normalization, worth_raising=False),
                ),
                "GroupNormalization": (replace(_REGROUPED, dtypes=_F16 | _F32 | _F64),),
                "LpNormalization": _GUARDED,
                "InstanceNormalization": (Operator(*_INSTANCE, _F16 | _F32 | _F64, operators.instance_normalization),),
            },
            {},
        ),
        Target(
            "tensorrt",
            "TensorRT's ONNX parser, read in its operator list",
            {
                "BatchNormalization": (Operator(*_BATCH, _F16 | _F32, operators.batch_normalization),),
                "LayerNormalization": (
                    Operator(*_LAYER, _F16 | _BF16 | _F32, operators.layer_normalization, since=(8, 6)),
                ),
                "RMSNormalization": (
                    Operator(
                        *_RMS,
                        _F16 | _BF16 | _F32,
                        operators.rms_normalization,
                        since=(10, 15),
                        worth_raising=False,
                    ),
                ),
                "GroupNormalization": (
                    Operator(
                        *_GROUP,
                        _F16 | _F32,
                        operators.group_normalization,
                        since=(10, 9),
                        worth_raising=False,
                    ),
                ),
                "InstanceNormalization": (Operator(*_INSTANCE, _F16 | _F32, operators.instance_normalization),),
                "LpNormalization": (Operator(*_LP, _F16 | _F32, lengths.lp_normalization), *_GUARDED),
            },
            {},
        ),
        Target(
            "openvino",
            "OpenVINO's ONNX frontend, measured on 2026.4",
            {
                "BatchNormalization": (Operator(*_BATCH, _F16 | _F32, operators.batch_normalization),),
                "LayerNormalization": (Operator(*_LAYER, _F16 | _F32, operators.layer_normalization),),
                "RMSNormalization": (Operator(*_RMS, _F16 | _F32, operators.rms_normalization, worth_raising=False),),
                "GroupNormalization": (
                    Operator(*_GROUP, _F16 | _F32, operators.group_normalization, worth_raising=False),
                ),
                "InstanceNormalization": (Operator(*_INSTANCE, _F16 | _F32, operators.instance_normalization),),
                "LpNormalization": (Operator(*_LP, _F16 | _F32, lengths.lp_normalization), *_GUARDED),
            },
            {},
        ),
        Target(
            "directml",
            "ONNX Runtime's DirectML provider, read in its operator list",
            {
                "BatchNormalization": (Operator(*_BATCH, _F16 | _F32, operators.batch_normalization),),
                "LayerNormalization": (Operator(*_LAYER, _F16 | _F32, operators.layer_normalization),),
                "GroupNormalization": (
                    Operator(*_GROUP, _F16 | _F32, operators.group_normalization, worth_raising=False),
                ),
                "InstanceNormalization": (Operator(*_INSTANCE, _F16 | _F32, operators.instance_normalization),),
                "LpNormalization": (Operator(*_LP, _F16 | _F32, lengths.lp_normalization), *_GUARDED),
                "MeanVarianceNormalization": (
                    Operator("MeanVarianceNormalization", 13, _F16 | _F32, operators.mean_variance_normalization),
                ),
            },
            {},
        ),
        Target(
            "coreml",
            "ONNX Runtime's CoreML provider (MLProgram), read in its operator list",
            {
                "BatchNormalization": (Operator(*_BATCH, _F16 | _F32, operators.batch_normalization),),
                "LayerNormalization": (Operator(*_LAYER, _F16 | _F32, operators.layer_normalization),),
                "GroupNormalization": (
                    Operator(*_GROUP, _F16 | _F32, operators.group_normalization, worth_raising=False),
                ),
                "InstanceNormalization": (Operator(*_INSTANCE, _F16 | _F32, operators.instance_normalization),),
            },
            {},
        ),
    )
}
DEFAULT_TARGET = "onnxruntime"


def demand(text: str, *, contrib: bool = False) -> Demand:
    """What `--target` asks for: a name of the table, with a version behind an @ where it matters.

    Raises:
        UsageError: there is no such target, or the version isn't one.

    >>> demand("tensorrt@10.9").version
    (10, 9)
    """
    name, _, version = text.partition("@")
    if name not in TARGETS:
        raise UsageError(f"there is no target '{name}': choose one of {', '.join(TARGETS)}")
    if "@" in text and not re.fullmatch(r"\d+(\.\d+)*", version):
        raise UsageError(f"'{version}' is no version of {name}: write it as in {name}@10.9")
    parts = tuple(int(part) for part in version.split(".")) if version else ()
    return Demand(TARGETS[name], parts, contrib)
