"""Conducting the experiments of a model, of which most are alike."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace

import onnx_ir as ir

from normgraph.evidence.conducting import Lesson, conduct, conduct_again, lesson_of
from normgraph.evidence.experiment import Experiment
from normgraph.evidence.record import Evidence
from normgraph.evidence.structure import Apart, taken_apart

#: Weights are of one order of magnitude if the largest of each is within this factor of the other's.
_FACTOR = 16.0
#: Up to so many bytes of weights are compared with those of others; larger ones are hardly ever the same.
_COMPARED = 1 << 18


@dataclass(frozen=True, slots=True)
class _Exemplar:
    """An experiment that was conducted in full, with success.

    Attributes:
        subject: the name of what it is about.
        magnitudes: the largest magnitude of each of its weights.
        lesson: what is to be learnt from it.
    """

    subject: str
    magnitudes: tuple[float, ...]
    lesson: Lesson

    def is_like(self, magnitudes: tuple[float, ...]) -> bool:
        """Whether weights are of the same order of magnitude."""
        pairs = zip(self.magnitudes, magnitudes, strict=True)
        return all(math.isfinite(m) and own / _FACTOR <= m <= own * _FACTOR for own, m in pairs)


class OnceEach:
    """Conducts the experiments of one model.

    The norms of a model are mostly written alike.  Those whose weights are alike as well, as before any training, are
    one experiment, which is conducted once.  Of those that differ in their weights alone the first is conducted in
    full.  With the weights of the others a few trials are made again: on ordinary inputs, on a large mean, on large
    magnitudes, and where the first came closest to its bound.  They are conducted in full as well where one of these
    fails, where their weights are of another order of magnitude, and in half precision, whose range is soon left.
    """

    def __init__(self) -> None:
        self._known: dict[str, Evidence] = {}
        self._exemplars: defaultdict[str, list[_Exemplar]] = defaultdict(list)

    def __call__(self, experiment: Experiment) -> Evidence:
        """See `conduct`."""
        apart = taken_apart(experiment)
        if sum(array.nbytes for array in apart.arrays) > _COMPARED:
            return self._conducted(experiment, apart)
        key = apart.key()
        if key not in self._known:
            self._known[key] = self._conducted(experiment, apart)
        return self._known[key]

    def _conducted(self, experiment: Experiment, apart: Apart) -> Evidence:
        runners, magnitudes = apart.runners(), apart.magnitudes()
        exemplars = self._exemplars[apart.structure]
        exemplar = next((one for one in exemplars if one.is_like(magnitudes)), None)
        if exemplar is not None:
            evidence = conduct_again(experiment, runners, exemplar.lesson)
            if evidence.accepted:
                return replace(evidence, alike=exemplar.subject)
        evidence = conduct(experiment, runners)
        if evidence.accepted and evidence.dtype is not ir.DataType.FLOAT16:
            exemplars.append(_Exemplar(experiment.subject, magnitudes, lesson_of(experiment, evidence)))
        return evidence
