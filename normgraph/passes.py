"""The passes, in their order, and the rewrite that each of them makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import onnx_ir as ir

from normgraph.axes import product
from normgraph.candidates import begins_search
from normgraph.diagnosis import Shortfall
from normgraph.errors import BadModelError, OpsetError
from normgraph.evidence import Evidence, OnceEach, prove
from normgraph.extraction import original_fragment, replacement_fragment
from normgraph.facts import Facts, graphs_of
from normgraph.fragments import Fragment
from normgraph.inventory import Site, native_sites, site_of_match, site_of_near_miss
from normgraph.ledger import Ledger, Place
from normgraph.lowering import Demand, Replacement, Target, lower
from normgraph.match import Findings, Match, find
from normgraph.opset import raise_opset
from normgraph.progress import Progress, silent
from normgraph.proposals import Judge, Proposal, Way, consent
from normgraph.reach import Reach
from normgraph.region import dead_readers
from normgraph.remedies import REMEDIES
from normgraph.rewrite import Names, admit_initializers, apply, remove_dead
from normgraph.spelled_out import find_batch_normalizations
from normgraph.surveyed import Surveyed
from normgraph.unsettled import is_unsettled, may_uncover
from normgraph.wording import counted

#: Where part of a region stays, so many nodes on the whole tensor have to go for a norm, which passes it about twice.
LEAST_WORK = 3
#: One rewrite makes others possible: they are looked for until none is found, at most so many times.
MAXIMAL_ROUNDS = 16


@dataclass
class _Candidate:
    """A match on its way: what it may become, and what was found out about it.

    Attributes:
        match: the match.
        site: its record so far.
        alternatives: the replacements that are left, the best first.
        replacement: the one that was proven.
        untried: those behind it, which may be proven or not.
    """

    match: Match
    site: Site
    alternatives: tuple[Replacement, ...] = ()
    replacement: Replacement | None = None
    untried: tuple[Replacement, ...] = ()

    def take(self, replacement: Replacement, evidence: Evidence) -> None:
        """Choose a replacement that was proven."""
        self.replacement = replacement
        self.alternatives = (replacement,)
        self.site = replace(self.site, kind=replacement.kind, evidence=evidence)


def inlined(model: ir.Model) -> ir.Model:
    """The model with the bodies of its local functions in the place of their calls; itself if it has none.

    Raises:
        BadModelError: the functions can't be put there.
    """
    if not model.functions:
        return model
    from onnx_ir.passes import InvariantError, PassError
    from onnx_ir.passes.common import InlinePass

    version = model.opset_imports.get("", 0)
    try:
        result = model.clone()
        if any(function.opset_imports.get("", version) < version for function in result.functions.values()):
            raise_opset(result, version)  # brings the functions to the opset of the graph they go into
        InlinePass()(result)
    except (PassError, InvariantError, OpsetError, RuntimeError, ValueError) as error:
        raise BadModelError(
            f"a model's functions must fit into the place of their calls: '{model.graph.name}' "
            f"({error}); export it without local functions"
        ) from error
    return result


def take_inventory(surveyed: Surveyed, demand: Demand) -> tuple[list[Site], bool]:
    """Every normalization of a model whose functions are inlined, as it stands: decomposed ones count as kept.

    Args:
        surveyed: the model; it isn't changed.
        demand: for which runtime it is said what could be fused.

    Returns:
        The normalizations; and whether further ones may show once these are fused.
    """
    model, facts = surveyed.model, surveyed.facts
    candidates, others, numbers = _look(model, demand, facts)
    _keep_within(Reach(model, _matches(candidates), None, facts), candidates)
    _leave(candidates)
    ledger = Ledger()
    ledger.begin(numbers, facts.positions)
    ledger.note(others)
    for candidate in candidates:
        ledger.enter(candidate.match, candidate.site, rewritten=False)
    chosen = [candidate.match for candidate in candidates if candidate.replacement is not None]
    return ledger.sites, may_uncover(model, chosen, facts)


_Numbers = Mapping[ir.Graph | None, int]


def _look(
    model: ir.Model, demand: Demand, facts: Facts, *, again: bool = False
) -> tuple[list[_Candidate], list[tuple[Place, Site]], _Numbers]:
    """All that is found in a model: matches, and everything else with its place; again, only what may be new."""
    candidates: list[_Candidate] = []
    others: list[tuple[Place, Site]] = []
    numbers: dict[ir.Graph | None, int] = {}
    for graph in graphs_of(model):
        number = numbers[graph] = len(numbers)
        findings = find(graph, facts, is_unsettled if again else begins_search)
        matches = (*findings.matches, *find_batch_normalizations(graph, facts, findings.matches))
        candidates += [_candidate(match, demand, facts) for match in matches]
        if not again:
            covered = {node for match in matches for node in match.nodes}
            rest = (*_misses(findings, facts), *native_sites(graph, facts, covered))
            others += [((number, position), site) for position, site in rest]
    return candidates, others, numbers


def _matches(candidates: list[_Candidate]) -> list[Match]:
    """Those that may still be rewritten."""
    return [candidate.match for candidate in candidates if candidate.alternatives]


def _misses(findings: Findings, facts: Facts) -> list[tuple[int, Site]]:
    return [(facts.positions[miss.node], site_of_near_miss(miss, facts)) for miss in findings.near_misses]


def fuse_normalizations(
    model: ir.Model,
    demand: Demand,
    *,
    opset: int | None = None,
    judge: Judge = consent,
    progress: Progress = silent,
) -> list[Site]:
    """Fuse every decomposed normalization that the target has an operator for and whose rewrite is proven, in place.

    The opset is raised only if a rewrite needs it, and only if every other node survives it.  What only shows once
    another is fused is fused as well.

    Args:
        model: the model, its functions inlined; changed in place.
        demand: the runtime, and what is permitted.
        opset: the opset that is wanted: rewrites may use all that it has and nothing beyond.  None to raise the
            model's only where a rewrite is worth it.
        judge: asked whether the rewrites that are proven are to be made, and with which operators.
        progress: told about the proofs.

    Returns:
        All normalizations of the model, in the order of its nodes.
    """
    surveyed, ledger = Surveyed(model), Ledger()
    while ledger.rounds < MAXIMAL_ROUNDS and fuse_round(surveyed, ledger, demand, opset, judge, progress):
        pass
    return ledger.sites


def fuse_round(
    surveyed: Surveyed,
    ledger: Ledger,
    demand: Demand,
    opset: int | None = None,
    judge: Judge = consent,
    progress: Progress = silent,
    *,
    proven: bool = True,
) -> bool:
    """Fuse what can be found in a model as it stands, in place; see `fuse_normalizations`.

    Args:
        surveyed: the model.
        ledger: where it is entered what was found. After the first round, only what that round may have missed is
            looked for.
        demand: as there.
        opset: as there.
        judge: as there.
        progress: as there.
        proven: whether rewrites are proven; if not, they are made all the same, and told as kept.

    Returns:
        Whether anything was fused.
    """
    model, facts = surveyed.model, surveyed.facts
    candidates, others, numbers = _look(model, demand, facts, again=ledger.rounds > 0)
    ledger.begin(numbers, facts.positions)
    ledger.note(others)
    candidates = [candidate for candidate in candidates if not ledger.was_tried(candidate.match)]
    for candidate in candidates:
        candidate.site = ledger.named(candidate.match, candidate.site)
    reach = Reach(model, _matches(candidates), opset, facts)
    _keep_within(reach, candidates)
    once = OnceEach()
    for done, candidate in enumerate(candidates if proven else ()):
        progress("proving rewrites", done, len(candidates))
        _prove(candidate, demand.target, facts, once)
    if candidates and proven:
        progress("proving rewrites", len(candidates), len(candidates))
    reach = reach.renewed(_matches(candidates))
    _keep_within(reach, candidates)

    def proven_others(candidate: _Candidate) -> _Proven:
        within = [replacement for replacement in candidate.untried if reach.shortfall(replacement) is None]
        found = [(each, prove(candidate.match, each, demand.target, facts, once)) for each in within]
        return [(each, evidence) for each, evidence in found if evidence.accepted]

    if proven:
        _judge(model, judge, candidates, facts, proven_others)
    else:
        _leave(candidates)
    _keep_within(reach.renewed(_matches(candidates)), candidates)
    chosen = [candidate for candidate in candidates if candidate.replacement is not None]
    for candidate in candidates:
        ledger.enter(candidate.match, candidate.site, rewritten=candidate in chosen)
    made = _rewrite(model, chosen, facts)
    for match, nodes in made.items():
        ledger.made(match, nodes)
    if made:
        surveyed.changed()
    return bool(made)


def _leave(candidates: list[_Candidate]) -> None:
    """Choose the best replacement of each for a trial, and have the site told as it stands."""
    for candidate in candidates:
        if candidate.alternatives:
            aside = candidate.match.aside
            told = "" if aside is None else f" (it is no LayerNormalization: {aside.reason})"
            unfused = Shortfall("not-fused", f"it is spelled out in nodes{told}")
            candidate.replacement = candidate.alternatives[0]
            candidate.site = replace(candidate.site, kind=candidate.replacement.kind).kept(unfused)


def _candidate(match: Match, demand: Demand, facts: Facts) -> _Candidate:
    """Lower one match, or say why not."""
    candidate = _Candidate(match, site_of_match(match, facts))
    lowered = match.obstacle or lower(match, facts.dtype(match.base), demand)
    if not isinstance(lowered, Shortfall):
        lowered = _shorter(lowered, match, facts)
    if isinstance(lowered, Shortfall):
        candidate.site = candidate.site.kept(lowered)
    else:
        candidate.alternatives = lowered
    return candidate


def _shorter(replacements: tuple[Replacement, ...], match: Match, facts: Facts) -> tuple[Replacement, ...] | Shortfall:
    """The replacements that take fewer nodes than the region has, and enough work out where part of it has to stay."""
    found = tuple(r for r in replacements if len(r.steps) + len(r.staying(match)) < len(match.nodes))
    if match.needed:
        found = tuple(r for r in found if _worth_beside(match, r, facts))
        return found or match.needed[0].shortfall
    taken = min(len(r.steps) for r in replacements)
    return found or Shortfall("no-gain", f"it stands in {counted(len(match.nodes), 'node')} and would take {taken}")


def _worth_beside(match: Match, replacement: Replacement, facts: Facts) -> bool:
    """Whether the nodes that go pass over the whole tensor often enough to pay for a norm beside those that stay.

    What is applied behind the norm passes over it once more each.
    """
    staying = replacement.staying(match)
    size = product(facts.shapes[match.base])

    def is_large(value: ir.Value | None) -> bool:
        shape = None if value is None else facts.shape(value)
        return shape is not None and product(shape) == size

    going = [node for node in match.nodes if node not in staying]
    large = [node for node in going if any(is_large(value) for value in (*node.inputs, *node.outputs))]
    return not staying or len(large) >= LEAST_WORK + replacement.applied


def _prove(candidate: _Candidate, target: Target, facts: Facts, once: OnceEach) -> None:
    """Choose the best replacement that is proven, or say why the best one isn't."""
    failed: Evidence | None = None
    for position, replacement in enumerate(candidate.alternatives):
        evidence = prove(candidate.match, replacement, target, facts, once)
        if evidence.accepted:
            candidate.untried = candidate.alternatives[position + 1 :]
            candidate.take(replacement, evidence)
            return
        failed = failed or evidence
    candidate.alternatives = ()
    if failed is not None:
        candidate.site = candidate.site.kept(Shortfall("proof-failed", failed.describe()), failed)


