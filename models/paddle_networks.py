"""Networks of PaddlePaddle's norms: its layers, and norms written with its functions; all channels first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import paddle
from manifest import Norm
from network import Call, Draw, Network, Sample, Site
from paddle import nn
from paddle.nn import functional

Axes = tuple[int, ...]
Spelling = Callable[[Any, Axes, float, Any, Any], Any]  # x, axes, epsilon, gain, bias
PLAIN = "paddle2onnx"
FOLDED = "paddle2onnx-polygraphy"  # its constants folded by Polygraphy, as paddle.onnx.export has it
WIDTH = 16
SENTENCES = (2, 7, WIDTH)
IMAGES = (2, 8, 6, 6)


def variance_function(x: Any, axes: Axes, epsilon: float, gain: Any, bias: Any) -> Any:
    """paddle.mean, paddle.var and a quotient by the root."""
    variance = paddle.var(x, list(axes), unbiased=False, keepdim=True)
    return (x - paddle.mean(x, list(axes), keepdim=True)) / paddle.sqrt(variance + epsilon) * gain + bias


def unbiased_variance(x: Any, axes: Axes, epsilon: float, gain: Any, bias: Any) -> Any:
    """The unbiased variance times (n − 1)/n."""
    size = 1
    for axis in axes:
        size *= x.shape[axis]
    variance = paddle.var(x, list(axes), unbiased=True, keepdim=True) * ((size - 1) / size)
    return (x - paddle.mean(x, list(axes), keepdim=True)) * paddle.rsqrt(variance + epsilon) * gain + bias


def deviation_squared(x: Any, axes: Axes, epsilon: float, gain: Any, bias: Any) -> Any:
    """The variance as the square of paddle.std."""
    deviation = paddle.std(x, list(axes), unbiased=False, keepdim=True)
    centred = x - x.mean(list(axes), keepdim=True)
    return centred / paddle.sqrt(paddle.square(deviation) + epsilon) * gain + bias


def powers(x: Any, axes: Axes, epsilon: float, gain: Any, bias: Any) -> Any:
    """A power of 2, and one of −½."""
    centred = x - x.mean(list(axes), keepdim=True)
    variance = paddle.pow(centred, 2).mean(list(axes), keepdim=True)
    return gain * centred * paddle.pow(variance + epsilon, -0.5) + bias


def raw_moments(x: Any, axes: Axes, epsilon: float, gain: Any, bias: Any) -> Any:
    """E[x²] − μ², kept from going negative by rounding, and a reciprocal root."""
    mean = x.mean(list(axes), keepdim=True)
    variance = paddle.clip(paddle.square(x).mean(list(axes), keepdim=True) - paddle.square(mean), min=0.0)
    return (x - mean) * paddle.rsqrt(variance + epsilon) * gain + bias


def sums(x: Any, axes: Axes, epsilon: float, gain: Any, bias: Any) -> Any:
    """Sums over the size."""
    size = 1
    for axis in axes:
        size *= x.shape[axis]
    centred = x - paddle.sum(x, list(axes), keepdim=True) / size
    variance = paddle.sum(centred * centred, list(axes), keepdim=True) / size
    return centred / paddle.sqrt(variance + epsilon) * gain + bias


SPELLINGS: tuple[Spelling, ...] = (
    variance_function,
    unbiased_variance,
    deviation_squared,
    powers,
    raw_moments,
    sums,
)


def root_mean_square(x: Any, axes: Axes, epsilon: float, gain: Any, bias: Any) -> Any:
    """RMSNorm as LLaMA's code has it."""
    return x * paddle.rsqrt(paddle.square(x).mean(list(axes), keepdim=True) + epsilon) * gain


class Written(nn.Layer):  # type: ignore[misc]  # Paddle has no types
    """A norm written by hand; `shape` is that of gain and bias."""

    def __init__(
        self,
        draw: Draw,
        spelling: Spelling,
        axes: Axes,
        shape: Sequence[int],
        kind: str = "LayerNormalization",
    ) -> None:
        super().__init__()
        self.spelling, self.axes, self.epsilon = spelling, axes, draw.epsilon()
        self.weight = self.create_parameter(list(shape))
        self.bias = self.create_parameter(list(shape), is_bias=True)
        self.weight.set_value(draw.gain(*shape))
        self.bias.set_value(draw.bias(*shape))
        count = 1 if kind == "RMSNormalization" else 2
        self.norm = Norm(kind, axes, self.epsilon, count * int(self.weight.size))

    def forward(self, x: Any) -> Any:
        """Any shape, which the output keeps."""
        return self.spelling(x, self.axes, self.epsilon, self.weight, self.bias)


def written(draw: Draw, spelling: Spelling, axes: Axes, shape: Sequence[int], kind: str = "LayerNormalization") -> Site:
    """A norm written by hand."""
    found = Written(draw, spelling, axes, shape, kind)
    return Site(found, found.norm)


