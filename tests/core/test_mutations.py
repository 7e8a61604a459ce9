"""Mutants of recognised normalizations: whatever is still recognised must still be what is said of it."""

from collections import Counter
from collections.abc import Iterator
from functools import cache
from random import Random

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from normgraph.coefficients import Coefficient
from normgraph.errors import NormgraphError
from normgraph.extraction import original_fragment
from normgraph.facts import survey
from normgraph.match import Match, find
from tests import spellings
from tests.cases import Build, build
from tests.core.evaluation import normalized
from tests.core.growing import Exact
from tests.core.mutations import FAMILIES, Mutant, Subject, mutate
from tests.core.observing import Observation, exact, observe
from tests.running import SIZES, builds
from tests.samples import SAMPLES, path_of

# Mean and standard deviation of what is fed. Where the spread is small, epsilon shows.
SPREADS = ((0.5, 1.0), (0.0, 3e-3))
# A mean whose weights are float32 is off by a unit of theirs, which a large gain carries into the result; what is
# judged takes magnitudes times 1e-12.
FLOAT32 = 1e5
FOUND = ("LayerNormalization", "RMSNormalization", "InstanceNormalization", "GroupNormalization", "LpNormalization")


def matches_of(model: onnx.ModelProto) -> tuple[Match, ...]:
    """What is recognised in a model, whether it can be replaced or not."""
    built = ir.from_proto(model)
    return find(built.graph, survey(built)).matches


def subject(name: str, model: onnx.ModelProto) -> Subject | None:
    """The model with the regions recognised in it; None where nothing is."""
    inside = {node.outputs[0].name for match in matches_of(model) for node in match.nodes}
    region = tuple(i for i, node in enumerate(model.graph.node) if node.output[0] in inside)
    return Subject(name, model, region) if region else None


def spelled() -> Iterator[Subject | None]:
    """The spellings that other tests want found, static and dynamic."""
    for kind in FOUND:
        for case in spellings.TABLES[kind]:
            for how in builds(case):
                if how.dtype == "float" and not case.functions:
                    exactly = Build(how.opset, how.dtype, how.sizes, how.constant_nodes, exact=True)
                    yield subject(f"{case.name} {how.opset}", build(case, exactly))


def exported() -> Iterator[Subject | None]:
    """Regions cut out of real exports, one of each sequence of operators."""
    seen: set[tuple[str, ...]] = set()
    for sample in SAMPLES:
        model = ir.load(path_of(sample))
        if model.functions:
            continue
        facts = survey(model)
        for match in find(model.graph, facts).matches:
            operators = tuple(node.op_type for node in match.nodes)
            try:
                fragment = original_fragment(match, facts).in_double()
            except NormgraphError:
                continue
            if operators not in seen and len(fragment.inputs) == 1:
                seen.add(operators)
                for value, size in zip(
                    fragment.model.graph.input[0].type.tensor_type.shape.dim, fragment.inputs[0][2], strict=True
                ):
                    if size.static is None:
                        value.dim_param = str(size)
                yield subject(path_of(sample).stem, fragment.model)


@cache
def subjects() -> tuple[Subject, ...]:
    return tuple(found for found in (*spelled(), *exported()) if found is not None)


def feeds(model: onnx.ModelProto, random: Random) -> Iterator[tuple[dict[str, Exact], dict[str, int]]]:
    """What to feed a model: random doubles, its dynamic dimensions at the sizes that the spellings have."""
    symbols: dict[str, int] = dict(SIZES[0])
    generator = np.random.default_rng(random.randrange(1 << 30))
    for mean, deviation in SPREADS:
        fed: dict[str, Exact] = {}
        for value in model.graph.input:
            dims = value.type.tensor_type.shape.dim
            shape = [symbols.setdefault(d.dim_param, 2 + len(symbols)) if d.dim_param else d.dim_value for d in dims]
            fed[value.name] = mean + deviation * generator.standard_normal(shape)
        yield fed, symbols


def is_valid(model: onnx.ModelProto) -> bool:
    """Whether onnx's checker and shape inference take the model."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        return False
    return True


def largest(gain: Coefficient) -> float:
    """The largest magnitude of a gain."""
    return float(np.max(np.abs(gain if isinstance(gain, float) else gain.values)))


def applied(match: Match, seen: Observation) -> float:
    """The largest magnitude of a gain that is applied behind the norm; one where there is none."""
    gain = None if match.outer is None else match.outer.gain
    return 1.0 if gain is None else float(np.max(np.abs(np.asarray(seen.values[gain.value.name or ""], np.float64))))


def check(mutant: Mutant, random: Random) -> str:
    """How the mutant fared: lost, invalid, or equal to what is still recognised; anything else is an error."""
    matches = matches_of(mutant.model)
    if not matches:
        return "lost"
    try:
        evaluator = ReferenceEvaluator(exact(mutant.model))
    except Exception:  # it has whatever a mutation makes of it
        return "invalid"
    for fed, symbols in feeds(mutant.model, random):
        try:
            seen = observe(evaluator, fed)
        except Exception:
            return "invalid"
        for match in matches:
            base, output = match.base.name or "", match.output.name or ""
            if base not in seen.values or output not in seen.values:
                continue
            x = np.asarray(seen.values[base], np.float64)
            if not x.size or np.isnan(x).any():  # NaN the pools of onnx's evaluator pass over, and no runtime's do
                continue
            try:
                expected = normalized(match, x, symbols, seen.values)
            except ValueError:  # a node that isn't valid, such as a Gemm of a vector, which onnx's evaluator lets pass
                if is_valid(mutant.model):
                    raise
                return "invalid"
            factor = largest(match.norm.gain) * applied(match, seen)
            difference = seen.differs(output, expected, magnitude=FLOAT32 * factor)
            if difference is not None and not is_valid(mutant.model):  # axes named twice, say
                return "invalid"
            assert difference is None, f"{mutant.change}: {difference}"
    return "equal"


def outcomes(count: int, seed: int = 5) -> Counter[str]:
    """How many mutants fared how."""
    random = Random(seed)
    found: Counter[str] = Counter()
    while found.total() < count:
        chosen = random.choice(subjects())
        mutant = mutate(chosen, random)
        if mutant is not None:
            try:
                found[check(mutant, random)] += 1
            except AssertionError as error:
                raise AssertionError(f"{chosen.name}: {error}\n{onnx.printer.to_text(mutant.model)}") from error
    return found


@pytest.mark.usefixtures("invalid_graphs")
def test_mutants_that_are_still_recognised_are_still_equal() -> None:
    found = outcomes(2_000)
    assert found["lost"] > 800
    assert found["equal"] > 200


@pytest.mark.slow
@pytest.mark.usefixtures("invalid_graphs")
def test_no_mutant_of_many_is_mistaken_for_a_normalization() -> None:
    outcomes(100_000)


def test_subjects_come_from_every_kind_and_from_real_exports() -> None:
    names = [found.name for found in subjects()]
    assert len(names) > 150
    assert any("torchscript" in name for name in names)
    assert any("dynamo" in name for name in names)
    operators = {found.model.graph.node[i].op_type for found in subjects() for i in found.region}
    assert operators >= {"Pow", "Mul", "Div", "Sub", "Add", "Sqrt", "Reciprocal", "ReduceMean", "Transpose", "Reshape"}
    assert all(len(set(family)) == len(family) for family in FAMILIES)
