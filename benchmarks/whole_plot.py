"""A picture of what whole models cost: wall time and peak memory of each tool, on logarithmic scales."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

#: Model → tool → (wall time in seconds, peak memory in MB).
Figures = Mapping[str, Mapping[str, tuple[float, float]]]


def plot(figures: Figures, path: Path) -> bool:
    """Draw it, the same bytes for the same figures; False where matplotlib (the extra `plot`) isn't there."""
    try:
        import matplotlib as mpl
    except ImportError:
        return False
    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import NullFormatter

    mpl.rcParams.update({"svg.hashsalt": "normgraph", "svg.fonttype": "none", "font.size": 9})
    tools = list(dict.fromkeys(tool for by_tool in figures.values() for tool in by_tool))
    height = 0.18 * sum(len(by_tool) for by_tool in figures.values()) + 0.6 * len(figures) + 0.4
    figure, grid = plt.subplots(len(figures), 2, figsize=(9, height), squeeze=False, layout="constrained")
    for (model, by_tool), (left, right) in zip(figures.items(), grid, strict=True):
        present = [tool for tool in reversed(tools) if tool in by_tool]
        for axes, position, unit in ((left, 0, "wall time, s"), (right, 1, "peak memory, MB")):
            values = [by_tool[tool][position] for tool in present]
            colours = ["tab:blue" if tool == "normgraph" else "silver" for tool in present]
            bars = axes.barh(present, values, color=colours)
            axes.bar_label(bars, [f"{value:,.2f}" if value < 10 else f"{value:,.0f}" for value in values], padding=2)
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.margins(x=0.15)
            axes.set_title(f"{model.partition(',')[0]}: {unit}", loc="left", fontsize=9)
            axes.spines[["top", "right"]].set_visible(False)
        right.set_yticklabels([])
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return True
