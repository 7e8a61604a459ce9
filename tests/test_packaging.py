"""What an installed normgraph holds, looked at from outside the checkout."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ("pyproject.toml", "README.md", "LICENSE", "normgraph", "kernels")


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([sys.executable, *command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy without build leftovers; building in the checkout itself would leave some there."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in SHIPPED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, copy / name)
    return copy


@pytest.fixture(scope="module", params=["wheel", "sdist"])
def installed(request: pytest.FixtureRequest, checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that pip installs the wheel, or the source distribution, into."""
    built = tmp_path_factory.mktemp("built")
    target = tmp_path_factory.mktemp("installed")
    hook = f"from setuptools import build_meta; build_meta.build_{request.param}({str(built)!r})"
    run("-c", hook, cwd=checkout)
    (archive,) = built.iterdir()
    offline = ("--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check")
    run("-m", "pip", "install", "--quiet", *offline, "--target", target, archive, cwd=built)
    return target


def modules(folder: Path) -> set[str]:
    """Source files of the checkout as the paths they must be installed under."""
    own = {path.relative_to(ROOT) for path in ROOT.glob("normgraph/**/*.py") if "kernels" not in path.parts}
    kernels = {"normgraph" / path.relative_to(ROOT) for path in ROOT.glob("kernels/**/*.py")}
    return {path.as_posix() for path in own | kernels}


def test_every_module_is_installed(installed: Path) -> None:
    found = {path.relative_to(installed).as_posix() for path in installed.glob("normgraph/**/*.py")}
    assert found == modules(ROOT)


def test_nothing_else_is_importable(installed: Path) -> None:
    names = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert names - {"bin"} == {"normgraph"}


def test_the_program_and_the_plugin_of_pytest_are_announced(installed: Path) -> None:
    (path,) = installed.glob("*.dist-info/entry_points.txt")
    text = path.read_text("utf-8")
    assert "[console_scripts]\nnormgraph = normgraph.cli:program\n" in text
    assert "[pytest11]\nnormgraph = normgraph.pytest_plugin\n" in text


def test_data_files_are_installed(installed: Path) -> None:
    expected = {path.name for path in (ROOT / "normgraph").glob("*.schema.json")} | {"py.typed"}
    found = {path.name for path in (installed / "normgraph").iterdir() if path.suffix != ".py"}
    assert expected <= found
    assert any(name.endswith(".schema.json") for name in expected)


def test_kernels_import_as_a_subpackage(installed: Path, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        "import pkgutil, importlib, normgraph.kernels\n"
        "names = [m.name for m in pkgutil.iter_modules(normgraph.kernels.__path__)]\n"
        "files = [importlib.import_module(f'normgraph.kernels.{n}').__file__ for n in names]\n"
        "print('\\n'.join(files))"
    )
    files = run("-I", "-c", code, cwd=tmp_path).splitlines()
    assert files
    assert all(Path(file).is_relative_to(installed / "normgraph" / "kernels") for file in files)


def test_both_builds_of_the_runtime_are_never_wanted_together() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert not [name for name in project["dependencies"] if name.startswith("onnxruntime")]
    for name in ("cpu", "gpu"):
        assert len(extras[name]) == 1
        assert extras[name][0].startswith("onnxruntime")
