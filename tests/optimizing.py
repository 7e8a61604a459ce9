"""What is asked first of an optimized case: is it valid, is its interface kept, does it compute the same?"""

from collections import Counter
from collections.abc import Iterator

import onnx
import onnx_ir as ir

import normgraph
from tests.cases import Build, Case, build
from tests.running import TOLERANCE, trials, worst_errors


def target_for(how: Build) -> str:
    """The default target; the standard's for doubles, whose LayerNormalization is slower than nodes on the default."""
    return "onnx" if how.dtype == "double" else "onnxruntime"


def optimized(
    case: Case, how: Build, *, target: str = "onnxruntime", opset: int | None = None, **wishes: bool
) -> tuple[onnx.ModelProto, normgraph.Report]:
    """The case as normgraph leaves it, and the report on that.

    Checked on the way: the argument is left alone, the result is valid, its inputs and outputs are the
    original's, and it comes as close to the truth as the original.
    """
    model = build(case, how)
    untouched = model.SerializeToString()
    result = normgraph.optimize(model, target=target, opset=opset, **wishes)  # type: ignore[arg-type]
    assert model.SerializeToString() == untouched, "the argument was changed"
    found = ir.to_proto(result.model)
    onnx.checker.check_model(found, full_check=True)
    assert [value.name for value in found.graph.input] == [value.name for value in model.graph.input]
    assert [value.name for value in found.graph.output] == [value.name for value in model.graph.output]
    before, after = worst_errors(case, how, [model, found], list(trials(case, how)))
    assert after <= 2 * before + TOLERANCE[how.dtype], f"error {after:.2g}, originally {before:.2g}"
    return found, result.report


def operators(model: onnx.ModelProto) -> Counter[str]:
    """How often each operator occurs, in sub-graphs and functions too, constants aside."""
    lists = [model.graph.node, *(function.node for function in model.functions)]
    return Counter(node.op_type for nodes in lists for node in _nodes(nodes) if node.op_type != "Constant")


def nodes_of(model: onnx.ModelProto, operator: str) -> list[onnx.NodeProto]:
    """The nodes of one operator, in sub-graphs and functions too."""
    lists = [model.graph.node, *(function.node for function in model.functions)]
    return [node for nodes in lists for node in _nodes(nodes) if node.op_type == operator]


def _nodes(nodes: list[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _nodes(attribute.g.node)
