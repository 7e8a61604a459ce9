"""Graphs that only look like a normalization: what must not be fused, and the reason to be given."""

from collections.abc import Mapping, Sequence

from tests.claims import Trap

TABLES: Mapping[str, Sequence[Trap]] = {}
