"""Reads and writes models without holding their weights in memory: ``load``, ``as_model`` and ``save``."""

from normgraph.model_io.reading import Source, as_model, load
from normgraph.model_io.tensors import FileTensor
from normgraph.model_io.writing import ExternalData, save

__all__ = ["ExternalData", "FileTensor", "Source", "as_model", "load", "save"]
