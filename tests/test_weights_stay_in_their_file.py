"""No pass reads the large weights of a model that needn't be changed: memory doesn't grow with the model."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

import normgraph
from normgraph.model_io import tensors

WIDTH = 64


def layer(number: int, x: str) -> list[onnx.NodeProto]:
    """A LayerNorm written out, two matrix products with an activation in between, and a residual."""
    n = str(number)
    return [
        helper.make_node("ReduceMean", [x], ["m" + n], axes=[-1]),
        helper.make_node("Sub", [x, "m" + n], ["d" + n]),
        helper.make_node("Mul", ["d" + n, "d" + n], ["q" + n]),
        helper.make_node("ReduceMean", ["q" + n], ["v" + n], axes=[-1]),
        helper.make_node("Add", ["v" + n, "eps"], ["e" + n]),
        helper.make_node("Sqrt", ["e" + n], ["s" + n]),
        helper.make_node("Div", ["d" + n, "s" + n], ["n" + n]),
        helper.make_node("Mul", ["n" + n, "gain" + n], ["g" + n]),
        helper.make_node("Add", ["g" + n, "bias" + n], ["y" + n]),
        helper.make_node("MatMul", ["y" + n, "up" + n], ["u" + n]),
        helper.make_node("Add", ["u" + n, "add" + n], ["w" + n]),
        helper.make_node("Relu", ["w" + n], ["r" + n]),
        helper.make_node("MatMul", ["r" + n, "down" + n], ["z" + n]),
        helper.make_node("Add", ["z" + n, x], ["x" + n]),
    ]


def transformer(matrix: Callable[[int, int], np.ndarray]) -> onnx.ModelProto:
    """Two layers whose matrices take far more room than all else."""
    random = np.random.default_rng(5)
    nodes = layer(0, "x") + layer(1, "x0")
    weights = {"eps": np.float32(1e-5)}
    for n in ("0", "1"):
        for name in ("gain", "bias"):
            weights[name + n] = random.standard_normal(WIDTH).astype(np.float32)
        weights["add" + n] = random.standard_normal(4 * WIDTH).astype(np.float32)
        weights["up" + n], weights["down" + n] = matrix(WIDTH, 4 * WIDTH), matrix(4 * WIDTH, WIDTH)
    graph = helper.make_graph(
        nodes,
        "layers",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 7, WIDTH])],
        [helper.make_tensor_value_info("x1", TensorProto.FLOAT, ["batch", 7, WIDTH])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def random_matrix(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(rows).standard_normal((rows, columns)).astype(np.float32)


def zeros(rows: int, columns: int) -> np.ndarray:
    return np.zeros((rows, columns), np.float32)


@pytest.mark.parametrize("matrix", [pytest.param(random_matrix, id="random"), pytest.param(zeros, id="zeros")])
@pytest.mark.parametrize("work", [normgraph.optimize, normgraph.explain])
def test_matrices_are_not_read(
    work: Callable[[Path], object],
    matrix: Callable[[int, int], np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    onnx.save(transformer(matrix), tmp_path / "model.onnx")
    read: list[int] = []
    plain = tensors._read

    def counted(source: tensors.OpenFile, offset: int, dtype: ir.DataType, shape: ir.Shape) -> ir.TensorProtocol:
        read.append(int(np.prod(shape.numpy())))
        return plain(source, offset, dtype, shape)

    monkeypatch.setattr(tensors, "_read", counted)
    result = work(tmp_path / "model.onnx")
    report = result.report if isinstance(result, normgraph.Optimized) else result
    assert isinstance(report, normgraph.Report)
    assert len(report.sites) == 2
    assert max(read, default=0) <= 4 * WIDTH
