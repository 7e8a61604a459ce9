"""The preconditions of a rewrite, established once more on the graph itself, whatever led to the rewrite.

Matching, lowering and folding have each decided on their own grounds. What is checked here is independent of their
reasoning, so that a mistake of theirs has to be made twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass

import numpy as np
import onnx.defs
import onnx_ir as ir

from normgraph.axes import ONE, Size
from normgraph.facts import FLOATING, Facts
from normgraph.lowering import Replacement
from normgraph.match import Match
from normgraph.model_io.walk import subgraphs_of
from normgraph.region import Rewritable, feeders_of

_SHAPE_READERS = frozenset({"Shape", "Size"})


@dataclass(frozen=True, slots=True)
class Precondition:
    """Something that has to be so for a rewrite to be right.

    Attributes:
        rule: what it is about: a stable code.
        statement: what was found, with names and figures.
        holds: whether it is so.
    """

    rule: str
    statement: str
    holds: bool = True


def established(region: Rewritable, facts: Facts) -> tuple[Precondition, ...]:
    """What has to hold of any region that is replaced.

    Args:
        region: the region.
        facts: the facts about the graph.
    """
    return (_types(region, facts),)


def established_of_match(match: Match, replacement: Replacement, opset: int, facts: Facts) -> tuple[Precondition, ...]:
    """What has to hold of a normalization that is replaced.

    Args:
        match: the normalization.
        replacement: what it is replaced with.
        opset: the version of the default domain at which the replacement will stand.
        facts: the facts about the graph.
    """
    return (
        _form(match, replacement),
        *established(match, facts),
        _operands(match, facts),
        *_gains(match, replacement, facts),
        _shapes(match, facts),
        _readers(match, facts),
        _epsilon(match, replacement),
        _parameters(match, replacement, facts),
        *_operators(match, replacement, opset, facts),
        *_assumed(match),
    )


def broken(preconditions: Iterable[Precondition]) -> str | None:
    """The first that doesn't hold, as a sentence; None where all do."""
    first = next((condition for condition in preconditions if not condition.holds), None)
    return None if first is None else f"a precondition doesn't hold: {first.statement} ({first.rule})"


def _form(match: Match, replacement: Replacement) -> Precondition:
    over = f" over dimensions {list(match.axes)}" if match.axes else ""
    statement = f"its polynomial is that of the reference kernel of {replacement.kind}{over}"
    return Precondition("form", statement, replacement.kind in match.norm.kinds)


def _types(region: Rewritable, facts: Facts) -> Precondition:
    base, output = facts.dtype(region.base), facts.dtype(region.output)
    named = "unknown" if base is None else base.name.lower()
    if base == output and base in FLOATING:
        return Precondition("type", f"input and result are {named}")
    other = "unknown" if output is None else output.name.lower()
    return Precondition("type", f"input and result aren't of one floating type: {named}, {other}", holds=False)


def _operands(match: Match, facts: Facts) -> Precondition:
    made = {value for node in match.nodes for value in node.outputs}
    behind = {operand.value for operand in match.operands}
    count = 0
    for node in match.nodes:
        for value in node.inputs:
            if value is None or value is match.base or value in made or value in behind:
                continue
            if not facts.depends_on_shapes_only(value) or value.is_graph_input():
                statement = f"'{value.name}', which {node.op_type} reads, is neither constant nor made from shapes"
                return Precondition("constants", statement, holds=False)
            count += 1
    return Precondition("constants", f"all {count} other operands are constants that no caller can change, or shapes")


def _gains(match: Match, replacement: Replacement, facts: Facts) -> Iterator[Precondition]:
    """What is read at run time beside the input: of its type, broadcast within the result, made without the region."""
    output, dtype = facts.shape(match.output), facts.dtype(match.base)
    stated = {operand.value: None for operand in match.operands}
    if stated.keys() != set(replacement.operands.values()):
        yield Precondition("operands", "the replacement doesn't read what the region reads at run time", holds=False)
    for value in stated:
        shape = facts.shape(value)
        shown = f"'{value.name}', known at run time only, "
        if facts.dtype(value) != dtype:
            yield Precondition("operands", f"{shown}isn't of the input's type", holds=False)
        elif shape is None or output is None or not _broadcasts(shape, output):
            yield Precondition("operands", f"{shown}isn't known to broadcast within the result", holds=False)
        elif _depends_on(value, set(match.nodes) - replacement.staying(match)):
            yield Precondition("operands", f"{shown}is computed from what is to be replaced", holds=False)
        else:
            sizes = ", ".join(map(str, shape))
            yield Precondition(
                "operands", f"{shown}is of the input's type and broadcasts from [{sizes}] behind the norm"
            )


def _broadcasts(shape: Sequence[Size], whole: Sequence[Size]) -> bool:
    """Whether each size, from the last, is one, that of the whole, or one that run time only tells."""
    pairs = zip(reversed(shape), reversed(whole), strict=False)
    return len(shape) <= len(whole) and all(a in (ONE, b) or bool(a.symbols) for a, b in pairs)


