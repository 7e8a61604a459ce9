"""The pages of the documentation: their examples run, print what they say, and configure what they seem to."""

import doctest
import importlib
import inspect
import pkgutil
import re
import runpy
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

import normgraph
from normgraph.check.configuration import read
from normgraph.cli import main
from normgraph.cli.arguments import COMMANDS
from normgraph.timing import Plan
from normgraph.timing.sites import SiteTimer
from tests.test_architecture import ROOT
from tests.test_docs import settled

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
_BLOCK = re.compile(r"(?:<!-- needs: (?P<needs>[\w, ]+) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL)
#: What a block says that it needs, the module that shows whether it is there, and the mark of its tests.
NEEDS = {
    "torch": ("torch", pytest.mark.torch),
    "keras": ("tf2onnx", pytest.mark.slow),
    "jax": ("jax2onnx", pytest.mark.slow),
}


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    needs: str

    def lines(self) -> list[str]:
        """Its lines; one that a backslash continues is one."""
        return self.text.replace("\\\n", " ").splitlines()


def blocks(page: Path) -> list[Block]:
    found = _BLOCK.finditer(page.read_text("utf-8"))
    return [Block(block["language"], block["text"], block["needs"] or "") for block in found]


def name_of(page: Path) -> str:
    return str(page.relative_to(DOCS))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, with the samples where the pages have them."""
    (tmp_path / "models").symlink_to(ROOT / "models")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_python(page: Path, wanted: str) -> None:
    """Run a page's Python, the blocks of one page one after another, as one reads them."""
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page):
        if block.language == "python" and block.needs == wanted:
            exec(compile(block.text, str(page), "exec"), names)


PYTHON = [page for page in PAGES if any(b.language == "python" and not b.needs for b in blocks(page))]


@pytest.mark.parametrize("page", [pytest.param(page, id=name_of(page)) for page in PYTHON])
def test_python_runs(page: Path, folder: Path) -> None:
    run_python(page, "")


def needy() -> Iterator[object]:
    for page in PAGES:
        for needs in dict.fromkeys(block.needs for block in blocks(page) if block.language == "python"):
            if needs:
                module, mark = NEEDS[needs]
                yield pytest.param(page, needs, module, id=f"{name_of(page)}, {needs}", marks=mark)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("page", "needs", "module"), list(needy()))
def test_python_behind_exporters_runs(page: Path, needs: str, module: str, folder: Path) -> None:
    if find_spec(module) is None:
        pytest.skip(f"{module} isn't installed")
    run_python(page, needs)
    assert list(folder.glob("*.onnx"))


CONSOLE = [
    page
    for page in PAGES
    if page.name != "command-line.md" and any(block.language == "console" for block in blocks(page))
]


