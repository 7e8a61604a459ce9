"""Arguments that several commands take."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

#: The names in `normgraph.targets.TARGETS`, which imports onnx; a test keeps the two alike.
TARGETS = ("onnx", "onnxruntime", "onnxruntime-cuda", "tensorrt", "openvino", "directml", "coreml")
DEFAULT_TARGET = "onnxruntime"
#: The names in `normgraph.providers.PROVIDERS`, likewise.
PROVIDERS = ("cpu", "cuda", "tensorrt", "openvino", "coreml", "dml")
#: The names in `normgraph.feeds.FAMILIES`, which imports onnx too.
FAMILIES = (
    "normal", "offset 10", "offset 100", "offset 1000", "offset 10000", "tiny variance", "constant rows",
    "large magnitude", "largest", "subnormal",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class FeedingOptions:
    """What a command was told of the inputs that models are fed.

    Attributes:
        inputs: where they come from; None to make them.
        dims: sizes of dynamic dimensions.
        families: what floating inputs are drawn from; empty for the default.
        seed: what the random numbers follow from; None for 0.
    """

    inputs: str | None
    dims: list[tuple[str, int]]
    families: list[str]
    seed: int | None


def add_target(group: argparse._ArgumentGroup, default: str | None = DEFAULT_TARGET) -> None:
    """``--target`` and ``--allow-contrib``.

    Args:
        group: where they are put.
        default: the target's value where none is named; None tells that none was.
    """
    group.add_argument(
        "--target",
        metavar="NAME[@VERSION]",
        type=target,
        default=default,
        help=f"the runtime to choose operators for: {', '.join(TARGETS)} (default: {DEFAULT_TARGET})",
    )
    group.add_argument(
        "--allow-contrib",
        action="store_true",
        help="use operators of the target that aren't in the ONNX standard",
    )


def add_feeding(group: argparse._ArgumentGroup) -> None:
    """What models are fed: ``--inputs``, ``--dim``, ``--family`` and ``--seed``."""
    group.add_argument(
        "--inputs",
        metavar="SOURCE",
        help="inputs of your own: a .npz, .npy or .pb file, a folder of them (input_0.pb and so on, or "
        "test_data_set_0 and so on), or module:function (by default they are made to fit the model)",
    )
    add_dims(group)
    group.add_argument(
        "--family",
        metavar="NAME",
        choices=FAMILIES,
        action="append",
        default=[],
        dest="families",
        help=f"what floating inputs are drawn from, one or several of: {', '.join(FAMILIES)}",
    )
    group.add_argument("--seed", metavar="N", type=whole(), help="another gives other inputs (default: 0)")


def add_dims(group: argparse._ArgumentGroup) -> None:
    """``--dim``."""
    group.add_argument(
        "--dim",
        metavar="NAME=N",
        type=dim,
        action="append",
        default=[],
        dest="dims",
        help="the size of a dynamic dimension; may be given for several",
    )


def add_provider(group: argparse._ArgumentGroup) -> None:
    """``--provider``."""
    group.add_argument(
        "--provider",
        metavar="NAME",
        choices=PROVIDERS,
        default="cpu",
        help=f"ONNX Runtime's provider: {', '.join(PROVIDERS)} (default: cpu)",
    )


def add_threads(group: argparse._ArgumentGroup) -> None:
    """``--threads``."""
    group.add_argument(
        "--threads",
        metavar="N",
        type=whole(),
        default=0,
        help="threads within an operator (default: as many as ONNX Runtime takes by itself)",
    )


def model(text: str) -> Path:
    """A model's file."""
    if "://" in text:
        raise argparse.ArgumentTypeError(
            f"a model is named here by its file, and '{text}' is a URL: only optimize and check "
            "read those; copy it first"
        )
    return Path(text)


def dim(text: str) -> tuple[str, int]:
    """A dynamic dimension and its size."""
    name, separator, size = text.rpartition("=")
    if not separator or not name or not size.isascii() or not size.isdigit():
        raise argparse.ArgumentTypeError(f"a size is given as NAME=N, such as batch=8, not '{text}'")
    return name, int(size)


def whole(noun: str = "it", least: int = 0) -> Callable[[str], int]:
    """What reads whole numbers from the least on; the noun is what it calls them where it complains."""

    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{noun} is a number from {least} on, not '{text}'")
        return int(text)

    return read


def number(noun: str = "it", *, positive: bool = False) -> Callable[[str], float]:
    """What reads finite numbers from 0 on, or above 0; the noun as in `whole`."""

    def read(text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            found = -1.0
        if not 0 <= found < float("inf") or (positive and not found):
            raise argparse.ArgumentTypeError(
                f"{noun} is a number {'above 0' if positive else 'from 0 on'}, not '{text}'"
            )
        return found

    return read


def add_jobs(group: argparse._ArgumentGroup) -> None:
    """``--jobs``."""
    group.add_argument(
        "-j",
        "--jobs",
        metavar="N",
        type=whole("a number of processes", 1),
        help="how many processes to run at once (default: one for each processor)",
    )


def target(text: str) -> str:
    """A name of the table of targets, with a version or without."""
    if text.partition("@")[0] not in TARGETS:
        raise argparse.ArgumentTypeError(f"there is no target '{text}': choose one of {', '.join(TARGETS)}")
    return text
