"""Models beyond 2 GB, which no protobuf holds: their weights lie in a sparse file of external data."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

import normgraph
from normgraph.cli import main

#: Rows of an embedding whose table alone takes more than 2 GiB.
ROWS = 2**31 // (512 * 4) + 4096
NORM = """m = ReduceMean<axes = [-1]>(h)  d = Sub(h, m)  q = Mul(d, d)  v = ReduceMean<axes = [-1]>(q)
    e = Add(v, eps)  s = Sqrt(e)  n = Div(d, s)  y = Mul(n, gamma)"""


def external(name: str, shape: list[int], offset: int) -> TensorProto:
    size = 4 * int(np.prod(shape))
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "weights.bin"), ("offset", offset), ("length", size)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """An embedding of zeros but for its first rows, and a norm behind it; on the disk it takes a few kilobytes."""
    text = f"""<ir_version: 8, opset_import: ["" : 17]> large (int64[N] ids) => (float[N, 512] y)
        {{ h = Gather(table, ids)  {NORM} }}"""
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(
        [
            external("table", [ROWS, 512], 0),
            external("gamma", [512], ROWS * 2048),
            numpy_helper.from_array(np.float32(1e-5), "eps"),
        ]
    )
    random = np.random.default_rng(3)
    with (tmp_path / "weights.bin").open("wb") as file:
        file.write(random.standard_normal((8, 512)).astype(np.float32).tobytes())
        file.seek(ROWS * 2048)
        file.write(random.uniform(0.5, 1.5, 512).astype(np.float32).tobytes())
    onnx.save(model, tmp_path / "large.onnx")
    np.savez(tmp_path / "ids.npz", ids=np.asarray([0, 3, 7]))
    return tmp_path / "large.onnx"


@pytest.mark.slow
def test_model_beyond_two_gigabytes_is_optimized_verified_and_judged(large: Path) -> None:
    optimized = large.with_name("fused.onnx")
    inputs = ["--inputs", str(large.with_name("ids.npz"))]
    assert main(["optimize", str(large), "-o", str(optimized), "--verify", "model", *inputs, "-q"]) == 0
    assert "LayerNormalization" in [node.op_type for node in onnx.load(optimized, load_external_data=False).graph.node]
    assert main(["verify", str(large), str(optimized), *inputs, "-q"]) == 0
    found = normgraph.verify(large, optimized)
    assert found.passed
    assert "weights of 2,0" in found.truth
    wrong = onnx.load(optimized, load_external_data=False)
    norm = next(node for node in wrong.graph.node if node.op_type == "LayerNormalization")
    next(a for a in norm.attribute if a.name == "epsilon").f = 0.5
    onnx.save(wrong, large.with_name("wrong.onnx"))
    assert main(["verify", str(large), str(large.with_name("wrong.onnx")), *inputs, "-q"]) == 1
