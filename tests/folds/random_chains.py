"""Random chains of linear operators, maps per channel, passages and what nothing passes, as ONNX models."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.cases import Array


class Chain:
    """A model that grows node by node, from a tensor (N, 4, 8, 8).

    Args:
        seed: what all choices follow from.
    """

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}
        self.shape = (4, 8, 8)
        self.last = "x"

    def constant(self, values: Array) -> str:
        """A new constant."""
        name = f"c{len(self.constants)}"
        self.constants[name] = values
        return name

    def numbers(self, *shape: int) -> str:
        """A new constant of random numbers of both signs, none of them small."""
        values = self.random.uniform(0.5, 1.5, shape) * self.random.choice([-1.0, 1.0], shape)
        return self.constant(values.astype(np.float32))

    def node(self, operator: str, *operands: str, outputs: int = 1, **attributes: object) -> list[str]:
        """A new node behind some operands."""
        made = [f"v{len(self.nodes)}_{position}" for position in range(outputs)]
        named = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(operands), made, name=named, **attributes))
        return made

    def grow(self) -> None:
        """Add what a random row of the table makes, where it fits the shape."""
        STEPS[int(self.random.integers(len(STEPS)))](self)

    def model(self) -> onnx.ModelProto:
        """The model so far."""
        graph = helper.make_graph(
            self.nodes,
            "chain",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 4, 8, 8])],
            [helper.make_tensor_value_info(self.last, TensorProto.FLOAT, None)],
            [numpy_helper.from_array(values, name) for name, values in self.constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
        return onnx.shape_inference.infer_shapes(model)


def convolution(chain: Chain) -> None:
    channels, height, width = chain.shape
    kernel = int(chain.random.choice([1, 3])) if min(height, width) >= 3 else 1
    pad = int(chain.random.integers(kernel))
    group = int(chain.random.choice([1, channels]))
    outputs = channels if group > 1 else int(chain.random.choice([4, 6]))
    weight = chain.numbers(outputs, channels // group, kernel, kernel)
    bias = [chain.numbers(outputs)] if chain.random.random() < 0.5 else []
    (chain.last,) = chain.node("Conv", chain.last, weight, *bias, group=group, pads=[pad] * 4)
    chain.shape = (outputs, height + 2 * pad - kernel + 1, width + 2 * pad - kernel + 1)


def transposed(chain: Chain) -> None:
    channels, height, width = chain.shape
    (chain.last,) = chain.node("ConvTranspose", chain.last, chain.numbers(channels, 4, 2, 2), strides=[2, 2])
    chain.shape = (4, 2 * height, 2 * width)


def batch_normalization(chain: Chain) -> None:
    channels = chain.shape[0]
    variance = chain.constant(chain.random.uniform(0.5, 2, channels).astype(np.float32))
    parameters = [chain.numbers(channels) for _ in range(3)]
    (chain.last,) = chain.node("BatchNormalization", chain.last, *parameters, variance)


def scale(chain: Chain) -> None:
    (chain.last,) = chain.node("Mul", chain.last, chain.numbers(chain.shape[0], 1, 1))


def shift(chain: Chain) -> None:
    (chain.last,) = chain.node("Add", chain.last, chain.numbers(chain.shape[0], 1, 1))


def pool(chain: Chain) -> None:
    channels, height, width = chain.shape
    if min(height, width) < 3:
        return
    operator = str(chain.random.choice(["AveragePool", "MaxPool"]))
    counted = {"count_include_pad": int(chain.random.integers(2))} if operator == "AveragePool" else {}
    pad = int(chain.random.integers(2))
    (chain.last,) = chain.node(operator, chain.last, kernel_shape=[3, 3], pads=[pad] * 4, **counted)
    chain.shape = (channels, height + 2 * pad - 2, width + 2 * pad - 2)


def padding(chain: Chain) -> None:
    channels, height, width = chain.shape
    mode = str(chain.random.choice(["constant", "edge"]))
    (chain.last,) = chain.node("Pad", chain.last, chain.constant(np.asarray([0, 0, 1, 0, 0, 0, 0, 1])), mode=mode)
    chain.shape = (channels, height + 1, width + 1)


def shuffle(chain: Chain) -> None:
    order = chain.constant(chain.random.permutation(chain.shape[0]))
    (chain.last,) = chain.node("Gather", chain.last, order, axis=1)


def regroup(chain: Chain) -> None:
    channels, height, width = chain.shape
    shape = chain.constant(np.asarray([0, 2, channels // 2, height, width]))
    (parted,) = chain.node("Reshape", chain.last, shape)
    (turned,) = chain.node("Transpose", parted, perm=[0, 2, 1, 3, 4])
    (chain.last,) = chain.node("Reshape", turned, chain.constant(np.asarray([0, channels, height, width])))


def cut(chain: Chain) -> None:
    channels, height, width = chain.shape
    if channels <= 4:
        return
    bounds = [chain.constant(np.asarray([value])) for value in (channels, 0, 1, -1)]
    (chain.last,) = chain.node("Slice", chain.last, *bounds)
    chain.shape = (channels - 1, height, width)
    (chain.last,) = chain.node("Slice", chain.last, *(chain.constant(np.asarray([v])) for v in (0, 4, 1, 1)))
    chain.shape = (4, height, width)


def blocks(chain: Chain) -> None:
    channels, height, width = chain.shape
    if channels % 4 == 0:
        mode = str(chain.random.choice(["DCR", "CRD"]))
        (chain.last,) = chain.node("DepthToSpace", chain.last, blocksize=2, mode=mode)
        chain.shape = (channels // 4, 2 * height, 2 * width)
        convolution(chain)
    elif height % 2 == 0 and width % 2 == 0:
        (chain.last,) = chain.node("SpaceToDepth", chain.last, blocksize=2)
        chain.shape = (4 * channels, height // 2, width // 2)


def branches(chain: Chain) -> None:
    """Two or three convolutions of one tensor, added, that tensor itself or a map of it among them."""
    channels = chain.shape[0]
    source = chain.last
    terms = [chain.node("Conv", source, chain.numbers(channels, channels, 1, 1))[0]]
    terms += chain.node("Conv", source, chain.numbers(channels, channels, 3, 3), pads=[1] * 4)
    if chain.random.random() < 0.5:
        terms.append(source)
    if chain.random.random() < 0.5:
        batch_normalization(chain)
        terms.append(chain.last)
    chain.random.shuffle(terms)
    total = terms[0]
    for term in terms[1:]:
        (total,) = chain.node("Add", total, term)
    chain.last = total


def parts(chain: Chain) -> None:
    """Channels split, one part mapped or convolved by itself, and joined again."""
    channels, height, width = chain.shape
    sizes = [1, channels - 1]
    first, second = chain.node("Split", chain.last, chain.constant(np.asarray(sizes)), outputs=2, axis=1)
    whole, chain.last, chain.shape = chain.shape, second, (sizes[1], height, width)
    (scale if chain.random.random() < 0.5 else batch_normalization)(chain)
    (chain.last,) = chain.node("Concat", first, chain.last, axis=1)
    chain.shape = whole


def activation(chain: Chain) -> None:
    (chain.last,) = chain.node("Relu", chain.last)


def second_reader(chain: Chain) -> None:
    (other,) = chain.node("Tanh", chain.last)
    (scaled,) = chain.node("Mul", chain.last, chain.numbers(chain.shape[0], 1, 1))
    (chain.last,) = chain.node("Add", scaled, other)


STEPS = (
    convolution, convolution, convolution, transposed, batch_normalization, batch_normalization, batch_normalization,
    scale, shift, pool, padding, shuffle, regroup, cut, blocks, branches, parts, activation, second_reader,
)  # fmt: skip
