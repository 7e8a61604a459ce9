"""A picture of a benchmark: run times, and ratios with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from normgraph.errors import MissingExtraError, OutputError
from normgraph.timing.results import Benchmark, Level

#: Colours that are told apart in print and by colour-blind eyes (Okabe and Ito).
_COLOURS = ("#555555", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")

#: Characters of a model's name on an axis.
LONGEST = 36


def library() -> Any:
    """Matplotlib.

    Raises:
        MissingExtraError: it isn't installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise MissingExtraError(f"a picture needs Matplotlib: install 'normgraph[plot]' ({error})") from error
    return matplotlib


def write(found: Benchmark, path: Path) -> None:
    """Write the picture, the same bytes for the same figures; its ending says in which form.

    Raises:
        MissingExtraError: Matplotlib isn't installed.
        OutputError: the file can't be written.
    """
    matplotlib = library()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 1.6 + len(found.levels) * (0.9 + 0.45 * len(found.models))), layout="constrained")
    grid = figure.subplots(len(found.levels), 2, squeeze=False, sharey="row")
    around = found.surroundings
    figure.suptitle(f"ONNX Runtime {around.runtime} on {around.provider} · {found.fed}", fontsize=10)
    for (times, ratios), level in zip(grid, found.levels, strict=True):
        _draw_times(times, level)
        _label(times, labels(found.models))
        _draw_ratios(ratios, level)
        for axes in (times, ratios):
            axes.spines[["top", "right"]].set_visible(False)
    try:
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else {"Software": None}
        with matplotlib.rc_context({"svg.hashsalt": "normgraph"}):
            figure.savefig(path, dpi=150, metadata=metadata)
    except OSError as error:
        raise OutputError(
            f"the picture can't be written: {path} ({error.strerror or error}); check its folder"
        ) from error


def _draw_times(axes: Any, level: Level) -> None:
    """A bar from the fastest tenth to the slowest tenth of the runs, and the median on it."""
    for place, figures in enumerate(level.figures):
        runs = sorted(1000 * seconds for seconds in figures.times.runs)
        low, high = runs[len(runs) // 10], runs[(len(runs) * 9) // 10]
        axes.barh(place, high - low, left=low, height=0.5, color=_COLOURS[place % len(_COLOURS)], alpha=0.5)
        axes.plot([1000 * figures.times.median] * 2, [place - 0.3, place + 0.3], color="black", linewidth=1.5)
    axes.set_xlabel("milliseconds: median, middle 80 %")
    axes.set_title(f"optimizations {level.name}", loc="left", fontsize=10)
    axes.set_xlim(left=0)


def _draw_ratios(axes: Any, level: Level) -> None:
    axes.axvline(1.0, color="black", linewidth=0.8)
    for place, figures in enumerate(level.figures):
        colour = _COLOURS[place % len(_COLOURS)]
        if figures.ratio is None:
            axes.plot([1.0], [place], "o", color=colour)
            continue
        ratio = figures.ratio
        axes.plot([ratio.estimate], [place], "o", color=colour)
        if math.isfinite(ratio.high):
            axes.plot([ratio.low, ratio.high], [place, place], color=colour, linewidth=2)
        said = f"{ratio.estimate:.3f} · {figures.verdict}"
        behind = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        place_of_text = {"xytext": (0, 7), "textcoords": "offset points", "ha": "center"}
        axes.annotate(said, (ratio.estimate, place), **place_of_text, fontsize=8, bbox=behind)
    axes.set_xlabel("ratio to the first, 95 % interval")
    axes.margins(x=0.2)


def labels(models: Sequence[str]) -> list[str]:
    """Names short enough for an axis: of files the last part of the path, with as many folders as tell them apart.

    >>> labels(["a/bert.onnx", "b/bert.onnx", "c/d/vit.onnx"])
    ['a/bert.onnx', 'b/bert.onnx', 'vit.onnx']
    """
    found = []
    for model in models:
        parts = Path(model).parts
        others = [Path(other).parts for other in models if other != model]
        count = next((n for n in range(1, len(parts)) if all(o[-n:] != parts[-n:] for o in others)), len(parts))
        name = "/".join(parts[-count:])
        half = (LONGEST - 1) // 2
        found.append(name if len(name) <= LONGEST else f"{name[:half]}…{name[-half:]}")
    return found


def _label(axes: Any, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.set_ylim(len(names) - 0.4, -0.6)
