"""Graphs with an affine map per channel: those in which it folds, and beside them those in which it must not."""

from collections.abc import Mapping, Sequence

from tests.folds import linear, merges, numerics, passages
from tests.folds.claims import FoldCase

TABLES: Mapping[str, Sequence[FoldCase]] = {
    "linear operators": linear.TABLE,
    "passages": passages.TABLE,
    "merges": merges.TABLE,
    "numerics": numerics.TABLE,
}
