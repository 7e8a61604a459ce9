"""Verification: do two whole models compute the same?  Run side by side, output by output, and where they part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from normgraph.lazily import from_modules

if TYPE_CHECKING:
    from normgraph.verification.bisecting import Divergence
    from normgraph.verification.comparing import Comparison, Tolerance
    from normgraph.verification.record import Verification
    from normgraph.verification.verifying import Verifying, verify

__all__ = ["Comparison", "Divergence", "Tolerance", "Verification", "Verifying", "verify"]

_HOMES = {
    "Divergence": "bisecting",
    "Comparison": "comparing",
    "Tolerance": "comparing",
    "Verification": "record",
    "Verifying": "verifying",
    "verify": "verifying",
}

__getattr__ = from_modules(__name__, _HOMES)
