"""Tests of normgraph, and the tables of graphs that they share."""
