"""The samples of further kinds of norms: the spellings of each, and the models that have them."""

from __future__ import annotations

from collections.abc import Callable

from architectures import Spellings
from entry import DYNAMO, DYNAMO_UNOPTIMIZED, TORCHSCRIPT, Architecture
from further_transformers import gemma, gpt2, qwen, swin, whisper
from kind_networks import (
    AdaptiveBlock,
    FrozenBackbone,
    GatedMixer,
    Intertwined,
    RootMeanSquares,
    StyleTransfer,
    UnitLengths,
    Unmixed,
    Volumes,
)
from manifest import ALONE, Input
from spellings import SPELLINGS
from torch import nn
from transformer_models import VOCABULARY
from written_norms import RMS_SPELLINGS, float_inside, float_throughout

NEWEST = 25
SEQUENCES = Input("x", (2, 7, 16), dynamic=((0, "batch", 3), (1, "sequence", 4)))
STATIC = Input("x", (2, 7, 16))
BATCH_AND_SEQUENCE = ((0, "batch", 3), (1, "sequence", 13))
TOKENS = (
    Input("input_ids", (2, 9), VOCABULARY, BATCH_AND_SEQUENCE),
    Input("attention_mask", (2, 9), 2, BATCH_AND_SEQUENCE),
)
PIXELS = Input("pixel_values", (1, 3, 32, 32))


def _sample(
    name: str,
    title: str,
    build: Callable[[], nn.Module],
    inputs: tuple[Input, ...],
    torchscript: tuple[int, ...] = (13, 20),
    dynamo: tuple[int, ...] = (18, NEWEST),
    unoptimized: tuple[int, ...] = (),
    dtype: str = "float32",
    kept: tuple[tuple[str, str], ...] = (),
) -> Architecture:
    exports = (
        *((TORCHSCRIPT, opset) for opset in torchscript),
        *((DYNAMO, opset) for opset in dynamo),
        *((DYNAMO_UNOPTIMIZED, opset) for opset in unoptimized),
    )
    return Architecture(name, title, build, inputs, exports, dtype=dtype, kept=kept)


KINDS: tuple[Architecture, ...] = (
    _sample(
        "rms_spellings",
        "hand-written RMSNorms, and one with epsilon outside the root",
        lambda: RootMeanSquares(16),
        (SEQUENCES,),
        torchscript=(11, 13, 17, 20),
        dynamo=(18, 23, NEWEST),
        unoptimized=(18, NEWEST),
    ),
    _sample(
        "rms_spellings_half",
        "hand-written RMSNorms in float16, two with float32 inside",
        lambda: RootMeanSquares(16, near_miss=False),
        (STATIC,),
        torchscript=(13,),
        dtype="float16",
    ),
    _sample(
        "rms_spellings_bfloat16",
        "RMSNorms in bfloat16 with float32 inside, and no other operator",
        lambda: Unmixed(16, (float_inside, float_throughout)),
        (STATIC,),
        torchscript=(13,),
        dtype="bfloat16",
    ),
    _sample(
        "rms_spellings_double",
        "hand-written RMSNorms in float64",
        lambda: RootMeanSquares(16, RMS_SPELLINGS[:5], near_miss=False),
        (STATIC,),
        torchscript=(13,),
        dtype="float64",
    ),
    _sample(
        "spellings_double",
        "hand-written LayerNorms in float64",
        lambda: Spellings(16, SPELLINGS[::3]),
        (STATIC,),
        torchscript=(13,),
        dtype="float64",
    ),
    _sample(
        "intertwined",
        "two LayerNorms that share their statistics, and a LayerNorm of a LayerNorm",
        lambda: Intertwined(16),
        (SEQUENCES,),
        torchscript=(11, 13, 20),
        unoptimized=(18,),
    ),
    _sample(
        "adaptive",
        "a block of DiT: adaptive LayerNorm",
        lambda: AdaptiveBlock(16, 2),
        (STATIC, Input("condition", (2, 16))),
        torchscript=(14, 20),
    ),
    _sample("gated", "Mamba-2's gated RMSNorm", lambda: GatedMixer(16), (STATIC,)),
    _sample(
        "style_transfer",
        "convolutions with InstanceNorm, PyTorch's and hand-written",
        lambda: StyleTransfer(4),
        (Input("x", (2, 4, 8, 8), dynamic=((0, "batch", 3),)),),
        torchscript=(11, 13, 20),
    ),
    _sample(
        "frozen_batch_norm",
        "a detector's stem with frozen BatchNorms",
        lambda: FrozenBackbone(6),
        (Input("pixel_values", (1, 3, 8, 8)),),
        kept=(("last_norm", ALONE),),
    ),
    _sample(
        "unit_lengths",
        "F.normalize, and vectors divided by their lengths by hand",
        lambda: UnitLengths(5, 16),
        (Input("x", (2, 5, 16)),),
        torchscript=(11, 13, 20),
        unoptimized=(18,),
    ),
    _sample(
        "volumes",
        "GroupNorm and InstanceNorm with three and with one dimension behind the channels",
        lambda: Volumes(4, 2),
        (Input("x", (2, 4, 3, 4, 5)),),
        dynamo=(18, 21, NEWEST),
    ),
    _sample("gemma", "transformers GemmaModel, 1 layer, width 24", gemma, TOKENS, torchscript=(14,), dynamo=(NEWEST,)),
    _sample("qwen", "transformers Qwen3Model, 1 layer, width 24", qwen, TOKENS, torchscript=(14,), dynamo=(18,)),
    _sample("gpt2", "transformers GPT2Model, 1 layer, width 24", gpt2, TOKENS, torchscript=(14,), dynamo=()),
    _sample("swin", "transformers SwinModel, widths 8 and 16", swin, (PIXELS,), torchscript=(14,), dynamo=()),
    _sample(
        "whisper",
        "transformers WhisperEncoder, 1 layer, width 24",
        whisper,
        (Input("input_features", (1, 8, 32)),),
        torchscript=(13,),
        dynamo=(),
    ),
)
