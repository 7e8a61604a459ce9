"""Models built node by node for the benchmarks: valid, the same each time, and of norms that are found."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest

import normgraph
from tests.running import run

MODELS = Path(__file__).resolve().parent.parent / "models"


@pytest.fixture
def stacks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(MODELS))
    return importlib.import_module("decoder_stack")


def test_stack_is_valid_and_its_norms_are_fused(stacks: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "stack.onnx"
    stacks.write_stack(stacks.Stack(3, 16, 24, 2), path, external=False, dense=False)
    onnx.checker.check_model(path, full_check=True)
    result = normgraph.optimize(path)
    assert result.report.count("fused") == 6
    fed = [{"hidden_states": np.random.default_rng(1).standard_normal((2, 5, 16)).astype(np.float32)}]
    before, after = run(onnx.load(path), fed), run(result.to_proto(), fed)
    assert before[0]["output"].shape == (2, 5, 16)
    np.testing.assert_allclose(before[0]["output"], after[0]["output"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dense", [False, True])
def test_external_data_holds_the_large_matrices_alone(stacks: ModuleType, tmp_path: Path, dense: bool) -> None:
    path = tmp_path / "stack.onnx"
    stack = stacks.Stack(1, 192, 256, 4)
    contents = []
    for _ in range(2):
        stacks.write_stack(stack, path, external=True, dense=dense)
        contents.append((path.read_bytes(), (tmp_path / "stack.onnx.data").read_bytes()))
    assert contents[0] == contents[1]
    onnx.checker.check_model(path, full_check=True)
    tensors = onnx.load(path).graph.initializer
    beside = {t.name for t in onnx.load(path, load_external_data=False).graph.initializer if t.external_data}
    assert beside == {f"layers.0.{name}.weight" for name, _ in stack.matrices()}
    assert sum(onnx.numpy_helper.to_array(tensor).size for tensor in tensors) == stack.parameters
    for tensor in tensors:
        assert onnx.numpy_helper.to_array(tensor).any() == (dense or tensor.name not in beside)
    assert normgraph.explain(path).count("kept") == 2
