"""Writes nodes' new forms into the graph that holds them."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from normgraph.opset.form import Form, NewConstant, Operand


class Writer:
    """Writes forms into one graph and its subgraphs, or into one function.

    Constants are added once for each content: to a graph as initializers, to a function, which can't have
    any, as Constant nodes before all others.

    Args:
        root: the main graph or the function.
        names: names of values and nodes that are taken; grows by those given out.
    """

    def __init__(self, root: ir.Graph | ir.Function, names: set[str]) -> None:
        self._root = root
        self._first = next(iter(root), None)
        self._names = names
        self._constants: dict[tuple[object, ...], ir.Value] = {}

    def write(self, forms: Sequence[Form]) -> None:
        """Gives each form's node the form; what is the same in both stays untouched."""
        for form in forms:
            self._rewrite(form)
        for form in forms:  # Only now, because the forms of its readers still name the output as it was.
            if form.flattened_at is not None:
                self._flatten(form.node, form.flattened_at, form.target)

    def _rewrite(self, form: Form) -> None:
        node = form.node
        node.op_type = form.op_type
        for name in [name for name in node.attributes if name not in form.attributes]:
            del node.attributes[name]
        for name, attribute in form.attributes.items():
            if node.attributes.get(name) is not attribute:
                node.attributes[name] = attribute
        operands = [self._value(operand) for operand in form.inputs]
        node.resize_inputs(len(operands))
        for index, operand in enumerate(operands):
            if node.inputs[index] is not operand:
                node.replace_input_with(index, operand)
        node.resize_outputs(form.outputs)

    def _value(self, operand: Operand) -> ir.Value | None:
        if not isinstance(operand, NewConstant):
            return operand
        data = operand.data
        content = (operand.role, data.dtype.str, data.shape, data.tobytes())
        if content not in self._constants:
            self._constants[content] = self._added(operand)
        return self._constants[content]

    def _added(self, constant: NewConstant) -> ir.Value:
        name = self._fresh(constant.role)
        tensor = ir.tensor(constant.data, name=name)
        if isinstance(self._root, ir.Graph):
            dtype, shape = ir.TensorType(tensor.dtype), ir.Shape(constant.data.shape)
            value = ir.Value(name=name, type=dtype, shape=shape, const_value=tensor)
            self._root.register_initializer(value)
            return value
        node = ir.Node("", "Constant", [], [ir.AttrTensor("value", tensor)], name=self._fresh(f"{name}_constant"))
        node.outputs[0].name = name
        assert self._first is not None  # It holds at least the node that needs the constant.
        self._root.insert_before(self._first, node)
        return node.outputs[0]

    def _flatten(self, node: ir.Node, axis: int, target: int) -> None:
        """Puts Flatten before the node and Reshape after it, whose output takes the place of the node's."""
        source, result = node.inputs[0], node.outputs[0]
        wish = result.name or node.op_type
        shape = ir.Node("", "Shape", [source], name=self._fresh(f"{wish}_shape_node"))
        flatten = ir.Node(
            "", "Flatten", [source], [ir.AttrInt64("axis", axis)], name=self._fresh(f"{wish}_flatten_node")
        )
        # A size of 0 in the shape stands for itself.
        allow_zero = [ir.AttrInt64("allowzero", 1)] if target >= 14 else []
        reshape = ir.Node("", "Reshape", [None, shape.outputs[0]], allow_zero, name=self._fresh(f"{wish}_reshape_node"))
        reshaped = reshape.outputs[0]
        result.replace_all_uses_with(reshaped, replace_graph_outputs=True)
        reshaped.name, reshaped.type, reshaped.shape = result.name, result.type, result.shape
        reshaped.doc_string = result.doc_string
        reshaped.metadata_props.update(result.metadata_props)
        result.name, result.shape, result.doc_string = self._fresh(f"{wish}_flattened"), None, None
        result.metadata_props.clear()
        shape.outputs[0].name = self._fresh(f"{wish}_shape")
        flatten.outputs[0].name = self._fresh(f"{wish}_flattened_input")
        node.replace_input_with(0, flatten.outputs[0])
        reshape.replace_input_with(0, result)
        node.prepend([shape, flatten])
        node.append(reshape)

    def _fresh(self, wish: str) -> str:
        name, count = wish, 0
        while name in self._names:
            count += 1
            name = f"{wish}_{count}"
        self._names.add(name)
        return name
