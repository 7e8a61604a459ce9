"""Reach: which replacements the opset of a model admits, or can be raised for."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from normgraph.diagnosis import Shortfall
from normgraph.errors import OpsetError
from normgraph.facts import Facts
from normgraph.lowering import Replacement
from normgraph.match import Match
from normgraph.opset import obstacles
from normgraph.region import feeders_of


class Reach:
    """How far a model's opset can be raised once rewrites have taken their regions out.

    Args:
        model: the model.
        matches: what is to be rewritten.
        wanted: the opset that is asked for, None for no higher one than is worth it.
        facts: the facts about the model.
    """

    def __init__(self, model: ir.Model, matches: Sequence[Match], wanted: int | None, facts: Facts) -> None:
        self._model, self._wanted, self._facts = model, wanted, facts
        self._current = facts.opset
        self._doomed: set[ir.Node] = set()
        for match in matches:
            needed = {node for value in match.needed for node in value.nodes}
            going = [node for node in match.nodes if node not in needed]
            self._doomed.update(going, feeders_of(going, match.base, facts))
        self._known: dict[int, str | None] = {}

    def renewed(self, matches: Sequence[Match]) -> Reach:
        """The same for what is left of the matches; what was found out is kept where all of them are."""
        found = Reach(self._model, matches, self._wanted, self._facts)
        return self if found._doomed == self._doomed else found

    def shortfall(self, replacement: Replacement) -> Shortfall | None:
        """Why the opset that a replacement needs can't or shouldn't be had; None if it can."""
        version = replacement.opset
        if replacement.until is not None and max(self._current, self._wanted or 0) > replacement.until:
            return Shortfall("opset", f"{replacement.kind} is written like that until opset {replacement.until}")
        if version <= self._current:
            return None
        if self._wanted is not None and version > self._wanted:
            return Shortfall("opset", f"{replacement.kind} needs opset {version}, and {self._wanted} is asked for")
        if self._wanted is None and not replacement.worth_raising:
            reason = f"{replacement.kind} needs opset {version}, and the model has {self._current}"
            return Shortfall("opset", reason, f"ask for it with --opset {version}")
        if version not in self._known:
            self._known[version] = self._obstacle(version)
        obstacle = self._known[version]
        return None if obstacle is None else Shortfall("opset", f"{replacement.kind} needs opset {version}, {obstacle}")

    def _obstacle(self, version: int) -> str | None:
        try:
            standing = obstacles(self._model, version, ignoring=self._doomed, facts=self._facts)
        except OpsetError as error:
            return f"which can't be had: {error}"
        if not standing:
            return None
        first = standing[0]
        where = f"{first.op_type} '{first.node.name or first.node.outputs[0].name}'"
        return f"and the model's {self._current} can't be raised: {where}: {first.reason}"
