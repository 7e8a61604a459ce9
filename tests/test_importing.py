"""What is deferred is loaded when something of it is first used, and is what it would have been."""

import gc
import subprocess
import sys
import types
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from normgraph.importing import YOUNG, catch_up, collecting_seldom, deferred, frugally
from tests.test_startup import run

#: Modules by name, each of which notes in `run` that its code was run, and what they are.
MODULES = {
    "run": "names = []",
    "heavy": "import run; run.names.append(__name__); value = 1; import heavy; own = heavy.value",
    "broken": "import run; run.names.append(__name__); raise ImportError('a part of it is missing')",
    "package/__init__": "from package import part",
    "package/part": "import run; run.names.append(__name__); value = 1",
    "package/other": "value = 2",
    "user": "import heavy",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, code in MODULES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_text(code.replace("; ", "\n") + "\n")
    (tmp_path / "namespace").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def names_run() -> list[str]:
    """The modules whose code was run since this was last asked, in order."""
    names = import_module("run").names
    assert isinstance(names, list)
    found = [*names]
    names.clear()
    return found


@pytest.mark.parametrize(
    ("importing", "name"),
    [
        pytest.param("user", "heavy", id="imported by another module"),
        pytest.param("heavy", "heavy", id="imported by itself"),
        pytest.param("package", "package.part", id="a part that its package imports"),
        pytest.param("package.part", "package.part", id="a part by its full name"),
    ],
)
def test_a_deferred_module_is_run_when_it_is_used(importing: str, name: str) -> None:
    with deferred([name]):
        import_module(importing)
    assert names_run() == []
    module = sys.modules[name]
    assert module.value == 1
    assert names_run() == [name]
    assert type(module) is types.ModuleType
    assert sys.modules[name] is module
    assert module.value == 1
    assert names_run() == []


@pytest.mark.parametrize(
    ("name", "then"),
    [
        pytest.param("heavy", "from heavy import own as found", id="a name of it"),
        pytest.param("heavy", "import heavy; found = heavy.value", id="the module once more"),
        pytest.param("heavy", "import sys; found = vars(sys.modules['heavy']).get('value') or 1", id="its dictionary"),
        pytest.param("package", "from package.part import value as found", id="a part of it"),
        pytest.param("package", "import package.other; found = package.other.value - 1", id="another part of it"),
    ],
)
def test_whoever_imports_a_deferred_module_sees_no_difference(name: str, then: str) -> None:
    with deferred([name]):
        import_module(name)
    scope: dict[str, object] = {}
    exec(then, scope)
    assert scope["found"] == 1


def test_what_is_not_named_is_imported_at_once() -> None:
    with deferred(["package.part"]):
        import_module("user")
    assert names_run() == ["heavy"]


def test_behind_the_block_nothing_is_deferred() -> None:
    finders = [*sys.meta_path]
    with pytest.raises(ZeroDivisionError), deferred(["heavy"]):
        raise ZeroDivisionError
    assert sys.meta_path == finders
    import_module("heavy")
    assert names_run() == ["heavy"]


def test_parts_of_a_package_that_has_been_caught_up_with_are_imported_once(folder: Path) -> None:
    (folder / "package/__init__.py").write_text("from package import inner\n")
    (folder / "package/inner").mkdir()
    (folder / "package/inner/__init__.py").write_text(
        "import run\nrun.names.append(__name__)\nimport package.inner.leaf\n"
    )
    (folder / "package/inner/leaf.py").touch()
    with deferred(["package", "heavy"]):
        import_module("package")
    assert names_run() == []
    catch_up(["package", "heavy"])
    leaf = import_module("package.inner.leaf")
    assert import_module("package").inner.leaf is leaf
    assert names_run() == ["package.inner"]


def test_a_module_that_is_imported_already_is_left_alone() -> None:
    module = import_module("heavy")
    assert names_run() == ["heavy"]
    with deferred(["heavy"]):
        assert import_module("heavy") is module
    assert names_run() == []


def test_a_module_that_is_not_there_is_missed_as_ever() -> None:
    with pytest.raises(ModuleNotFoundError) as plain:
        import_module("nowhere")
    with deferred(["nowhere", "package.nowhere"]):
        with pytest.raises(ModuleNotFoundError) as found:
            import_module("nowhere")
        with pytest.raises(ImportError, match="cannot import name 'nowhere'"):
            exec("from package import nowhere")
    assert (str(found.value), found.value.name) == (str(plain.value), plain.value.name)


def test_a_module_that_cannot_be_run_says_so_when_it_is_used() -> None:
    with deferred(["broken"]):
        module = import_module("broken")
    with pytest.raises(ImportError, match="a part of it is missing"):
        module.value  # noqa: B018


def test_a_folder_without_code_is_none_to_defer() -> None:
    with deferred(["namespace"]):
        assert "_Lazy" not in type(import_module("namespace")).__name__


@pytest.mark.parametrize("collecting", [True, False])
def test_python_collects_behind_the_imports_as_before(collecting: bool) -> None:
    was_on = gc.isenabled()
    (gc.enable if collecting else gc.disable)()
    try:
        with frugally():
            assert not gc.isenabled()
        assert gc.isenabled() is collecting
    finally:
        (gc.enable if was_on else gc.disable)()


def test_python_collects_seldom_in_the_block_alone() -> None:
    thresholds, frozen = gc.get_threshold(), gc.get_freeze_count()
    with collecting_seldom():
        assert gc.get_threshold() == (YOUNG, *thresholds[1:])
        assert gc.get_freeze_count() > frozen
    assert gc.get_threshold() == thresholds
    assert gc.get_freeze_count() == 0


#: A program that ends while it holds what must be put away: one object that refers to itself, and one that doesn't.
HELD = """
import weakref, sys
from normgraph.importing import exit_with
class Held: pass
first, second = Held(), Held()
first.itself = first
weakref.finalize(first, print, "first")
weakref.finalize(second, print, "second")
print("begun")
exit_with(3)
"""


def test_what_is_to_be_put_away_is_before_the_program_ends(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", HELD], capture_output=True, text=True, check=False)
    assert (done.returncode, sorted(done.stdout.split())) == (3, ["begun", "first", "second"])


#: Arithmetic on symbolic sizes, which sympy does, and a size that is read from its text.
SIZES = """
import sys
{imports}
n, m = onnx_ir.SymbolicDim("n"), onnx_ir.SymbolicDim("2*m + 1")
loaded = "sympy.core" in sys.modules
found = [(n + 1) * 2 - n, m // 2, -n, n % 3, (n + n).simplify(), m.evaluate(dict(m=3)), onnx_ir.Shape(["n", 2]), m]
print(loaded, [str(each) for each in found], isinstance(m._expr, __import__("sympy").Expr))
"""


def test_onnx_ir_reckons_with_symbolic_sizes_as_ever(tmp_path: Path) -> None:
    plain = run(SIZES.format(imports="import onnx_ir"), tmp_path)
    lazily = "from normgraph.importing import frugally\nwith frugally():\n    import onnx_ir"
    assert plain.startswith("True [")
    assert plain.endswith("True")
    assert run(SIZES.format(imports=lazily), tmp_path) == plain.replace("True", "False", 1)
