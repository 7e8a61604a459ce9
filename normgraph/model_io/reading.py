"""Reads a model without its weights: large tensors stay in their files until they are asked for."""

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Protocol

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from normgraph.errors import BadModelError
from normgraph.model_io import wire
from normgraph.model_io.carried import carry
from normgraph.model_io.external import open_external
from normgraph.model_io.functions import check_calls
from normgraph.model_io.numbers import check_numbers
from normgraph.model_io.tensors import FileTensor, OpenFile, packed_size
from normgraph.model_io.text import refuse_other_than_text
from normgraph.model_io.walk import Owner, graphs_within, replace_tensors

# Tensors with at least so many bytes of raw_data stay in their file.
LARGE_BYTES = 4096
# Stands as the location of a tensor's bytes inside the model's own file; no path can hold a NUL.
INSIDE = "\0inside"

TENSOR = onnx.TensorProto.DESCRIPTOR.fields_by_name
RAW_DATA, EXTERNAL_DATA, DATA_LOCATION = (
    TENSOR[name].number for name in ("raw_data", "external_data", "data_location")
)


class HoldsModel(Protocol):
    """Anything that carries an IR model, as PyTorch's ``ONNXProgram`` does."""

    @property
    def model(self) -> ir.Model:
        """The model."""
        ...


Source = str | PathLike[str] | onnx.ModelProto | ir.Model | HoldsModel


def as_model(source: Source) -> ir.Model:
    """An IR model that may be changed at will, whatever the model comes as.

    Args:
        source: A path, an ``onnx.ModelProto``, an ``onnx_ir.Model`` or a PyTorch ``ONNXProgram``. It isn't
            changed; the weights are shared with it.

    Raises:
        BadModelError: The source isn't a model that normgraph can work on; see :func:`load`.
        TypeError: It is none of the types above.
    """
    if isinstance(source, ir.Model):
        return _under_one_name(source.clone())
    if isinstance(source, onnx.ModelProto):
        return _under_one_name(_from_proto(source, "the given ModelProto", _refuse_external))
    if isinstance(source, str | PathLike):
        return _under_one_name(load(source))
    held = getattr(source, "model", None)
    if isinstance(held, ir.Model):
        return _under_one_name(held.clone())
    raise TypeError(f"a model is a path, ModelProto, onnx_ir.Model or ONNXProgram, not {type(source).__name__}")


def _under_one_name(model: ir.Model) -> ir.Model:
    """The model with the default domain imported as "", not by its other name, under which its nodes don't stand."""
    for imports in (model.opset_imports, *(function.opset_imports for function in model.functions.values())):
        if "ai.onnx" in imports and "" not in imports:
            imports[""] = imports.pop("ai.onnx")
    return model


def load(path: str | PathLike[str]) -> ir.Model:
    """Reads a model from a file in ONNX's binary format.

    Its tensors of 4 KiB and more, and all in external data, are :class:`FileTensor` objects: ranges of files
    that stay open as long as the model lives.

    Args:
        path: The model's file. External data is looked for in its folder.

    Returns:
        The model, the same as ``onnx_ir.from_proto(onnx.load(path))``.

    Raises:
        BadModelError: The file is missing, a folder, empty, unreadable, truncated or not an ONNX model; or
            its external data is absent, shorter than declared or outside the model's folder; or it imports
            an opset or has an IR version that the installed onnx doesn't know; or has names that aren't UTF-8; or
            onnx_ir can't represent it.
    """
    path = Path(path)
    source = OpenFile(path)
    if source.size == 0:
        raise BadModelError(f"the file is empty: {path}; export or copy it again")
    try:
        content, ranges = _without_large_tensors(source)
    except wire.MalformedError as error:
        raise _not_a_model(path, str(error)) from None
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(content)
    except DecodeError as error:
        raise _not_a_model(path, str(error)) from None
    del content
    files: dict[Path, OpenFile] = {}

    def readable(tensor: ir.ExternalTensor) -> FileTensor:
        if tensor.location != INSIDE:
            return open_external(path, tensor, files)
        return _open_inside(source, tensor, ranges)

    return _from_proto(proto, str(path), readable)


def _not_a_model(path: Path, reason: str) -> BadModelError:
    return BadModelError(f"the file is truncated or not an ONNX model: {path} ({reason}); export or copy it again")


def _without_large_tensors(source: OpenFile) -> tuple[bytes, list[tuple[int, int]]]:
    """The model's bytes with external data of INSIDE in place of each large raw_data, and those ranges."""
    ranges: list[tuple[int, int]] = []

    def cut(start: int, end: int) -> wire.Pieces | None:
        raw: tuple[int, int, int] | None = None
        for number, wire_type, tag, payload, stop in wire.fields(source, start, end):
            if number == RAW_DATA and wire_type == wire.LENGTH_DELIMITED and raw is None:
                raw = tag, payload, stop
            elif number in (RAW_DATA, EXTERNAL_DATA, DATA_LOCATION):
                return None
        if raw is None or raw[2] - raw[1] < LARGE_BYTES:
            return None
        tag, payload, stop = raw
        mark = onnx.TensorProto(data_location=onnx.TensorProto.EXTERNAL)
        mark.external_data.add(key="location", value=INSIDE)
        mark.external_data.add(key="offset", value=str(len(ranges)))
        ranges.append((payload, stop))
        return [memoryview(part) for part in (source[start:tag], source[stop:end], mark.SerializeToString())]

    def may_hold_one(start: int, end: int) -> bool:
        return end - start >= LARGE_BYTES

    try:
        pieces = wire.rewrite(source, 0, source.size, cut, may_hold_one)
    except wire.UnusualError:
        ranges.clear()
        pieces = None
    if pieces:
        return b"".join(pieces), ranges  # type: ignore[arg-type]
    return wire.kept(source, 0, source.size), ranges


