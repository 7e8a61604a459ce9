"""The samples: each architecture with its inputs, and the exporters and opsets that it is exported with."""

from __future__ import annotations

from architectures import (
    Conditional,
    ConvNeXt,
    ExportedConditional,
    HalfSpellings,
    ImageSpellings,
    NearMisses,
    Perceptron,
    Spellings,
    UNetBlock,
)
from convolutional import CONVOLUTIONAL
from entry import DYNAMO, DYNAMO_DECOMPOSED, DYNAMO_UNOPTIMIZED, TORCHSCRIPT, Architecture
from kinds import KINDS
from manifest import ALONE, Input
from residual import ResNet
from torch import nn
from transformer_models import VOCABULARY, bert, convnext, llama, t5, vit

TOKENS = Input("input_ids", (2, 9), VOCABULARY)
MASK = Input("attention_mask", (2, 9), 2)
BATCH_AND_SEQUENCE = ((0, "batch", 3), (1, "sequence", 13))
DYNAMIC_TOKENS = Input("input_ids", (2, 9), VOCABULARY, BATCH_AND_SEQUENCE)
DYNAMIC_MASK = Input("attention_mask", (2, 9), 2, BATCH_AND_SEQUENCE)
SENTENCES = Input("embedding", (20, 5, 10))
IMAGES = Input("images", (20, 5, 10, 10))
PIXELS = Input("pixel_values", (1, 3, 32, 32))
DYNAMIC_PIXELS = Input("pixel_values", (2, 3, 32, 32), dynamic=((0, "batch", 3),))


def _exports(torchscript: tuple[int, ...] = (), dynamo: tuple[int, ...] = ()) -> tuple[tuple[str, int], ...]:
    return tuple((TORCHSCRIPT, n) for n in torchscript) + tuple((DYNAMO, n) for n in dynamo)


NEWEST = 25  # that torch 2.13's dynamo exporter reaches; asked for 26, it writes 18 and only logs that
BOTH = _exports((13, 17), (18, NEWEST))

CATALOGUE: tuple[Architecture, ...] = (
    Architecture(
        "layer_norm_sentences",
        "nn.LayerNorm(10)",
        lambda: nn.LayerNorm(10),
        (SENTENCES,),
        _exports((13,), (18,)),
    ),
    Architecture(
        "layer_norm_images",
        "nn.LayerNorm([5, 10, 10])",
        lambda: nn.LayerNorm([5, 10, 10]),
        (IMAGES,),
        _exports((13,), (18,)),
    ),
    Architecture(
        "batch_norm_images",
        "nn.BatchNorm2d(5)",
        lambda: nn.BatchNorm2d(5),
        (IMAGES,),
        _exports((13,), (18,)),
        kept=(("", ALONE),),
    ),
    Architecture(
        "batch_norm_training_images",
        "nn.BatchNorm2d(5), training",
        lambda: nn.BatchNorm2d(5),
        (IMAGES,),
        _exports((15,)),
        training=True,
        fold_constants=False,
    ),
    Architecture(
        "bert",
        "transformers BertModel, 2 layers, width 48",
        bert,
        (TOKENS, MASK),
        (*_exports((11, 13, 16, 17), (18, NEWEST)), (DYNAMO_DECOMPOSED, 18)),
    ),
    Architecture(
        "bert_dynamic",
        "transformers BertModel, 2 layers, width 48, dynamic batch and sequence",
        bert,
        (DYNAMIC_TOKENS, DYNAMIC_MASK),
        BOTH,
    ),
    Architecture(
        "bert_half",
        "transformers BertModel, 2 layers, width 48, float16",
        bert,
        (TOKENS,),
        _exports((11, 13, 17), (18,)),
        dtype="float16",
    ),
    Architecture(
        "vit",
        "transformers ViTModel, 2 layers, width 48",
        vit,
        (PIXELS,),
        (*_exports((11, 13, 16, 17), (18, NEWEST)), (DYNAMO_DECOMPOSED, 18)),
    ),
    Architecture(
        "convnext",
        "ConvNeXt as published: channels-first LN in stem and downsampling, permuted LN in blocks",
        lambda: ConvNeXt((16, 24, 32), (2, 2, 2), 10),
        (DYNAMIC_PIXELS,),
        _exports((11, 13, 16, 17), (18, NEWEST)),
    ),
    Architecture(
        "convnext_permuted",
        "transformers ConvNextModel: every LN on a permuted tensor",
        convnext,
        (PIXELS,),
        BOTH,
    ),
    Architecture(
        "spellings",
        "hand-written LayerNorms over the last axis",
        lambda: Spellings(16),
        (Input("x", (2, 7, 16), dynamic=((0, "batch", 3), (1, "sequence", 4))),),
        (*_exports((11, 13, 17), (18, NEWEST)), (DYNAMO_UNOPTIMIZED, 18)),
    ),
    Architecture(
        "spellings_image",
        "hand-written LayerNorms over channels, plane and image",
        lambda: ImageSpellings(6, 8),
        (Input("x", (2, 6, 8, 8)),),
        BOTH,
    ),
    Architecture(
        "spellings_half",
        "LayerNorms in float16: PyTorch's, float32 inside, all half",
        lambda: HalfSpellings(16),
        (Input("x", (2, 7, 16)),),
        BOTH,
        dtype="float16",
    ),
    Architecture(
        "near_misses",
        "epsilon outside the square root, beside one LayerNorm",
        lambda: NearMisses(16),
        (Input("x", (2, 7, 16)),),
        _exports((13,), (18,)),
    ),
    Architecture(
        "conditional",
        "LayerNorms in both branches of an If (torch.jit.script)",
        lambda: Conditional(16),
        (Input("x", (3, 16)),),
        _exports((13, 17)),
        scripted=True,
    ),
    Architecture(
        "conditional_exported",
        "LayerNorms in both branches of an If (torch.cond)",
        lambda: ExportedConditional(16),
        (Input("x", (3, 16)),),
        ((DYNAMO, 18), (DYNAMO_DECOMPOSED, 18)),
    ),
    Architecture(
        "functions",
        "LayerNorms as calls of local functions",
        lambda: Perceptron(16),
        (Input("x", (3, 16)),),
        _exports((15,)),
        functions=(nn.LayerNorm,),
    ),
    Architecture(
        "resnet",
        "ResNet-18 structure, narrow, BatchNorm not folded",
        lambda: ResNet((8, 12, 16, 24), 10),
        (PIXELS,),
        (*_exports((11, 13)), (DYNAMO_UNOPTIMIZED, 18)),
        fold_constants=False,
    ),
    Architecture(
        "llama",
        "transformers LlamaModel, 2 layers, width 48",
        llama,
        (TOKENS, MASK),
        _exports((13,), (18, NEWEST)),
    ),
    Architecture("t5", "transformers T5EncoderModel, 2 layers, width 48", t5, (TOKENS,), _exports((13,), (18,))),
    Architecture(
        "rms_norm_sentences",
        "nn.RMSNorm(10)",
        lambda: nn.RMSNorm(10),
        (SENTENCES,),
        _exports((), (18, NEWEST)),
    ),
    Architecture(
        "unet",
        "U-Net residual block with GroupNorm, convolutions with InstanceNorm",
        lambda: UNetBlock(8, 4),
        (Input("x", (2, 8, 16, 16)),),
        _exports((13, 17), (18, 21, NEWEST)),
    ),
    *CONVOLUTIONAL,
    *KINDS,
)
