"""Architectures at the sizes that are deployed: for models too large to be kept here, see large.py."""

from __future__ import annotations

from typing import Any

from architectures import ConvNeXt, UNetBlock
from catalogue import Architecture
from manifest import Input
from residual import Bottleneck, ResNet
from transformer_models import bert, llama, vit

#: The configurations' own defaults are BERT-base's, ViT-B/16's and 12 layers; 0.02 is what they were trained from.
BASE: dict[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "initializer_range": 0.02,
}
BERT: dict[str, Any] = {**BASE, "vocab_size": 30522, "max_position_embeddings": 512}
VIT: dict[str, Any] = {**BASE, "image_size": 224, "patch_size": 16}
#: LLaMA 3.2's width at 1 billion parameters, in 2 layers of 16, with LLaMA 2's vocabulary.
LLAMA: dict[str, Any] = {
    "vocab_size": 32000,
    "max_position_embeddings": 2048,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 2,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "initializer_range": 0.02,
}

BATCH_AND_SEQUENCE = ((0, "batch", 2), (1, "sequence", 40))


def _tokens(vocabulary: int) -> tuple[Input, ...]:
    return (
        Input("input_ids", (1, 128), vocabulary, BATCH_AND_SEQUENCE),
        Input("attention_mask", (1, 128), 2, BATCH_AND_SEQUENCE),
    )


PIXELS = (Input("pixel_values", (1, 3, 224, 224), dynamic=((0, "batch", 2),)),)
LATENTS = (Input("x", (1, 320, 64, 64), dynamic=((0, "batch", 2),)),)
EXPORTS = (("torchscript", 13),)

FULL_SIZE: tuple[Architecture, ...] = (
    Architecture("bert-base", "BERT-base", lambda: bert(**BERT), _tokens(30522), EXPORTS),
    Architecture("vit-b", "ViT-B/16", lambda: vit(**VIT), PIXELS, EXPORTS),
    Architecture(
        "convnext-t", "ConvNeXt-T", lambda: ConvNeXt((96, 192, 384, 768), (3, 3, 9, 3), 1000), PIXELS, EXPORTS
    ),
    Architecture("llama", "LLaMA, 2 layers of width 2048", lambda: llama(**LLAMA), _tokens(32000), EXPORTS),
    Architecture("unet-block", "diffusion U-Net's block, 320 channels", lambda: UNetBlock(320, 32), LATENTS, EXPORTS),
    Architecture(
        "resnet-50",
        "ResNet-50, BatchNorm not folded",
        lambda: ResNet((64, 128, 256, 512), 1000, (3, 4, 6, 3), Bottleneck),
        PIXELS,
        EXPORTS,
        fold_constants=False,
    ),
)