def _open_inside(source: OpenFile, tensor: ir.ExternalTensor, ranges: list[tuple[int, int]]) -> FileTensor:
    where = f"{source.path} (tensor {tensor.name!r})"
    if tensor.offset is None or not 0 <= tensor.offset < len(ranges):
        raise BadModelError(f"external data must name a file: {where}; export the model again")
    start, stop = ranges[tensor.offset]
    needed = packed_size(tensor, where)
    if stop - start != needed:
        raise BadModelError(
            f"a tensor must hold the bytes that its type and shape ask for, and {stop - start:,} are given "
            f"for {tensor.dtype.name}{tensor.shape}, which takes {needed:,}: {where}; export the model again"
        )
    return FileTensor(
        source,
        start,
        tensor.dtype,
        tensor.shape,
        name=tensor.name,
        doc_string=tensor.doc_string,
        metadata_props=dict(tensor.metadata_props),
    )


def _refuse_external(tensor: ir.ExternalTensor) -> FileTensor:
    raise BadModelError(
        f"a ModelProto must hold its data, and tensor {tensor.name!r} lies in {str(tensor.location)!r}; "
        "give the path of the model instead, or load it with its external data"
    )


def _from_proto(proto: onnx.ModelProto, name: str, readable: Callable[[ir.ExternalTensor], FileTensor]) -> ir.Model:
    """Checks and converts a model, making every external tensor readable."""
    _check_versions(proto, name)
    try:
        model = ir.from_proto(proto)
    except Exception as error:
        # onnx_ir raises what its parsing happens to run into; the first error of the chain says it best.
        cause: BaseException = error
        while before := cause.__cause__ or cause.__context__:
            cause = before
        reason = " ".join(str(cause).split())
        raise BadModelError(
            f"the model holds what onnx_ir can't represent: {name} ({reason}); check it with onnx.checker"
        ) from error
    refuse_other_than_text(model, name)
    _refuse_cycles(model, name)
    check_calls(model, name)
    carry(proto, model, name)

    def checked(tensor: ir.TensorProtocol, _: bool) -> ir.TensorProtocol:
        if isinstance(tensor, ir.ExternalTensor):
            return readable(tensor)
        check_numbers(tensor, name)
        return tensor

    replace_tensors(model, checked)
    return model


def _refuse_cycles(model: ir.Model, name: str) -> None:
    for graph in graphs_within(model.graph):
        earlier: set[ir.Node] = set()
        for node in graph:
            if not _makers(node) <= earlier:  # it may be that the nodes are in another order than ONNX asks for
                _refuse_cycle_in(graph, name)
                break
            earlier.add(node)


def _makers(node: ir.Node) -> set[ir.Node]:
    """The nodes of the same graph that make what a node reads."""
    makers = {value.producer() for value in node.inputs if value is not None}
    return {maker for maker in makers if maker is not None and maker.graph is node.graph}


def _refuse_cycle_in(graph: Owner, name: str) -> None:
    missing = {node: _makers(node) for node in graph}
    ready = [node for node, makers in missing.items() if not makers]
    while ready:
        node = ready.pop()
        del missing[node]
        for reader in {use.node for output in node.outputs for use in output.uses()}:
            if reader in missing and node in missing[reader]:
                missing[reader].remove(node)
                if not missing[reader]:
                    ready.append(reader)
    if missing:
        node = next(iter(missing))
        raise BadModelError(
            f"no node may depend on its own output, and {node.op_type} {node.name or node.outputs[0].name!r} does: "
            f"{name}; export the model again"
        )


def _check_versions(proto: onnx.ModelProto, name: str) -> None:
    if not proto.HasField("graph"):
        raise BadModelError(f"an ONNX model must hold a graph, and this has none: {name}; export it again")
    newest = onnx.defs.onnx_opset_version()
    imports = [
        *proto.opset_import,
        *(entry for function in proto.functions for entry in function.opset_import),
    ]
    for entry in imports:
        if entry.domain in ("", "ai.onnx") and not 1 <= entry.version <= newest:
            raise BadModelError(
                f"a model's opset must be known, and the onnx {onnx.__version__} in use knows 1 to {newest}, "
                f"not {entry.version}: {name}; install a newer onnx, or export to an opset that it knows"
            )
    if proto.ir_version > onnx.IR_VERSION:
        raise BadModelError(
            f"a model's IR version must be known, and the onnx {onnx.__version__} in use knows up to "
            f"{onnx.IR_VERSION}, not {proto.ir_version}: {name}; install a newer onnx"
        )
    if not proto.opset_import and proto.ir_version >= onnx.IR_VERSION_2017_11_3:
        raise BadModelError(f"a model must import an opset, and this imports none: {name}; export it again")
