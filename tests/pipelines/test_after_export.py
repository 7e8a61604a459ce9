"""One call behind an exporter gives back what it was given, optimized."""

import logging
from pathlib import Path
from types import SimpleNamespace

import onnx
import onnx_ir as ir
import pytest

import normgraph
from normgraph.errors import UsageError
from tests.commands import BERT, NEAR_MISSES


def layer_norms(model: onnx.ModelProto | ir.Model) -> int:
    nodes = model.graph.node if isinstance(model, onnx.ModelProto) else model.graph
    return sum(node.op_type == "LayerNormalization" for node in nodes)


def test_a_proto_comes_back_as_another() -> None:
    proto = onnx.load(BERT)
    before = proto.SerializeToString()
    result = normgraph.after_export(proto)
    assert isinstance(result, onnx.ModelProto)
    assert layer_norms(result) == 5
    assert proto.SerializeToString() == before


def test_tf2onnx_gets_its_pair_back() -> None:
    stored = object()
    proto, beside = normgraph.after_export((onnx.load(BERT), stored))
    assert layer_norms(proto) == 5
    assert beside is stored


def test_an_ir_model_is_changed_in_place() -> None:
    model = ir.load(BERT)
    assert normgraph.after_export(model) is model
    assert layer_norms(model) == 5


def test_a_program_is_changed_and_forgets_its_session(tmp_path: Path) -> None:
    released = []
    program = SimpleNamespace(model=ir.load(BERT), release=lambda: released.append(True))
    assert normgraph.after_export(program, tmp_path / "out.onnx") is program
    assert layer_norms(program.model) == 5
    assert layer_norms(onnx.load(tmp_path / "out.onnx")) == 5
    assert released == [True]


@pytest.mark.parametrize("exported", [None, 3, str(BERT), (), ("a", "b"), SimpleNamespace(model=3)])
def test_what_no_exporter_returns_is_refused(exported: object) -> None:
    with pytest.raises(UsageError, match="an exporter returns an ONNXProgram"):
        normgraph.after_export(exported)


def test_what_was_done_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="normgraph"):
        normgraph.after_export(onnx.load(NEAR_MISSES), target="onnx")
    assert [record.levelname for record in caplog.records] == ["INFO", "DEBUG"]
    assert "1 fused, 0 folded, 36 nodes before and 26 after" in caplog.messages[0]
    assert caplog.messages[1].startswith("tutorial isn't rewritten: at Add '/tutorial/Add', epsilon")
