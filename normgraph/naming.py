"""What a person calls a site: the name of the module or layer that an exporter left in the nodes it made."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import onnx_ir as ir

#: Where PyTorch's exporter writes the modules around a node, outermost first, the operation itself last.
_TORCH_SCOPES = "pkg.torch.onnx.name_scopes"


def site_name(nodes: Sequence[ir.Node], output: ir.Value) -> str:
    """The scope that the nodes of a region share, in the spelling of its framework; else the output's name.

    PyTorch's module paths come out dotted (``encoder.layer.0.norm``) from both of its exporters, others as they stand in
    the nodes' names (``model/layer_normalization``).
    """
    shared = _common_prefix([scope for node in nodes if (scope := _torch_scope(node)) is not None])
    if shared:
        return shared[-1]
    named = [node.name.split("/") for node in nodes if node.name and "/" in node.name]
    scope = _common_prefix([parts[:-1] for parts in named])
    if any(scope):
        torch = scope[0] == ""
        return ".".join(scope[1:]) if torch else "/".join(scope)
    return output.name or "?"


def _torch_scope(node: ir.Node) -> list[str] | None:
    text = node.metadata_props.get(_TORCH_SCOPES)
    if text is None:
        return None
    try:
        scopes = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    return [str(scope) for scope in scopes[1:-1]] if isinstance(scopes, list) else None


def _common_prefix(paths: Sequence[Sequence[str]]) -> list[str]:
    prefix: list[str] = []
    for level in zip(*paths, strict=False):
        if len(set(level)) > 1:
            break
        prefix.append(level[0])
    return prefix
