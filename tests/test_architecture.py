"""The house keeps its order: imports go one way, some modules never see onnx, files stay readable."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# A module imports only from rows above its own, or from modules to its left in the same row. What it imports
# for the type checker alone may stand anywhere.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "importing", "lazily", "likely", "wording", "kernels"),
    ("runtime", "providers", "sessions", "progress", "model_io"),
    ("axes", "coefficients", "atoms", "bounds", "renaming", "algebra", "foreign", "conditions", "exponentials"),
    ("constants", "shapes", "elements", "types", "inference", "facts", "surveyed", "feeds"),
    ("forms", "transfer_conditions", "transfer_contraction", "transfer_layout", "transfer_native"),
    ("transfer", "interpret"),
    ("norms", "region", "remedies", "diagnosis", "candidates", "borders", "near_misses"),
    ("outer", "recognition", "match", "unsettled"),
    ("lowering", "operators", "regrouping", "lengths", "statistics", "targets", "rewrite", "opset", "affine"),
    ("reference_operators", "execution", "doubles", "definitions", "widening"),
    ("fragments", "extraction", "evidence", "proposals", "verification"),
    ("naming", "inventory", "folding", "spelled_out", "reach", "ledger", "passes", "rounds"),
    ("timing",),
    ("report", "rollback", "api", "ir_passes", "exporting", "__init__"),
    ("batch", "check", "cli", "testing", "pytest_plugin", "__main__"),
)
ORDER = {name: position for position, name in enumerate(name for layer in LAYERS for name in layer)}

WITHOUT_ONNX = (
    "kernels",
    "axes",
    "coefficients",
    "atoms",
    "bounds",
    "renaming",
    "algebra",
    "foreign",
    "conditions",
    "norms",
    "remedies",
    "diagnosis",
)
MAX_LINES = 400


def unit_of(path: Path) -> str:
    """The module or sub-package of normgraph that a source file belongs to."""
    relative = path.relative_to(ROOT)
    return "kernels" if relative.parts[0] == "kernels" else relative.with_suffix("").parts[1]


def sources() -> list[Path]:
    own = [path for path in sorted(ROOT.glob("normgraph/**/*.py")) if "kernels" not in path.parts]
    return own + sorted(ROOT.glob("kernels/**/*.py"))


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """A syntax tree's nodes, without the blocks that only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield child
            yield from statements(child)


def imported(path: Path) -> Iterator[str]:
    """Every dotted name a file imports, inside functions included."""
    for node in statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_units(path: Path) -> set[str]:
    names = {name for name in imported(path) if name.split(".")[0] == "normgraph"}
    return {name.split(".")[1] if "." in name else "__init__" for name in names}


def files(*patterns: str) -> list[object]:
    found = sorted(path for pattern in patterns for path in ROOT.glob(pattern))
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in found]


SOURCES = [pytest.param(path, id=str(path.relative_to(ROOT))) for path in sources()]


@pytest.mark.parametrize("path", SOURCES)
def test_module_has_a_layer(path: Path) -> None:
    assert unit_of(path) in ORDER, f"{unit_of(path)} is in no layer: give it a place in LAYERS"


@pytest.mark.parametrize("path", SOURCES)
def test_imports_go_one_way(path: Path) -> None:
    unit = unit_of(path)
    for target in imported_units(path) - {unit}:
        # `from normgraph import optimize` names a function of the package, not a module.
        target_unit = target if target in ORDER else "__init__"
        assert ORDER[target_unit] < ORDER[unit], f"{unit} may not import {target}"


@pytest.mark.parametrize("path", [p for p in SOURCES if unit_of(p.values[0]) in WITHOUT_ONNX])
def test_algebra_never_sees_onnx(path: Path) -> None:
    roots = {name.split(".")[0] for name in imported(path)}
    assert not roots & {"onnx", "onnx_ir", "onnxruntime"}


@pytest.mark.parametrize("path", files("kernels/**/*.py"))
def test_kernels_are_numpy_alone(path: Path) -> None:
    outside = {name.split(".")[0] for name in imported(path)} - sys.stdlib_module_names
    assert outside <= {"numpy", "normgraph"}
    assert imported_units(path) <= {"kernels"}


@pytest.mark.parametrize(
    "path", [*SOURCES, *files("tests/**/*.py", "benchmarks/**/*.py", "examples/*.py", "models/*.py")]
)
def test_file_can_be_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES
