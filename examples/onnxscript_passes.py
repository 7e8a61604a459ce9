"""Put normgraph's passes between those of onnxscript: its rewrite rules first, then normalizations, then a clean-up."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
from onnx_ir.passes import common
from onnxscript.rewriter import RewritePass
from onnxscript.rewriter.rules.common import collapse_slice_rule, transpose_transpose_rule

import normgraph

SAMPLES = Path(__file__).parent.parent / "models" / "samples"


def main(path: Path = SAMPLES / "convnext_torchscript_13.onnx") -> ir.Model:
    """Run the pipeline on a model's file and say what it did."""
    fuse = normgraph.FuseNormalizations(target="openvino")
    pipeline = ir.passes.Sequential(
        RewritePass([transpose_transpose_rule, collapse_slice_rule]),
        fuse,
        normgraph.FoldBatchNormalization(),
        common.CommonSubexpressionEliminationPass(),
        common.RemoveUnusedNodesPass(),
    )
    result = pipeline(ir.load(path))
    print(f"{path.name}: {sum(site.status == 'fused' for site in fuse.sites)} fused")
    return result.model


if __name__ == "__main__":
    main()
