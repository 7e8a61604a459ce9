"""The pages of the site that are made from the code: targets, reasons, JSON documents, help texts, changes.

mkdocs calls the functions whose names begin with ``on_``. What is generated is never out of date, and isn't committed.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from normgraph.cli import main
from normgraph.cli.arguments import COMMANDS
from normgraph.cli.targets import rows
from normgraph.remedies import REMEDIES
from normgraph.targets import DEFAULT_TARGET, TARGETS

ROOT = Path(__file__).resolve().parent.parent.parent
#: Files outside of the site that its pages link to, and the pages that stand for them there.
STAND_INS = {
    "normgraph/targets.py": "reference/targets.md",
    "normgraph/report.schema.json": "reference/json.md",
    "normgraph/check.schema.json": "reference/json.md",
}


def targets() -> str:
    """The table of targets, as `normgraph targets` prints it."""
    told = (
        "# Targets\n\nWhat each kind of normalization becomes, for each runtime; `normgraph targets` prints the same. "
        f"The default is `{DEFAULT_TARGET}`. A new target is a row of `normgraph/targets.py`."
    )
    parts = [told]
    for target in TARGETS.values():
        table = _table(("Normalization", "Becomes", "Opset", "Types", "Notes"), [*rows(target)])
        parts.append(f"## {target.name}\n\nAs {target.source}.\n\n{table}")
    return "\n\n".join(parts) + "\n"


def _table(titles: tuple[str, ...], cells: list[tuple[str, ...]]) -> str:
    lines = [titles, tuple("---" for _ in titles), *cells]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def reasons() -> str:
    """The reasons, from the design, each with what would change it."""
    section = (ROOT / "docs" / "design.md").read_text("utf-8").partition("\n## Reasons\n")[2]
    text = re.sub(
        r"^(\| rule \| .* \|)\n\|---\|---\|$", r"\1 what would change it |\n|---|---|---|", section, flags=re.M
    )
    rows = re.sub(r"^\| `(.*?)` \| .* \|$", lambda row: f"{row[0]} {REMEDIES[row[1]]} |", text, flags=re.M)
    return "# Reasons\n" + rows.partition("\n## ")[0]


def documents() -> str:
    """The JSON documents, from their schemas."""
    told = (
        "# JSON documents\n\nEach document has a schema (JSON Schema 2020-12) that is installed with the package. The "
        "number `schema` in a document is raised when something is removed or changes its meaning; something new may "
        "be added without that."
    )
    parts = [told]
    for path in sorted((ROOT / "normgraph").glob("*.schema.json")):
        schema = json.loads(path.read_text("utf-8"))
        parts.append(f"## {path.name}\n\n{schema['title']}.\n\n" + "\n\n".join(_objects(schema)))
    return "\n\n".join(parts) + "\n"


def _objects(schema: Mapping[str, Any]) -> Iterator[str]:
    yield _properties(schema)
    for name, definition in schema.get("$defs", {}).items():
        if "properties" in definition:
            yield f"### {name}\n\n{_properties(definition)}"


def _properties(schema: Mapping[str, Any]) -> str:
    rows = [(f"`{name}`", _kind(row), row.get("description", "")) for name, row in schema["properties"].items()]
    return _table(("Key", "Value", "Meaning"), rows)


def _kind(row: Mapping[str, Any]) -> str:
    """The values that a key may have, in words."""
    if "$ref" in row:
        return row["$ref"].rpartition("/")[2]
    if "const" in row:
        return f"`{json.dumps(row['const'])}`"
    if "enum" in row:
        return ", ".join(f"`{json.dumps(value)}`" for value in row["enum"])
    for key in ("anyOf", "oneOf"):
        if key in row:
            return " or ".join(_kind(choice) for choice in row[key])
    kind = row.get("type", "anything")
    if kind == "array":
        return f"list of {_kind(row.get('items', {}))}"
    return " or ".join([kind] if isinstance(kind, str) else kind)


def help_texts() -> str:
    """What `--help` prints."""
    parts = ["# Help texts"]
    for words in ([], *([name] for name in COMMANDS)):
        buffer = io.StringIO()
        with contextlib.redirect_stdout(buffer):
            main([*words, "--help"])
        parts.append(f"## {' '.join(['normgraph', *words])}\n\n```text\n{buffer.getvalue()}```")
    return "\n\n".join(parts) + "\n"


def changes() -> str:
    """The changelog."""
    return (ROOT / "CHANGELOG.md").read_text("utf-8")


#: The generated pages.
PAGES: Mapping[str, Callable[[], str]] = {
    "reference/targets.md": targets,
    "reference/reasons.md": reasons,
    "reference/json.md": documents,
    "reference/help.md": help_texts,
    "changelog.md": changes,
}


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages to the site."""
    from mkdocs.structure.files import File

    os.environ["COLUMNS"] = "100"  # the width of argparse's help
    for name, made in PAGES.items():
        files.append(File.generated(config, name, content=made()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turn links to files outside of the site into links to the page that stands for them, or into text."""
    folder = Path("docs") / Path(page.file.src_uri).parent

    def settled(found: re.Match[str]) -> str:
        text, target = found.groups()
        path = Path(os.path.normpath(folder / target)).as_posix()
        if path.startswith("docs/"):
            return found[0]
        if path in STAND_INS:
            return f"[{text}]({os.path.relpath(Path('docs') / STAND_INS[path], folder)})"
        return text if text.startswith("`") else f"{text} (`{path}`)"

    return re.sub(r"\[([^\]]+)\]\((?![a-z]+:|#)([^)#]+)\)", settled, markdown)
