"""MobileNet as paddle.vision builds it, narrow, as a network of its BatchNormalizations."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
from network import Call, Draw, Network, Sample, Site
from paddle import nn
from paddle_networks import described, randomize

PIXELS = (2, 3, 32, 32)


class Routed(nn.Layer):  # type: ignore[misc]  # Paddle has no types
    """In the place of a norm: a call of it by way of the network, under its name."""

    def __init__(self, scope: str, current: list[Call]) -> None:
        super().__init__()
        self.scope, self.current = scope, current

    def forward(self, x: Any) -> Any:
        """Any shape, which the output keeps."""
        return self.current[0](self.scope, x)


class Application(nn.Layer):  # type: ignore[misc]  # Paddle has no types
    """A model whose norms are routed."""

    def __init__(self, model: nn.Layer, current: list[Call]) -> None:
        super().__init__()
        self.model, self.current = model, current

    def forward(self, call: Call, x: Any) -> Any:
        """As Network has it."""
        self.current[:] = [call]
        return self.model(x)


def application(model: nn.Layer, name: str) -> Network:
    """A model with random parameters, which follow from a name."""
    draw, current = Draw(name), list[Call]()
    sites: dict[str, Site] = {}
    for scope, found in list(model.named_sublayers()):
        if isinstance(found, nn.Conv2D):  # large enough for what goes into 27 layers to show at their end
            outputs, *fan = found.weight.shape
            drawn = 2.0 * draw.weight(*fan, outputs)
            found.weight.set_value(np.moveaxis(drawn, -1, 0).astype(np.float32))
        elif isinstance(found, nn.BatchNorm2D):
            found._epsilon = draw.epsilon()
            randomize(draw, found)
            parameters = sum(int(tensor.size) for tensor in found.parameters() if not tensor.stop_gradient)
            sites[scope] = Site(found, described(found, found._epsilon, parameters))
            parent, _, attribute = scope.rpartition(".")
            holder = model
            for part in parent.split("."):
                holder = getattr(holder, part)
            setattr(holder, attribute, Routed(scope, current))
    model.eval()
    return Network(sites, Application(model, current))


def mobilenet() -> Network:
    """MobileNet at a tenth of its width."""
    return application(paddle.vision.models.MobileNetV1(scale=0.1, num_classes=10), "paddle_mobilenet")


SAMPLES: tuple[Sample, ...] = (
    Sample(
        "paddle_mobilenet",
        "paddle.vision MobileNet, narrow",
        mobilenet,
        PIXELS,
        (("paddle2onnx", 15), ("paddle2onnx-polygraphy", 11)),
    ),
)