def _reads_shape(node: ir.Node) -> bool:
    return node.op_type in _SHAPE_READERS and not node.domain


def _depends_on(value: ir.Value, going: Set[ir.Node]) -> bool:
    """Whether a tensor is computed from one that these nodes make, by more than its shape, which may be the input's."""
    pending, seen = [value], set[ir.Node]()
    while pending:
        node = pending.pop().producer()
        if node is None or node in seen or _reads_shape(node):
            continue
        if node in going:
            return True
        seen.add(node)
        inner = (each for graph in subgraphs_of(node) for each in graph.all_nodes())
        pending.extend(operand for each in (node, *inner) for operand in each.inputs if operand is not None)
    return False


def _shapes(match: Match, facts: Facts) -> Precondition:
    base, output = facts.shape(match.base), facts.shape(match.output)
    if base is None or output is None or len(base) != len(output):
        return Precondition("shape", "input and result aren't known to be of one rank", holds=False)
    if match.layout != match.output_layout:
        return Precondition("shape", "the result has the dimensions of the input in another order")
    demanded = dict(match.assumed)
    for position, (size, made) in enumerate(zip(base, output, strict=True)):
        if size.static is not None and made.static is not None and size != made and position not in demanded:
            return Precondition("shape", f"dimension {position} is {size} before and {made} after", holds=False)
    return Precondition("shape", "the result has the dimensions of the input")


def _readers(match: Match, facts: Facts) -> Precondition:
    """What else reads the region: it goes on reading what it read, or is given the input's shape for the same one."""
    inside = {*match.nodes, *feeders_of(match.nodes, match.base, facts)}
    shape = facts.shape(match.base)
    shared = 0
    for node in match.nodes:
        for value in node.outputs:
            readers = {use.node for use in value.uses()} - inside - facts.dead
            redirected = readers.intersection(match.shape_readers)
            for reader in redirected:
                if not _reads_shape(reader) or facts.shape(value) not in (None, shape):
                    statement = f"{reader.op_type} would be given the input in place of '{value.name}'"
                    return Precondition("readers", statement, holds=False)
            if value is not match.output and (readers - redirected or value.is_graph_output()):
                shared += 1
    asked = f"; {len(match.shape_readers)} that ask for a shape are given the input's" if match.shape_readers else ""
    stay = f"{shared} values within are needed outside as well, and stay" if shared else "nothing outside reads within"
    return Precondition("readers", stay + asked)


def _epsilon(match: Match, replacement: Replacement) -> Precondition:
    stored = match.norm.epsilon
    written = [dict(step.attributes)["epsilon"] for step in replacement.steps if "epsilon" in dict(step.attributes)]
    if not written:
        small = f"epsilon is {stored:.6g}, and {replacement.kind} has none to give"
        return Precondition("epsilon", small)
    kept = all(isinstance(number, float) and np.float32(number) == np.float32(stored) for number in written)
    shown = f"epsilon is {stored:.9g} within the root, and the operator's attribute is {written[0]:.9g}"
    return Precondition("epsilon", shown, kept)


def _parameters(match: Match, replacement: Replacement, facts: Facts) -> Precondition:
    dtype = facts.dtype(match.base)
    parameters = {name: a for name, a in replacement.constants.items() if a.dtype.kind not in "iu"}
    right = all(dtype is not None and array.dtype == dtype.numpy() for array in parameters.values())
    shown = ", ".join(f"{name} {list(array.shape)}" for name, array in parameters.items()) or "none"
    return Precondition("parameters", f"parameters of the input's type: {shown}", right)


def _operators(match: Match, replacement: Replacement, opset: int, facts: Facts) -> Iterator[Precondition]:
    dtype = facts.dtype(match.base)
    for name in dict.fromkeys(step.operator for step in replacement.steps if not step.domain):
        if not onnx.defs.has(name):  # permitted by --allow-contrib, and defined by the runtime that has it
            yield Precondition("operator", f"{name} isn't in the ONNX standard, and the target has it")
            continue
        try:
            schema = onnx.defs.get_schema(name, opset)
        except onnx.defs.SchemaError:
            yield Precondition("operator", f"there is no {name} at opset {opset}", holds=False)
            continue
        types = next((c.allowed_type_strs for c in schema.type_constraints if c.type_param_str == "T"), [])
        named = "unknown" if dtype is None else dtype.name.lower()
        takes = name in ("Cast", "Shape") or f"tensor({named})" in types
        statement = f"{name} of opset {schema.since_version} {'takes' if takes else 'does not take'} {named}"
        yield Precondition("operator", statement, takes)


def _assumed(match: Match) -> Iterator[Precondition]:
    for dimension, size in match.assumed:
        yield Precondition("sizes", f"dimension {dimension} meets a constant of {size} and is taken to be {size}")
