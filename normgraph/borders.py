"""Borders: a statistic that is taken on one side of the border of an If, a Loop or a Scan, and divides on the other.

A region lies in one graph. What of it stands in another can't be replaced with it, and the reason is told.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from normgraph.atoms import Base, Mean
from normgraph.diagnosis import Shortfall, is_divisor
from normgraph.facts import Facts
from normgraph.forms import Form
from normgraph.interpret import Interpretation
from normgraph.rewrite import label_of
from normgraph.transfer import transfer_of

#: What is made of a statistic is followed at most so many nodes.
MAXIMAL_FOLLOWED = 16
_ROOTS = frozenset({"Sqrt", "Pow", "ReduceL2"})
_ONE_SIDE = "compute the whole normalization inside of the branch or body, or outside of it"


def across_borders(interpretation: Interpretation, facts: Facts) -> Iterator[tuple[ir.Node, Shortfall]]:
    """The first statistic that meets x again only on the other side of a border: what makes it, and why it is a miss."""
    near = _near(interpretation)
    for value, form in interpretation.forms.items():
        producer = value.producer()
        if producer is None or value is interpretation.base or not _is_statistic(form):
            continue
        meeting = _meeting(value, _is_divisor(form), near, facts)
        if meeting is not None:
            what = "deviation" if _is_divisor(form) else "variance"
            inside = meeting.graph is not producer.graph
            side = f"outside of the branch or body in which {_named(meeting)} needs it"
            if not inside or value.is_graph_output():
                side = f"inside of a branch or body, and {_named(meeting)} needs it elsewhere"
            yield producer, Shortfall("different-base", f"the {what} '{value.name}' is taken {side}", _ONE_SIDE)
            return
