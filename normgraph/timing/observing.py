"""The shapes that values inside a model have when it runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx_ir as ir

from normgraph.errors import RefusedError
from normgraph.feeds import Feed, Feeding, feeds_for, signature_of
from normgraph.model_io import save
from normgraph.sessions import OpenedModel, Setting

Shapes = dict[str, tuple[int, ...]]


def observed_shapes(model: ir.Model, names: Iterable[str], feeding: Feeding, setting: Setting) -> Shapes:
    """Run a model once and note the shapes of some of its values.

    Args:
        model: the model; it isn't changed.
        names: the values; those within subgraphs are passed over.
        feeding: what it is fed; at dynamic dimensions, the likeliest sizes at which it runs.
        setting: what runs it.

    Raises:
        RefusedError: it doesn't run.
        UsageError: the inputs don't fit, or it runs at none of the sizes.
    """
    signature = signature_of(model)
    work = model.clone()
    wanted = dict.fromkeys(names)
    told = {value.name for value in work.graph.outputs}
    for node in work.graph:
        work.graph.outputs.extend(v for v in node.outputs if v.name in wanted and v.name not in told)
    with TemporaryDirectory(prefix="normgraph-") as folder:
        path = Path(folder) / "observed.onnx"
        save(work, path)
        seen: dict[str, Shapes] = {}

        def accepts(feed: Feed) -> bool:
            try:
                seen[feed.label] = _shapes(path, feed, setting, signature.model)
            except RefusedError:
                return False
            return True

        feed = feeds_for(signature, feeding, accepts if signature.symbols else None)[0]
        shapes = seen.get(feed.label) or _shapes(path, feed, setting, signature.model)
    shapes.update({name: array.shape for name, array in feed.arrays.items()})
    return {name: shape for name, shape in shapes.items() if name in wanted}


def _shapes(path: Path, feed: Feed, setting: Setting, name: str) -> Shapes:
    opened = OpenedModel(path, feed.arrays, setting, name)
    opened.run()
    return opened.shapes()
