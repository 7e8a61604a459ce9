"""Arguments that several commands take."""

from __future__ import annotations

import argparse

#: The names in `normgraph.targets.TARGETS`, which imports onnx; a test keeps the two alike.
TARGETS = ("onnx", "onnxruntime", "onnxruntime-cuda", "tensorrt", "openvino", "directml", "coreml")
DEFAULT_TARGET = "onnxruntime"


def add_target(group: argparse._ArgumentGroup) -> None:
    """``--target`` and ``--allow-contrib``."""
    group.add_argument(
        "--target",
        metavar="NAME[@VERSION]",
        type=target,
        default=DEFAULT_TARGET,
        help=f"the runtime to choose operators for: {', '.join(TARGETS)} (default: {DEFAULT_TARGET})",
    )
    group.add_argument(
        "--allow-contrib",
        action="store_true",
        help="use operators of the target that aren't in the ONNX standard",
    )


def target(text: str) -> str:
    """A name of the table of targets, with a version or without."""
    if text.partition("@")[0] not in TARGETS:
        raise argparse.ArgumentTypeError(f"there is no target '{text}': choose one of {', '.join(TARGETS)}")
    return text


def opset(text: str) -> int:
    """An opset's number."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"an opset is a number from 1 on, not '{text}'")
    return int(text)
