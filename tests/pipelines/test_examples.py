"""The examples run as they stand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        pytest.param("ir_passes", "onnx_ir", id="onnx_ir"),
        pytest.param("onnxscript_passes", "onnxscript", id="onnxscript", marks=pytest.mark.torch),
        pytest.param("pytorch_export", "torch", id="PyTorch", marks=pytest.mark.torch),
        pytest.param("keras_export", "tf2onnx", id="Keras", marks=pytest.mark.slow),
        pytest.param("jax_export", "jax2onnx", id="JAX", marks=pytest.mark.slow),
    ],
)
def test_example_runs(name: str, needs: str, tmp_path: Path) -> None:
    probe = [sys.executable, "-c", f"import importlib.util, sys; sys.exit(importlib.util.find_spec({needs!r}) is None)"]
    if subprocess.run(probe, check=False).returncode:
        pytest.skip(f"{needs} isn't installed")
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent)}
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert " fused" in done.stdout + done.stderr


def test_every_example_is_listed() -> None:
    listed = (EXAMPLES / "README.md").read_text("utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert f"[{path.name}]({path.name})" in listed
