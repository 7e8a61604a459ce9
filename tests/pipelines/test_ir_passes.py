"""normgraph's passes keep the contract of onnx_ir's and mix with its own."""

from pathlib import Path

import onnx
import onnx_ir as ir
import pytest
from onnx_ir.passes import PassManager, PostconditionError, PreconditionError, Sequential, common

import normgraph
from normgraph import FoldBatchNormalization, FuseNormalizations
from normgraph.errors import UsageError
from normgraph.model_io import save
from tests.commands import BERT, NEAR_MISSES
from tests.samples import FOLDER

SAMPLES = FOLDER / "samples"
RESNET = SAMPLES / "resnet_torchscript_13.onnx"
FUNCTIONS = SAMPLES / "functions_torchscript_15.onnx"


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


@pytest.mark.parametrize(
    ("path", "fused", "folded"),
    [
        pytest.param(BERT, 5, 0, id="norms"),
        pytest.param(RESNET, 0, 20, id="BatchNormalizations"),
        pytest.param(NEAR_MISSES, 1, 0, id="a near miss"),
        pytest.param(SAMPLES / "layer_norm_sentences_dynamo_18.onnx", 0, 0, id="nothing to do"),
    ],
)
def test_the_passes_do_what_optimize_does(path: Path, fused: int, folded: int, tmp_path: Path) -> None:
    model = ir.load(path)
    fuse, fold = FuseNormalizations(), FoldBatchNormalization()
    result = Sequential(fuse, fold)(model)
    assert result.model is model
    assert result.modified is bool(fused or folded)
    assert sum(site.status == "fused" for site in fuse.sites) == fused
    assert sum(entry.status == "folded" for entry in fold.folds) == folded
    expected = normgraph.optimize(path)
    assert operators(model) == operators(expected.model)
    save(model, tmp_path / "model.onnx")
    onnx.checker.check_model(onnx.load(tmp_path / "model.onnx"), full_check=True)


def test_what_is_modified_is_told_by_each_pass() -> None:
    model = ir.load(BERT)
    assert not FoldBatchNormalization()(model).modified
    assert FuseNormalizations()(model).modified
    assert not FuseNormalizations()(model).modified


def test_passes_mix_with_those_of_onnx_ir() -> None:
    model = ir.load(BERT)
    passes = PassManager(
        [
            common.IdentityEliminationPass(),
            FuseNormalizations("onnx", opset=20),
            FoldBatchNormalization(),
            common.DeduplicateInitializersPass(),
            common.RemoveUnusedNodesPass(),
            common.CheckerPass(full_check=True),
        ],
        steps=3,
        early_stop=True,
    )
    result = passes(model)
    assert result.modified
    assert operators(model).count("LayerNormalization") == 5


def test_a_pass_can_be_made_functional() -> None:
    model = ir.load(BERT)
    before = operators(model)
    result = ir.passes.functionalize(FuseNormalizations())(model)
    assert operators(model) == before
    assert operators(result.model).count("LayerNormalization") == 5


def test_functions_are_put_in_place_only_if_something_is_gained() -> None:
    model = ir.load(FUNCTIONS)
    assert model.functions
    assert FuseNormalizations()(model).modified
    assert not model.functions
    untouched = ir.load(FUNCTIONS)
    assert not FuseNormalizations("onnx", opset=15)(untouched).modified
    assert untouched.functions


def test_the_target_and_what_is_permitted_count() -> None:
    model = ir.load(SAMPLES / "llama_torchscript_13.onnx")
    assert not FuseNormalizations("onnxruntime@1.22")(model).modified
    assert FuseNormalizations("onnxruntime@1.22", allow_contrib=True)(model).modified
    with pytest.raises(UsageError, match="there is no target 'abacus'"):
        FuseNormalizations("abacus")


@pytest.mark.parametrize("opset", [-1, 0, 99])
def test_an_opset_that_does_not_exist_is_refused(opset: int) -> None:
    with pytest.raises(UsageError, match=f"there is no opset {opset}: .* ask for one of them"):
        FuseNormalizations(opset=opset)


@pytest.mark.parametrize("opsets", [{}, {"": 999}, {"com.microsoft": 1}])
def test_a_model_must_import_a_known_opset(opsets: dict[str, int]) -> None:
    model = ir.Model(ir.Graph([], [], nodes=[], opset_imports=opsets), ir_version=10)
    with pytest.raises(PreconditionError, match="must import a version of the default opset"):
        FuseNormalizations()(model)


def test_a_changed_interface_is_found() -> None:
    class Forgetful(FuseNormalizations):
        def rewrite(self, model: ir.Model) -> bool:
            model.graph.outputs.pop()
            return True

    with pytest.raises(PostconditionError, match="may not change inputs or outputs"):
        Forgetful()(ir.load(BERT))
