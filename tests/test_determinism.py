"""The same input gives the same bytes, and what belongs to the model stays as it was, bit for bit."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import normgraph
from normgraph.rewrite import PROVENANCE
from tests.samples import FOLDER, SAMPLES, Sample, name_of, path_of

#: One of each exporter, with subgraphs, functions, half precision, several kinds, and dynamic dimensions.
VARIED = (
    "bert_dynamic_torchscript_13",
    "conditional_exported_dynamo_decomposed_18",
    "convnext_torchscript_13",
    "functions_torchscript_15",
    "near_misses_torchscript_13",
    "spellings_half_torchscript_13",
    "spellings_image_dynamo_18",
    "unet_torchscript_13",
)
OPTIMIZE_ALL = """
import sys
from pathlib import Path
from normgraph.cli import main
for sample in sys.argv[1:]:
    name = Path(sample).stem
    assert main(["optimize", sample, "-q", "-o", f"{name}.onnx", "--report", f"{name}.json"]) == 0
"""


def checksums(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_bytes_do_not_depend_on_the_hash_seed(tmp_path: Path) -> None:
    samples = [str(path_of(sample)) for sample in SAMPLES if name_of(sample) in VARIED]
    assert len(samples) == len(VARIED)
    outcomes = []
    for seed in ("1", "4242"):
        folder = tmp_path / seed
        folder.mkdir()
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(FOLDER.parent)}
        subprocess.run(
            [sys.executable, "-c", OPTIMIZE_ALL, *samples],
            cwd=folder,
            env=environment,
            check=True,
            timeout=120,
        )
        outcomes.append(checksums(folder))
    assert len(outcomes[0]) == 2 * len(VARIED)
    assert outcomes[0] == outcomes[1]


def described() -> onnx.ModelProto:
    """A LayerNorm among other nodes, with documentation and metadata wherever ONNX has a place for them."""
    width = 8
    weights = np.random.default_rng(3).standard_normal((width, width)).astype(np.float32)
    signalling = np.frombuffer(np.uint32(0x7FA00001).tobytes() * width, np.float32)  # a NaN that a copy may quieten
    initializers = [
        numpy_helper.from_array(weights, "w"),
        helper.make_tensor("typed", TensorProto.FLOAT, [width], [0.1 * i for i in range(width)]),
        TensorProto(name="unread", data_type=TensorProto.FLOAT, dims=[width], raw_data=signalling.tobytes()),
        numpy_helper.from_array(np.float32(2), "two"),
        numpy_helper.from_array(np.float32(1e-5), "epsilon"),
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"], name="project", doc_string="projects"),
        helper.make_node("ReduceMean", ["product"], ["mean"], name="mean", axes=[-1]),
        helper.make_node("Sub", ["product", "mean"], ["centred"], name="centre"),
        helper.make_node("Pow", ["centred", "two"], ["squared"], name="square"),
        helper.make_node("ReduceMean", ["squared"], ["variance"], name="variance", axes=[-1]),
        helper.make_node("Add", ["variance", "epsilon"], ["shifted"], name="shift"),
        helper.make_node("Sqrt", ["shifted"], ["deviation"], name="root"),
        helper.make_node("Div", ["centred", "deviation"], ["normalized"], name="divide"),
        helper.make_node("Add", ["normalized", "typed"], ["y"], name="", doc_string="adds"),
        helper.make_node("Neg", ["product"], ["negated"], name="negate"),
        helper.make_node("Relu", ["product"], ["nobody"], name="dead"),
    ]
    graph = helper.make_graph(
        nodes,
        "documented",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", width], "what is fed")],
        [
            helper.make_tensor_value_info("negated", TensorProto.FLOAT, ["batch", width], "one output"),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", width], "another"),
        ],
        initializers,
        doc_string="a graph",
        value_info=[helper.make_tensor_value_info("product", TensorProto.FLOAT, ["batch", width], "inside")],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("org.example", 3)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10, producer_name="maker")
    model.producer_version, model.domain, model.model_version, model.doc_string = (
        "1.2",
        "org.example",
        7,
        "a model",
    )
    for owner in (model, model.graph, model.graph.node[0], model.graph.input[0], model.graph.initializer[0]):
        owner.metadata_props.add(key="second", value="2")
        owner.metadata_props.add(key="first", value="1")
    return model


@pytest.fixture
def documented(tmp_path: Path) -> Iterator[tuple[onnx.ModelProto, onnx.ModelProto]]:
    """The model above before and after, through files; the input file stays as it is."""
    source, output = tmp_path / "model.onnx", tmp_path / "out.onnx"
    source.write_bytes(described().SerializeToString())
    before = (source.read_bytes(), source.stat().st_mtime_ns)
    result = normgraph.optimize(source)
    assert result.report.count("fused") == 1
    result.save(output)
    yield in_order(onnx.load(source)), in_order(onnx.load(output))
    assert (source.read_bytes(), source.stat().st_mtime_ns) == before


def in_order(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its metadata, of which ONNX calls the keys distinct and no order its own, sorted."""
    graph = model.graph
    for owner in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info):
        entries = sorted((entry.key, entry.value) for entry in owner.metadata_props)
        owner.ClearField("metadata_props")
        for key, value in entries:
            owner.metadata_props.add(key=key, value=value)
    return model