#: Replacements beside the one that is proven, each with evidence that is accepted.
_Proven = list[tuple[Replacement, Evidence]]


def _judge(
    model: ir.Model,
    judge: Judge,
    candidates: list[_Candidate],
    facts: Facts,
    proven_others: Callable[[_Candidate], _Proven],
) -> None:
    """Drop the rewrites that the judge has something against, and take others where it chooses them."""
    proven = [c for c in candidates if c.replacement is not None]
    others: list[_Proven] = [[] for _ in proven]

    def proposal(candidate: _Candidate, found: _Proven) -> Proposal:
        def further() -> list[Way]:
            found[:] = proven_others(candidate)
            return [_way(candidate.match, replacement, facts) for replacement, _ in found]

        assert candidate.replacement is not None
        way = _way(candidate.match, candidate.replacement, facts)
        return Proposal(candidate.site.name, candidate.site.output, (candidate.site.output,), way, further)

    proposals = [proposal(candidate, found) for candidate, found in zip(proven, others, strict=True)]
    for candidate, found, chosen in zip(proven, others, judge(model, proposals), strict=True):
        if isinstance(chosen, Shortfall):
            candidate.site = candidate.site.kept(chosen, candidate.site.evidence)
            candidate.replacement = None
            candidate.alternatives = ()
        elif chosen:
            candidate.take(*found[chosen - 1])


