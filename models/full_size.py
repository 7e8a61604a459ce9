"""Architectures at the sizes that are deployed: for models too large to be kept here, see large.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from architectures import ConvNeXt, UNetBlock
from branching import DenseNet, Inception, UNet
from entry import Architecture
from manifest import Input
from mobile import efficientnet, mobilenet_v2, mobilenet_v3
from reparameterized import MobileOne, RepVGG
from residual import Bottleneck, PreActivationResNet, ResNet
from torch import nn
from transformer_models import bert, levit, llama, vit

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


def _convolutional(name: str, title: str, build: Callable[[], nn.Module], side: int = 224) -> Architecture:
    pixels = Input("pixel_values", (1, 3, side, side), dynamic=((0, "batch", 2),))
    return Architecture(
        name,
        f"{title}, BatchNorm not folded",
        build,
        (pixels,),
        EXPORTS,
        fold_constants=False,
    )


# Rows as the papers have them: see the functions that take them.
MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
MOBILENET_V3_LARGE = (
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
)
EFFICIENTNET_B0 = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
#: LeViT-128S.
LEVIT: dict[str, Any] = {
    "image_size": 224,
    "hidden_sizes": [128, 256, 384],
    "num_attention_heads": [4, 6, 8],
    "depths": [2, 3, 4],
    "key_dim": [16, 16, 16],
    "num_labels": 1000,
    "initializer_range": 0.05,
}
WIDTHS = (64, 128, 256, 512)
REPVGG_A0 = (48, 96, 192, 1280)
MOBILEONE_S0 = (48, 128, 256, 1024)

CONVOLUTIONAL: tuple[Architecture, ...] = (
    _convolutional("resnet-18", "ResNet-18", lambda: ResNet(WIDTHS, 1000)),
    _convolutional("resnet-50", "ResNet-50", lambda: ResNet(WIDTHS, 1000, (3, 4, 6, 3), Bottleneck)),
    _convolutional("resnet-18-v2", "ResNet-18 v2 (pre-activation)", lambda: PreActivationResNet(WIDTHS, 1000), 64),
    _convolutional("mobilenet-v2", "MobileNet V2", lambda: mobilenet_v2(32, MOBILENET_V2, 1280, 1000)),
    _convolutional("mobilenet-v3", "MobileNet V3 large", lambda: mobilenet_v3(16, MOBILENET_V3_LARGE, 960, 1280, 1000)),
    _convolutional("efficientnet-b0", "EfficientNet-B0", lambda: efficientnet(32, EFFICIENTNET_B0, 1280, 1000)),
    _convolutional("densenet-121", "DenseNet-121", lambda: DenseNet(64, 32, (6, 12, 24, 16), 1000)),
    _convolutional("inception", "Inception v3's first two stages", lambda: Inception(16, 1000)),
    _convolutional("unet", "U-Net with ConvTranspose", lambda: UNet(WIDTHS, 21), 128),
    _convolutional("levit-128s", "LeViT-128S", lambda: levit(**LEVIT)),
    _convolutional("repvgg-a0", "RepVGG-A0 in training form", lambda: RepVGG(48, REPVGG_A0, (2, 4, 14, 1), 1000)),
    _convolutional(
        "mobileone-s0",
        "MobileOne-S0 in training form",
        lambda: MobileOne(48, MOBILEONE_S0, (2, 8, 10, 1), 1000, 4),
    ),
)

_DEPLOYED: tuple[Architecture, ...] = (
    Architecture("bert-base", "BERT-base", lambda: bert(**BERT), _tokens(30522), EXPORTS),
    Architecture("vit-b", "ViT-B/16", lambda: vit(**VIT), PIXELS, EXPORTS),
    Architecture(
        "convnext-t", "ConvNeXt-T", lambda: ConvNeXt((96, 192, 384, 768), (3, 3, 9, 3), 1000), PIXELS, EXPORTS
    ),
    Architecture("llama", "LLaMA, 2 layers of width 2048", lambda: llama(**LLAMA), _tokens(32000), EXPORTS),
    Architecture("unet-block", "diffusion U-Net's block, 320 channels", lambda: UNetBlock(320, 32), LATENTS, EXPORTS),
    *CONVOLUTIONAL,
)

#: With the epsilons that they are trained with: the same in all layers, as in what is deployed.
FULL_SIZE = tuple(replace(architecture, drawn_epsilons=False) for architecture in _DEPLOYED)
