"""The assertions that normgraph lends to others' tests, and pytest's plugin."""

import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

import normgraph
from normgraph.errors import UsageError
from normgraph.testing import assert_equivalent, assert_fused, assert_no_batch_normalization
from tests.commands import BERT, NEAR_MISSES
from tests.samples import FOLDER

SAMPLES = FOLDER / "samples"
NATIVE = SAMPLES / "layer_norm_sentences_dynamo_18.onnx"
RESNET = SAMPLES / "resnet_torchscript_13.onnx"


def test_what_is_fused_passes() -> None:
    optimized = normgraph.optimize(BERT)
    for model in (optimized, optimized.model, optimized.to_proto()):
        assert_fused(model, "LayerNormalization", 5)
        assert_fused(model, "LayerNormalization")
    assert_fused(NATIVE, "LayerNormalization", 1)


@pytest.mark.parametrize(
    ("path", "kind", "count", "told"),
    [
        pytest.param(
            BERT,
            "LayerNormalization",
            5,
            ["must have 5 LayerNormalization", "it has 0", "embeddings.LayerNorm: it is spelled out"],
            id="spelled out",
        ),
        pytest.param(BERT, "LayerNormalization", 0, ["none spelled out"], id="none, but spelled out"),
        pytest.param(NATIVE, "LayerNormalization", 2, ["must have 2", "it has 1", "no other"], id="too few"),
        pytest.param(NATIVE, "LayerNormalization", 0, ["must have 0", "it has 1"], id="too many"),
        pytest.param(NATIVE, "RMSNormalization", None, ["at least one", "1 LayerNormalization"], id="another kind"),
        pytest.param(NEAR_MISSES, "LayerNormalization", 1, ["epsilon-outside", "not-fused"], id="a near miss"),
    ],
)
def test_what_is_not_fused_is_told(path: Path, kind: str, count: int | None, told: list[str]) -> None:
    with pytest.raises(AssertionError) as raised:
        assert_fused(path, kind, count)
    message = str(raised.value)
    assert all(words in message for words in told), message


def test_a_kind_that_is_none_is_no_failed_assertion() -> None:
    with pytest.raises(UsageError, match="there is no kind of normalization 'LayerNorm'"):
        assert_fused(BERT, "LayerNorm", 5)


def test_what_computes_the_same_passes(tmp_path: Path) -> None:
    normgraph.optimize(BERT).save(tmp_path / "after.onnx")
    assert_equivalent(BERT, tmp_path / "after.onnx")
    assert_equivalent(onnx.load(NEAR_MISSES), normgraph.optimize(NEAR_MISSES), rtol=1e-3, atol=1e-4)


def test_what_computes_something_else_is_told() -> None:
    other = onnx.load(NEAR_MISSES)
    next(node for node in other.graph.node if node.op_type == "Sqrt").op_type = "Abs"
    with pytest.raises(AssertionError) as raised:
        assert_equivalent(NEAR_MISSES, other)
    message = str(raised.value)
    assert "must compute what" in message
    assert "output 'output' on " in message
    assert "Sqrt" in message


def test_how_far_two_may_differ_can_be_said() -> None:
    other = onnx.load(NEAR_MISSES)
    other.graph.node[-1].op_type = "Sub" if other.graph.node[-1].op_type == "Add" else other.graph.node[-1].op_type
    with pytest.raises(AssertionError, match="must compute what"):
        assert_equivalent(NEAR_MISSES, other, rtol=0.1)
    assert_equivalent(NEAR_MISSES, other, atol=1e6)


def test_left_batch_normalizations_are_told() -> None:
    with pytest.raises(
        AssertionError, match=r"it has 20\n  bn1: it can be folded into /conv1/Conv[^\n]*\n(.*\n)*.*8 more"
    ):
        assert_no_batch_normalization(RESNET)
    assert_no_batch_normalization(normgraph.optimize(RESNET))
    assert_no_batch_normalization(onnx.load(BERT))


def run_pytest(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """pytest with our plugin and no other, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(FOLDER.parent), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "normgraph.pytest_plugin", "-p", "no:cacheprovider", *words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_seed_makes_other_inputs_and_does_not_go_with_ones_own(tmp_path: Path) -> None:
    assert_equivalent(NATIVE, NATIVE, seed=7)
    (tmp_path / "given.py").write_text("def feeds():\n    return {}\n")
    with pytest.raises(UsageError, match="leave out seed, or inputs"):
        assert_equivalent(NATIVE, NATIVE, inputs=f"{tmp_path}/given.py:feeds", seed=7)


def test_the_fixture_is_there_for_the_example(tmp_path: Path) -> None:
    example = FOLDER.parent / "examples" / "test_exported_model.py"
    done = run_pytest("-q", "-c", os.devnull, "--rootdir", str(tmp_path), str(example), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_the_target_comes_from_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nnormgraph_target = onnx\n")
    (tmp_path / "test_it.py").write_text(
        "def test_it(normgraph_assertions):\n"
        f"    report = normgraph_assertions.optimize({str(NATIVE)!r}).report\n"
        "    raise RuntimeError(report.target)\n"
    )
    assert "RuntimeError: onnx\n" in run_pytest("-q", cwd=tmp_path).stdout
    assert "RuntimeError: openvino\n" in run_pytest("-q", "--normgraph-target", "openvino", cwd=tmp_path).stdout
    done = run_pytest("-q", "--normgraph-target", "abacus", cwd=tmp_path)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "there is no target 'abacus': choose one of onnx, " in done.stderr
    assert "normgraph_target" in run_pytest("--help", cwd=tmp_path).stdout


def test_a_failure_shows_the_test_and_not_the_assertion(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "from normgraph.testing import assert_fused\n"
        f"def test_it():\n    assert_fused({str(NATIVE)!r}, 'LayerNormalization', 99)\n"
    )
    shown = run_pytest("-q", cwd=tmp_path).stdout
    assert "must have 99 LayerNormalization" in shown
    assert "def assert_fused" not in shown


def test_the_plugin_imports_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys, normgraph.pytest_plugin; print({'onnx', 'numpy', 'onnx_ir', 'rich'} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(FOLDER.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
