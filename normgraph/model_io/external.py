"""Where the external data of a model may lie, and where its tensors lie in it (ONNX's ExternalData.md)."""

from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx_ir as ir

from normgraph.errors import BadModelError
from normgraph.model_io.tensors import FileTensor, OpenFile, packed_size
from normgraph.model_io.walk import replace_tensors


def data_path(model_path: Path, location: str) -> Path:
    """The data file that a tensor's location names, relative to the folder of its model.

    A model that is a symbolic link, as in a download cache, may have its data beside the link or beside
    the file that the link leads to.

    Raises:
        BadModelError: The location leaves the model's folder: it is absolute, holds "..", or goes through a
            symbolic link to another folder; or nothing is there.
    """
    if not location:
        raise BadModelError(
            f"external data must name its file, and one location is empty: {model_path}; export it again"
        )
    parts = {*PurePosixPath(location).parts, *PureWindowsPath(location).parts}
    if PurePosixPath(location).anchor or PureWindowsPath(location).anchor or ".." in parts or "\0" in location:
        raise BadModelError(_leaves(model_path, location))
    path = model_path.parent / location
    real = path.resolve()
    folders = (model_path.parent.resolve(), model_path.resolve().parent)
    if not any(real.is_relative_to(folder) for folder in folders):
        raise BadModelError(_leaves(model_path, location))
    if not real.is_file():
        raise BadModelError(
            f"external data must be beside its model, and {location!r} isn't: {model_path}; copy both files together"
        )
    return path


def _leaves(model_path: Path, location: str) -> str:
    return (
        f"external data may not leave its model's folder, as {location!r} does: {model_path}; "
        "move the data beside the model and save it with a plain file name"
    )


def open_external(model_path: Path, tensor: ir.ExternalTensor, files: dict[Path, OpenFile]) -> FileTensor:
    """Turns a tensor that was only declared into one that can be read.

    Args:
        model_path: The file that declares it.
        tensor: Its declaration.
        files: The data files that are open already; a new one is added.

    Raises:
        BadModelError: The declared range isn't in the data file, or isn't as large as type and shape ask.
    """
    path = data_path(model_path, str(tensor.location))
    source = files.get(path)
    if source is None:
        source = files[path] = OpenFile(path)
    offset = tensor.offset or 0
    where = f"{model_path} (tensor {tensor.name!r} in {path.name!r})"
    needed = packed_size(tensor, where)
    if tensor.length is not None and tensor.length != needed:
        raise BadModelError(
            f"external data must have the size of its tensor, and {tensor.length:,} bytes are declared "
            f"for {tensor.dtype.name}{tensor.shape}, which takes {needed:,}: {where}; export the model again"
        )
    if offset < 0 or offset + needed > source.size:
        raise BadModelError(
            f"external data must be as long as declared, and bytes {offset:,} to {offset + needed:,} are "
            f"asked for of {source.size:,}: {where}; copy or export the data again"
        )
    return FileTensor(
        source,
        offset,
        tensor.dtype,
        tensor.shape,
        name=tensor.name,
        doc_string=tensor.doc_string,
        metadata_props=dict(tensor.metadata_props),
        external=True,
    )


def data_files(model: ir.Model) -> list[OpenFile]:
    """The files of external data that a model reads, each once."""
    found: dict[Path, OpenFile] = {}

    def note(tensor: ir.TensorProtocol, _: bool) -> ir.TensorProtocol:
        if isinstance(tensor, FileTensor) and tensor.external:
            found[tensor.source.path] = tensor.source
        return tensor

    replace_tensors(model, note)
    return list(found.values())
