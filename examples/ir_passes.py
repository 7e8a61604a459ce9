"""Mix normgraph's passes with those of onnx_ir: clean the graph, fuse, fold, and clean again."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx_ir as ir
from onnx_ir.passes import common

import normgraph

SAMPLES = Path(__file__).parent.parent / "models" / "samples"


def main(path: Path) -> ir.Model:
    """Run the pipeline on a model's file and say what it did."""
    model = ir.load(path)
    fuse = normgraph.FuseNormalizations(target="onnxruntime")
    fold = normgraph.FoldBatchNormalization()
    pipeline = ir.passes.Sequential(
        common.IdentityEliminationPass(),
        fuse,
        fold,
        common.RemoveUnusedNodesPass(),
        common.DeduplicateInitializersPass(),
    )
    before = sum(1 for _ in model.graph.all_nodes())
    result = pipeline(model)
    after = sum(1 for _ in result.model.graph.all_nodes())
    fused = sum(site.status == "fused" for site in fuse.sites)
    folded = sum(entry.status == "folded" for entry in fold.folds)
    print(f"{path.name}: {fused} fused, {folded} folded, {before} nodes before and {after} after")
    return result.model


if __name__ == "__main__":
    model = main(Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLES / "bert_torchscript_13.onnx")
    print(sorted({node.op_type for node in model.graph if node.op_type.endswith("Normalization")}))
