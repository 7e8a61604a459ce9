"""Write out the ONNX standard's own normalizations by the functions that define them.

    python models/export_standard.py [--output DIR] [NAME ...]

writes DIR/samples/*.onnx, and their part of DIR/manifest.json once every sample is written. DIR is this folder by
default; the table in README.md is then written too. What onnx's inliner makes of the operators is compared with onnx's
own evaluator, which computes the operators themselves.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import version

import numpy as np
import onnx
import onnx.inliner
from exporting import Array, Job, write
from network import Network, Sample, checked_export
from onnx import helper, numpy_helper
from standard_networks import SAMPLES, Operator

VERSIONS = {"python": platform.python_version(), **{name: version(name) for name in ("onnx", "onnxruntime")}}


def exported(network: Network, sample: Sample, exporter: str, opset: int) -> onnx.ModelProto:
    """The network with each operator as one node, and then with the bodies of their functions in their place."""
    (spec,) = sample.inputs
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(sample.dtype))
    symbols = {axis: symbol for axis, symbol, _ in spec.dynamic}
    shape = [symbols.get(axis, size) for axis, size in enumerate(spec.shape)]
    nodes, tensors, x = [], [], spec.name
    for scope, site in network.sites.items():
        operator = site.apply
        assert isinstance(operator, Operator)
        last = scope == list(network.sites)[-1]
        nodes.append(operator.node(x, f"{scope}.normalized", scope))
        nodes.append(helper.make_node("Add", [x, f"{scope}.normalized"], ["output" if last else f"{scope}.sum"]))
        tensors += [numpy_helper.from_array(array, f"{scope}.{name}") for name, array in operator.parameters.items()]
        x = f"{scope}.sum"
    graph = helper.make_graph(
        nodes,
        sample.name,
        [helper.make_tensor_value_info(spec.name, kind, shape)],
        [helper.make_tensor_value_info("output", kind, shape)],
        tensors,
        # The inliner looks for the types of initializers among those of values.
        value_info=[helper.make_tensor_value_info(tensor.name, kind, tensor.dims) for tensor in tensors],
    )
    imports = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=max(4, helper.find_min_ir_version_for(imports)))
    operators = sorted({("", node.op_type) for node in nodes if node.op_type != "Add"})
    return onnx.inliner.inline_selected_functions(model, operators, inline_schema_functions=True)


def tensor(array: Array) -> Array:
    return array


def jobs() -> Iterator[Job]:
    for sample in SAMPLES:
        for exporter, opset in sample.exports:
            make = functools.partial(checked_export, sample, exporter, opset, VERSIONS, exported, tensor)
            yield sample.name, f"{sample.name} {exporter} {opset}", make


def main(arguments: Sequence[str] | None = None) -> int:
    return write(__doc__, jobs(), arguments)


if __name__ == "__main__":
    raise SystemExit(main())
