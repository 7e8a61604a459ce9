"""Networks of TensorFlow's and Keras's norms: layers of Keras 3 and Keras 2, and norms written with tf.nn.

Tensors are channels last, N×T×C or N×H×W×C.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf_keras
from manifest import ALONE, SHARED, Norm
from network import Call, Draw, FloatArray, Network, Sample, Site

Axes = tuple[int, ...]
Spelling = Callable[[Any, Axes, float, Any, Any], Any]  # x, axes, epsilon, gain, bias
TF2ONNX = "tf2onnx"
WIDTH = 16
SENTENCES = (2, 7, WIDTH)
IMAGES = (2, 6, 6, 8)
#: ε of layers and functions that don't let it be chosen.
UNIT_EPSILON = 1e-12


def moments(x: Any, axes: Axes, epsilon: float, gain: Any, bias: Any) -> Any:
    """tf.nn.moments, and a reciprocal root."""
    mean, variance = tf.nn.moments(x, axes, keepdims=True)
    return (x - mean) * tf.math.rsqrt(variance + epsilon) * gain + bias


def moments_and_batch_normalization(x: Any, axes: Axes, epsilon: float, gain: Any, bias: Any) -> Any:
    """tf.nn.moments and tf.nn.batch_normalization: x·(r·γ) + (β − μ·r·γ)."""
    mean, variance = tf.nn.moments(x, axes, keepdims=True)
    return tf.nn.batch_normalization(x, mean, variance, bias, gain, epsilon)


def weighted_moments(x: Any, axes: Axes, epsilon: float, gain: Any, bias: Any) -> Any:
    """tf.nn.weighted_moments where all weights are one."""
    mean, variance = tf.nn.weighted_moments(x, axes, tf.ones_like(x), keepdims=True)
    return (x - mean) / tf.sqrt(variance + epsilon) * gain + bias


def sufficient_statistics(x: Any, axes: Axes, epsilon: float, gain: Any, bias: Any) -> Any:
    """Count, sum and sum of squares, then E[x²] − μ²."""
    statistics = tf.nn.sufficient_statistics(x, axes, keepdims=True)
    mean, variance = tf.nn.normalize_moments(*statistics)
    return (x - mean) * tf.math.rsqrt(variance + epsilon) * gain + bias


def reduced_variance(x: Any, axes: Axes, epsilon: float, gain: Any, bias: Any) -> Any:
    """tf.math.reduce_variance, and a quotient by the root."""
    variance = tf.math.reduce_variance(x, axes, keepdims=True)
    return (x - tf.reduce_mean(x, axes, keepdims=True)) / tf.sqrt(variance + epsilon) * gain + bias


def deviation_squared(x: Any, axes: Axes, epsilon: float, gain: Any, bias: Any) -> Any:
    """The variance as the square of tf.math.reduce_std."""
    deviation = tf.math.reduce_std(x, axes, keepdims=True)
    centred = x - tf.reduce_mean(x, axes, keepdims=True)
    return centred / tf.sqrt(tf.square(deviation) + epsilon) * gain + bias


def squared_difference(x: Any, axes: Axes, epsilon: float, gain: Any, bias: Any) -> Any:
    """tf.math.squared_difference, and a power of −½."""
    mean = tf.reduce_mean(x, axes, keepdims=True)
    variance = tf.reduce_mean(tf.math.squared_difference(x, mean), axes, keepdims=True)
    return gain * (x - mean) * (variance + epsilon) ** -0.5 + bias


def divided_unless_zero(x: Any, axes: Axes, epsilon: float, gain: Any, bias: Any) -> Any:
    """tf.math.divide_no_nan by the root, which is never zero."""
    mean, variance = tf.nn.moments(x, axes, keepdims=True)
    return tf.math.divide_no_nan(x - mean, tf.sqrt(variance + epsilon)) * gain + bias


SPELLINGS: tuple[Spelling, ...] = (
    moments,
    moments_and_batch_normalization,
    weighted_moments,
    sufficient_statistics,
    reduced_variance,
    deviation_squared,
    squared_difference,
    divided_unless_zero,
)


def written(draw: Draw, spelling: Spelling, axes: Axes, shape: Sequence[int], kind: str = "LayerNormalization") -> Site:
    """A norm written by hand; `shape` is that of gain and bias."""
    epsilon = draw.epsilon()
    gain, bias = draw.gain(*shape), draw.bias(*shape)
    norm = Norm(kind, axes, epsilon, gain.size + bias.size)

    def apply(x: Any) -> Any:
        with tf.name_scope(spelling.__name__):
            return spelling(x, axes, epsilon, tf.cast(gain, x.dtype), tf.cast(bias, x.dtype))

    return Site(apply, norm)


def layer(draw: Draw, found: Any, shape: Sequence[int]) -> Site:
    """A layer of Keras 2 or 3 for inputs of this shape, its parameters random."""
    found.build((None, *shape[1:]))
    values: dict[str, Callable[..., FloatArray]] = {
        "gamma": draw.gain,
        "scale": draw.gain,
        "beta": draw.bias,
        "moving_mean": draw.bias,
        "moving_variance": draw.variance,
    }
    for weight in found.weights:
        name = weight.name.split("/")[-1].split(":")[0]
        weight.assign(values[name](*weight.shape))
    if hasattr(found, "epsilon"):
        found.epsilon = draw.epsilon()
    return Site(found, described(found, len(shape)))


def described(found: Any, rank: int) -> Norm:
    """What a layer says of itself.

    Raises TypeError for a layer that isn't known to be a norm.
    """
    layers, parameters = type(found).__name__, sum(int(np.prod(w.shape)) for w in found.trainable_weights)
    everything = tuple(range(1, rank))
    if layers in ("LayerNormalization", "RMSNormalization"):
        axes = found.axis if isinstance(found.axis, int) else tuple(found.axis)
        listed = (axes,) if isinstance(axes, int) else axes
        return Norm(layers, tuple(sorted(a % rank - rank for a in listed)), found.epsilon, parameters)
    if layers == "GroupNormalization" and found.groups == found.weights[0].shape[0]:
        return Norm("InstanceNormalization", everything[:-1], found.epsilon, parameters)
    if layers == "GroupNormalization":
        return Norm(layers, everything, found.epsilon, parameters, groups=found.groups)
    if layers == "BatchNormalization":
        return Norm(layers, (0, *everything[:-1]), found.epsilon, parameters, "running")
    if layers == "UnitNormalization":
        # Keras 3 bounds the reciprocal root, Keras 2 the sum of squares.
        guard = "below the norm" if isinstance(found, keras.layers.Layer) else "below the power"
        return Norm("LpNormalization", (-1,), UNIT_EPSILON, guard=guard)
    raise TypeError(f"{layers} is no norm that described() knows: add it")


def dense(draw: Draw, name: str, inputs: int, outputs: int, dtype: str = "float32") -> Any:
    """A Dense layer with random weights."""
    found = keras.layers.Dense(outputs, name=name, dtype=dtype)
    found.build((None, inputs))
    found.set_weights([draw.weight(inputs, outputs), draw.bias(outputs)])
    return found


def convolution(draw: Draw, name: str, shape: Sequence[int], strides: int = 1, depthwise: bool = False) -> Any:
    """A convolution whose kernel has this shape, height × width × inputs × outputs, with random weights."""
    *size, inputs, outputs = shape
    kind = keras.layers.DepthwiseConv2D(size, strides, padding="same", name=name) if depthwise else None
    found = kind or keras.layers.Conv2D(outputs, size, strides, padding="same", name=name)
    found.build((None, None, None, inputs))
    found.set_weights([draw.weight(*weight.shape) for weight in found.weights])
    return found


def chain(draw: Draw, sites: dict[str, Site], width: int, dtype: str = "float32") -> Network:
    """For each norm in its turn, x + tanh(dense(norm(x)))."""
    mixes = {scope: dense(draw, f"{scope}_mix", width, width, dtype) for scope in sites}

    def forward(call: Call, x: Any) -> Any:
        for scope, mix in mixes.items():
            x = x + tf.tanh(mix(call(scope, x)))
        return x

    return Network(sites, forward)


def spellings() -> Network:
    """Every spelling of SPELLINGS over the last axis."""
    draw = Draw("tf_spellings")
    return chain(draw, {s.__name__: written(draw, s, (-1,), (WIDTH,)) for s in SPELLINGS}, WIDTH)


def image_spellings() -> Network:
    """Hand-written norms of images: over the plane, over everything, over the channels."""
    draw = Draw("tf_images")
    instance = "InstanceNormalization"
    sites = {
        "plane": written(draw, moments_and_batch_normalization, (1, 2), (8,), instance),
        "weighted_plane": written(draw, weighted_moments, (1, 2), (8,), instance),
        "image": written(draw, moments, (-3, -2, -1), IMAGES[1:]),
        "channels": written(draw, sufficient_statistics, (-1,), (8,)),
    }
    return chain(draw, sites, 8)


def conditional() -> Network:
    """Norms of images whose gains and biases are computed from the image: over the plane, and over the channels."""
    draw = Draw("tf_conditional")
    over = {"plane": (1, 2), "plane_constant_bias": (1, 2), "channels": (-1,)}
    width = IMAGES[-1]
    gains = {scope: dense(draw, f"{scope}_gain", width, width) for scope in over}
    biases = {scope: dense(draw, f"{scope}_bias", width, width) for scope in over if "constant" not in scope}
    given: dict[str, tuple[Any, Any]] = {}  # gain and bias of each norm, before it is called

    def adaptive(scope: str, axes: Axes) -> Site:
        epsilon = draw.epsilon()
        return Site(
            lambda x: moments_and_batch_normalization(x, axes, epsilon, *given[scope]),
            Norm("LayerNormalization", axes, epsilon),
        )

    sites = {scope: adaptive(scope, axes) for scope, axes in over.items()}
    constant = draw.bias(width)
    network = chain(draw, sites, width)

    def forward(call: Call, x: Any) -> Any:
        pooled = tf.reduce_mean(x, [1, 2], keepdims=True)  # the mean of the first norm as well
        for scope in over:
            given[scope] = (
                gains[scope](pooled),
                biases[scope](pooled) if scope in biases else tf.cast(constant, x.dtype),
            )
        return network.forward(call, x)

    return Network(sites, forward)


def layers(library: Any, name: str) -> Network:
    """A library's own layers on sentences."""
    draw, made = Draw(f"keras_layers_{name}"), library.layers
    found = {
        "layer_norm": made.LayerNormalization(name="layer_norm"),
        "without_bias": made.LayerNormalization(center=False, name="without_bias"),
        "without_gain": made.LayerNormalization(scale=False, name="without_gain"),
        "unit_norm": made.UnitNormalization(name="unit_norm"),
    }
    if library is keras:
        found["rms_norm"] = made.RMSNormalization(name="rms_norm")
    return chain(draw, {scope: layer(draw, norm, SENTENCES) for scope, norm in found.items()}, WIDTH)


