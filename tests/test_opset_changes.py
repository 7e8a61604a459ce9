"""Each version of each operator that ONNX's default domain has had since opset 7 is classified on purpose."""

import itertools
from collections.abc import Iterator

import onnx.defs
import onnx_ir as ir
import pytest

from normgraph.opset import changes, obstacles
from tests.opset_models import parsed

Schema = onnx.defs.OpSchema


def changed_since_seven() -> Iterator[tuple[Schema, Schema]]:
    """Each definition of an operator beside the one before it, where a node of opset 7 can cross it."""
    histories: dict[str, list[Schema]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "":
            histories.setdefault(schema.name, []).append(schema)
    for history in histories.values():
        history.sort(key=lambda schema: schema.since_version)
        yield from ((a, b) for a, b in itertools.pairwise(history) if b.since_version > 7)


PAIRS = list(changed_since_seven())
IDS = [f"{new.name}-{new.since_version}" for _, new in PAIRS]


@pytest.mark.parametrize(("old", "new"), PAIRS, ids=IDS)
def test_every_version_is_classified(old: Schema, new: Schema) -> None:
    """Fails for what a release of onnx adds: read what it changed, then give it a row in `changes`."""
    widened = new.since_version in changes.WIDENED.get(new.name, ())
    assert widened != ((new.name, new.since_version) in changes.CHANGES)
    if widened:
        assert list(narrowings(old, new)) == []


def test_tables_have_no_row_for_what_does_not_exist() -> None:
    rows = [*changes.CHANGES, *((name, version) for name, row in changes.WIDENED.items() for version in row)]
    known = {(new.name, new.since_version) for _, new in PAIRS}
    newest = onnx.defs.onnx_opset_version()
    assert [row for row in rows if row not in known and row[1] <= newest] == []


def narrowings(old: Schema, new: Schema) -> Iterator[str]:
    """What the new signature denies that the old one admits, or reads in another way."""
    if new.deprecated:
        yield "deprecated"
    for before, after in ((old.inputs, new.inputs), (old.outputs, new.outputs)):
        if len(after) < len(before):
            yield "parameters dropped"
        for position, parameter in enumerate(after):
            if position >= len(before):
                if parameter.option != Schema.FormalParameterOption.Optional:
                    yield f"{parameter.name} added"
                continue
            kinds = {before[position].option, parameter.option}
            if len(kinds) > 1 and parameter.option != Schema.FormalParameterOption.Optional:
                yield f"{parameter.name} required"
            if not before[position].types <= parameter.types:
                yield f"{parameter.name} narrowed"
    # Parameters that now share a type must have shared it before, or have had but one.
    parameters = [*zip(old.inputs, new.inputs, strict=False), *zip(old.outputs, new.outputs, strict=False)]
    for name in {after.type_str for _, after in parameters}:
        sharing = [before for before, after in parameters if after.type_str == name and after.is_homogeneous]
        if len({before.type_str for before in sharing}) > 1 and any(len(p.types) > 1 for p in sharing):
            yield f"types of {[p.name for p in sharing]} tied"
    for name in {*old.attributes, *new.attributes}:
        if name not in new.attributes:
            yield f"attribute {name} dropped"
        elif name not in old.attributes:
            if new.attributes[name].required:
                yield f"attribute {name} required"
        elif old.attributes[name].default_value != new.attributes[name].default_value:
            yield f"default of {name} changed"


def test_version_in_neither_table_stands_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ir.from_proto(parsed(11, "float[2] x", "y = Relu(x)"))
    assert not obstacles(model, 14)
    monkeypatch.setattr("normgraph.opset.WIDENED", {"Relu": (13,)})
    (obstacle,) = obstacles(model, 14)
    assert (obstacle.op_type, obstacle.version) == ("Relu", 14)
    assert "newer than" in obstacle.reason
