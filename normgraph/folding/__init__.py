"""Folding: affine maps per channel, such as BatchNormalizations, go into the weights of linear operators."""

from normgraph.folding.directions import Wishes
from normgraph.folding.folding_pass import fold_batch_normalizations, foldable
from normgraph.folding.plan import FoldPlan
from normgraph.folding.plans import BACKWARD, FORWARD, plans_for

__all__ = [
    "BACKWARD",
    "FORWARD",
    "FoldPlan",
    "Wishes",
    "fold_batch_normalizations",
    "foldable",
    "plans_for",
    "unfolded",
]
