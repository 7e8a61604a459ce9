"""Graphs that only look like a normalization: what must not be fused, and the reason to be given."""

from collections.abc import Mapping, Sequence

from tests.claims import Trap
from tests.traps import (
    arithmetic,
    axes,
    epsilon,
    folds,
    guards,
    linear_means,
    opsets,
    other_kinds,
    runtime_gains,
    surroundings,
    unrelated,
)

TABLES: Mapping[str, Sequence[Trap]] = {
    "arithmetic": arithmetic.TABLE,
    "epsilon": epsilon.TABLE,
    "linear means": linear_means.TABLE,
    "axes": axes.TABLE,
    "guards": guards.TABLE,
    "surroundings": surroundings.TABLE,
    "unrelated": unrelated.TABLE,
    "opsets": opsets.TABLE,
    "other kinds": other_kinds.TABLE,
    "folds": folds.TABLE,
    "runtime gains": runtime_gains.TABLE,
}
