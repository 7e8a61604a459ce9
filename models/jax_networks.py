"""Networks of JAX's norms: layers of Flax (nnx and linen) and Equinox, and norms written with jax.numpy.

Tensors are channels last, but for Equinox, whose layers take one sample, channels first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import equinox
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx
from manifest import Norm
from network import Call, Draw, FloatArray, Network, Sample, Site

Axes = tuple[int, ...]
Spelling = Callable[[Any, Axes, float, Any, Any], Any]  # x, axes, epsilon, gain, bias
JAX2ONNX = "jax2onnx"
NATIVE = "jax2onnx-native"  # normalization_mode="prefer_native"
WIDTH = 16
SENTENCES = (2, 7, WIDTH)
IMAGES = (2, 6, 6, 8)
CHANNELS_FIRST = (2, 8, 6, 6)


def mean_and_variance(x: Any, axes: Axes, epsilon: float, gain: Any, bias: Any) -> Any:
    """jnp.mean, jnp.var and jax.lax.rsqrt."""
    mean, variance = jnp.mean(x, axes, keepdims=True), jnp.var(x, axes, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + epsilon) * gain + bias


def mean_of_squares(x: Any, axes: Axes, epsilon: float, gain: Any, bias: Any) -> Any:
    """E[x²] − μ², kept from going negative by rounding, and a quotient by the root."""
    mean = x.mean(axes, keepdims=True)
    variance = jnp.maximum(jnp.square(x).mean(axes, keepdims=True) - jnp.square(mean), 0)
    return (x - mean) / jnp.sqrt(variance + epsilon) * gain + bias


def standardize(x: Any, axes: Axes, epsilon: float, gain: Any, bias: Any) -> Any:
    """jax.nn.standardize."""
    return jax.nn.standardize(x, axes, epsilon=epsilon) * gain + bias


def deviation_squared(x: Any, axes: Axes, epsilon: float, gain: Any, bias: Any) -> Any:
    """The variance as the square of jnp.std."""
    deviation = jnp.std(x, axes, keepdims=True)
    centred = x - x.mean(axes, keepdims=True)
    return gain * centred / jnp.sqrt(deviation**2 + epsilon) + bias


def sums(x: Any, axes: Axes, epsilon: float, gain: Any, bias: Any) -> Any:
    """Sums over the size, and a power of −½."""
    size = np.prod([x.shape[axis] for axis in axes])
    centred = x - jnp.sum(x, axes, keepdims=True) / size
    return centred * (jnp.sum(centred**2, axes, keepdims=True) / size + epsilon) ** -0.5 * gain + bias


def counted(x: Any, axes: Axes, epsilon: float, gain: Any, bias: Any) -> Any:
    """A mean over the places of a mask, all of which it holds: sums over the mask's own sum."""
    mask = jnp.ones_like(x)
    count = jnp.sum(mask, axes, keepdims=True)
    mean = jnp.sum(x * mask, axes, keepdims=True) / count
    variance = jnp.sum(jnp.square(x - mean) * mask, axes, keepdims=True) / count
    return (x - mean) * jax.lax.rsqrt(variance + epsilon) * gain + bias


def mapped(x: Any, axes: Axes, epsilon: float, gain: Any, bias: Any) -> Any:
    """Written for one vector, applied to all by jax.vmap."""

    def vector(v: Any) -> Any:
        centred = v - v.mean()
        return centred / jnp.sqrt(jnp.mean(centred * centred) + epsilon) * gain + bias

    return jax.vmap(jax.vmap(vector))(x)


SPELLINGS: tuple[Spelling, ...] = (
    mean_and_variance,
    mean_of_squares,
    standardize,
    deviation_squared,
    sums,
    counted,
    mapped,
)


def written(draw: Draw, spelling: Spelling, axes: Axes, shape: Sequence[int], dtype: str = "float32") -> Site:
    """A norm written by hand; `shape` is that of gain and bias."""
    epsilon = draw.epsilon()
    gain, bias = draw.gain(*shape).astype(dtype), draw.bias(*shape).astype(dtype)
    norm = Norm("LayerNormalization", axes, epsilon, gain.size + bias.size)
    return Site(lambda x: spelling(x, axes, epsilon, gain, bias), norm)


def _values(draw: Draw) -> Mapping[str, Callable[..., FloatArray]]:
    return {
        "scale": draw.gain,
        "bias": draw.bias,
        "mean": draw.bias,
        "var": draw.variance,
        "weight": draw.gain,
    }


