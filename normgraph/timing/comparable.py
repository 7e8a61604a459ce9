"""What makes a comparison of models one of different things, as sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx_ir as ir

from normgraph.providers import Provider

#: The target whose models run anywhere.
ANYWHERE = "onnx"


def differences(models: Sequence[tuple[str, ir.Model]]) -> Iterator[str]:
    """How the inputs and outputs of models differ from those of the first in name, type and rank, a sentence for each.

    Args:
        models: the models, with what each is called.
    """
    first, *others = models
    for other in others:
        for noun, verb, of in (("input", "takes", _inputs), ("output", "makes", _outputs)):
            yield from _differ(first, of(first[1]), other, of(other[1]), noun, verb)


def foreign_target(target: str, provider: Provider) -> Iterator[str]:
    """A sentence where rewrites are made for a runtime and timed on the provider of another."""
    if target.partition("@")[0] not in (ANYWHERE, provider.target):
        yield (
            f"the rewrites are made for {target} and timed on {provider.name}, which runs what is made for "
            f"{provider.target}: what they are worth on {target} isn't told by this"
        )


def _differ(
    first: tuple[str, ir.Model],
    before: dict[str, str],
    other: tuple[str, ir.Model],
    after: dict[str, str],
    noun: str,
    verb: str,
) -> Iterator[str]:
    for name, told in before.items():
        if name not in after:
            yield f"{first[0]} {verb} the {noun} '{name}', and {other[0]} doesn't"
        elif after[name] != told:
            yield f"the {noun} '{name}' is {told} in {first[0]} and {after[name]} in {other[0]}"
    for name in after:
        if name not in before:
            yield f"{other[0]} {verb} the {noun} '{name}', and {first[0]} doesn't"


def _inputs(model: ir.Model) -> dict[str, str]:
    return {value.name or "": _told(value) for value in model.graph.inputs if not value.is_initializer()}


def _outputs(model: ir.Model) -> dict[str, str]:
    return {value.name or "": _told(value) for value in model.graph.outputs}


def _told(value: ir.Value) -> str:
    """Type and rank: sizes may be declared or left open without being different."""
    dtype = "of unknown type" if value.dtype is None else value.dtype.name.lower()
    return dtype if value.shape is None else f"{dtype} of rank {len(value.shape)}"