def layer(draw: Draw, make: Callable[..., nn.Layer], epsilon: float | None = None) -> Site:
    """A layer with random parameters; `make` takes the epsilon."""
    epsilon = draw.epsilon() if epsilon is None else epsilon
    found = make(epsilon=epsilon)
    randomize(draw, found)
    found.eval()
    parameters = sum(int(tensor.size) for tensor in found.parameters() if not tensor.stop_gradient)
    return Site(found, described(found, epsilon, parameters))


def randomize(draw: Draw, found: nn.Layer) -> None:
    """Put random numbers into a norm's parameters and stored statistics."""
    values = {
        "weight": draw.gain,
        "scale": draw.gain,
        "bias": draw.bias,
        "_mean": draw.bias,
        "_variance": draw.variance,
    }
    for name, tensor in found.state_dict().items():
        tensor.set_value(values[name](*tensor.shape))


def described(found: nn.Layer, epsilon: float, parameters: int) -> Norm:
    """What a layer says of itself; images are N×C×H×W."""
    if isinstance(found, nn.LayerNorm):
        axes = tuple(range(-len(found._normalized_shape), 0))
        return Norm("LayerNormalization", axes, epsilon, parameters)
    if isinstance(found, nn.GroupNorm):
        return Norm("GroupNormalization", (1, 2, 3), epsilon, parameters, groups=found._num_groups)
    if isinstance(found, nn.InstanceNorm2D):
        return Norm("InstanceNormalization", (2, 3), epsilon, parameters)
    if isinstance(found, nn.BatchNorm2D):
        return Norm("BatchNormalization", (0, 2, 3), epsilon, parameters, "running")
    raise TypeError(f"{type(found).__name__} is no norm that described() knows: add it")


def linear(draw: Draw, inputs: int, outputs: int) -> nn.Linear:
    """A linear layer with random weights."""
    found = nn.Linear(inputs, outputs)
    found.weight.set_value(draw.weight(inputs, outputs))
    found.bias.set_value(draw.bias(outputs))
    return found


