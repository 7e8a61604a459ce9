"""What is claimed of a value is true of it: random graphs, executed in float64, against everything said about them."""

from collections.abc import Iterator, Mapping
from random import Random

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, currently_in_test_context, given, note, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

import normgraph
from normgraph.axes import Size, size_of
from normgraph.facts import Facts, survey
from normgraph.foreign import foreigners
from normgraph.forms import Form
from normgraph.interpret import Interpretation, interpret
from normgraph.match import find
from normgraph.reference_operators import OPERATORS
from normgraph.transfer import LAYOUT_OPERATORS, TRANSFER
from tests.core.evaluation import Evaluation, normalized
from tests.core.growing import Graph
from tests.core.observing import Observation, exact, observe, sample
from tests.core.random_graphs import COMPARISONS, grow, grow_on
from tests.core.random_norms import Written, write
from tests.core.random_spellings import grouped, needed_elsewhere, spelled, turned

Symbols = dict[str, int]
randoms = st.randoms(use_true_random=False)


def examples(count: int) -> settings:
    """So many examples, the same in every run, however long they take."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=count, deadline=None, database=None, derandomize=True, suppress_health_check=slow)


def number(size: Size, symbols: Mapping[str, int]) -> int | None:
    """The size as a number, if its symbols are known."""
    if any(symbol not in symbols for symbol in size.symbols):
        return None
    return size.factor * int(np.prod([symbols[symbol] for symbol in size.symbols], dtype=np.int64))


def runs(graph: Graph, model: onnx.ModelProto) -> Iterator[tuple[Symbols, Observation]]:
    """The graph at the sizes at which it grew, and at others where it runs at these too."""
    evaluator = ReferenceEvaluator(exact(model))
    seed = graph.random.randrange(100)
    sizes = {name: n for name, n in zip(graph.declared, graph.shape, strict=True) if isinstance(name, str)}
    fed = {name: sample(shape, seed + i) for i, (name, shape) in enumerate(graph.fed.items(), 1)}
    yield dict(sizes), observe(evaluator, {"x": sample(graph.shape, seed), **fed})
    others = {name: graph.random.choice([1, 2, 3, 4]) for name in sizes}
    # The reference evaluator doesn't mind parameters of the wrong size.
    if others == sizes or any("Normalization" in node.op_type for node in graph.nodes):
        return
    try:
        shape = tuple(others[name] if isinstance(name, str) else name for name in graph.declared)
        yield others, observe(evaluator, {"x": sample(shape, seed), **fed})
    except (ValueError, IndexError, RuntimeError, TypeError):  # constants fit the sizes at which it grew only
        return


def values_of(model: ir.Model) -> dict[str, ir.Value]:
    """The values of the main graph, by name."""
    made = [value for node in model.graph for value in node.outputs]
    return {v.name: v for v in (*model.graph.inputs, *model.graph.initializers.values(), *made) if v.name}


def bind(facts: Facts, value: ir.Value, seen: np.ndarray, symbols: Symbols) -> None:
    """Learn the sizes that the facts don't name from the first value that has them."""
    for size, n in zip(facts.shape(value) or (), seen.shape, strict=False):
        if len(size.symbols) == 1 and size.factor:
            symbols.setdefault(size.symbols[0], n // size.factor)


def check_facts(facts: Facts, value: ir.Value, seen: np.ndarray, symbols: Symbols) -> None:
    shape, dtype = facts.shape(value), facts.dtype(value)
    if shape is not None:
        known = [number(size, symbols) for size in shape]
        assert len(known) == seen.ndim, f"{value.name} has shape {seen.shape}"
        assert all(m in (None, n) for m, n in zip(known, seen.shape, strict=True)), f"{value.name}: {seen.shape}"
    array = facts.constant(value)
    if array is not None:
        np.testing.assert_array_equal(array, seen, err_msg=f"{value.name}", strict=True)
        assert dtype is None or dtype.numpy() == array.dtype
    if value in facts.uniform:
        assert np.all(seen == facts.uniform[value])
    elements = facts.elements.get(value)
    if elements is not None:
        assert (elements.rank, len(elements.sizes)) == (seen.ndim, seen.size), value.name
        claimed = [None if size is None else number(size, symbols) for size in elements.sizes]
        assert all(m in (None, n) for m, n in zip(claimed, seen.reshape(-1).tolist(), strict=True)), value.name


def holds(interpretation: Interpretation, symbols: Symbols) -> bool:
    """Whether what the interpretation assumes of dynamic sizes is so."""
    return all(number(axis.size, symbols) == n for axis, n in interpretation.assumed.items())


def fits(interpretation: Interpretation, form: Form, seen: Observation, symbols: Symbols) -> bool:
    """Whether the tensors that aren't computed from the base are no larger than what they are broadcast against."""
    for tensor in foreigners(form.value):
        shape = np.asarray(seen.values[interpretation.foreign[tensor.number].name or ""]).shape
        claimed = [number(size_of(dimension), symbols) for dimension in tensor.layout]
        if any(n not in (1, m) for m, n in zip(claimed, shape, strict=True)):
            return False
    return True


def is_tie(value: ir.Value, seen: Observation) -> bool:
    """Whether the value compares numbers of which rounding decides which is the greater; the algebra doesn't round."""
    node = value.producer()
    names = [operand.name or "" for operand in node.inputs if operand is not None] if node is not None else []
    if node is None or len(names) != 2 or node.op_type not in COMPARISONS:
        return False
    a, b = (np.asarray(seen.values[name], np.float64) for name in names)
    return bool(np.isclose(a, b, rtol=1e-9, atol=1e-9).any())


def operands_of(value: ir.Value, seen: Observation) -> float:
    """The largest magnitude among the operands that a value is computed from."""
    node = value.producer()
    arrays = [seen.values[v.name or ""] for v in node.inputs if v is not None and v.name in seen.values] if node else []
    numbers = (np.abs(np.asarray(array, np.float64)) for array in arrays if np.asarray(array).dtype.kind in "fiu")
    return max((float(np.max(found[np.isfinite(found)], initial=0.0)) for found in numbers), default=0.0)


def passes_nan_over(value: ir.Value, seen: Observation) -> bool:
    """Whether the value is a pool of NaN, which onnx's evaluator leaves out of the mean, and no runtime does."""
    node = value.producer()
    if node is None or node.op_type != "AveragePool" or node.inputs[0] is None:
        return False
    return bool(np.isnan(np.asarray(seen.values[node.inputs[0].name or ""], np.float64)).any())


def is_cancelled(value: ir.Value, seen: Observation, interpretation: Interpretation, evaluation: Evaluation) -> bool:
    """Whether the value is the logarithm of what is left of far larger terms: rounding decides what that is."""
    node = value.producer()
    operand = node.inputs[0] if node is not None and node.op_type == "Log" else None
    if operand is None or operand not in interpretation.forms:
        return False
    left = np.abs(np.asarray(seen.values[operand.name or ""], np.float64))
    return bool(np.any(left < 1e-9 * evaluation.magnitude(interpretation.forms[operand])))


def copies_a_size(node: ir.Node, seen: Observation) -> bool:
    """Whether a Reshape is told a zero, which stands for the operand's size; sizes are taken to be positive."""
    if node.op_type != "Reshape" or node.inputs[1] is None or node.attributes.get_int("allowzero", 0):
        return False
    return not np.all(np.asarray(seen.values[node.inputs[1].name or ""]))


def check_forms(interpretation: Interpretation, seen: Observation, symbols: Symbols) -> int:
    """Compare every form with what was executed; how many there were."""
    x = np.asarray(seen.values[interpretation.base.name or ""], np.float64)
    foreign = [np.asarray(seen.values[value.name or ""], np.float64) for value in interpretation.foreign]
    evaluation = Evaluation(x, interpretation.layout, symbols, foreign)
    compares = any(form.dtype is ir.DataType.BOOL for form in interpretation.forms.values())
    for value, form in interpretation.forms.items():
        # A comparison hides what isn't a number, of which the algebra knows nothing.
        if compares and not np.isfinite(np.asarray(seen.values[value.name or ""], np.float64)).all():
            break
        if not fits(interpretation, form, seen, symbols):
            continue
        magnitude = np.maximum(evaluation.magnitude(form), operands_of(value, seen))  # of what cancelled, if all did
        difference = seen.differs(value.name or "", evaluation.array(form), magnitude)
        if difference is not None and (
            is_tie(value, seen) or passes_nan_over(value, seen) or is_cancelled(value, seen, interpretation, evaluation)
        ):  # and what follows from it
            break
        assert difference is None, f"{difference}, as computed from {interpretation.base.name}"
    return len(interpretation.forms)


def check_graph(graph: Graph) -> int:
    """Everything that is said of one graph; how many forms were compared."""
    proto = graph.model()
    model = ir.from_proto(proto)
    facts = survey(model)
    values = values_of(model)
    bases = [values["x"], values[graph.random.choice(list(graph.shapes))]]
    asked = [(base, with_foreign) for base in bases for with_foreign in (False, True)]
    found = [interpret(base, model.graph, facts, with_foreign=with_foreign) for base, with_foreign in asked]
    interpretations = [interpretation for interpretation in found if interpretation is not None]
    compared = 0
    for symbols, seen in runs(graph, proto):
        empty = any(not np.asarray(array).size for array in seen.values.values())
        if empty and any(copies_a_size(node, seen) for node in model.graph):
            continue
        present = {values[name]: np.asarray(array) for name, array in seen.values.items() if name in values}
        for value, array in present.items():
            bind(facts, value, array, symbols)
        for value, array in present.items():
            check_facts(facts, value, array, symbols)
        for interpretation in interpretations:
            if holds(interpretation, symbols):
                compared += check_forms(interpretation, seen, symbols)
    return compared


@examples(500)
@given(random=randoms)
def test_every_claim_about_a_random_graph_is_true(random: Random) -> None:
    graph = grow(random)
    note(onnx.printer.to_text(graph.model()))
    check_graph(graph)


@pytest.mark.slow
def test_every_claim_about_many_random_graphs_is_true() -> None:
    for number in range(50_000):
        check_graph(grow(Random(number), longest=16))


def test_random_graphs_are_worth_the_name() -> None:
    """They use every operator that has a transfer function, at several opsets, and most of their values get a form."""
    graphs = [grow(Random(seed)) for seed in range(300)]
    assert {node.op_type for graph in graphs for node in graph.nodes} >= set(TRANSFER)
    compared = [check_graph(graph) for graph in graphs[:60]]
    assert sum(compared) > 500


# --- normalizations in random spellings ---------------------------------------------------------------------------


def check_found(graph: Graph, written: Written, *, but_moved: bool = False) -> None:
    """The normalization is found, all of it, and what is said of it is true.

    Args:
        graph: the graph.
        written: the normalization.
        but_moved: whether what only moves its elements behind it may be left.
    """
    proto = graph.model([written.output])
    if currently_in_test_context():
        note(onnx.printer.to_text(proto))
    model = ir.from_proto(proto)
    matches = find(model.graph, survey(model)).matches
    assert len(matches) == 1
    (match,) = matches
    end = next(value for node in model.graph for value in node.outputs if value.name == written.output)
    while but_moved and end is not match.output:
        node = end.producer()
        assert node is not None
        assert node.op_type in LAYOUT_OPERATORS
        assert node.inputs[0] is not None
        end = node.inputs[0]
    assert match.output is end
    assert match.obstacle is None
    assert match.norm.epsilon == pytest.approx(written.epsilon, rel=1e-9)
    for symbols, seen in runs(graph, proto):
        x = np.asarray(seen.values[match.base.name or ""], np.float64)
        assert seen.differs(match.output.name or "", normalized(match, x, symbols, seen.values)) is None


@examples(300)
@given(random=randoms)
def test_random_spelling_is_found(random: Random) -> None:
    check_found(*spelled(random))


@examples(150)
@given(random=randoms)
def test_random_spelling_with_gains_known_at_run_time_is_found(random: Random) -> None:
    check_found(*spelled(random, at_run_time=True))


@pytest.mark.slow
def test_many_random_spellings_with_gains_known_at_run_time_are_found() -> None:
    for number in range(5_000):
        check_found(*spelled(Random(number), at_run_time=True))


@examples(150)
@given(random=randoms)
def test_random_spelling_of_a_transposed_input_is_found(random: Random) -> None:
    check_found(*turned(random))


@examples(100)
@given(random=randoms)
def test_random_spelling_within_groups_of_the_last_channels_is_found(random: Random) -> None:
    check_found(*grouped(random), but_moved=True)


@pytest.mark.slow
def test_many_random_spellings_are_found() -> None:
    for number in range(4_000):
        check_found(*(spelled, turned, grouped)[number % 3](Random(number)), but_moved=True)


# --- whole models -------------------------------------------------------------------------------------------------


def surrounded(random: Random) -> tuple[Graph, list[str]]:
    """A random graph in which a normalization stands, and some of its values as outputs."""
    graph = grow(random, longest=4)
    name = graph.any_value()
    rank = len(graph.shapes[name])
    if rank and max(graph.shapes[name]) > 1:
        axes = tuple(sorted(random.sample(range(rank), random.randint(1, min(2, rank)))))
        before = set(graph.shapes)
        written = write(graph, name, axes, centred=random.random() < 0.8)
        if random.random() < 0.8:  # nothing else reads what is inside
            for inner in set(graph.shapes) - before - {written.output}:
                del graph.shapes[inner]
    grow_on(graph, random.randint(0, 3))
    values = [value for value in graph.shapes if value != "x"] or [graph.value("Identity", ["x"], graph.shape)]
    return graph, sorted({values[-1], *(random.choice(values) for _ in range(random.randrange(2)))})


def check_optimized(graph: Graph, outputs: list[str]) -> int:
    """The optimized graph computes the same outputs; how many norms were fused in it."""
    proto = graph.model(outputs)
    result = normgraph.optimize(proto, target="onnx")  # for all is of doubles
    after = result.to_proto()
    onnx.checker.check_model(after, full_check=True)
    seen = next(runs(graph, proto))[1]
    names = [output.name for output in after.graph.output]
    fed = {name: np.asarray(seen.values[name]) for name in ("x", *graph.fed)}
    again = observe(ReferenceEvaluator(exact(after), new_ops=OPERATORS), fed).values
    for name in names:
        assert seen.differs(name, np.asarray(again[name], np.float64)) is None
    return result.report.count("fused")


@examples(60)
@given(random=randoms)
def test_optimized_random_graph_computes_the_same(random: Random) -> None:
    graph, outputs = surrounded(random)
    note(onnx.printer.to_text(graph.model(outputs)))
    check_optimized(graph, outputs)


@examples(60)
@given(random=randoms)
def test_optimized_norm_whose_inner_values_are_needed_computes_the_same(random: Random) -> None:
    graph, outputs = needed_elsewhere(random)
    note(onnx.printer.to_text(graph.model(outputs)))
    check_optimized(graph, outputs)


@examples(25)
@given(random=randoms)
def test_optimized_norm_with_gains_known_at_run_time_computes_the_same(random: Random) -> None:
    graph, written = spelled(random, at_run_time=True)
    note(onnx.printer.to_text(graph.model([written.output])))
    check_optimized(graph, [written.output])


@pytest.mark.slow
def test_many_optimized_norms_with_gains_known_at_run_time_compute_the_same() -> None:
    fused = 0
    for number in range(1_000):
        graph, written = spelled(Random(number), at_run_time=True)
        fused += check_optimized(graph, [written.output])
    assert fused > 500


@pytest.mark.slow
def test_many_optimized_random_graphs_compute_the_same() -> None:
    for number in range(3_000):
        check_optimized(*surrounded(Random(number)))


def test_norms_in_random_graphs_are_fused() -> None:
    assert sum(check_optimized(*surrounded(Random(number))) for number in range(60)) > 5
