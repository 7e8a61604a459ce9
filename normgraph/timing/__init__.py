"""Timing: whether one model is faster than another, by how much, how sure that is, and where it comes from."""

from normgraph.timing.benchmark import bench
from normgraph.timing.measuring import Plan
from normgraph.timing.results import Benchmark

__all__ = ["Benchmark", "Plan", "bench"]