@pytest.mark.parametrize("page", [pytest.param(page, id=name_of(page)) for page in CONSOLE])
def test_console_examples_print_what_they_say(page: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the order of the page: what an earlier command of it writes a later one may read."""
    for block in blocks(page):
        if block.language == "sh" and page.name == "tutorial.md":
            for line in block.lines():
                words = shlex.split(line)
                if words[1] not in ("bench", "verify"):  # their figures are no news here, and take their time
                    assert main(words[1:]) == 0, line
        elif block.language == "console":
            capsys.readouterr()
            command, _, output = block.text.removeprefix("$ ").partition("\n")
            assert main(shlex.split(command)[1:]) == 0
            assert settled(capsys.readouterr().out) == settled(output)


def configurations() -> Iterator[object]:
    for page in PAGES:
        for number, block in enumerate(block for block in blocks(page) if block.language == "toml"):
            yield pytest.param(block.text, id=f"{name_of(page)} {number}")


@pytest.mark.parametrize("text", list(configurations()))
def test_contracts_are_understood(text: str, folder: Path) -> None:
    (folder / "normgraph.toml").write_text(text)
    found = read(folder / "normgraph.toml")
    assert found.contracts or found.baseline


@pytest.mark.parametrize(
    "text", [pytest.param(b.text, id=name_of(page)) for page in PAGES for b in blocks(page) if b.language == "yaml"]
)
def test_yaml_is_yaml(text: str) -> None:
    assert yaml.safe_load(text)


def commands() -> Iterator[object]:
    """Every command line of normgraph that stands in a shell block."""
    for page in PAGES:
        for block in blocks(page):
            if block.language == "sh" and not block.needs:
                for line in block.lines():
                    words = shlex.split(line, comments=True)
                    if (
                        words[:1] == ["normgraph"]
                        and not words[1].startswith("-")
                        and "…" not in line
                        and "[" not in line
                    ):
                        yield pytest.param(_until_pipe(words[1:]), id=f"{name_of(page)}: {line[:60]}")


#: Words of commands that need what isn't here: a GPU, a store, a cluster.
ELSEWHERE = ("cuda", "s3://", "--dask")
#: What bounds the time of commands that measure.
SHORT = {"bench": ["--budget", "0.05", "--precision", "50"]}


def followed() -> Iterator[object]:
    for page in PAGES:
        if any(b.language == "sh" and not b.needs and "normgraph " in b.text for b in blocks(page)):
            yield pytest.param(page, id=name_of(page))


@pytest.mark.parametrize("page", list(followed()))
def test_shell_commands_do_what_they_say_one_after_another(
    page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a reader follows them: with a model of their own, a folder of exports, and the page's configurations."""
    samples = ROOT / "models" / "samples"
    (folder / "exports").mkdir()
    shutil.copy(samples / "bert_dynamic_torchscript_13.onnx", folder / "model.onnx")
    shutil.copy(samples / "bert_torchscript_13.onnx", folder / "bert.onnx")
    assert main(["optimize", "bert.onnx", "-o", "exports/bert.onnx", "-q"]) == 0
    monkeypatch.setitem(SiteTimer.__init__.__kwdefaults__, "plan", Plan(precision=0.5, budget=0.05))
    for block in blocks(page):
        if block.language == "toml":
            (folder / "normgraph.toml").write_text(block.text.replace("= 25", "= 5"))
        for line in block.lines() if block.language == "sh" and not block.needs else ():
            words = _until_pipe(shlex.split(line, comments=True))
            if words[:1] != ["normgraph"] or words[1].startswith("-") or "[NAME]" in words:
                continue
            if any(word in " ".join(words) for word in ELSEWHERE):
                continue
            status = main([*words[1:], *SHORT.get(words[1], [])])
            assert status == 0 or "--fail-if-slower" in words, (line, capsys.readouterr())


def _until_pipe(words: list[str]) -> list[str]:
    return words[: words.index("|")] if "|" in words else words


@pytest.mark.parametrize("words", list(commands()))
def test_shell_commands_are_of_this_command_line(words: list[str]) -> None:
    from normgraph.cli.arguments import parse

    if words[0] not in COMMANDS:
        pytest.fail(f"there is no command {words[0]}")
    command, _ = parse(words)
    assert command.name == words[0]


def test_every_public_name_is_in_the_reference() -> None:
    listed = re.findall(r"^::: ([\w.]+)$", (DOCS / "reference" / "api.md").read_text("utf-8"), re.MULTILINE)
    own = {f"normgraph.{name}" for name in normgraph.__all__} - {"normgraph.NormgraphError"}  # in normgraph.errors
    assert own <= set(listed)
    for name in listed:
        assert inspect.getdoc(pkgutil.resolve_name(name)), name


@pytest.mark.parametrize(
    "name",
    [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted((ROOT / "normgraph").rglob("*.py"))
        if "kernels" not in path.parts and ">>> " in path.read_text("utf-8")
    ],
)
def test_examples_of_docstrings_print_what_they_say(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert not found.failed


def test_the_pages_that_are_generated_are_made() -> None:
    module = runpy.run_path(str(DOCS / "building" / "generated.py"))
    pages = {name: made() for name, made in module["PAGES"].items()}
    assert all(text.startswith("# ") for text in pages.values())
    assert "| LayerNormalization | LayerNormalization | 17 |" in pages["reference/targets.md"]
    assert "| `epsilon-outside` |" in pages["reference/reasons.md"]
    assert "variance | add it to the variance, before the Sqrt |" in pages["reference/reasons.md"]
    schemas = {path.name for path in (ROOT / "normgraph").glob("*.schema.json")}
    assert all(f"## {name}\n" in pages["reference/json.md"] for name in schemas)
    assert all(f"## normgraph {name}\n" in pages["reference/help.md"] for name in COMMANDS)


def test_every_page_is_in_the_navigation() -> None:
    listed = re.findall(r"([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    assert {name_of(page) for page in PAGES} <= set(listed)
    assert len(listed) == len(set(listed))
