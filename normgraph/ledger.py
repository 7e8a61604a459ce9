"""The ledger: what became of each normalization of a model, over the rounds in which the model is rewritten.

A later round may take in what an earlier one made: a LayerNormalization that swallows the RMSNormalization made before.
Such a site stands for the nodes of the original, and is told in the place of those that went into it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import onnx_ir as ir

from normgraph.evidence import joined
from normgraph.inventory import Fold, Site
from normgraph.match import Match
from normgraph.rewrite import label_of, stood_for
from normgraph.transfer import LAYOUT_OPERATORS

#: Where something stands in the original: the number of its graph, its position there.
Place = tuple[int, int]


@dataclass(eq=False)
class _Entry:
    """A site, its place, and what was made for it.

    Attributes:
        place: the place.
        site: the site.
        rewritten: whether it was rewritten.
        made: the nodes that were made for it.
    """

    place: Place
    site: Site
    rewritten: bool = False
    made: Sequence[ir.Node] = ()

    def is_within(self, region: Iterable[ir.Node], labels: set[str]) -> bool:
        """Whether a region holds what is left of the site."""
        if self.rewritten:  # what is applied behind the norm may stay
            norms = [node for node in self.made if node.op_type.endswith("Normalization")]
            computing = [node for node in self.made if node.op_type not in LAYOUT_OPERATORS]
            return set(norms or computing or self.made).issubset(region)
        if self.site.status == "near_miss":
            return not labels.isdisjoint(self.site.nodes)
        return self.site.nodes[-1] in labels


class Ledger:
    """The sites of a model, in the order of its nodes before anything was rewritten."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._tried: set[tuple[str, tuple[str, ...]]] = set()
        self._entered: dict[Match, _Entry] = {}
        self._places: dict[ir.Node, Place] = {}
        self._moving: set[ir.Node] = set()
        self._told_as: dict[ir.Value, str] = {}
        self._stand_for: dict[str, tuple[str, ...]] = {}
        self._numbers: Mapping[ir.Graph | None, int] = {}
        self._positions: Mapping[ir.Node, int] = {}
        self.rounds = 0

    @property
    def sites(self) -> list[Site]:
        """All of them, with the names of the original's nodes."""
        found = [entry.site for entry in sorted(self._entries, key=lambda entry: entry.place)]
        return [replace(site, nodes=self._original(site.nodes)) for site in found]

    def begin(self, numbers: Mapping[ir.Graph | None, int], positions: Mapping[ir.Node, int]) -> None:
        """Begin a round.

        Args:
            numbers: the number of each graph.
            positions: the place of each node in its graph.
        """
        self.rounds += 1
        if self.rounds == 1:
            self._numbers, self._positions = numbers, positions

    def note(self, places: Iterable[tuple[Place, Site]]) -> None:
        """Enter sites of the original that aren't rewritten."""
        self._entries += [_Entry(place, site) for place, site in places]

    def was_tried(self, match: Match) -> bool:
        """Whether the match was found in an earlier round, and what was said of it then holds."""
        return self._key(match) in self._tried

    def named(self, match: Match, site: Site) -> Site:
        """The site with the name that the original has for its output.

        What it normalizes may only have been moved before, or lie within what was made for another site, as a norm with
        its gain behind it does.
        """
        output, producer = match.output, match.output.producer()
        while producer is not None and producer in self._moving and producer.inputs[0] is not None:
            output, producer = producer.inputs[0], producer.inputs[0].producer()
        name = self._told_as.get(output, output.name or "")
        return site if name == site.output else replace(site, output=name)

    def enter(self, match: Match, site: Site, *, rewritten: bool) -> None:
        """Enter what is to become of a match, in the place of what goes into it.

        Args:
            match: the match, in the graph as it is before any rewrite of the round.
            site: its record.
            rewritten: whether it is going to be rewritten.
        """
        self._tried.add(self._key(match))
        if self.rounds > 1 and not rewritten and site.evidence is None:
            return  # what isn't worth rewriting now has had its reason before
        nodes: Sequence[ir.Node] = match.nodes
        if rewritten:
            labels = {label_of(node) for node in nodes}
            taken = [entry for entry in self._entries if self.rounds > 1 and entry.is_within(nodes, labels)]
            for entry in taken:
                self._entries.remove(entry)
                site = _with_evidence(site, entry.site)
            borrowed = self._moving - {node for entry in taken for node in entry.made}
            nodes = [node for node in nodes if node not in borrowed]
            site = replace(site, nodes=self._original(stood_for(nodes)))
        entry = self._entered[match] = _Entry(self._place(nodes, match.graph), site, rewritten)
        self._entries.append(entry)

    def made(self, match: Match, nodes: Sequence[ir.Node]) -> None:
        """Enter the nodes that now stand in the place of a match."""
        entry = self._entered[match]
        entry.made = nodes
        self._stand_for.update((label_of(node), entry.site.nodes) for node in nodes)
        self._places.update((node, entry.place) for node in nodes)
        self._told_as.update((value, entry.site.output) for node in nodes for value in node.outputs)
        self._moving.update(node for node in nodes if node.op_type in LAYOUT_OPERATORS)

    def told(self, fold: Fold) -> Fold:
        """The same fold, with the names of the original's nodes."""
        nodes = self._original(fold.nodes)
        return fold if nodes == fold.nodes else replace(fold, nodes=nodes)

    def _original(self, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(known for name in names for known in self._stand_for.get(name, (name,))))

    def _key(self, match: Match) -> tuple[str, tuple[str, ...]]:
        return match.output.name or "", tuple(label_of(node) for node in match.nodes)

    def _place(self, nodes: Sequence[ir.Node], graph: ir.Graph | None) -> Place:
        """Where the last of some nodes of a graph stood, or what was replaced by it."""
        number = self._numbers.get(graph, 0)
        for node in reversed(nodes):
            if node in self._places:
                return self._places[node]
            if node in self._positions:
                return number, self._positions[node]
        return number, len(self._positions)


def _with_evidence(site: Site, earlier: Site) -> Site:
    """A site with the evidence, too, of one that went into it, where both were tried alike."""
    own, other = site.evidence, earlier.evidence
    if own is None or other is None or (own.dtype, own.axes) != (other.dtype, other.axes):
        return site
    return replace(site, evidence=joined([own, other]))