def convolution(draw: Draw, inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2D:
    """A convolution without bias, with random weights."""
    found = nn.Conv2D(inputs, outputs, size, stride, padding=size // 2, bias_attr=False)
    weight = draw.weight(inputs, size, size, outputs)
    found.weight.set_value(weight.transpose(3, 0, 1, 2))
    return found


class Chain(nn.Layer):  # type: ignore[misc]  # Paddle has no types
    """For each norm in its turn, x + tanh(mix(norm(x)))."""

    def __init__(self, scopes: Sequence[str], mixes: Sequence[nn.Layer]) -> None:
        super().__init__()
        self.scopes = tuple(enumerate(scopes))
        self.mixes = nn.LayerList(list(mixes))

    def forward(self, call: Call, x: Any) -> Any:
        """As Network has it."""
        for position, scope in self.scopes:  # Paddle's tracer knows no zip with strict
            x = x + paddle.tanh(self.mixes[position](call(scope, x)))
        return x


def chain(sites: dict[str, Site], mixes: Sequence[nn.Layer]) -> Network:
    """A chain of norms."""
    return Network(sites, Chain(list(sites), mixes))


def spellings() -> Network:
    """Every spelling of SPELLINGS, and RMSNorm, over the last axis."""
    draw = Draw("paddle_spellings")
    sites = {s.__name__: written(draw, s, (-1,), (WIDTH,)) for s in SPELLINGS}
    sites["root_mean_square"] = written(draw, root_mean_square, (-1,), (WIDTH,), "RMSNormalization")
    return chain(sites, [linear(draw, WIDTH, WIDTH) for _ in sites])


def image_spellings() -> Network:
    """LayerNorms of images, over the channels by hand, over the image by hand and as a layer."""
    draw, channels = Draw("paddle_images"), IMAGES[1]
    sites = {
        "channels": written(draw, variance_function, (1,), (channels, 1, 1)),
        "image": written(draw, sums, (1, 2, 3), IMAGES[1:]),
        "layer": layer(draw, partial(nn.LayerNorm, list(IMAGES[1:]))),
    }
    return chain(sites, [convolution(draw, channels, channels, 1) for _ in sites])


def layers() -> Network:
    """Layers on sentences."""
    draw = Draw("paddle_layers")
    sites = {
        "layer_norm": layer(draw, partial(nn.LayerNorm, WIDTH)),
        "without_bias": layer(draw, partial(nn.LayerNorm, WIDTH, bias_attr=False)),
    }
    return chain(sites, [linear(draw, WIDTH, WIDTH) for _ in sites])


def group_norm() -> Network:
    """GroupNorm with an epsilon of zero, which paddle2onnx 2.1 writes whatever the layer's is."""
    draw, channels = Draw("paddle_group_norm"), IMAGES[1]
    sites = {"group_norm": layer(draw, partial(nn.GroupNorm, 4, channels), 0.0)}
    return chain(sites, [convolution(draw, channels, channels, 1)])


def unit_length() -> Network:
    """F.normalize, and by hand."""
    draw, epsilon = Draw("paddle_unit_length"), 1e-6
    normalize = partial(functional.normalize, axis=-1, epsilon=epsilon)
    sites = {
        "normalize": Site(normalize, Norm("LpNormalization", (-1,), epsilon, guard="below the norm")),
        "by_hand": Site(
            lambda x: x / paddle.sqrt(paddle.sum(x * x, -1, keepdim=True) + epsilon),
            Norm("LpNormalization", (-1,), epsilon, guard="added to the power"),
        ),
    }
    return chain(sites, [linear(draw, WIDTH, WIDTH) for _ in sites])


class Residual(nn.Layer):  # type: ignore[misc]  # Paddle has no types
    """ResNet's block, Conv–BN–ReLU–Conv–BN beside a shortcut, then Conv–InstanceNorm as in style transfer."""

    def __init__(self, draw: Draw, width: int) -> None:
        super().__init__()
        self.stem = convolution(draw, 3, width, 3, 2)
        self.first, self.second, self.last = (convolution(draw, width, width, 3) for _ in range(3))

    def forward(self, call: Call, x: Any) -> Any:
        """As Network has it."""
        x = functional.relu(call("stem_norm", self.stem(x)))
        y = functional.relu(call("first_norm", self.first(x)))
        x = functional.relu(x + call("second_norm", self.second(y)))
        return functional.relu(call("instance_norm", self.last(x)))


def residual() -> Network:
    """A residual block and its norms."""
    draw, width = Draw("paddle_residual"), 8
    scopes = ("stem_norm", "first_norm", "second_norm")
    sites = {scope: layer(draw, partial(nn.BatchNorm2D, width)) for scope in scopes}
    sites["instance_norm"] = layer(draw, partial(nn.InstanceNorm2D, width))
    return Network(sites, Residual(draw, width))


class Encoder(nn.Layer):  # type: ignore[misc]  # Paddle has no types
    """An encoder block: attention and a feed-forward network, each with a norm behind it."""

    def __init__(self, draw: Draw, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.attended = (linear(draw, WIDTH, WIDTH) for _ in range(4))
        self.widen, self.narrow = linear(draw, WIDTH, 2 * WIDTH), linear(draw, 2 * WIDTH, WIDTH)

    def split(self, x: Any) -> Any:
        """N×T×C → N×heads×T×(C/heads)."""
        return paddle.transpose(paddle.reshape(x, [0, SENTENCES[1], self.heads, WIDTH // self.heads]), [0, 2, 1, 3])

    def forward(self, call: Call, x: Any) -> Any:
        """As Network has it."""
        query, key, value = (self.split(project(x)) for project in (self.query, self.key, self.value))
        scores = paddle.matmul(query, key, transpose_y=True) * (self.heads / WIDTH) ** 0.5
        mixed = paddle.matmul(functional.softmax(scores), value)
        mixed = paddle.reshape(paddle.transpose(mixed, [0, 2, 1, 3]), [0, SENTENCES[1], WIDTH])
        x = call("attention_norm", x + self.attended(mixed))
        return call("last_norm", x + self.narrow(functional.gelu(self.widen(x))))


def transformer() -> Network:
    """An encoder block and its norms."""
    draw = Draw("paddle_transformer")
    sites = {scope: layer(draw, partial(nn.LayerNorm, WIDTH)) for scope in ("attention_norm", "last_norm")}
    return Network(sites, Encoder(draw, 2))


def _sample(name: str, title: str, build: Callable[[], Network], shape: tuple[int, ...], *opsets: int) -> Sample:
    """Each opset as it comes, and the first one folded."""
    exports = tuple((PLAIN, opset) for opset in opsets)
    return Sample(name, title, build, shape, (*exports, (FOLDED, opsets[0])))


PIXELS = (2, 3, 12, 12)
SAMPLES: tuple[Sample, ...] = (
    _sample("paddle_spellings", "LayerNorms written with Paddle", spellings, SENTENCES, 13, 15, 18),
    _sample("paddle_images", "norms of images written with Paddle", image_spellings, IMAGES, 13, 15),
    _sample("paddle_layers", "Paddle layers", layers, SENTENCES, 11, 13, 15, 17),
    _sample("paddle_group_norm", "Paddle GroupNorm", group_norm, IMAGES, 11, 15),
    _sample("paddle_unit_length", "F.normalize, and by hand", unit_length, SENTENCES, 13, 18),
    _sample("paddle_residual", "Paddle ResNet block, InstanceNorm", residual, PIXELS, 11, 15),
    _sample("paddle_transformer", "Paddle encoder block", transformer, SENTENCES, 13, 17),
)
