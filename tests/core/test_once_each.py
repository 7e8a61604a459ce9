"""Proofs of norms that are alike in every constant are one experiment, and are conducted once."""

import numpy as np
import numpy.typing as npt
import onnx
import pytest

import normgraph
from normgraph.evidence import Evidence, Experiment, conducting
from tests.core.surveyed import f32, model

NORM = "m{i} = ReduceMean({x}, last)  d{i} = Sub({x}, m{i})  q{i} = Mul(d{i}, d{i})  v{i} = ReduceMean(q{i}, last)  "
REST = "e{i} = Add(v{i}, eps)  s{i} = Sqrt(e{i})  n{i} = Div(d{i}, s{i})  y{i} = Mul(n{i}, g{i})  r{i} = Tanh(y{i})  "


def stack(gains: list[npt.ArrayLike]) -> onnx.ModelProto:
    """Norms one behind the other."""
    nodes = "".join((NORM + REST).format(i=i, x=f"r{i - 1}" if i else "x") for i in range(len(gains)))
    constants = {f"g{i}": f32(gain) for i, gain in enumerate(gains)}
    return model(nodes, "float[N, 4] x", constants={"last": [-1], "eps": np.float32(1e-5), **constants})


ALIKE, OTHER, LARGE = [1, 2, 3, 4], [1, 2, 3, 5], [1e20, 2, 3, 4]


@pytest.mark.parametrize(
    ("gains", "conducted"),
    [
        pytest.param([ALIKE] * 5, 1, id="alike"),
        pytest.param([ALIKE, OTHER, ALIKE, OTHER], 2, id="two-of-each"),
        pytest.param([ALIKE, LARGE], 2, id="another-range"),
    ],
)
def test_equal_experiments_are_conducted_once(
    gains: list[npt.ArrayLike], conducted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[str] = []
    conduct = conducting.conduct

    def counted(experiment: Experiment) -> Evidence:
        keys.append(experiment.key())
        return conduct(experiment)

    monkeypatch.setattr(conducting, "conduct", counted)
    report = normgraph.optimize(stack(gains)).report
    assert report.count("fused") == len(gains)
    assert len(keys) == len(set(keys)) == conducted


def test_what_is_remembered_is_what_would_be_found_again() -> None:
    alone = [normgraph.optimize(stack([gain])).report.sites[0].evidence for gain in (ALIKE, OTHER)]
    together = normgraph.optimize(stack([ALIKE, OTHER, ALIKE, OTHER])).report.sites
    for site, expected in zip(together, alone * 2, strict=True):
        assert site.evidence is not None
        assert expected is not None
        assert site.evidence.trials == expected.trials
