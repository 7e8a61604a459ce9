"""A small model costs little beyond the import of onnx and onnx_ir."""

import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

from tests.samples import FOLDER

#: A small encoder: five norms, which are fused and proven.
MODEL = FOLDER / "samples" / "bert_torchscript_13.onnx"
#: Seconds of CPU time that normgraph's own share of a run is meant to take at most.
SHARE = 0.3
#: What it may take on a slow or busy machine: this share of the import of onnx and onnx_ir beside it (measured: 0.6).
MULTIPLE = 0.9
RUNS = 3


def run(code: str, folder: Path) -> str:
    """What a script prints last in an interpreter of its own, on one thread, bytecode kept as pip keeps it."""
    environment = {**os.environ, "PYTHONPATH": str(FOLDER.parent), "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_own_share_of_a_small_model_is_small(tmp_path: Path) -> None:
    code = (
        "import time, onnx, onnx_ir; imported = time.process_time(); from normgraph.cli import main; "
        f"assert main(['optimize', {str(MODEL)!r}, '--output', 'out.onnx']) == 0; "
        "print(imported, time.process_time() - imported)"
    )
    run(code, tmp_path)  # once for what Python compiles and the system reads from its disk
    imports, shares = zip(*(map(float, run(code, tmp_path).split()) for _ in range(RUNS)), strict=True)
    assert min(shares) < max(SHARE, MULTIPLE * median(imports)), (imports, shares)


#: A model with symbolic sizes.
DYNAMIC = FOLDER / "samples" / "bert_dynamic_torchscript_13.onnx"


@pytest.mark.parametrize(
    ("words", "unneeded"),
    [
        pytest.param(
            ["optimize", str(MODEL), "--output", "out.onnx"],
            ("onnx.reference", "onnx_ir.passes.common", "normgraph.timing", "normgraph.verification.verifying",
             "normgraph.feeds.signature", "multiprocessing", "rich.progress", "jsonschema", "matplotlib"),
            id="optimize",
        ),
        pytest.param(["optimize", str(MODEL), "--output", "out.onnx", "--quiet"], ("rich",), id="optimize-quiet"),
        pytest.param(["optimize", str(DYNAMIC), "--output", "out.onnx"], ("sympy.core", "mpmath"), id="optimize-sizes"),
        pytest.param(["explain", str(DYNAMIC)], ("sympy.core", "mpmath"), id="explain-sizes"),
        pytest.param(["verify", str(DYNAMIC), str(DYNAMIC)], ("sympy.core", "mpmath"), id="verify-sizes"),
        pytest.param(
            ["check", str(DYNAMIC), "--expect", "LayerNormalization=0"], ("sympy.core", "mpmath"), id="check-sizes"
        ),
        pytest.param(
            ["explain", str(MODEL)],
            ("onnxruntime", "onnx.reference", "normgraph.timing", "multiprocessing", "rich.progress"),
            id="explain",
        ),
    ],
)  # fmt: skip
def test_a_plain_run_imports_only_what_it_needs(words: list[str], unneeded: tuple[str, ...], tmp_path: Path) -> None:
    code = (
        f"import sys; from normgraph.cli import main; assert main({words!r}) == 0; "
        f"print(sorted(set({unneeded!r}) & set(sys.modules)))"
    )
    assert run(code, tmp_path) == "[]"


def test_importing_the_package_imports_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys, normgraph; print(sorted({'numpy', 'onnx', 'onnx_ir', 'onnxruntime'} & set(sys.modules)))"
    assert run(code, tmp_path) == "[]"


def test_a_command_leaves_nothing_of_its_model_to_the_next_one(tmp_path: Path) -> None:
    """What a command sets aside from Python's collector may not be the model that the last one left in a cycle."""
    code = (
        "import gc; from normgraph.cli import main\n"
        "def left(): return sum(type(each).__name__ in ('Node', 'Facts') for each in gc.get_objects())\n"
        f"def work(): assert main(['optimize', {str(MODEL)!r}, '--output', 'o.onnx', '--quiet']) == 0; return left()\n"
        "print([work() for _ in range(2)])"
    )
    assert run(code, tmp_path) == "[0, 0]"
