"""Completion of command lines: what shells make of the scripts that are printed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from normgraph.cli import main
from normgraph.cli.arguments import COMMANDS
from normgraph.cli.completion import SHELLS
from normgraph.cli.options.shared import TARGETS

pytest.importorskip("shtab")


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script for bash, in a file."""
    path = tmp_path_factory.mktemp("completion") / "normgraph.bash"
    code = "from normgraph.cli import main; main(['--print-completion', 'bash'])"
    root = Path(__file__).resolve().parent.parent
    path.write_text(subprocess.check_output([sys.executable, "-c", code], cwd=root, text=True))
    return path


def completed(script: Path, line: str, folder: Path) -> set[str]:
    """What bash offers at the end of a line."""
    words = line.split(" ")
    asked = (
        f"source {script}; COMP_WORDS=({' '.join(repr(word) for word in words)}); COMP_CWORD={len(words) - 1}; "
        "COMPREPLY=(); _shtab_normgraph 2>/dev/null; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(["bash", "-c", asked], cwd=folder, capture_output=True, text=True, check=True)
    return {word.strip() for word in done.stdout.splitlines()} - {""}


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        pytest.param("normgraph ", set(COMMANDS), id="commands"),
        pytest.param("normgraph ex", {"explain"}, id="the rest of a command"),
        pytest.param("normgraph check --max", {"--max-error", "--max-latency"}, id="options"),
        pytest.param("normgraph check --format s", {"sarif"}, id="choices"),
        pytest.param("normgraph explain --target tensor", {"tensorrt"}, id="targets"),
        pytest.param("normgraph optimize m", {"model.onnx"}, id="files"),
    ],
)
def test_bash_completes(line: str, offered: set[str], script: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    assert offered <= completed(script, line, tmp_path)


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish")
def test_fish_completes_and_says_what_commands_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--print-completion", "fish"]) == 0
    (tmp_path / "normgraph.fish").write_text(capsys.readouterr().out)
    asked = f"source {tmp_path}/normgraph.fish; complete -C 'normgraph '; complete -C 'normgraph check --max'"
    offered = subprocess.check_output(["fish", "--no-config", "-c", asked], text=True).splitlines()
    assert {f"{name}\t{command.help}" for name, command in COMMANDS.items()} <= set(offered)
    assert {line.split("\t")[0] for line in offered} >= {"--max-error", "--max-latency"}


def test_targets_are_offered_by_name(script: Path) -> None:
    assert all(name in script.read_text() for name in TARGETS)


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_has_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--print-completion", shell]) == 0
    assert "normgraph" in capsys.readouterr().out


def test_without_shtab_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["--print-completion", "bash"]) == 2
    assert "install 'normgraph[completion]'" in capsys.readouterr().err
