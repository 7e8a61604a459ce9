"""The documentation says what is so: the console examples, the reasons, the modules, the options."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from normgraph.cli import main
from normgraph.diagnosis import DIAGNOSES
from normgraph.remedies import REMEDIES
from normgraph.targets import TARGETS
from tests.test_architecture import LAYERS, ROOT

README = (ROOT / "README.md").read_text("utf-8")
DESIGN = (ROOT / "docs" / "design.md").read_text("utf-8")
COMMANDS = (ROOT / "docs" / "command-line.md").read_text("utf-8")
#: What makes a reason, the rule being its first argument.
REASONS = ("NotRepresentable", "Shortfall", "Unknown")


def examples() -> Iterator[object]:
    for name, text in (("README", README), ("command line", COMMANDS)):
        for number, block in enumerate(re.findall(r"```console\n\$ normgraph (.*?)```", text, re.DOTALL)):
            words, _, output = block.partition("\n")
            yield pytest.param(shlex.split(words), output, id=f"{name} {number}")


def settled(text: str) -> str:
    """The text without what differs from machine to machine: how long it took, and how its kernels round."""
    text = re.sub(r"ONNX Runtime [\d.]+", "ONNX Runtime", re.sub(r"[\d.]+ m?s$", "TIME", text, flags=re.MULTILINE))
    text = re.sub(r"\d\.\de-\d+ → \d\.\de-\d+", "ERROR", text)
    return re.sub(r"ERROR +[\d.,]+ → [\d.,]+", "ERROR ULP", text)


@pytest.mark.parametrize(("words", "output"), list(examples()))
def test_console_example_prints_what_it_says(
    words: list[str],
    output: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "models").symlink_to(ROOT / "models")
    monkeypatch.chdir(tmp_path)
    assert main(words) == 0
    assert settled(capsys.readouterr().out) == settled(output)


def test_set_up_takes_just_two_commands() -> None:
    commands = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert len(commands) == 2
    assert "-m normgraph optimize models/samples/" in commands[0]
    assert commands[1].endswith("-m pytest")


def rules_in(path: Path) -> Iterator[str]:
    """The rules of the reasons that a source file gives."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        told: list[ast.expr] = []
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in REASONS:
                told += node.args[:1]
            told += [keyword.value for keyword in node.keywords if keyword.arg == "rule"]
        elif isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "rule" for t in node.targets):
            told.append(node.value)
        for expression in told:
            choices = [expression.body, expression.orelse] if isinstance(expression, ast.IfExp) else [expression]
            yield from (c.value for c in choices if isinstance(c, ast.Constant) and isinstance(c.value, str))


def test_every_reason_is_documented_and_has_its_remedy_and_no_other() -> None:
    sources = [path for path in ROOT.glob("normgraph/**/*.py") if "kernels" not in path.parts]
    given = {rule for path in sources for rule in rules_in(path)} | {rule for rule, _ in DIAGNOSES}
    assert len(given) > 30
    documented = re.findall(r"^\| `([a-z-]+)` \| ", DESIGN.partition("## Reasons")[2], re.MULTILINE)
    assert sorted(documented) == sorted(given)
    assert sorted(REMEDIES) == sorted(given)
    assert all(re.fullmatch(r"[^;]{10,90}[^;.]", remedy) for remedy in REMEDIES.values())


def test_the_house_lists_every_module_in_its_order() -> None:
    table = DESIGN.partition("## The house")[2].partition("Records are")[0]
    listed = [
        name for row in re.findall(r"^\| (`.*?`) \| ", table, re.MULTILINE) for name in re.findall(r"`(.*?)/?`", row)
    ]
    modules = {name for layer in LAYERS for name in layer} - {"__init__", "__main__"}
    assert set(listed) == modules
    layer_of = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    positions = [layer_of[name] for name in listed]
    assert positions == sorted(positions)


def test_every_option_and_target_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("optimize", "explain", "verify", "check", "bench"):
        assert main([command, "--help"]) == 0
        options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
        section = COMMANDS.partition(f"## normgraph {command}")[2]
        assert options <= set(re.findall(r"--[a-z-]+", section))
    assert all(f"`{name}`" in COMMANDS for name in TARGETS)


@pytest.mark.parametrize("name", ["README.md", "docs/design.md", "docs/command-line.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(#[^)]*)?\)", page.read_text("utf-8")):
        linked = page.parent / target if target else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text("utf-8"), re.MULTILINE)
            assert anchor[1:] in {heading.lower().replace(" ", "-") for heading in headings}