def _way(match: Match, replacement: Replacement, facts: Facts) -> Way:
    def pair() -> tuple[Fragment, Fragment]:
        opset = max(facts.opset, replacement.opset)
        return original_fragment(match, facts, match.operands), replacement_fragment(match, replacement, facts, opset)

    named = [step.operator for step in replacement.steps if step.operator.endswith("Normalization")]
    return Way(named[-1] if named else replacement.kind, pair)


def _keep_within(reach: Reach, candidates: list[_Candidate]) -> None:
    """Drop the replacements whose operators need an opset out of reach."""
    for candidate in candidates:
        if not candidate.alternatives:
            continue
        shortfalls = {replacement: reach.shortfall(replacement) for replacement in candidate.alternatives}
        left = tuple(replacement for replacement, shortfall in shortfalls.items() if shortfall is None)
        if not left:
            decisive = next(_decisive(*each) for each in shortfalls.items())
            candidate.site = candidate.site.kept(decisive, candidate.site.evidence)
            candidate.replacement = None
        candidate.alternatives = left


def _decisive(replacement: Replacement, shortfall: Shortfall | None) -> Shortfall:
    """Why a match is kept for which this replacement is out of reach: of another kind, it isn't the first reason."""
    assert shortfall is not None
    own = replacement.instead
    if own is None:
        return shortfall
    return Shortfall(own.rule, f"{own.reason}, and {shortfall.reason}", shortfall.remedy or REMEDIES[shortfall.rule])


