"""Names of sites: the module that a person knows, as far as the exporter left it in the graph."""

from collections.abc import Sequence

import onnx_ir as ir
import pytest

from normgraph.naming import site_name

SCOPES = "pkg.torch.onnx.name_scopes"


def node(name: str = "", scopes: str | None = None, parameters: Sequence[str] = ()) -> ir.Node:
    """A node as an exporter makes it."""
    inputs = [ir.Value(name="x"), *(ir.Value(name=parameter) for parameter in parameters)]
    made = ir.node("Add", inputs, name=name, metadata_props={} if scopes is None else {SCOPES: scopes})
    if parameters:
        stored = [ir.tensor([1.0], name=parameter) for parameter in parameters]
        for value, tensor in zip(inputs[1:], stored, strict=True):
            value.const_value = tensor
        graph = ir.Graph([inputs[0]], made.outputs, nodes=[made], initializers=inputs[1:])
        assert made.graph is graph
    return made


NAMED = [
    pytest.param(
        [node("/encoder/layers.0/norm/Sub"), node("/encoder/layers.0/norm/Div")], "encoder.layers.0.norm",
        id="torchscript",
    ),
    pytest.param([node("/layers/layers.0/norm/Sub"), node("/layers/layers.0/norm/Div")], "layers.0.norm", id="list"),
    pytest.param([node("model/ln/sub"), node("model/ln/div")], "model/ln", id="tensorflow"),
    pytest.param(
        [node("/a/ln/Sub"), node("Constant_1"), node("/a/ln/Div")], "a.ln", id="nodes-without-a-scope-among-them"
    ),
    pytest.param(
        [node("n1", "['', 'encoder', 'encoder.norm', 'sub']"), node("n2", "['', 'encoder', 'encoder.norm', 'd']")],
        "encoder.norm", id="dynamo",
    ),
    pytest.param(
        [node("n1", "['', 'enc', 'enc.a', 'x']"), node("n2", "['', 'enc', 'enc.b', 'x']")], "enc", id="what-they-share"
    ),
    pytest.param([node("n", None, ["enc.ln.weight"]), node("m")], "enc.ln", id="owner-of-the-parameters"),
]  # fmt: skip
UNNAMED = [
    pytest.param([node("Sub_3"), node("Div_7")], id="plain-names"),
    pytest.param([node(), node()], id="no-names"),
    pytest.param([node("/a/Sub"), node("/b/Div")], id="nothing-shared"),
    pytest.param([node("n", "not a list")], id="scopes-that-are-no-list"),
    pytest.param([node("n", "{'a': 1}")], id="scopes-of-another-kind"),
    pytest.param([node("n", None, ["a.weight"]), node("m", None, ["b.weight"])], id="parameters-of-two"),
    pytest.param([node("n", None, ["enc.epsilon"])], id="no-parameter-of-a-norm"),
]


@pytest.mark.parametrize(("nodes", "expected"), NAMED)
def test_site_is_called_what_the_nodes_share(nodes: Sequence[ir.Node], expected: str) -> None:
    assert site_name(nodes, ir.Value(name="y")) == expected


@pytest.mark.parametrize("nodes", UNNAMED)
def test_site_without_a_scope_is_called_after_its_output(nodes: Sequence[ir.Node]) -> None:
    assert site_name(nodes, ir.Value(name="y")) == "y"
    assert site_name(nodes, ir.Value(name="/model/ln/Add_output_0")) == "model.ln"


def test_something_is_always_said() -> None:
    assert site_name([node()], ir.Value()) == "?"
