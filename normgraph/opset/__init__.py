"""Raises a model's opset, only if every node provably keeps its meaning.

For each node of the default domain, in the graph, its subgraphs and the model's functions, the versions
at which its operator changed on the way are walked through one by one: one that `changes` calls wider
leaves the node as it is, at one that it has an adapter for the node takes on a new form, and any other
stands in the way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import onnx.defs
import onnx.helper
import onnx_ir as ir

from normgraph.errors import OpsetError
from normgraph.facts import Facts
from normgraph.model_io.walk import subgraphs_of
from normgraph.opset.changes import CHANGES, WIDENED
from normgraph.opset.form import Form, UnknownAttributeError, versions_of
from normgraph.opset.writer import Writer

__all__ = ["Obstacle", "obstacles", "raise_opset"]

#: The oldest opset that can be raised; before it, operators broadcast in another way.
OLDEST = 7


@dataclass(frozen=True)
class Obstacle:
    """A node that can't be written at the opset asked for.

    Attributes:
        node: the node.
        op_type: its operator, by the name that the version gives it.
        version: the first opset whose definition of the operator is in the way.
        reason: why the node doesn't mean the same from this version on, or can't be told to.
    """

    node: ir.Node
    op_type: str
    version: int
    reason: str


def obstacles(
    model: ir.Model, target: int, *, ignoring: Collection[ir.Node] = (), facts: Facts | None = None
) -> tuple[Obstacle, ...]:
    """The nodes that stand in the way of raising the model's opset to `target`; the model isn't changed.

    Args:
        model: the model.
        target: the opset asked for.
        ignoring: nodes that aren't looked at, because they will be gone or are written for `target` already.
        facts: what is known of the graph's values beyond what the model declares.

    Raises:
        OpsetError: The model's opset is above `target` or below 7, or the installed onnx has no `target`.
    """
    scopes = _scopes(model, target)
    outcomes = (outcome for scope in scopes for outcome in _outcomes(model, scope, target, ignoring, facts or Facts()))
    return tuple(outcome for outcome in outcomes if isinstance(outcome, Obstacle))


def raise_opset(
    model: ir.Model, target: int, *, ignoring: Collection[ir.Node] = (), facts: Facts | None = None
) -> None:
    """Raises the version of the default domain that the model and its functions import to `target`, in place.

    A function follows its model, because ONNX lets the two import different versions only where they
    define the operators used alike (``onnx.checker`` insists, and ONNX Runtime reads a function's nodes at
    the model's version).  Nodes whose form changed are adapted; constants they need are added as
    initializers, in functions as Constant nodes.  The IR version is raised to the least that goes with
    `target`, if it is below.

    Raises:
        OpsetError: As for `obstacles`, or there are obstacles; then the model isn't changed.
    """
    scopes = _scopes(model, target)
    outcomes = [(scope, list(_outcomes(model, scope, target, ignoring, facts or Facts()))) for scope in scopes]
    found = [outcome for _, group in outcomes for outcome in group if isinstance(outcome, Obstacle)]
    if found:
        raise OpsetError(_message(model, target, found))
    names = {name for scope in scopes for name in _names(scope.root)}
    for scope, group in outcomes:
        Writer(scope.root, names).write([form for form in group if isinstance(form, Form)])
        scope.root.opset_imports[_domain(scope.root.opset_imports)] = target
    if scopes:
        least: int = onnx.helper.OP_SET_ID_VERSION_MAP["ai.onnx", target]
        model.ir_version = max(model.ir_version, least)


@dataclass(frozen=True)
class _Scope:
    """A graph or function whose import of the default domain is to be raised from `opset`."""

    root: ir.Graph | ir.Function
    opset: int


def _domain(imports: Mapping[str, int]) -> str:
    """The name under which the default domain is imported, if it is."""
    return "ai.onnx" if "ai.onnx" in imports and "" not in imports else ""


def _scopes(model: ir.Model, target: int) -> list[_Scope]:
    """The graph and functions to be raised: below `target`, or a graph that doesn't import the domain."""
    newest = onnx.defs.onnx_opset_version()
    if target > newest:
        raise OpsetError(
            f"the installed onnx {onnx.__version__} knows no opset above {newest}: ask for no more than that"
        )
    imports = model.graph.opset_imports
    opset = imports.get(_domain(imports), target)
    if opset > target:
        raise OpsetError(f"an opset can only be raised: '{model.graph.name}' is at {opset}, ask for no less than that")
    scopes = [_Scope(model.graph, opset)] if opset < target or _domain(imports) not in imports else []
    for function in model.functions.values():
        version = function.opset_imports.get(_domain(function.opset_imports), target)
        if version < target:
            scopes.append(_Scope(function, version))
    for scope in scopes:
        if scope.opset < OLDEST:
            raise OpsetError(
                f"no opset below {OLDEST} can be raised: '{scope.root.name}' is at {scope.opset}, "
                f"export it anew at {target} or later"
            )
    return scopes


def _nodes(root: ir.Graph | ir.Function) -> Iterator[ir.Node]:
    """The nodes of a graph or function and of all its subgraphs, outer ones first."""
    for node in root:
        yield node
        for subgraph in subgraphs_of(node):
            yield from _nodes(subgraph)


def _outcomes(
    model: ir.Model, scope: _Scope, target: int, ignoring: Collection[ir.Node], facts: Facts
) -> Iterator[Form | Obstacle]:
    """What becomes of the nodes of the default domain."""
    for node in _nodes(scope.root):
        if node.domain == "" and node.op_identifier() not in model.functions and node not in ignoring:
            yield _raised(Form.of(node, scope.opset, target, facts))


def _raised(form: Form) -> Form | Obstacle:
    """The form of a node at its target, or what stands in the way."""
    known = versions_of(form.op_type)
    if not known or known[0] > form.opset:
        reason = f"ONNX has no such operator at opset {form.opset}, so nothing tells what it means"
        return Obstacle(form.node, form.op_type, form.opset, reason)
    reached = form.opset
    while True:
        version = next((v for v in versions_of(form.op_type) if reached < v <= form.target), None)
        if version is None:
            return form
        crossed = _crossed(form, version)
        if isinstance(crossed, str):
            return Obstacle(form.node, form.op_type, version, crossed)
        form, reached = crossed, version


def _crossed(form: Form, version: int) -> Form | str:
    """The form at the version that changes its operator, or why there is none."""
    if version in WIDENED.get(form.op_type, ()):
        return form
    adapt = CHANGES.get((form.op_type, version))
    if adapt is None:
        return "this version is newer than what normgraph knows of the operator"
    try:
        return adapt(form)
    except UnknownAttributeError as unknown:
        return f"its attribute '{unknown}', which this version changed, is known to the function's caller only"


def _names(root: ir.Graph | ir.Function) -> Iterator[str]:
    """The names that values and nodes have in a graph or function."""
    values = [*root.inputs, *(root.initializers.values() if isinstance(root, ir.Graph) else ())]
    for node in root:
        values.extend(node.outputs)
        if node.name:
            yield node.name
        for subgraph in subgraphs_of(node):
            yield from _names(subgraph)
    yield from (value.name for value in values if value.name)


def _message(model: ir.Model, target: int, found: list[Obstacle]) -> str:
    shown = "; ".join(
        f"{o.op_type} '{o.node.name or o.node.outputs[0].name}' at opset {o.version}: {o.reason}" for o in found[:3]
    )
    more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
    return (
        f"opset {target} would change what nodes of '{model.graph.name}' compute: {shown}{more}; "
        f"keep the opset, or export the model anew at {target} or later"
    )
