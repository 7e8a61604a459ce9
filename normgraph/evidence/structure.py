"""What experiments have in common that differ in the values of their weights alone.

Gains and shifts become inputs of the models, so that these are opened once and run with the weights of each norm that
is written like that.  ONNX Runtime computes the same either way: its optimizations are off, so it folds no constants.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import onnx
from onnx import numpy_helper

from normgraph.constants import Array
from normgraph.evidence.experiment import Candidate, Experiment, Modelled
from normgraph.execution import Runner, runner_of, truth_of
from normgraph.extraction import Fragment
from normgraph.widening import FLOATS

#: Operators for which it makes no difference whether an operand is a constant, by the first such operand.
_PLACES = {
    "Add": 0, "Div": 0, "Mul": 0, "Sub": 0, "BatchNormalization": 1, "GroupNormalization": 1,
    "InstanceNormalization": 1, "LayerNormalization": 1, "RMSNormalization": 1, "SimplifiedLayerNormalization": 1,
}  # fmt: skip
#: So many structures are held open. A model's norms are mostly of one or two.
_OPEN = 16

Weights = Mapping[str, Array]


@dataclass(frozen=True)
class Structure:
    """An experiment without the values of its weights; equal ones have equal keys.

    Attributes:
        key: a digest of all else that the experiment follows from.
        original: the region, its weights inputs of the model behind its own.
        replaced: what is to replace it, likewise; None where no model computes that.
    """

    key: str
    original: Fragment = field(compare=False)
    replaced: Fragment | None = field(compare=False)


@dataclass(frozen=True)
class Apart:
    """An experiment, taken apart.

    Attributes:
        structure: what it has in common with others.
        before: the weights of the original, by the names of its inputs.
        after: those of what is to replace it.
        candidate: what is to replace it, weights and all.
    """

    structure: Structure
    before: Weights
    after: Weights
    candidate: Candidate

    def key(self) -> str:
        """A digest that equal experiments share, and no others do."""
        digest = hashlib.sha256(self.structure.key.encode())
        for weights in (self.before, self.after):
            for array in weights.values():  # their names, types and shapes are part of the structure
                digest.update(array.tobytes())
        return digest.hexdigest()

    def magnitudes(self) -> tuple[float, ...]:
        """The largest magnitude of each weight; NaN where one isn't a number."""
        arrays = (*self.before.values(), *self.after.values())
        return tuple(float(np.max(np.abs(array.astype(np.float64)))) for array in arrays)

    def runners(self) -> Runners:
        """What computes the experiment.

        Raises:
            NotRunnable: the original or its replacement can't be computed.
        """
        truth, before, after = opened(self.structure)
        doubles = {name: array.astype(np.float64) for name, array in self.before.items()}
        replaced = self.candidate.runner() if after is None else _fed(after, self.after)
        return Runners(_fed(truth, doubles), _fed(before, self.before), replaced)


@dataclass(frozen=True, slots=True)
class Runners:
    """What computes an experiment.

    Attributes:
        truth: the original in float64.
        before: the original.
        after: what is to replace it.
    """

    truth: Runner
    before: Runner
    after: Runner


def runners_of(experiment: Experiment) -> Runners:
    """What computes an experiment by itself.

    Raises:
        NotRunnable: the original or its replacement can't be computed.
    """
    original = experiment.original
    before, after, double = runner_of(original.model), experiment.candidate.runner(), original.in_double()
    return Runners(truth_of(double.model, double.constants), before, after)


def taken_apart(experiment: Experiment) -> Apart:
    """An experiment's structure and its weights."""
    candidate = experiment.candidate
    original, before = _without_weights(experiment.original)
    replaced, after = _without_weights(candidate.fragment)
    trying = (experiment.axes, experiment.assumed, experiment.least_extent, experiment.families, experiment.small)
    digest = hashlib.sha256()
    for part in (original.key(), replaced.key(), repr((type(candidate).__name__, *trying)).encode()):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    modelled = replaced if isinstance(candidate, Modelled) else None
    return Apart(Structure(digest.hexdigest(), original, modelled), before, after, candidate)


def _without_weights(fragment: Fragment) -> tuple[Fragment, Weights]:
    """The same with every gain and shift an input; they are told from other constants by what reads them."""
    model = fragment.model
    candidates = {t.name: t for t in model.graph.initializer if t.data_type in FLOATS and math.prod(t.dims) > 1}
    for node in model.graph.node:
        first = len(node.input) if node.domain else _PLACES.get(node.op_type, len(node.input))
        for name in node.input[:first]:
            candidates.pop(name, None)
    if not candidates:
        return fragment, {}
    weights = {name: numpy_helper.to_array(tensor) for name, tensor in candidates.items()}
    result = onnx.ModelProto()
    result.CopyFrom(model)
    del result.graph.initializer[:]
    result.graph.initializer.extend(t for t in model.graph.initializer if t.name not in weights)
    for name, tensor in candidates.items():
        described = result.graph.input.add(name=name).type.tensor_type
        described.elem_type = tensor.data_type
        for extent in tensor.dims:
            described.shape.dim.add(dim_value=extent)
    return replace(fragment, model=result), weights


@lru_cache(maxsize=_OPEN)
def opened(structure: Structure) -> tuple[Runner, Runner, Runner | None]:
    """The models of a structure: the original in float64, the original, and what is to replace it, if a model does.

    Raises:
        NotRunnable: one of them can't be computed.
    """
    double, replaced = structure.original.in_double(), structure.replaced
    after = None if replaced is None else runner_of(replaced.model)
    return truth_of(double.model, double.constants), runner_of(structure.original.model), after


def _fed(runner: Runner, weights: Weights) -> Runner:
    """The same, fed the weights as well."""
    return lambda feed: runner({**feed, **weights})