def _rewrite(model: ir.Model, chosen: list[_Candidate], facts: Facts) -> dict[Match, list[ir.Node]]:
    """Make the rewrites that are chosen; for each match the nodes that stand in its place."""
    if not chosen:
        return {}
    names = Names(model)
    version = max((c.replacement.opset for c in chosen if c.replacement is not None), default=0)
    made: dict[Match, list[ir.Node]] = {}
    ready: set[ir.Node] = set()
    doomed = [n for c in chosen for n in (*c.match.nodes, *dead_readers(c.match.nodes, facts))]
    # The last first, and subgraphs before what they capture, so that no base is replaced before it has been read.
    numbers: dict[ir.Graph | None, int] = {graph: number for number, graph in enumerate(graphs_of(model))}
    placed = [(numbers[c.match.graph], facts.positions[c.match.nodes[-1]], c) for c in chosen]
    for _, _, candidate in sorted(placed, key=lambda entry: entry[:2], reverse=True):
        replacement = candidate.replacement
        assert replacement is not None
        nodes = made[candidate.match] = apply(candidate.match, replacement, candidate.site.name, facts, names)
        if replacement.until is None or version <= replacement.until:
            ready.update(nodes)
    remove_dead(doomed, facts.positions)
    if version > facts.opset:
        raise_opset(model, version, ignoring=ready, facts=facts)
    admit_initializers(model)
    return made