def image_layers(library: Any, name: str) -> Network:
    """A library's own layers on images."""
    draw, made = Draw(f"keras_images_{name}"), library.layers
    found = {
        "channels": made.LayerNormalization(name="channels"),
        "image": made.LayerNormalization(axis=[1, 2, 3], name="image"),
        "group_norm": made.GroupNormalization(4, name="group_norm"),
        "instance_norm": made.GroupNormalization(-1, name="instance_norm"),
    }
    return chain(draw, {scope: layer(draw, norm, IMAGES) for scope, norm in found.items()}, 8)


def half() -> Network:
    """Keras layers and a hand-written norm in float16."""
    draw = Draw("keras_half")
    made = keras.layers
    found = {
        "layer_norm": made.LayerNormalization(dtype="float16", name="layer_norm"),
        "rms_norm": made.RMSNormalization(dtype="float16", name="rms_norm"),
    }
    sites = {scope: layer(draw, norm, SENTENCES) for scope, norm in found.items()}
    sites["moments"] = written(draw, moments, (-1,), (WIDTH,))
    return chain(draw, sites, WIDTH, "float16")


def unit_length() -> Network:
    """Vectors of length one, written with tf.linalg and with a guarded quotient."""
    draw = Draw("tf_unit_length")

    def quotient(x: Any) -> Any:
        length = tf.sqrt(tf.reduce_sum(tf.square(x), -1, keepdims=True))
        return tf.math.divide_no_nan(x, length)

    sites = {
        "l2_normalize": Site(
            lambda x: tf.linalg.l2_normalize(x, -1),
            Norm("LpNormalization", (-1,), UNIT_EPSILON, guard="below the power"),
        ),
        "divide_no_nan": Site(quotient, Norm("LpNormalization", (-1,), 0.0, guard="none")),
    }
    return chain(draw, sites, WIDTH)


