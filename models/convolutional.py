"""The samples whose BatchNormalizations are to be folded: published networks, narrow and shallow.

What stays is said of each: a norm with a ReLU behind it can only become part of what is before it, and only if nothing
else reads that.
"""

from __future__ import annotations

from collections.abc import Callable

from branching import DenseNet, Inception, UNet
from entry import DYNAMO_UNOPTIMIZED, TORCHSCRIPT, Architecture
from manifest import PADDING, SHARED, Input
from mobile import efficientnet, mobilenet_v2, mobilenet_v3
from reparameterized import MobileOne, RepVGG
from residual import Bottleneck, PreActivationResNet, ResNet
from torch import nn
from transformer_models import levit

PIXELS = Input("pixel_values", (1, 3, 32, 32))
UNFOLDED = ((TORCHSCRIPT, 13), (DYNAMO_UNOPTIMIZED, 18))


def he_initialized(model: nn.Module) -> nn.Module:
    """The model with the initialization under which a signal neither grows nor dies (He and others, 2015).

    With PyTorch's own, smaller one, what goes into a deep network's first layers wouldn't show at its end.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight)
    return model


def _sample(
    name: str,
    title: str,
    build: Callable[[], nn.Module],
    kept: tuple[tuple[str, str], ...] = (),
) -> Architecture:
    return Architecture(
        name,
        f"{title}, narrow, BatchNorm not folded",
        lambda: he_initialized(build()),
        (PIXELS,),
        UNFOLDED,
        fold_constants=False,
        kept=kept,
    )


CONVOLUTIONAL: tuple[Architecture, ...] = (
    _sample(
        "resnet50",
        "ResNet-50",
        lambda: ResNet((4, 6, 8, 12), 10, (2, 1, 2, 1), Bottleneck),
    ),
    _sample(
        "preactivation_resnet",
        "ResNet v2 (pre-activation)",
        lambda: PreActivationResNet((8, 12), 10),
        (("blocks.*.bn1", SHARED), ("bn", SHARED)),
    ),
    _sample(
        "mobilenet_v2",
        "MobileNet V2",
        lambda: mobilenet_v2(8, ((1, 6, 1, 1), (4, 8, 2, 2), (4, 12, 2, 2)), 24, 10),
    ),
    _sample(
        "mobilenet_v3",
        "MobileNet V3",
        lambda: mobilenet_v3(
            8,
            (
                (3, 8, 8, False, False, 1),
                (3, 16, 12, False, False, 2),
                (5, 24, 12, True, False, 1),
                (5, 32, 16, True, True, 2),
                (5, 32, 16, True, True, 1),
            ),
            32,
            24,
            10,
        ),
    ),
    _sample(
        "efficientnet",
        "EfficientNet",
        lambda: efficientnet(8, ((1, 3, 1, 8, 1), (4, 3, 2, 8, 2), (4, 5, 2, 12, 2)), 24, 10),
    ),
    _sample(
        "densenet",
        "DenseNet",
        lambda: DenseNet(8, 4, (2, 3), 10),
        (("stages.*.bn1", SHARED), ("stages.1.bn", SHARED), ("bn", SHARED)),
    ),
    _sample("inception", "Inception v3's blocks", lambda: Inception(1, 10, (1, 1))),
    _sample(
        "segmentation_unet",
        "U-Net with ConvTranspose",
        lambda: UNet((6, 8, 12), 4),
        (("input_bn", PADDING),),
    ),
    _sample("levit", "transformers LevitForImageClassification", levit),
    _sample(
        "repvgg",
        "RepVGG in its training form",
        lambda: RepVGG(8, (8, 12), (2, 2), 10),
    ),
    _sample(
        "mobileone",
        "MobileOne in its training form",
        lambda: MobileOne(8, (8, 12), (2, 2), 10, 2),
    ),
)
