"""Affine maps through pooling, padding, cutting and interpolating, as all opsets write them."""

import numpy as np

from tests.folds.claims import hit, miss, norm

K: dict[str, object] = {"w": (4, 4, 1, 1)}
GAIN: dict[str, object] = {**K, "k": np.asarray([0.5, 1.0, 2.0, 0.25]).reshape(4, 1, 1)}
ONE: dict[str, object] = {**K, "one": [1.0] * 4, "two": [2.0] * 4}
TWICE = np.asarray([1, 1, 2, 2], np.float32)
OLD: dict[str, object] = {"opsets": (9, 9)}
RESIZED: dict[str, object] = {"dims": "B 4 3 3", "constants": {**K, "twice": TWICE}, "evaluated_in_double": False}
SIZES = np.asarray([2, 4, 4, 4])


def resize(mode: str, coordinates: str, further: str = "") -> str:
    """A Resize between a Conv and a BatchNormalization."""
    attributes = f'mode="{mode}", coordinate_transformation_mode="{coordinates}"{further}'
    return f"h = Conv(x, w)  d = Resize<{attributes}>(h, , twice)  y = {norm('d')}"


TABLE = [
    hit("through Upsample to the nearest", f"h = Conv(x, w)  u = Upsample(h, twice)  y = {norm('u')}",
        "Conv Upsample", **OLD, **RESIZED),
    hit("through Upsample to the nearest, forward", f"h = {norm('x')}  u = Upsample(h, twice)  y = Conv(u, w)",
        "Upsample Conv", "forward", **OLD, **RESIZED),
    hit("through a Pad that says so in attributes",
        "h = Conv(x, w)  p = Pad<pads=[0, 0, 1, 2, 0, 0, 0, 1], value=7.0>(h)  "
        "y = BatchNormalization(p, one, two, one, one)", "Conv Pad", **OLD, constants=ONE),
    hit("through a Pad that says so in attributes, forward",
        "h = BatchNormalization(x, one, two, one, one)  p = Pad<pads=[0, 0, 1, 2, 0, 0, 0, 1]>(h)  y = Conv(p, w)",
        "Pad Conv", "forward", **OLD, constants=ONE),
    hit("through a Pad of the edge that says so in attributes",
        f"h = Conv(x, w)  p = Pad<mode=\"edge\", pads=[0, 0, 1, 2, 0, 0, 0, 1]>(h)  y = {norm('p')}", "Conv Pad", **OLD,
        constants=K),
    hit("through a Slice that says so in attributes",
        f"h = Conv(x, v)  s = Slice<axes=[1], starts=[1], ends=[5]>(h)  y = {norm('s')}", "Conv Slice", **OLD,
        constants={"v": (6, 4, 1, 1)}),
    hit("through a Slice that says so in attributes, forward",
        f"h = {norm('x')}  s = Slice<axes=[1], starts=[-3], ends=[1000]>(h)  y = Conv(s, v)", "Slice Conv", "forward",
        **OLD, constants={"v": (5, 3, 1, 1)}),
    hit("through a Slice without axes", f"h = Conv(x, v)  s = Slice<starts=[0, 1], ends=[9, 5]>(h)  y = {norm('s')}",
        "Conv Slice", **OLD, constants={"v": (6, 4, 1, 1)}),
    hit("through a Resize to the nearest below", resize("nearest", "asymmetric", ', nearest_mode="floor"'),
        "Conv Resize", **RESIZED),
    hit("through a linear Resize, asymmetric", resize("linear", "asymmetric"), "Conv Resize", **RESIZED),
    hit("through a linear Resize, corners aligned", resize("linear", "align_corners"), "Conv Resize", **RESIZED),
    hit("through a linear Resize, as PyTorch has it", resize("linear", "pytorch_half_pixel"), "Conv Resize", **RESIZED),
    hit("through a Resize to sizes, forward",
        f"h = {norm('x')}  d = Resize<mode=\"linear\">(h, , , sizes)  y = Conv(d, w)", "Resize Conv", "forward",
        dims="2 4 3 3", constants={**K, "sizes": np.asarray([2, 4, 7, 5])}, evaluated_in_double=False),
    hit("through MaxPool that rounds up, as GoogLeNet has it",
        "h = Conv(x, w)  p = MaxPool<kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1>(h)  y = Mul(p, k)",
        "Conv MaxPool", constants=GAIN),
    hit("through padded MaxPool",
        "h = Conv(x, w)  p = MaxPool<kernel_shape=[3, 3], pads=[1, 1, 1, 1]>(h)  y = Mul(p, k)", "Conv MaxPool",
        constants=GAIN),
    hit("through MaxPool with dilated windows and no padding",
        "h = Conv(x, w)  p = MaxPool<kernel_shape=[2, 2], dilations=[2, 2]>(h)  y = Mul(p, k)", "Conv MaxPool",
        constants=GAIN),
    hit("through padded MaxPool with dilated windows on a size that fills them",
        "h = Conv(x, w)  p = MaxPool<kernel_shape=[2, 2], dilations=[2, 2], pads=[1, 1, 1, 1]>(h)  y = Mul(p, k)",
        "Conv MaxPool", constants=GAIN),
    hit("two norms with pooling between, into one",
        f"r = Relu(x)  n = {norm('r')}  p = AveragePool<kernel_shape=[2, 2]>(n)  b = {norm('p')}  y = Relu(b)",
        "Relu BatchNormalization AveragePool Relu", "compose"),
    hit("two norms in a row, into one", f"r = Relu(x)  n = {norm('r')}  b = {norm('n')}  y = Relu(b)",
        "Relu BatchNormalization Relu", "compose"),
    hit("a gain behind a norm", f"r = Relu(x)  n = {norm('r')}  b = Mul(n, k)  y = Relu(b)",
        "Relu BatchNormalization Relu", "compose", constants={"k": (4, 1, 1)}),
    hit("a norm behind the Concat of two",
        f"r = Relu(x)  n = {norm('r')}  s = Relu(z)  m = {norm('s')}  c = Concat<axis=1>(n, m)  "
        "b = BatchNormalization(c, g8, b8, g8, v8)  y = Relu(b)",
        "Relu Relu BatchNormalization BatchNormalization Concat Relu", "compose", inputs={"z": "B 4 6 6"},
        constants={"g8": (8,), "b8": (8,), "v8": np.arange(1.0, 9.0)}),
    hit("a norm behind the Concat of another and a Conv",
        f"r = Relu(x)  n = {norm('r')}  v = Conv(z, w)  c = Concat<axis=1>(n, v)  "
        "b = BatchNormalization(c, g8, b8, g8, v8)  y = Relu(b)",
        "Relu BatchNormalization Conv Concat Relu", "compose", inputs={"z": "B 4 6 6"},
        constants={**K, "g8": (8,), "b8": (8,), "v8": np.arange(1.0, 9.0)}),
    hit("two norms with pooling between, the Conv before them takes both",
        f"h = Conv(x, w)  n = {norm('h')}  p = AveragePool<kernel_shape=[2, 2]>(n)  y = {norm('p')}",
        "Conv AveragePool",
        "backward", "backward", constants=K),

    miss("through a Pad in attributes, values that differ",
         f"h = Conv(x, w)  p = Pad<pads=[0, 0, 1, 1, 0, 0, 1, 1]>(h)  y = {norm('p')}", "padding", "Pad", **OLD,
         constants=K),
    miss("through a Pad in attributes that pads channels",
         f"h = Conv(x, v)  p = Pad<pads=[0, 1, 0, 0, 0, 1, 0, 0]>(h)  y = {norm('p')}", "padding", "pads the dimension",
         **OLD, constants={"v": (2, 4, 1, 1)}),
    miss("through an Upsample of channels",
         f"h = Conv(x, v)  u = Upsample(h, channels)  y = {norm('u')}", "layout", "Upsample", dims="B 4 3 3", **OLD,
         constants={"v": (2, 4, 1, 1), "channels": np.asarray([1, 2, 1, 1], np.float32)}, evaluated_in_double=False),
    miss("through a Resize of channels", f"h = Conv(x, v)  u = Resize(h, , channels)  y = {norm('u')}", "layout",
         "Resize", dims="B 4 3 3", evaluated_in_double=False,
         constants={"v": (2, 4, 1, 1), "channels": np.asarray([1, 2, 1, 1], np.float32)}),
    miss("through a Resize that crops",
         "h = Conv(x, w)  d = Resize<mode=\"linear\", coordinate_transformation_mode=\"tf_crop_and_resize\", "
         f"extrapolation_value=1.0>(h, roi, , sizes)  y = {norm('d')}", "layout", "Resize", dims="2 4 3 3",
         constants={**K, "roi": np.asarray([0, 0, 0, 0, 1, 1, 1.5, 1.5], np.float32), "sizes": SIZES},
         evaluated_in_double=False),
]  # fmt: skip
