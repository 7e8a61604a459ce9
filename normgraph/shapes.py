"""Shapes of the values that operators make: one rule per operator, on sizes that may be symbolic.

A rule returns the shapes of its node's outputs (None for one it can't tell), or None where it can tell
nothing; what the model itself declares then stands in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import onnx_ir as ir

from normgraph.axes import ONE, Size, product, static_size
from normgraph.constants import attribute

if TYPE_CHECKING:
    from normgraph.facts import Facts

Shape = tuple[Size, ...]
Rule = Callable[[ir.Node, "Facts"], Sequence[Shape | None] | None]


def _input(node: ir.Node, facts: Facts, position: int = 0) -> Shape | None:
    value = node.inputs[position] if position < len(node.inputs) else None
    return None if value is None else facts.shape(value)


def broadcast_shapes(shapes: Sequence[Shape], facts: Facts) -> Shape:
    """The shape that shapes broadcast to; two different dynamic sizes give one of which nothing is known."""
    first = shapes[0]
    if len(shapes) == 2:
        second = shapes[1]
        longer, shorter = (first, second) if len(first) >= len(second) else (second, first)
        lacking = len(longer) - len(shorter)
        if longer[lacking:] == shorter:
            return longer
        common = (
            a if a is b or b is ONE else b if a is ONE else _common_size((a, b), facts)
            for a, b in zip(longer[lacking:], shorter, strict=True)
        )
        return (*longer[:lacking], *common)
    if all(shape == first for shape in shapes):
        return first
    rank = max(len(shape) for shape in shapes)
    missing = [rank - len(shape) for shape in shapes]
    return tuple(
        _common_size([s[position - n] for s, n in zip(shapes, missing, strict=True) if position >= n], facts)
        for position in range(rank)
    )


def _common_size(sizes: Sequence[Size], facts: Facts) -> Size:
    """The size that dimensions of these sizes are broadcast to."""
    if sizes.count(sizes[0]) == len(sizes):
        return sizes[0]
    distinct = {size for size in sizes if size != ONE}
    static = {size for size in distinct if not size.symbols}
    if len(static) == 1:  # a dynamic size beside it can only be the same or one
        return static.pop()
    return distinct.pop() if len(distinct) == 1 else facts.new_symbol()


def _elementwise(node: ir.Node, facts: Facts) -> Sequence[Shape | None] | None:
    shapes: list[Shape] = []
    for value in node.inputs:
        if value is not None:
            shape = facts.shapes.get(value)
            if shape is None:
                return None
            shapes.append(shape)
    return [broadcast_shapes(shapes, facts)] if shapes else None


def _like_first(node: ir.Node, facts: Facts) -> Sequence[Shape | None] | None:
    shape = _input(node, facts)
    return None if shape is None else [shape]


def axes_of(node: ir.Node, facts: Facts, rank: int) -> tuple[int, ...] | None:
    """The non-negative axes of a reduction, Squeeze or Unsqueeze, from its attribute or its input; all if it has none.

    None where they are computed at run time.
    """
    axes: Sequence[int] | None = attribute(node, "axes")
    if axes is None and len(node.inputs) > 1 and node.inputs[1] is not None:
        axes = facts.integers(node.inputs[1])
        if axes is None:
            return None
    if not axes:
        return () if attribute(node, "noop_with_empty_axes", 0) else tuple(range(rank))
    if any(not -rank <= axis < rank for axis in axes):
        return None
    return tuple(sorted(axis % rank for axis in axes))


def _reduction(node: ir.Node, facts: Facts) -> Sequence[Shape | None] | None:
    shape = _input(node, facts)
    axes = None if shape is None else axes_of(node, facts, len(shape))
    if shape is None or axes is None:
        return None
    if attribute(node, "keepdims", 1):
        return [tuple(ONE if position in axes else size for position, size in enumerate(shape))]
    return [tuple(size for position, size in enumerate(shape) if position not in axes)]


def _squeeze(node: ir.Node, facts: Facts) -> Sequence[Shape | None] | None:
    shape = _input(node, facts)
    if shape is None:
        return None
    listed = attribute(node, "axes")
    if listed is None and (len(node.inputs) < 2 or node.inputs[1] is None):
        static = all(not size.symbols for size in shape)
        return [tuple(size for size in shape if size != ONE)] if static else None
    listed = listed or (facts.integers(node.inputs[1]) if len(node.inputs) > 1 else None)
    axes = axes_of(node, facts, len(shape)) if listed else None  # runtimes differ on an empty list
    if axes is None or any(shape[axis].static not in (1, None) for axis in axes):
        return None
    return [tuple(s for position, s in enumerate(shape) if position not in axes)]


def _unsqueeze(node: ir.Node, facts: Facts) -> Sequence[Shape | None] | None:
    shape = _input(node, facts)
    axes = attribute(node, "axes") or (facts.integers(node.inputs[1]) if len(node.inputs) > 1 else None)
    if shape is None or axes is None:
        return None
    rank = len(shape) + len(axes)
    inserted = {axis % rank for axis in axes}
    if len(inserted) != len(axes):
        return None
    rest = iter(shape)
    return [tuple(ONE if position in inserted else next(rest) for position in range(rank))]


def _transpose(node: ir.Node, facts: Facts) -> Sequence[Shape | None] | None:
    shape = _input(node, facts)
    if shape is None:
        return None
    order = attribute(node, "perm") or range(len(shape))[::-1]
    return [tuple(shape[position] for position in order)]


#: What a Reshape is told of a dimension: to leave it alone, and to make it fit.
_SAME, _INFERRED = static_size(0), static_size(-1)


def _reshape(node: ir.Node, facts: Facts) -> Sequence[Shape | None] | None:
    source = _input(node, facts)
    target = facts.elements.get(node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] is not None else None
    if target is None:
        array = facts.constant(node.inputs[1]) if len(node.inputs) > 1 else None
        sizes: list[Size | None] = [] if array is None else [static_size(int(size)) for size in array]
        if array is None:
            return None
    else:
        sizes = list(target.sizes)
    unknown: list[int] = []
    for position, size in enumerate(sizes):
        if size == _SAME and not attribute(node, "allowzero", 0):
            sizes[position] = source[position] if source is not None and position < len(source) else None
        if sizes[position] is None or size == _INFERRED:
            unknown.append(position)
    if source is not None and len(unknown) == 1:
        known = product(size for position, size in enumerate(sizes) if size is not None and position != unknown[0])
        sizes[unknown[0]] = product(source).divided_by(known)
    return [tuple(facts.new_symbol() if s is None or s.factor < 0 else s for s in sizes)]


def _flatten(node: ir.Node, facts: Facts) -> Sequence[Shape | None] | None:
    shape = _input(node, facts)
    if shape is None:
        return None
    axis = attribute(node, "axis", 1)
    axis += len(shape) if axis < 0 else 0
    return [(product(shape[:axis]), product(shape[axis:]))]


def _matmul(node: ir.Node, facts: Facts) -> Sequence[Shape | None] | None:
    a, b = _input(node, facts), _input(node, facts, 1)
    if a is None or b is None or len(a) < 2 or len(b) < 2:
        return None
    batch = broadcast_shapes([a[:-2], b[:-2]], facts) if len(a) > 2 or len(b) > 2 else ()
    return [(*batch, a[-2], b[-1])]


def _gemm(node: ir.Node, facts: Facts) -> Sequence[Shape | None] | None:
    a, b = _input(node, facts), _input(node, facts, 1)
    if a is None or b is None:
        return None
    return [(a[1] if attribute(node, "transA", 0) else a[0], b[0] if attribute(node, "transB", 0) else b[1])]


def _convolution(node: ir.Node, facts: Facts) -> Sequence[Shape | None] | None:
    data, weight = _input(node, facts), _input(node, facts, 1)
    if data is None or weight is None:
        return None
    rank = len(data) - 2
    kernel = [size.static for size in weight[2:]]
    return [(data[0], weight[0], *_windows(node, data[2:], kernel, rank, facts))]


def _pool(node: ir.Node, facts: Facts) -> Sequence[Shape | None] | None:
    data = _input(node, facts)
    if data is None:
        return None
    kernel = list(attribute(node, "kernel_shape", ()))
    return [(*data[:2], *_windows(node, data[2:], kernel, len(data) - 2, facts))]


def _windows(node: ir.Node, spatial: Shape, kernel: Sequence[int | None], rank: int, facts: Facts) -> tuple[Size, ...]:
    strides = attribute(node, "strides") or (1,) * rank
    dilations = attribute(node, "dilations") or (1,) * rank
    pads = attribute(node, "pads") or (0,) * 2 * rank
    automatic = attribute(node, "auto_pad", "NOTSET")
    result = []
    for i, size in enumerate(spatial):
        extent, width = size.static, kernel[i]
        padded = 0 if automatic == "VALID" else pads[i] + pads[i + rank]
        same = automatic.startswith("SAME") or (width is not None and dilations[i] * (width - 1) == padded)
        if extent is None and same and strides[i] == 1:  # n + pads − d·(k − 1) = n
            result.append(size)
        elif extent is None or width is None or attribute(node, "ceil_mode", 0):
            result.append(facts.new_symbol())
        elif automatic in ("SAME_UPPER", "SAME_LOWER"):
            result.append(static_size(-(-extent // strides[i])))
        else:
            result.append(static_size((extent + padded - dilations[i] * (width - 1) - 1) // strides[i] + 1))
    return tuple(result)


def _global_pool(node: ir.Node, facts: Facts) -> Sequence[Shape | None] | None:
    data = _input(node, facts)
    return None if data is None else [(*data[:2], *(ONE,) * (len(data) - 2))]


def _gather(node: ir.Node, facts: Facts) -> Sequence[Shape | None] | None:
    data, index = _input(node, facts), _input(node, facts, 1)
    if data is None or index is None:
        return None
    axis = attribute(node, "axis", 0) % len(data)
    return [(*data[:axis], *index, *data[axis + 1 :])]


def _concat(node: ir.Node, facts: Facts) -> Sequence[Shape | None] | None:
    shapes = [_input(node, facts, position) for position in range(len(node.inputs))]
    known = [shape for shape in shapes if shape is not None]
    if len(known) != len(shapes):
        return None
    axis = attribute(node, "axis") % len(known[0])
    static = [shape[axis].static for shape in known]
    total = facts.new_symbol() if None in static else static_size(sum(size for size in static if size is not None))
    return [tuple(total if i == axis else _agreed({shape[i] for shape in known}) for i in range(len(known[0])))]


def _agreed(sizes: set[Size]) -> Size:
    """Of sizes that must be the same a static one, else the first by name."""
    if len(sizes) == 1:
        return next(iter(sizes))
    return min(sizes, key=lambda size: (bool(size.symbols), str(size)))


def _expand(node: ir.Node, facts: Facts) -> Sequence[Shape | None] | None:
    source, told = _input(node, facts), node.inputs[1]
    target = None if told is None else facts.elements.get(told)
    numbers = facts.integers(told) if target is None else None
    if source is None or (target is None and numbers is None):
        return None
    sizes = map(static_size, numbers or ()) if target is None else target.sizes
    return [broadcast_shapes([source, tuple(facts.new_symbol() if s is None else s for s in sizes)], facts)]


def _constant_of_shape(node: ir.Node, facts: Facts) -> Sequence[Shape | None] | None:
    target = facts.elements.get(node.inputs[0]) if node.inputs[0] is not None else None
    if target is None or target.rank != 1:
        return None
    return [tuple(facts.new_symbol() if size is None else size for size in target.sizes)]


def _slice(node: ir.Node, facts: Facts) -> Sequence[Shape | None] | None:
    data = _input(node, facts)
    if data is None:
        return None
    if len(node.inputs) > 1:
        starts, ends = facts.integers(node.inputs[1]), facts.integers(node.inputs[2])
        axes = (
            facts.integers(node.inputs[3]) if len(node.inputs) > 3 and node.inputs[3] is not None else range(len(data))
        )
        given = len(node.inputs) > 4 and node.inputs[4] is not None
        steps = facts.integers(node.inputs[4]) if given else (1,) * len(data)
    else:
        starts, ends, steps = attribute(node, "starts"), attribute(node, "ends"), (1,) * len(data)
        axes = attribute(node, "axes") or range(len(data))
    if axes is None:
        return [tuple(facts.new_symbol() for _ in data)]
    sizes = list(data)
    for i, axis in enumerate(axes[: len(starts)] if starts is not None else axes):
        extent = data[axis].static
        if starts is None or ends is None or steps is None or extent is None:
            sizes[axis] = facts.new_symbol()
        else:
            sizes[axis] = static_size(len(range(extent)[starts[i] : ends[i] : steps[i]]))
    return [tuple(sizes)]


def _range(node: ir.Node, facts: Facts) -> Sequence[Shape | None] | None:
    numbers = [facts.integers(value) for value in node.inputs]
    if None not in numbers:
        (start,), (limit,), (delta,) = (number for number in numbers if number is not None)
        return [(static_size(len(range(start, limit, delta))),)]
    declared = node.outputs[0].shape is not None
    floating = all(facts.is_constant(value) for value in node.inputs)
    return None if declared or floating else [(facts.new_symbol(),)]


def _split(node: ir.Node, facts: Facts) -> Sequence[Shape | None] | None:
    data = _input(node, facts)
    if data is None:
        return None
    axis = attribute(node, "axis", 0) % len(data)
    given = len(node.inputs) > 1 and node.inputs[1] is not None
    parts = attribute(node, "split") or (facts.integers(node.inputs[1]) if given else None)
    extent = data[axis].static
    if parts is None and not given and extent is not None and extent % len(node.outputs) == 0:
        parts = (extent // len(node.outputs),) * len(node.outputs)
    sizes = [static_size(part) for part in parts] if parts else [facts.new_symbol() for _ in node.outputs]
    return [(*data[:axis], size, *data[axis + 1 :]) for size in sizes]


def _same(*operators: str) -> dict[str, Rule]:
    return dict.fromkeys(operators, _like_first)


SHAPE_RULES: dict[str, Rule] = {
    **dict.fromkeys(
        ("Add And BitShift Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul Or PRelu Pow Sub Sum "
         "Where Xor").split(),
        _elementwise,
    ),
    **_same(
        *("Abs Cast CastLike Ceil Celu Clip Cos CumSum DequantizeLinear Dropout Elu Erf Exp Floor Gelu HardSigmoid "
          "HardSwish Hardmax Identity InstanceNormalization IsNaN LayerNormalization LeakyRelu Log LogSoftmax "
          "LpNormalization MeanVarianceNormalization BatchNormalization GroupNormalization Mish Neg Not QuantizeLinear "
          "RMSNormalization Reciprocal Relu Round Selu Sigmoid Sign SimplifiedLayerNormalization Sin Softmax Softplus "
          "Softsign Sqrt Swish Tan Tanh ThresholdedRelu Trilu").split()
    ),
    **dict.fromkeys(
        ("ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
         "ReduceSumSquare").split(),
        _reduction,
    ),
    "AveragePool": _pool,
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Conv": _convolution,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "MatMul": _matmul,
    "MaxPool": _pool,
    "Range": _range,
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}  # fmt: skip
