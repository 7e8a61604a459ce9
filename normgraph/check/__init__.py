"""Contracts of models: what is demanded of one, whether it holds, and how that is told to people and to CI."""

from normgraph.check.contract import Contract, Judgement, judge
from normgraph.check.examination import Examination, examine

__all__ = ["Contract", "Examination", "Judgement", "examine", "judge"]
