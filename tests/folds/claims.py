"""What is said of a fold: where the map goes, or the rule by which it stays."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass

import numpy as np

from tests.cases import Case, Constant, weights

# The parameters of a BatchNormalization of four channels; gains of both signs.
VECTORS: Mapping[str, Constant] = {
    "gamma": (4,),
    "beta": (4,),
    "mean": (4,),
    "variance": np.abs(weights("variance", (4,))),
}
BN = "BatchNormalization<epsilon=0.01>"
PARAMETERS = "gamma, beta, mean, variance"


def norm(value: str) -> str:
    """A BatchNormalization of a value."""
    return f"{BN}({value}, {PARAMETERS})"


@dataclass(frozen=True, eq=False)
class FoldCase(Case):
    """A graph with affine maps.

    Attributes:
        folded: the directions of the folds that are made, in the order of the report.
        after: the operators that remain, in any order; None if that is open.
        rule: of what isn't folded, the code of the reason; None if all is.
        says: what the reason has to name.
    """

    _: KW_ONLY
    folded: tuple[str, ...] = ()
    after: str | None = None
    rule: str | None = None
    says: str = ""


def hit(name: str, text: str, after: str, *folded: str, dims: str = "B 4 6 6", **others: object) -> FoldCase:
    """A graph whose maps fold, backward unless a direction is given."""
    return _case(name, text, dims, others, folded=folded or ("backward",), after=after)


def miss(name: str, text: str, rule: str, says: str = "", *, dims: str = "B 4 6 6", **others: object) -> FoldCase:
    """A graph in which a BatchNormalization stays, by this rule."""
    return _case(name, text, dims, others, rule=rule, says=says)


def same(name: str, text: str, *, dims: str = "B 4 6 6", **others: object) -> FoldCase:
    """A graph of linear operators, without any BatchNormalization, that stays as it is."""
    return _case(name, text, dims, others)


def _case(name: str, text: str, dims: str, others: Mapping[str, object], **claims: object) -> FoldCase:
    given = dict(others)
    constants = {**VECTORS, **given.pop("constants", {})}  # type: ignore[dict-item]
    inputs = {"x": dims, **given.pop("inputs", {})}  # type: ignore[dict-item]
    given.setdefault("opsets", (14, 23))
    return FoldCase(f"fold: {name}", text, inputs=inputs, constants=constants, **given, **claims)  # type: ignore[arg-type]
