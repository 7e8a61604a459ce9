"""Reports made by hand: one site of every fate."""

from normgraph.evidence import Evidence, Trial
from normgraph.inventory import Fold, Site
from normgraph.report import Change, Report

FUSED = Site(
    name="encoder.norm",
    kind="LayerNormalization",
    status="fused",
    output="y",
    nodes=("mean", "sub"),
    axes=(2,),
    shape=("batch", None, 48),
    dtype="float",
    epsilon=1e-5,
    parameters=96,
    statistics="sample",
    evidence=Evidence((Trial("normal", (2, 3, 48), 2e-6, 1e-6, 8e-6),)),
)
MISS = Site(
    name="other",
    kind=None,
    status="near_miss",
    output="z",
    nodes=("pow",),
    rule="power",
    reason="the spread is the mean of x to the power 4, not of its square",
)


FOLDED = Fold(
    name="layers.0.bn",
    status="folded",
    output="y",
    nodes=("bn",),
    into="/layers.0/conv/Conv",
    direction="backward",
    channels=8,
    evidence=FUSED.evidence,
)
UNFOLDED = Fold(
    name="layers.1.bn", status="kept", output="z", nodes=("bn",), rule="no-neighbour", reason="Relu is there"
)


def report(*entries: Site | Fold) -> Report:
    sites = tuple(entry for entry in entries if isinstance(entry, Site))
    folds = tuple(entry for entry in entries if isinstance(entry, Fold))
    return Report("model.onnx", "onnxruntime", Change(13, 17), Change(40, 20), sites, folds, output="model.opt.onnx")
