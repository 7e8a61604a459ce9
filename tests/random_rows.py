"""Random rows of normalizations and maps, one behind the other: what each becomes bears on what the next one can."""

from random import Random

import onnx
import onnx.parser

#: Of the tensor that goes through a row; the sample's dimension is dynamic in some.
SHAPE = (2, 3, 4)
LENGTH = 5
_HEAD = """<ir_version: 8, opset_import: ["" : {opset}]>
row (float[{batch}, 3, 4] x) => ({outputs})
<float e = {{1e-5}}, float two = {{2.0}}, float one = {{1.0}}, float none = {{0.0}}, int64[3] flat = {{0, 1, -1}},
 int64[3] back = {{0, 3, 4}}, float[4] gain = {{0.5, 2.0, -1.0, 3.0}}, float[4] bias = {{1.0, -0.5, 0.25, 2.0}},
 float[3, 1] scale = {{0.5, 2.0, 1.5}}, float[3, 1] shift = {{1.0, -0.5, 3.0}},
 float[3] ones = {{1.0, 1.0, 1.0}}, float[3] zeros = {{0.0, 0.0, 0.0}}>
{{ {nodes} }}"""


class Row:
    """A graph that grows from x by a norm, part of one, a map, or what moves elements.

    Args:
        seed: what all choices follow from.
    """

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.nodes: list[str] = []
        self.last = "x"

    def node(self, operator: str, *operands: str, attributes: str = "") -> str:
        """A new node."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(f"{name} = {operator}{attributes and f'<{attributes}>'}({', '.join(operands)})")
        return name

    def step(self, operator: str, *operands: str, attributes: str = "") -> None:
        """A new node that takes the last value as its first operand."""
        self.last = self.node(operator, self.last, *operands, attributes=attributes)

    def over(self) -> str:
        """The axes of a statistic."""
        return "axes = " + self.random.choice(["[-1]", "[-1]", "[-1]", "[1]", "[1, 2]"])

    def model(self) -> onnx.ModelProto:
        """The model so far; a value on the way may be one of its outputs."""
        kept = [f"v{i}" for i in range(len(self.nodes)) if self.random.random() < 0.02]
        outputs = ", ".join(
            f"float[d0_{i}, d1_{i}, d2_{i}] {n}" for i, n in enumerate(dict.fromkeys([*kept, self.last]))
        )
        head = {"opset": self.random.choice([13, 17]), "batch": self.random.choice(["2", "N"])}
        return onnx.parser.parse_model(_HEAD.format(outputs=outputs, nodes="\n".join(self.nodes), **head))


def centre(row: Row, axes: str) -> None:
    row.step("Sub", row.node("ReduceMean", row.last, attributes=axes))


def divide(row: Row, axes: str) -> None:
    square = row.random.choice([("Mul", row.last), ("Pow", "two")])
    spread = row.node("ReduceMean", row.node(square[0], row.last, square[1]), attributes=axes)
    if row.random.random() < 0.7:
        spread = row.node("Add", spread, "e")
    root = row.node("Sqrt", spread)
    if row.random.random() < 0.5:
        row.step("Div", root)
    else:
        row.step("Mul", row.node("Reciprocal", root))


def layer_normalization(row: Row) -> None:
    axes = row.over()
    centre(row, axes)
    divide(row, axes)


def root_mean_square(row: Row) -> None:
    divide(row, row.over())


def centring(row: Row) -> None:
    centre(row, row.over())


def length(row: Row) -> None:
    axes = row.over()
    row.step("Div", row.node("ReduceL2", row.last, attributes=axes))


def instances(row: Row) -> None:
    row.step("InstanceNormalization", "ones", "zeros", attributes="epsilon = 1e-5")


def whole_sample(row: Row) -> None:
    row.step("Reshape", "flat")
    layer_normalization(row)
    row.step("Reshape", "back")


def gain(row: Row) -> None:
    row.step("Mul", "gain")


def bias(row: Row) -> None:
    row.step("Add", "bias")


def scale(row: Row) -> None:
    row.step("Mul", "scale")


def shift(row: Row) -> None:
    row.step("Sub", "shift")


def turned(row: Row) -> None:
    perm = "perm = [0, 2, 1]"
    row.step("Transpose", attributes=perm)
    row.random.choice([root_mean_square, layer_normalization, centring])(row)
    row.step("Transpose", attributes=perm)


def unchanged(row: Row) -> None:
    operator, operand = row.random.choice([("Mul", "one"), ("Add", "none")])
    row.step(operator, operand)


def between(row: Row) -> None:
    row.step("Tanh")


STEPS = (
    layer_normalization, layer_normalization, root_mean_square, root_mean_square, centring, centring, length, instances,
    whole_sample, gain, bias, scale, scale, shift, shift, turned, unchanged, between,
)  # fmt: skip


def row(seed: int) -> onnx.ModelProto:
    """The model of a seed."""
    found = Row(seed)
    for _ in range(LENGTH):
        found.random.choice(STEPS)(found)
    return found.model()
