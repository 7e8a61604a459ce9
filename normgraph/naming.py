"""What a person calls a site: the name of the module or layer that an exporter left in the nodes it made."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from normgraph.transfer import LAYOUT_OPERATORS

#: Where PyTorch's exporter writes the modules around a node, outermost first, the operation itself last.
_TORCH_SCOPES = "pkg.torch.onnx.name_scopes"
#: What frameworks call the parameters of a normalization, behind the name of its module.
_PARAMETERS = frozenset({"weight", "bias", "gamma", "beta", "scale"})


def site_name(nodes: Sequence[ir.Node], output: ir.Value) -> str:
    """The name of the module that made a region, in the spelling of its framework; else the output's name.

    It is read off the scopes that all nodes share that compute something, a Transpose before them, say, being the
    caller's; else off the names of the trained parameters, else off the
    output's own scope.  PyTorch's module paths come out dotted (``encoder.layer.0.norm``) from both of its
    exporters, others as they stand in the names (``model/layer_normalization``).
    """
    nodes = [node for node in nodes if node.op_type not in LAYOUT_OPERATORS] or nodes
    shared = _common_prefix([scope for node in nodes if (scope := _torch_scope(node)) is not None])
    if shared:
        return shared[-1]
    named = [node.name.split("/") for node in nodes if node.name and "/" in node.name]
    return (
        _written(_common_prefix([parts[:-1] for parts in named]))
        or _module_of_parameters(nodes)
        or _written((output.name or "").split("/")[:-1])
        or output.name
        or "?"
    )


def _torch_scope(node: ir.Node) -> list[str] | None:
    text = node.metadata_props.get(_TORCH_SCOPES)
    if text is None:
        return None
    try:
        scopes: Any = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    return [str(scope) for scope in scopes[1:-1]] if isinstance(scopes, list) else None


def _written(scope: Sequence[str]) -> str:
    """A scope as its framework writes it: PyTorch's begins with an empty part, and items repeat their list."""
    if not scope or scope[0]:
        return "/".join(scope)
    parts: list[str] = []
    for part in scope[1:]:
        if parts and part.startswith(parts[-1] + "."):
            parts.pop()  # "layers" and "layers.0" are the list and its item
        parts.append(part)
    return ".".join(parts)


def _module_of_parameters(nodes: Sequence[ir.Node]) -> str:
    """The module whose parameters the nodes read, if it is but one."""
    stored = [value for node in nodes for value in node.inputs if value is not None and value.is_initializer()]
    owners = [(value.name or "").rpartition(".") for value in stored]
    modules = {module for module, _, parameter in owners if parameter in _PARAMETERS}
    return modules.pop() if len(modules) == 1 else ""


def _common_prefix(paths: Sequence[Sequence[str]]) -> list[str]:
    prefix: list[str] = []
    for level in zip(*paths, strict=False):
        if len(set(level)) > 1:
            break
        prefix.append(level[0])
    return prefix
