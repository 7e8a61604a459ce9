"""Verification: do two whole models compute the same?  Run side by side, output by output, and where they part."""

from normgraph.verification.bisecting import Divergence
from normgraph.verification.comparing import Comparison, Tolerance
from normgraph.verification.record import Verification
from normgraph.verification.verifying import Verifying, verify

__all__ = ["Comparison", "Divergence", "Tolerance", "Verification", "Verifying", "verify"]
