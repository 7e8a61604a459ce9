"""Graphs with an affine map per channel: those in which it folds, and beside them those in which it must not."""

from collections.abc import Mapping, Sequence

from tests.folds import linear, merges, numerics, passages, spelled_out, windows
from tests.folds.claims import FoldCase

TABLES: Mapping[str, Sequence[FoldCase]] = {
    "linear operators": linear.TABLE,
    "passages": passages.TABLE,
    "merges": merges.TABLE,
    "numerics": numerics.TABLE,
    "spelled out": spelled_out.TABLE,
    "windows": windows.TABLE,
}
