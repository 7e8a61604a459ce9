"""MobileNet of Keras 3 and Keras 2 and ResNet of Keras 3, narrow: models as `keras.applications` builds them.

TensorFlow's optimizer folds most of their BatchNormalizations into convolutions.  What it leaves differs between the
versions of Keras: a Mul and an Add of constants behind a depthwise convolution, or the operator.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
import onnx
import tf_keras
from keras.src.applications import resnet as keras_resnet
from keras_networks import TF2ONNX, described
from network import Call, Draw, FloatArray, Network, Sample, Site

PIXELS = (2, 32, 32, 3)
CLASSES = 10


def application(build: Callable[[], Any], name: str) -> Network:
    """A model with random parameters, which follow from a name, as a network of its BatchNormalizations."""
    model, draw = build(), Draw(name)
    current: list[Call] = []
    sites: dict[str, Site] = {}
    for found in model.layers:
        if type(found).__name__ == "BatchNormalization":
            found.epsilon = draw.epsilon()
        for weight in found.weights:
            weight.assign(_parameter(draw, weight, type(found).__name__.startswith("Depthwise")))
        if type(found).__name__ == "BatchNormalization":
            sites[found.name] = Site(found.call, described(found, 4))
            found.call = partial(_called, current, found.name)

    def forward(call: Call, x: Any) -> Any:
        current[:] = [call]
        return model(x, training=False)

    return Network(sites, forward, form_of=form_of)


def _called(current: list[Call], scope: str, inputs: Any, training: Any = None, mask: Any = None) -> Any:
    """A layer's call, by way of the network."""
    return current[0](scope, inputs)


def _parameter(draw: Draw, weight: Any, depthwise: bool) -> FloatArray:
    """Random numbers in the place of a weight, twice the variance before a ReLU: see He and others, 2015."""
    name, shape = weight.name.split("/")[-1].split(":")[0], tuple(weight.shape)
    if name in ("gamma", "beta", "moving_mean", "moving_variance", "bias"):
        made = {"gamma": draw.gain, "moving_variance": draw.variance}.get(name, draw.bias)
        return made(*shape)
    fan = shape[:-2] if depthwise else shape[:-1]
    return (np.sqrt(2.0) * draw.weight(*fan, int(np.prod(shape[len(fan) :])))).reshape(shape).astype(np.float32)


def form_of(scope: str, proto: onnx.ModelProto) -> str:
    """What became of a layer in the graph, where nodes have its name in theirs."""
    mark = re.compile(rf"/{re.escape(scope)}(_\d+)?/")
    operators = {node.op_type for node in proto.graph.node if mark.search(node.name)}
    if "BatchNormalization" in operators:
        return "native"
    return "affine" if {"Mul", "Add"} <= operators else "folded"


def mobilenet(library: Any) -> Any:
    """MobileNet at a tenth of its width."""
    return library.applications.MobileNet(
        input_shape=PIXELS[1:], alpha=0.1, weights=None, classes=CLASSES, classifier_activation=None
    )


def resnet() -> Any:
    """ResNet of three bottlenecks, narrow but for its stem."""

    def stacks(x: Any) -> Any:
        x = keras_resnet.stack_residual_blocks_v1(x, 4, 2, stride1=1, name="conv2")
        return keras_resnet.stack_residual_blocks_v1(x, 6, 1, name="conv3")

    return keras_resnet.ResNet(
        stacks, False, True, weights=None, input_shape=PIXELS[1:], classes=CLASSES, classifier_activation=None
    )


def _sample(name: str, title: str, build: Callable[[], Any]) -> Sample:
    return Sample(name, title, partial(application, build, name), PIXELS, ((TF2ONNX, 13),))


SAMPLES: tuple[Sample, ...] = (
    _sample("keras3_mobilenet", "keras.applications MobileNet, narrow", partial(mobilenet, keras)),
    _sample("keras2_mobilenet", "Keras 2's MobileNet, narrow", partial(mobilenet, tf_keras)),
    _sample("keras3_resnet", "keras.applications ResNet, narrow", resnet),
)