Documented = tuple[onnx.ModelProto, onnx.ModelProto]


def test_what_is_said_of_the_model_stays(documented: Documented) -> None:
    before, after = documented
    for model in (before, after):
        model.graph.ClearField("node")
        model.graph.ClearField("initializer")
        model.graph.ClearField("value_info")
    assert after == before


def test_untouched_nodes_and_their_values_stay(documented: Documented) -> None:
    before, after = documented
    kept = {node.output[0]: node for node in before.graph.node}
    found = [node.op_type for node in after.graph.node]
    assert sorted(found) == ["LayerNormalization", "MatMul", "Neg", "Relu"], "dead nodes aren't ours to remove"
    for node in after.graph.node:
        if node.op_type != "LayerNormalization":
            assert node == kept[node.output[0]]
    assert before.graph.value_info[0] in after.graph.value_info


def test_untouched_initializers_stay_bit_for_bit(documented: Documented) -> None:
    before, after = documented
    stored = {tensor.name: tensor for tensor in after.graph.initializer}
    for tensor in before.graph.initializer:
        if tensor.name in ("w", "unread"):
            assert stored[tensor.name].SerializeToString() == tensor.SerializeToString()
    assert "two" not in stored, "what only the region read goes with it"


def test_a_new_node_says_what_it_replaces(documented: Documented) -> None:
    before, after = documented
    gone = {node.name for node in before.graph.node if node.name} - {node.name for node in after.graph.node}
    (new,) = (node for node in after.graph.node if node.op_type == "LayerNormalization")
    (told,) = (entry.value for entry in new.metadata_props if entry.key == PROVENANCE)
    replaced = told.split(", ")
    assert gone <= set(replaced)
    assert replaced[:3] == ["mean", "centre", "square"]
    assert replaced[-1].startswith("Add:"), "a node without a name is called by its operator and its output"


def test_optimizing_again_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(described().SerializeToString())
    normgraph.optimize(tmp_path / "model.onnx").save(tmp_path / "once.onnx")
    normgraph.optimize(tmp_path / "once.onnx").save(tmp_path / "twice.onnx")
    assert (tmp_path / "once.onnx").read_bytes() == (tmp_path / "twice.onnx").read_bytes()


BATCH = ["BatchNormalization"]
#: What follows a normalization over the third dimension of [2, 3, 4, 5], which becomes an operator between Transposes,
#: and what becomes of it.
BEHIND = [
    pytest.param("t = Mul(n, each)  y = Add(t, each)", BATCH, id="scale and shift per channel"),
    pytest.param("t = Add(n, each)  y = Mul(t, sample)", ["Add", "Mul"], id="not all per channel"),
    pytest.param("s = Mul(n, gain)  t = Mul(s, each)  y = Add(t, each)", BATCH, id="behind a gain of the norm's"),
    pytest.param(
        "s = Mul(n, each)  t = Transpose<perm = [0, 2, 1, 3]>(s)  u = Mul(t, moved)  "
        "w = Transpose<perm = [0, 2, 1, 3]>(u)  y = Add(w, each)",
        BATCH,
        id="turned and turned back",
    ),
]


@pytest.mark.parametrize("target", ["onnx", "onnxruntime"])
@pytest.mark.parametrize(("nodes", "after"), BEHIND)
def test_what_follows_a_normalization_takes_one_run(nodes: str, after: list[str], target: str) -> None:
    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        example (float[2, 3, 4, 5] x) => (float[2, 3, 4, 5] y)
        <float e = {{1e-5}}, float[4, 1] gain = {{0.5, 2.0, 1.0, 3.0}}, float[3, 1, 1] each = {{1.0, 2.0, 3.0}},
         float[2, 1, 1, 1] sample = {{0.5, 2.0}}, float[3, 1] moved = {{1.0, 2.0, 3.0}}> {{
            m = ReduceMean<axes = [2]>(x)  d = Sub(x, m)  q = Mul(d, d)  v = ReduceMean<axes = [2]>(q)
            a = Add(v, e)  r = Sqrt(a)  n = Div(d, r)  {nodes}
        }}""")
    once = normgraph.optimize(model, target=target).to_proto()
    assert [node.op_type for node in once.graph.node if node.op_type != "Transpose"] == ["LayerNormalization", *after]
    assert normgraph.optimize(once, target=target).to_proto() == once


@pytest.mark.parametrize(("target", "opset"), [("onnxruntime", None), ("onnx", 25)], ids=["onnxruntime", "onnx"])
@pytest.mark.parametrize(
    "sample",
    [
        pytest.param(sample, id=name_of(sample), marks=[] if name_of(sample) in VARIED else [pytest.mark.slow])
        for sample in SAMPLES
    ],
)
def test_optimizing_a_sample_again_changes_nothing(
    sample: Sample, target: str, opset: int | None, tmp_path: Path
) -> None:
    once, twice = tmp_path / "once.onnx", tmp_path / "twice.onnx"
    normgraph.optimize(path_of(sample), target=target, opset=opset).save(once)
    normgraph.optimize(once, target=target, opset=opset).save(twice)
    assert once.read_bytes() == twice.read_bytes()
