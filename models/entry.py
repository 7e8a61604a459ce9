"""What the catalogue says of a network to export with PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from manifest import Input
from torch import nn

TORCHSCRIPT = "torchscript"
DYNAMO = "dynamo"
DYNAMO_DECOMPOSED = "dynamo-decomposed"  # LayerNorm by PyTorch's decomposition table
DYNAMO_UNOPTIMIZED = "dynamo-unoptimized"  # optimize=False: nothing folded
LARGEST = 32  # of any dynamic dimension; BERT has as many position embeddings


@dataclass(frozen=True)
class Architecture:
    """A network to export, its inputs, and the exporters with their opsets.

    In a TorchScript export, `fold_constants` False keeps BatchNormalization beside its convolution, and
    `functions` are the module classes that become local functions.  `kept` says of BatchNormalizations that can't be
    folded into what stands beside them why not: a pattern of scopes, as fnmatch has them, and the reason.
    `drawn_epsilons` gives every normalization an epsilon of its own, so that a mistaken one is noticed; without it they
    are the network's.
    """

    name: str
    title: str
    build: Callable[[], nn.Module]
    inputs: tuple[Input, ...]
    exports: tuple[tuple[str, int], ...]
    dtype: str = "float32"
    scripted: bool = False
    training: bool = False
    fold_constants: bool = True
    functions: tuple[type[nn.Module], ...] = ()
    kept: tuple[tuple[str, str], ...] = ()
    drawn_epsilons: bool = True
