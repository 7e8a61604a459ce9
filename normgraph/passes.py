"""The passes, in their order, and the rewrite that each of them makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import onnx_ir as ir
from onnx_ir.passes.common import InlinePass

from normgraph.errors import OpsetError
from normgraph.evidence import Evidence, prove
from normgraph.facts import Facts, graphs_of, survey
from normgraph.inventory import Site, native_sites, site_of_match, site_of_near_miss
from normgraph.lowering import Replacement, Target, lower
from normgraph.match import Findings, Match, find
from normgraph.norms import Shortfall
from normgraph.opset import obstacles, raise_opset
from normgraph.region import feeders_of
from normgraph.rewrite import Names, apply, remove_dead

#: Called with what is being done, how many of them are done and how many there are.
Progress = Callable[[str, int, int], None]


def silent(task: str, done: int, total: int) -> None:
    """Report no progress."""


@dataclass
class _Candidate:
    """A match on its way: what it is to become, and what was found out about it."""

    match: Match
    site: Site
    replacement: Replacement | None = None


def inline(model: ir.Model) -> None:
    """Put the bodies of model-local functions in the place of their calls, so that all nodes are in graphs."""
    if model.functions:
        InlinePass()(model)


def take_inventory(model: ir.Model) -> list[Site]:
    """Every normalization of a model whose functions are inlined, as it stands: decomposed ones count as kept."""
    facts = survey(model)
    sites: list[Site] = []
    for graph in graphs_of(model):
        findings = find(graph, facts)
        placed = [(facts.positions[m.nodes[-1]], _decomposed(m, facts)) for m in findings.matches]
        placed += _misses(findings, facts)
        placed += native_sites(graph, facts)
        sites.extend(site for _, site in sorted(placed, key=lambda entry: entry[0]))
    return sites


def _decomposed(match: Match, facts: Facts) -> Site:
    site = site_of_match(match, facts)
    unfused = Shortfall("not-fused", "it is spelled out in nodes; `normgraph optimize` fuses it")
    return site.kept(match.obstacle or unfused)


def _misses(findings: Findings, facts: Facts) -> list[tuple[int, Site]]:
    return [(facts.positions[miss.node], site_of_near_miss(miss, facts)) for miss in findings.near_misses]


def fuse_normalizations(
    model: ir.Model, target: Target, *, highest_opset: int | None = None, progress: Progress = silent
) -> list[Site]:
    """Fuse every decomposed normalization that the target has an operator for and whose rewrite is proven, in place.

    The opset is raised only if a rewrite needs it, and only if every other node survives it.

    Args:
        model: the model, its functions inlined; changed in place.
        target: the runtime.
        highest_opset: the opset isn't raised beyond this; None for no such bound.
        progress: told about the proofs.

    Returns:
        All normalizations of the model, in the order of its nodes.
    """
    facts = survey(model)
    candidates: list[_Candidate] = []
    others: list[tuple[int, int, Site]] = []
    for number, graph in enumerate(graphs_of(model)):
        findings = find(graph, facts)
        candidates += [_Candidate(match, site_of_match(match, facts)) for match in findings.matches]
        others += [(number, p, site) for p, site in (*_misses(findings, facts), *native_sites(graph, facts))]
    numbers = {graph: number for number, graph in enumerate(graphs_of(model))}
    for done, candidate in enumerate(candidates):
        progress("proving rewrites", done, len(candidates))
        _decide(candidate, target, facts)
    progress("proving rewrites", len(candidates), len(candidates))
    _settle_opset(model, candidates, highest_opset, facts)
    placed = [
        (numbers[graph], facts.positions[c.match.nodes[-1]], c.site)
        for c in candidates
        if (graph := c.match.nodes[-1].graph) is not None
    ]
    _rewrite(model, [c for c in candidates if c.replacement is not None], facts)
    return [site for _, _, site in sorted((*placed, *others), key=lambda entry: entry[:2])]


def _decide(candidate: _Candidate, target: Target, facts: Facts) -> None:
    """Lower and prove one match, or say why not."""
    match = candidate.match
    if match.obstacle is not None:
        candidate.site = candidate.site.kept(match.obstacle)
        return
    replacement = lower(match, facts.dtype(match.base), target)
    if isinstance(replacement, Shortfall):
        candidate.site = candidate.site.kept(replacement)
        return
    evidence: Evidence = prove(match, replacement, facts)
    if evidence.accepted:
        candidate.replacement = replacement
        candidate.site = replace(candidate.site, evidence=evidence)
    else:
        candidate.site = candidate.site.kept(Shortfall("proof-failed", evidence.describe()), evidence)


def _settle_opset(
    model: ir.Model, candidates: list[_Candidate], highest: int | None, facts: Facts
) -> None:
    """Drop the rewrites whose operators need an opset that isn't wanted or that the rest of the model doesn't survive."""
    current = model.opset_imports.get("", 0)
    for version in sorted({c.replacement.opset for c in candidates if c.replacement is not None}):
        if version <= current:
            continue
        obstacle = _obstacle_to(version, model, candidates, highest, facts)
        if obstacle is None:
            continue
        for c in candidates:
            if c.replacement is not None and c.replacement.opset >= version:
                c.site = c.site.kept(Shortfall("opset", f"it needs opset {version}, {obstacle}"), c.site.evidence)
                c.replacement = None


def _obstacle_to(
    version: int, model: ir.Model, candidates: list[_Candidate], highest: int | None, facts: Facts
) -> str | None:
    """Why the model can't be raised to a version, what the rewrites take out aside; None if it can."""
    current = model.opset_imports.get("", 0)
    if highest is not None and version > highest:
        return f"and no more than {highest} is wanted"
    doomed: set[ir.Node] = set()
    for c in candidates:
        if c.replacement is not None:
            doomed.update(c.match.nodes, feeders_of(c.match.nodes, c.match.base, facts))
    try:
        standing = obstacles(model, version, ignoring=doomed, facts=facts)
    except OpsetError as error:
        return f"which can't be had: {error}"
    if not standing:
        return None
    first = standing[0]
    where = f"{first.op_type} '{first.node.name or first.node.outputs[0].name}'"
    return f"and the model's {current} can't be raised: {where}: {first.reason}"


def _rewrite(model: ir.Model, chosen: list[_Candidate], facts: Facts) -> None:
    names = Names(model)
    made: set[ir.Node] = set()
    for candidate in sorted(chosen, key=lambda c: facts.positions[c.match.nodes[-1]], reverse=True):
        assert candidate.replacement is not None
        made.update(apply(candidate.match, candidate.replacement, candidate.site.name, facts, names))
    remove_dead((node for c in chosen for node in c.match.nodes), facts.positions)
    version = max((c.replacement.opset for c in chosen if c.replacement is not None), default=0)
    if version > model.opset_imports.get("", 0):
        raise_opset(model, version, ignoring=made, facts=facts)