def transformer() -> Network:
    """An encoder block: attention and a feed-forward network, each behind a LayerNormalization; RMS last."""
    draw, heads = Draw("keras_transformer"), 2
    found = {
        "attention_norm": keras.layers.LayerNormalization(name="attention_norm"),
        "feed_forward_norm": keras.layers.LayerNormalization(name="feed_forward_norm"),
        "last_norm": keras.layers.RMSNormalization(name="last_norm"),
    }
    sites = {scope: layer(draw, norm, SENTENCES) for scope, norm in found.items()}
    project = {name: dense(draw, name, WIDTH, WIDTH) for name in ("query", "key", "value", "attended")}
    widen, narrow = dense(draw, "widen", WIDTH, 2 * WIDTH), dense(draw, "narrow", 2 * WIDTH, WIDTH)

    def split(x: Any) -> Any:
        return tf.transpose(tf.reshape(x, [-1, SENTENCES[1], heads, WIDTH // heads]), [0, 2, 1, 3])

    def forward(call: Call, x: Any) -> Any:
        y = call("attention_norm", x)
        query, key, value = (split(project[name](y)) for name in ("query", "key", "value"))
        weights = tf.nn.softmax(tf.matmul(query, key, transpose_b=True) * (heads / WIDTH) ** 0.5)
        mixed = tf.reshape(tf.transpose(tf.matmul(weights, value), [0, 2, 1, 3]), [-1, *SENTENCES[1:]])
        x = x + project["attended"](mixed)
        x = x + narrow(tf.nn.gelu(widen(call("feed_forward_norm", x)), approximate=True))
        return call("last_norm", x)

    return Network(sites, forward)


def convolutional() -> Network:
    """A ConvNeXt block and a diffusion block: norms between convolutions, all channels last."""
    draw, width = Draw("keras_convolutional"), 8
    found = {
        "stem_norm": keras.layers.LayerNormalization(name="stem_norm"),
        "block_norm": keras.layers.LayerNormalization(name="block_norm"),
        "group_norm": keras.layers.GroupNormalization(4, name="group_norm"),
        "instance_norm": keras.layers.GroupNormalization(-1, name="instance_norm"),
    }
    sites = {scope: layer(draw, norm, IMAGES) for scope, norm in found.items()}
    stem = convolution(draw, "stem", (2, 2, 3, width), 2)
    depthwise = convolution(draw, "depthwise", (3, 3, width, 1), depthwise=True)
    widen, narrow = dense(draw, "widen", width, 2 * width), dense(draw, "narrow", 2 * width, width)
    first, second = (convolution(draw, name, (3, 3, width, width)) for name in ("first", "second"))

    def forward(call: Call, x: Any) -> Any:
        x = call("stem_norm", stem(x))
        x = x + narrow(tf.nn.gelu(widen(call("block_norm", depthwise(x))), approximate=True))
        x = x + first(tf.nn.silu(call("group_norm", x)))
        return tf.nn.relu(call("instance_norm", second(x)))

    return Network(sites, forward)


def residual(library: Any, name: str) -> Network:
    """Blocks of ResNet v2 and MobileNet: BatchNormalizations that no convolution stands directly before.

    TensorFlow's own optimizer, which tf2onnx runs, folds the others away.
    """
    draw, width, made = Draw(f"keras_residual_{name}"), 8, library.layers.BatchNormalization
    scopes = ("first_norm", "second_norm", "depthwise_norm", "last_norm")
    sites = {scope: layer(draw, made(name=scope), (2, 6, 6, width)) for scope in scopes}
    for scope, site in sites.items():
        kept = ALONE if scope == "second_norm" else SHARED
        sites[scope] = replace(site, norm=replace(site.norm, kept=kept))
    stem = convolution(draw, "stem", (3, 3, 3, width), 2)
    first, second = (convolution(draw, name, (3, 3, width, width)) for name in ("first", "second"))
    depthwise = convolution(draw, "depthwise", (3, 3, width, 1), depthwise=True)

    def forward(call: Call, x: Any) -> Any:
        x = tf.nn.max_pool2d(stem(x), 2, 1, "SAME")
        y = first(tf.nn.relu(call("first_norm", x)))
        x = x + second(tf.nn.relu(call("second_norm", tf.nn.relu(y))))
        y = depthwise(tf.nn.relu6(call("depthwise_norm", x)))
        return tf.reduce_mean(tf.nn.relu(call("last_norm", x + tf.nn.relu6(y))), [1, 2])

    return Network(sites, forward)


def _sample(
    name: str,
    title: str,
    build: Callable[[], Network],
    shape: tuple[int, ...],
    *opsets: int,
    dtype: str = "float32",
) -> Sample:
    return Sample(name, title, build, shape, tuple((TF2ONNX, opset) for opset in opsets), dtype)


PIXELS = (2, 12, 12, 3)
_3, _2 = (keras, "3"), (tf_keras, "2")
SAMPLES: tuple[Sample, ...] = (
    _sample("tf_spellings", "LayerNorms written with tf.nn", spellings, SENTENCES, 13, 15, 18),
    _sample("tf_images", "norms of images written with tf.nn", image_spellings, IMAGES, 13, 18),
    _sample("tf_conditional", "tf.nn with gains known at run time", conditional, IMAGES, 13, 18),
    _sample("tf_unit_length", "l2_normalize and divide_no_nan", unit_length, SENTENCES, 13, 18),
    _sample("keras3_layers", "Keras 3 layers", partial(layers, *_3), SENTENCES, 13, 15, 18),
    _sample("keras2_layers", "Keras 2 layers", partial(layers, *_2), SENTENCES, 13, 15, 18),
    _sample("keras3_images", "Keras 3 layers on images", partial(image_layers, *_3), IMAGES, 13, 18),
    _sample("keras2_images", "Keras 2 layers on images", partial(image_layers, *_2), IMAGES, 13, 18),
    _sample("keras_half", "Keras 3 and tf.nn, float16", half, SENTENCES, 13, 18, dtype="float16"),
    _sample("keras_transformer", "Keras 3 encoder block", transformer, SENTENCES, 13, 15, 18),
    _sample("keras_convolutional", "Keras 3, norms between convolutions", convolutional, PIXELS, 13, 15, 18),
    _sample("keras3_residual", "Keras 3 ResNet v2, MobileNet", partial(residual, *_3), PIXELS, 13, 18),
    _sample("keras2_residual", "Keras 2 ResNet v2, MobileNet", partial(residual, *_2), PIXELS, 13, 18),
)