def _described(kind: str, rank: int, epsilon: float, parameters: int, groups: int | None = None) -> Norm:
    """What a Flax layer of this kind says of itself, for inputs of this rank, channels last."""
    plane = tuple(range(1, rank - 1))
    if kind == "GroupNorm":
        return Norm("GroupNormalization", tuple(range(1, rank)), epsilon, parameters, groups=groups)
    if kind == "InstanceNorm":
        return Norm("InstanceNormalization", plane, epsilon, parameters)
    if kind == "BatchNorm":
        return Norm("BatchNormalization", (0, *plane), epsilon, parameters, "running")
    raise TypeError(f"{kind} is no norm that _described() knows: add it")


def _over(axes: int | Sequence[int], rank: int) -> Axes:
    listed = (axes,) if isinstance(axes, int) else axes
    return tuple(sorted(axis % rank - rank for axis in listed))


def nnx_layer(draw: Draw, found: nnx.Module, rank: int) -> Site:
    """A layer of flax.nnx, its parameters random."""
    parameters = 0
    values = _values(draw)
    for name in ("scale", "bias", "mean", "var"):
        variable = getattr(found, name, None)
        if isinstance(variable, nnx.Variable) and variable[...] is not None:
            variable[...] = jnp.asarray(values[name](*variable.shape), variable.dtype)
            parameters += variable.size if isinstance(variable, nnx.Param) else 0
    found.epsilon = epsilon = draw.epsilon()
    kind = type(found).__name__
    if kind in ("LayerNorm", "RMSNorm"):
        operator = {"LayerNorm": "LayerNormalization", "RMSNorm": "RMSNormalization"}[kind]
        return Site(found, Norm(operator, _over(found.reduction_axes, rank), epsilon, parameters))
    return Site(found, _described(kind, rank, epsilon, parameters, getattr(found, "num_groups", None)))


def linen_layer(draw: Draw, make: Callable[..., linen.Module], shape: Sequence[int]) -> Site:
    """A layer of flax.linen, its parameters random; `make` takes the epsilon."""
    epsilon = draw.epsilon()
    found = make(epsilon=epsilon)
    values = _values(draw)
    state = jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.asarray(values[path[-1].key](*leaf.shape)),
        found.init(jax.random.key(0), jnp.zeros(shape)),
    )
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state["params"]))
    kind, rank = type(found).__name__, len(shape)
    if kind in ("LayerNorm", "RMSNorm"):
        operator = {"LayerNorm": "LayerNormalization", "RMSNorm": "RMSNormalization"}[kind]
        norm = Norm(operator, _over(found.reduction_axes, rank), epsilon, parameters)
    else:
        norm = _described(kind, rank, epsilon, parameters, getattr(found, "num_groups", None))
    return Site(lambda x: found.apply(state, x), norm)


def equinox_layer(draw: Draw, make: Callable[..., Any], rank: int) -> Site:
    """A layer of Equinox, mapped over the batch or the batch and the sentence; `make` takes the epsilon."""
    epsilon = draw.epsilon()
    found = make(eps=epsilon)
    values = _values(draw)
    parameters = 0
    for name in ("weight", "bias"):
        array = getattr(found, name)
        if array is not None:
            made = jnp.asarray(values[name](*array.shape))
            found = equinox.tree_at(lambda layer, name=name: getattr(layer, name), found, made)
            parameters += array.size
    if isinstance(found, equinox.nn.GroupNorm):
        norm = Norm("GroupNormalization", tuple(range(1, rank)), epsilon, parameters, groups=found.groups)
        return Site(jax.vmap(found), norm)
    kind = "RMSNormalization" if isinstance(found, equinox.nn.RMSNorm) else "LayerNormalization"
    return Site(jax.vmap(jax.vmap(found)), Norm(kind, (-1,), epsilon, parameters))


def linear(draw: Draw, inputs: int, outputs: int, dtype: str = "float32") -> nnx.Linear:
    """A linear layer of flax.nnx with random weights."""
    found = nnx.Linear(inputs, outputs, dtype=dtype, param_dtype=dtype, rngs=nnx.Rngs(0))
    found.kernel[...] = jnp.asarray(draw.weight(inputs, outputs), dtype)
    found.bias[...] = jnp.asarray(draw.bias(outputs), dtype)
    return found


def chain(draw: Draw, sites: dict[str, Site], width: int, dtype: str = "float32") -> Network:
    """For each norm in its turn, x + tanh(linear(norm(x)))."""
    mixes = {scope: linear(draw, width, width, dtype) for scope in sites}

    def forward(call: Call, x: Any) -> Any:
        for scope, mix in mixes.items():
            x = x + jnp.tanh(mix(call(scope, x)))
        return x

    return Network(sites, forward)


def spellings() -> Network:
    """Every spelling of SPELLINGS over the last axis."""
    draw = Draw("jax_spellings")
    return chain(draw, {s.__name__: written(draw, s, (-1,), (WIDTH,)) for s in SPELLINGS}, WIDTH)


