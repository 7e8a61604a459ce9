"""One pass over the graph: declarations, subgraphs, uniform tensors, dead nodes."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from normgraph.axes import Size
from normgraph.facts import graphs_of, survey
from tests.core.surveyed import Constants, f32, i64, known, model, surveyed


def shape(nodes: str, name: str, inputs: str, **options: object) -> str | None:
    """The shape of a value, unknown sizes as question marks."""
    found = surveyed(nodes, inputs, **options)  # type: ignore[arg-type]
    sizes = found.facts.shape(found.values[name])
    return None if sizes is None else " ".join("?" if "?" in str(size) else str(size) for size in sizes)


def test_declared_dimensions_are_taken_over() -> None:
    found = surveyed("y = Abs(x)", "float[N, 4, N, M] x")
    assert found.facts.shape(found.values["x"]) == (
        Size(1, ("N",)),
        Size(4),
        Size(1, ("N",)),
        Size(1, ("M",)),
    )


def test_dimensions_without_a_name_are_not_the_same() -> None:
    proto = model("y = Abs(x)", "float[4, 4] x")
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    dims[0].ClearField("dim_value")
    dims[1].dim_param = ""
    found = known(proto)
    sizes = found.facts.shape(found.values["x"])
    assert sizes is not None
    assert all(size.symbols for size in sizes)
    assert sizes[0] != sizes[1]
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = ""
    empty = known(proto)
    sizes = empty.facts.shape(empty.values["x"])
    assert sizes is not None
    assert sizes[0] != sizes[1]


def test_minus_one_is_declared_of_a_size_that_is_not_known() -> None:
    proto = model("y = Abs(x)", "float[4, 4] x", outputs="float[4, 4] y")
    for value in (proto.graph.input[0], proto.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = -1
    found = known(proto)
    for name in ("x", "y"):
        batch, width = found.facts.shapes[found.values[name]]
        assert batch.static is None
        assert width == Size(4)


def test_sizes_do_not_come_out_negative() -> None:
    too_wide = {"w": np.ones((5, 4, 3, 3), np.float32)}
    assert shape("y = Conv(x, w)", "y", "float[N, 4, 1, 6] x", constants=too_wide) == "N 5 ? 4"
    assert shape("y = ConstantOfShape(s)", "y", "float[N] x", constants={"s": i64([-3, 2])}) == "? 2"


def test_declaration_fills_what_cannot_be_inferred() -> None:
    proto = model("n = NonZero(x)  y = Cast<to=1>(n)", "float[3, 4] x", outputs="float[2, 7] y")
    found = known(proto)
    assert found.facts.shape(found.values["y"]) == (Size(2), Size(7))
    custom = model("y = Abs(x)", "float[3, 4] x", outputs="float[5, K] y")
    custom.graph.node[0].domain = "elsewhere"
    custom.opset_import.append(onnx.helper.make_opsetid("elsewhere", 1))
    found = known(custom)
    assert found.facts.shape(found.values["y"]) == (Size(5), Size(1, ("K",)))


def test_onnx_infers_what_no_rule_is_for() -> None:
    assert shape("y = Pad(x, p)", "y", "float[N, 4] x", constants={"p": [0, 1, 0, 2]}) == "N 7"
    assert shape("y = Tile(x, p)", "y", "float[3, 4] x", constants={"p": [2, 1]}) == "6 4"
    assert shape("y = DepthToSpace<blocksize=2>(x)", "y", "float[1, 8, H, 3] x") == "1 2 ? 6"


def test_rank_alone_is_not_taken_for_a_shape() -> None:
    assert shape("y = Reshape(x, s)", "y", "float[N, 4] x, int64[3] s") in ("? ? ?", None)
    assert shape("y = Reshape(x, s)", "y", "float[N, 4] x, int64[K] s") is None
    assert shape("y = Abs(x)", "y", "float x") == ""


UNIFORM = [
    pytest.param("y = ConstantOfShape<value=float[1]{2.5}>(s)", 2.5, id="ConstantOfShape"),
    pytest.param("y = ConstantOfShape(s)", 0.0, id="ConstantOfShape-of-zero"),
    pytest.param("y = Expand(k, s)", 0.75, id="expanded-scalar"),
    pytest.param("y = Expand(r, s)", 0.75, id="expanded-row-of-one"),
    pytest.param("a = Expand(k, s)  y = Identity(a)", 0.75, id="passed-on"),
    pytest.param("a = Expand(k, s)  y = Unsqueeze(a, i)", 0.75, id="unsqueezed"),
    pytest.param("a = Expand(k, s)  y = Cast<to=7>(a)", 0.0, id="cast-to-an-integer"),
    pytest.param("a = Expand(k, s)  y = Cast<to=9>(a)", 1.0, id="cast-to-a-boolean"),
    pytest.param("a = Expand(e, s)  y = Cast<to=10>(a)", float(np.float16(1e-5)), id="cast-to-half"),
]
NOT_UNIFORM = [
    pytest.param("y = Expand(v, s)", id="expanded-vector"),
    pytest.param("y = Expand(x, s)", id="expanded-input"),
    pytest.param("a = Expand(k, s)  y = Exp(a)", id="computed"),
]


@pytest.mark.parametrize(("nodes", "number"), UNIFORM)
def test_tensor_of_one_number_is_known_whatever_its_shape(nodes: str, number: float) -> None:
    found = surveyed(
        f"s = Shape(x)  {nodes}",
        "float[N, M] x",
        constants={"k": np.float32(0.75), "r": f32([[0.75]]), "i": [0], "e": np.float32(1e-5)},
    )
    assert found.facts.uniform[found.values["y"]] == number
    assert found.facts.depends_on_shapes_only(found.values["y"])


@pytest.mark.parametrize("nodes", NOT_UNIFORM)
def test_other_tensors_are_not(nodes: str) -> None:
    constants: Constants = {"k": np.float32(0.75), "v": f32([1, 2])}
    found = surveyed(f"s = Shape(x)  {nodes}", "float[N, 2] x", constants=constants)
    assert found.values["y"] not in found.facts.uniform


def test_axes_that_are_uniform_make_no_sum_uniform() -> None:
    found = surveyed("a = Expand(i, o)  y = ReduceSum(x, a)", "float[2, 3] x", constants={"i": -1, "o": [1]})
    assert found.values["a"] in found.facts.uniform
    assert found.values["y"] not in found.facts.uniform
    assert found.facts.shape(found.values["y"]) is not None


def test_vectors_that_are_computed_are_not_taken_for_shapes() -> None:
    found = surveyed("a = Exp(x)  y = Concat<axis=0>(x, a)", "float[4] x")
    assert not found.facts.depends_on_shapes_only(found.values["y"])


def test_constants_cast_like_another_tensor_are_constants() -> None:
    found = surveyed("y = CastLike(k, x)", "float16[4] x", constants={"k": f32([0.1, 2])})
    array = found.facts.constant(found.values["y"])
    np.testing.assert_array_equal(array, np.array([0.1, 2], np.float16), strict=True)


BRANCHES = (
    "t = If<then_branch = a () => (float[N, 4] p) {{ p = Exp(x) }}, "
    "else_branch = b () => (float[{0}] q) {{ q = Slice(x, begin, end) }}>(c)  y = Neg(t)"
)


def test_result_of_an_if_is_known_where_its_branches_agree() -> None:
    constants = {"begin": [0], "end": [2]}
    nodes = BRANCHES.format("2, 4")
    assert shape(nodes, "y", "float[N, 4] x, bool c", constants=constants) == "? 4"
    found = surveyed(nodes, "float[N, 4] x, bool c", constants=constants)
    assert found.facts.dtype(found.values["y"]) is ir.DataType.FLOAT


def test_subgraphs_know_what_they_capture() -> None:
    nodes = (
        "s = Shape(x)  t = If<then_branch = a () => (float[N, 4] p) { g = Gather(s, one)  p = Exp(x) }, "
        "else_branch = b () => (float[N, 4] q) { q = Neg(x) }>(c)  y = Neg(t)"
    )
    found = surveyed(nodes, "float[N, 4] x, bool c", constants={"one": 1})
    assert found.facts.integers(found.values["g"]) == (4,)
    assert [len(graph) for graph in graphs_of(found.model)] == [3, 2, 1]
    assert found.facts.positions[found.values["p"].producer()] == 1  # type: ignore[index]


def test_before_opset_7_nothing_is_concluded() -> None:
    inputs = "float[2, 3] x, float[2] b"
    assert shape("y = Add<broadcast=1, axis=0>(x, b)", "y", inputs, opset=6) in ("2 3", None)
    found = surveyed("s = Shape(x)  y = Cast<to=1>(s)", inputs, opset=6)
    assert found.values["s"] not in found.facts.elements


def test_nodes_that_no_output_needs_are_dead() -> None:
    nodes = "a = Exp(x)  b = Neg(a)  c = Exp(b)  y = Abs(a)"
    found = surveyed(nodes, "float[2] x", outputs="float[2] y")
    assert {node.outputs[0].name for node in found.facts.dead} == {"b", "c"}
    captured = (
        "a = Exp(x)  y = If<then_branch = t () => (float[2] p) { p = Neg(a) }, "
        "else_branch = e () => (float[2] q) { q = Abs(x) }>(c)"
    )
    assert not surveyed(captured, "float[2] x, bool c", outputs="float[2] y").facts.dead
    unread = (
        "a = Exp(x)  d = Neg(a)  y = Abs(x)  z = If<then_branch = t () => (float[2] p) { u = Neg(d)  p = Abs(x) }, "
        "else_branch = e () => (float[2] q) { q = Abs(x) }>(c)"
    )
    found = surveyed(unread, "float[2] x, bool c", outputs="float[2] y, float[2] z")
    assert {node.outputs[0].name for node in found.facts.dead} == {"a", "d", "u"}


@pytest.mark.usefixtures("invalid_graphs")
@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param("y = Transpose<perm=[0, 1, 2]>(x)", id="perm-of-another-rank"),
        pytest.param("y = Reshape(x, m)", id="shape-that-is-a-matrix"),
        pytest.param("s = Expand(k, z)  y = Gather<axis=5>(k, s)", id="scalar-gathered"),
        pytest.param("y = Slice(x, o, o, o, z)", id="step-of-zero"),
        pytest.param("y = Concat<axis=0>(x, k)", id="other-ranks"),
    ],
)
def test_invalid_node_is_left_to_a_runtime(nodes: str) -> None:
    constants: Constants = {"m": np.ones((2, 2), np.int64), "k": np.float32(1), "z": i64([0]), "o": i64([1])}
    found = surveyed(nodes, "float[2, 3] x", constants=constants)
    assert survey(found.model).opset == 18
