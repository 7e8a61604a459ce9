"""Finds the normalizations in an ONNX model, however they are written, fuses them and proves each rewrite.

>>> import normgraph
>>> result = normgraph.optimize("model.onnx")          # doctest: +SKIP
>>> result.save("model.opt.onnx")                      # doctest: +SKIP
>>> normgraph.explain("model.onnx").sites              # doctest: +SKIP
>>> normgraph.verify("model.onnx", "model.opt.onnx")   # doctest: +SKIP
>>> normgraph.bench(["model.onnx", "model.opt.onnx"])  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from normgraph.errors import NormgraphError
from normgraph.lazily import from_modules

if TYPE_CHECKING:
    from normgraph.api import Optimized, explain, optimize
    from normgraph.exporting import after_export
    from normgraph.ir_passes import FoldBatchNormalization, FuseNormalizations
    from normgraph.report import Report
    from normgraph.timing.benchmark import bench
    from normgraph.timing.results import Benchmark
    from normgraph.verification import Verification, Verifying, verify

__all__ = [
    "Benchmark",
    "FoldBatchNormalization",
    "FuseNormalizations",
    "NormgraphError",
    "Optimized",
    "Report",
    "Verification",
    "Verifying",
    "after_export",
    "bench",
    "explain",
    "optimize",
    "verify",
]

_HOMES = {
    "Benchmark": "timing.results",
    "FoldBatchNormalization": "ir_passes",
    "FuseNormalizations": "ir_passes",
    "Optimized": "api",
    "Report": "report",
    "Verification": "verification",
    "Verifying": "verification",
    "after_export": "exporting",
    "bench": "timing.benchmark",
    "explain": "api",
    "optimize": "api",
    "verify": "verification",
}


#: What is public is imported when it is first used: importing onnx takes longer than most of what one asks for.
__getattr__ = from_modules(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