def unit_length() -> Network:
    """Vectors of length one, where the length is kept from zero."""
    draw, epsilon = Draw("jax_unit_length"), 1e-6

    def bounded(x: Any) -> Any:
        return x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), epsilon)

    def added(x: Any) -> Any:
        return x * jax.lax.rsqrt(jnp.sum(x * x, -1, keepdims=True) + epsilon)

    sites = {
        "bounded": Site(bounded, Norm("LpNormalization", (-1,), epsilon, guard="below the norm")),
        "added": Site(added, Norm("LpNormalization", (-1,), epsilon, guard="added to the power")),
    }
    return chain(draw, sites, WIDTH)


def nnx_layers() -> Network:
    """flax.nnx on sentences."""
    draw = Draw("flax_nnx_layers")
    make = partial(nnx.LayerNorm, WIDTH, rngs=nnx.Rngs(0))
    found = {
        "fast": make(),
        "slow": make(use_fast_variance=False),
        "without_bias": make(use_bias=False),
        "without_scale": make(use_scale=False, use_fast_variance=False),
        "rms": nnx.RMSNorm(WIDTH, rngs=nnx.Rngs(0)),
    }
    return chain(draw, {scope: nnx_layer(draw, layer, 3) for scope, layer in found.items()}, WIDTH)


def nnx_images() -> Network:
    """flax.nnx on images."""
    draw, width, rngs = Draw("flax_nnx_images"), IMAGES[-1], nnx.Rngs(0)
    found = {
        "group": nnx.GroupNorm(width, num_groups=4, rngs=rngs),
        "group_slow": nnx.GroupNorm(width, num_groups=2, use_fast_variance=False, rngs=rngs),
        "instance": nnx.InstanceNorm(width, rngs=rngs),
        "instance_slow": nnx.InstanceNorm(width, use_fast_variance=False, rngs=rngs),
        "channels": nnx.LayerNorm(width, rngs=rngs),
        "image": nnx.LayerNorm(int(np.prod(IMAGES[1:])), reduction_axes=(1, 2, 3), feature_axes=(1, 2, 3), rngs=rngs),
    }
    return chain(draw, {scope: nnx_layer(draw, layer, 4) for scope, layer in found.items()}, width)


def nnx_batch_norm() -> Network:
    """flax.nnx.BatchNorm in inference."""
    draw, width = Draw("flax_nnx_batch_norm"), IMAGES[-1]
    layer = nnx.BatchNorm(width, use_running_average=True, rngs=nnx.Rngs(0))
    return chain(draw, {"batch": nnx_layer(draw, layer, 4)}, width)


def linen_layers() -> Network:
    """flax.linen on sentences."""
    draw = Draw("flax_linen_layers")
    makers = {
        "fast": linen.LayerNorm,
        "slow": partial(linen.LayerNorm, use_fast_variance=False),
        "rms": linen.RMSNorm,
    }
    return chain(draw, {scope: linen_layer(draw, make, SENTENCES) for scope, make in makers.items()}, WIDTH)


def linen_images() -> Network:
    """flax.linen on images."""
    draw = Draw("flax_linen_images")
    makers = {
        "group": partial(linen.GroupNorm, num_groups=4),
        "instance": linen.InstanceNorm,
        "instance_slow": partial(linen.InstanceNorm, use_fast_variance=False),
    }
    sites = {scope: linen_layer(draw, make, IMAGES) for scope, make in makers.items()}
    return chain(draw, sites, IMAGES[-1])


def equinox_layers() -> Network:
    """Equinox on sentences."""
    draw = Draw("equinox_layers")
    makers = {
        "layer": partial(equinox.nn.LayerNorm, WIDTH),
        "without_bias": partial(equinox.nn.LayerNorm, WIDTH, use_bias=False),
        "rms": partial(equinox.nn.RMSNorm, WIDTH),
    }
    return chain(draw, {scope: equinox_layer(draw, make, 3) for scope, make in makers.items()}, WIDTH)


def equinox_group_norm() -> Network:
    """Equinox's GroupNorm, channels first."""
    draw, channels = Draw("equinox_group_norm"), CHANNELS_FIRST[1]
    site = equinox_layer(draw, partial(equinox.nn.GroupNorm, 4, channels), 4)
    mix = draw.weight(channels, channels)
    return Network({"group": site}, lambda call, x: x + jnp.einsum("nchw,cd->ndhw", call("group", x), mix))


