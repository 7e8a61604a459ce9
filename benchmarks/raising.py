"""What it is worth to raise a whole model to opset 23 for its RMSNormalizations, on ONNX Runtime's CPU provider.

    python benchmarks/raising.py [--write] [--budget SECONDS] [MODEL ...]

Each model is optimized twice: with its own opset, where its root mean squares stay as they are, and raised.  Both are
timed against each other by `normgraph bench`, on one thread with all of ONNX Runtime's own optimizations on, which turn
some spellings into an operator of its own, and which might do less at a newer opset.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from textwrap import fill

import onnx
from tables import WIDTH, surroundings, table_of, write_section

SAMPLES = Path(__file__).parents[1] / "models" / "samples"
#: Whole networks with root mean squares, below opset 23.
NAMES = (
    "t5_torchscript_13", "t5_dynamo_18", "llama_torchscript_13", "llama_dynamo_18", "qwen_torchscript_14",
    "qwen_dynamo_18", "gemma_torchscript_14", "keras_transformer_tf2onnx_13", "flax_transformer_jax2onnx_18",
    "gated_torchscript_13", "rms_spellings_torchscript_13", "rms_spellings_half_torchscript_13",
)  # fmt: skip
HEADINGS = ("model", "opset", "norms", "as it is, µs", "raised, µs", "ratio", "95 %", "")


def normgraph(*words: str) -> str:
    """What a command of normgraph prints."""
    return subprocess.run(
        [sys.executable, "-m", "normgraph", *words], check=True, capture_output=True, text=True
    ).stdout


def compared(path: Path, budget: float, folder: Path) -> tuple[str, ...]:
    """The cells of a model's row."""
    version = next(
        entry.version for entry in onnx.load(path, load_external_data=False).opset_import if not entry.domain
    )
    before, after = folder / "before.onnx", folder / "after.onnx"
    normgraph("optimize", str(path), "-o", str(before), "--opset", str(max(17, version)), "--quiet")
    normgraph("optimize", str(path), "-o", str(after), "--quiet")
    norms = sum(node.op_type == "RMSNormalization" for node in onnx.load(after, load_external_data=False).graph.node)
    budget_of = ("--threads", "1", "--budget", str(budget))
    level = json.loads(normgraph("bench", str(before), str(after), "--level", "all", *budget_of, "--json"))["levels"][0]
    first, second = level["results"]
    ratio = second["ratio"]
    decided = "faster" if ratio["low"] > 1 else "slower" if ratio["high"] < 1 else "no difference"
    return (
        path.stem,
        str(version),
        str(norms),
        f"{1e6 * first['median']:,.1f}",
        f"{1e6 * second['median']:,.1f}",
        f"{ratio['estimate']:.2f}",
        f"{ratio['low']:.2f} – {ratio['high']:.2f}",
        decided,
    )


def main() -> None:
    """Measure, print, and write where that is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", metavar="MODEL", nargs="*", type=Path, help="other models than the samples")
    parser.add_argument("--budget", type=float, default=10.0, help="seconds for each model, at most")
    parser.add_argument("--write", action="store_true", help="update the section in docs/performance.md")
    arguments = parser.parse_args()
    cells = []
    with tempfile.TemporaryDirectory() as folder:
        for path in arguments.models or [SAMPLES / f"{name}.onnx" for name in NAMES]:
            cells.append(compared(path, arguments.budget, Path(folder)))
            print(*cells[-1], flush=True)
    table = table_of("Raised to opset 23", HEADINGS, cells, left=1)
    table.show()
    explained = (
        "Whole models with their RMSNormalizations in nodes, at their own opset (17 at least), and as normgraph raises "
        "them to opset 23; everything else is optimized in both. ONNX Runtime's CPU provider, one thread, all of its "
        "own optimizations on: where it makes a SimplifiedLayerNormalization of a spelling by itself, there is "
        "nothing to gain, and raising costs nothing either."
    )
    if arguments.write:
        paragraphs = [
            "## Raising the opset", fill(explained, WIDTH), fill(surroundings("onnx", "onnxruntime"), WIDTH),
            table.markdown(), "Made by `python benchmarks/raising.py --write`.",
        ]  # fmt: skip
        write_section("performance.md", "raising", "\n\n".join(paragraphs))


if __name__ == "__main__":
    main()
