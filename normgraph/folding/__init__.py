"""Folding: affine maps per channel, such as BatchNormalizations, go into the weights of linear operators."""

from normgraph.folding.folding_pass import fold_batch_normalizations, foldable
from normgraph.folding.plans import BACKWARD, FORWARD, FoldPlan, plans_for

__all__ = ["BACKWARD", "FORWARD", "FoldPlan", "fold_batch_normalizations", "foldable", "plans_for"]
