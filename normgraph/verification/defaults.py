"""Inputs that have a default: what a caller may override has to go on being asked for, and to make a difference."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from normgraph.constants import Array
from normgraph.facts import FLOATING
from normgraph.feeds import Feed

#: The IR version from which on initializers need not be inputs as well; where they had to, that says nothing.
_SEPARATE = 4
#: What floating defaults are multiplied by. It is neither one, nor does it round anything.
FACTOR = 1.25
#: Larger defaults are weights, which nobody overrides.
_MOST = 1 << 22


def overridable(model: ir.Model) -> Iterator[ir.Value]:
    """The inputs that a caller may leave to their defaults."""
    if (model.ir_version or 0) >= _SEPARATE:
        yield from (value for value in model.graph.inputs if value.is_initializer())


def overridden(model: ir.Model, feed: Feed) -> Feed | None:
    """A feed with other numbers in place of the defaults, which shows where one was taken for a constant.

    Args:
        model: the model.
        feed: what is fed besides.

    Returns:
        None where there are no floating defaults of a moderate size.
    """
    scaled: dict[str, Array] = {}
    for value in overridable(model):
        tensor = value.const_value
        if tensor is not None and tensor.dtype in FLOATING and tensor.size <= _MOST:
            array = tensor.numpy()
            scaled[value.name or ""] = np.asarray(array * array.dtype.type(FACTOR), array.dtype)
    if not scaled:
        return None
    return Feed(f"{feed.label}, defaults × {FACTOR:g}", {**feed.arrays, **scaled})