def half() -> Network:
    """Float16: parameters in float16, parameters in float32, and a norm written by hand."""
    draw, rngs, dtype = Draw("flax_half"), nnx.Rngs(0), jnp.float16
    found = {
        "all_half": nnx.LayerNorm(WIDTH, dtype=dtype, param_dtype=dtype, rngs=rngs),
        "float_parameters": nnx.LayerNorm(WIDTH, dtype=dtype, rngs=rngs),
        "rms": nnx.RMSNorm(WIDTH, dtype=dtype, param_dtype=dtype, rngs=rngs),
    }
    sites = {scope: nnx_layer(draw, layer, 3) for scope, layer in found.items()}
    sites["mean_and_variance"] = written(draw, mean_and_variance, (-1,), (WIDTH,), "float16")
    return chain(draw, sites, WIDTH, "float16")


def bfloat16(kind: type[nnx.Module]) -> Network:
    """One norm of flax.nnx in bfloat16, alone: ONNX Runtime has few kernels for it on CPUs."""
    draw, dtype = Draw(f"flax_{kind.__name__}_bfloat16"), jnp.bfloat16
    layer = kind(WIDTH, dtype=dtype, param_dtype=dtype, rngs=nnx.Rngs(0))
    return Network({"norm": nnx_layer(draw, layer, 3)}, lambda call, x: call("norm", x))


def transformer() -> Network:
    """An encoder block of flax.nnx: attention and a feed-forward network behind norms, RMSNorm last."""
    draw, rngs = Draw("flax_transformer"), nnx.Rngs(0)
    found = {
        "attention_norm": nnx.LayerNorm(WIDTH, rngs=rngs),
        "feed_forward_norm": nnx.LayerNorm(WIDTH, use_fast_variance=False, rngs=rngs),
        "last_norm": nnx.RMSNorm(WIDTH, rngs=rngs),
    }
    sites = {scope: nnx_layer(draw, layer, 3) for scope, layer in found.items()}
    attention = nnx.MultiHeadAttention(2, WIDTH, decode=False, deterministic=True, rngs=rngs)
    widen, narrow = linear(draw, WIDTH, 2 * WIDTH), linear(draw, 2 * WIDTH, WIDTH)

    def forward(call: Call, x: Any) -> Any:
        x = x + attention(call("attention_norm", x))
        x = x + narrow(nnx.gelu(widen(call("feed_forward_norm", x))))
        return call("last_norm", x)

    return Network(sites, forward)


def _sample(
    name: str,
    title: str,
    build: Callable[[], Network],
    shape: tuple[int, ...],
    *opsets: int,
    dtype: str = "float32",
    exporter: str = JAX2ONNX,
    dynamic: bool = True,
) -> Sample:
    exports = tuple((exporter, opset) for opset in opsets)
    return Sample(name, title, build, shape, exports, dtype, ((0, "batch", 3),) if dynamic else ())


STATIC: Mapping[str, Any] = {"dynamic": False}
BFLOAT16: Mapping[str, Any] = {"dtype": "bfloat16", **STATIC}
# jax2onnx writes RMSNorm's ReduceMean in opset 18's form into models of opset 17, so that 18 is the first.
SAMPLES: tuple[Sample, ...] = (
    _sample("jax_spellings", "LayerNorms written with jax.numpy", spellings, SENTENCES, 18, 21, 25),
    _sample("jax_unit_length", "vectors divided by their lengths", unit_length, SENTENCES, 18, 23),
    _sample("flax_nnx_layers", "flax.nnx layers", nnx_layers, SENTENCES, 18, 21, 25),
    _sample("flax_nnx_layers", "flax.nnx layers", nnx_layers, SENTENCES, 23, exporter=NATIVE),
    _sample("flax_nnx_images", "flax.nnx layers on images", nnx_images, IMAGES, 18, 23),
    _sample("flax_nnx_batch_norm", "flax.nnx BatchNorm", nnx_batch_norm, IMAGES, 23),
    _sample("flax_linen_layers", "flax.linen layers", linen_layers, SENTENCES, 18, 23),
    _sample("flax_linen_images", "flax.linen layers on images", linen_images, IMAGES, 18, 23),
    _sample("flax_transformer", "flax.nnx encoder block", transformer, SENTENCES, 18, 21, 25),
    _sample("equinox_layers", "Equinox layers", equinox_layers, SENTENCES, 18, 23),
    _sample("equinox_group_norm", "Equinox GroupNorm", equinox_group_norm, CHANNELS_FIRST, 18, 23, **STATIC),
    _sample("flax_half", "flax.nnx, float16", half, SENTENCES, 18, 23, dtype="float16", dynamic=False),
    _sample(
        "flax_layer_norm_bfloat16",
        "flax.nnx LayerNorm, bfloat16",
        partial(bfloat16, nnx.LayerNorm),
        SENTENCES,
        23,
        **BFLOAT16,
    ),
    _sample(
        "flax_rms_norm_bfloat16",
        "flax.nnx RMSNorm, bfloat16",
        partial(bfloat16, nnx.RMSNorm),
        SENTENCES,
        23,
        **BFLOAT16,
    ),
)
