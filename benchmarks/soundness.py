"""How much has been tried to make normgraph claim something wrong, and how often it did.

    python benchmarks/soundness.py [--mutants N] [--graphs N] [--norms N] [--models N] [--seed N] [--write]

Counts what the tests try, and tries it: mutants of recognised regions, random graphs, random spellings, whole random
models, traps.  It stops at the first claim that is wrong, with the model that shows it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tables import Table, surroundings, table_of, write_section

from tests import spellings, traps
from tests.claims import Trap
from tests.core import test_mutations as mutations
from tests.core import test_soundness as soundness
from tests.optimizing import optimized
from tests.running import builds
from tests.test_traps import FUSED, LOOKALIKES

Figures = tuple[str, str, str]


def mutants(count: int, seed: int) -> Figures:
    """Mutants of regions that were recognised: lost, invalid, or still recognised and then equal by evaluation."""
    found: Counter[str] = mutations.outcomes(count, seed)
    lost, invalid, equal = (found[fate] for fate in ("lost", "invalid", "equal"))
    told = f"{lost:,} not recognised any more, {invalid:,} invalid, {equal:,} recognised and equal"
    return f"mutants of {len(mutations.subjects()):,} regions", f"{found.total():,}", told


def graphs(count: int, seed: int) -> Figures:
    """Random graphs, executed: everything that is claimed of their values."""
    compared = sum(
        soundness.check_graph(soundness.grow(Random(seed * 1_000_000 + number), longest=16)) for number in range(count)
    )
    return "random graphs", f"{count:,}", f"{compared:,} forms equal to what was executed"


def norms(count: int, seed: int) -> Figures:
    """Random spellings of normalizations: all are found."""
    for number in range(count):
        random = Random(seed * 1_000_000 + number)
        soundness.check_found(*(soundness.turned if number % 3 == 0 else soundness.spelled)(random))
    return "random spellings of norms", f"{count:,}", "all found, and equal by evaluation"


def models(count: int, seed: int) -> Figures:
    """Random models, optimized and executed."""
    fused = sum(
        soundness.check_optimized(*soundness.surrounded(Random(seed * 1_000_000 + number))) for number in range(count)
    )
    return "random models, optimized", f"{count:,}", f"{fused:,} norms fused, all outputs the same"


def trapped(_: int, __: int) -> Figures:
    """Everything that only looks like a normalization."""
    count = 0
    for name in LOOKALIKES:
        for case in traps.TABLES[name]:
            count += _tried(case)
    cases = sum(len(traps.TABLES[name]) for name in LOOKALIKES)
    return f"traps, {cases:,} of them", f"{count:,}", "none fused, each with the reason that it should have"


def _tried(case: Trap) -> int:
    """How many builds of a trap there are, none of which is fused."""
    found = builds(case)
    for how in found:
        _, report = optimized(case, how)
        invited = case.invites.kind if case.invites is not None else "LayerNormalization"
        assert invited not in [site.kind for site in report.sites if site.status in FUSED], case.why
        rules = [site.rule for site in report.sites if site.status not in FUSED]
        assert case.rule is None or case.rule in rules, case.why
    return len(found)


def table(parts: Sequence[Figures]) -> Table:
    """What was tried, how often, and what became of it; what is wrong would have stopped it."""
    rows = [(*part, "0") for part in parts]
    return table_of("What was tried to find a wrong claim", ("what", "tried", "outcome", "wrong"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps: dict[str, tuple[Callable[[int, int], Figures], int]] = {
        "mutants": (mutants, 2_000),
        "graphs": (graphs, 500),
        "norms": (norms, 450),
        "models": (models, 60),
    }
    for name, (_, count) in steps.items():
        parser.add_argument(f"--{name}", metavar="N", type=int, default=count, help=f"how many (default: {count:,})")
    parser.add_argument("--seed", metavar="N", type=int, default=5, help="what is random follows from it (default: 5)")
    parser.add_argument("--write", action="store_true", help="put the counts into docs/accuracy.md")
    options = vars(parser.parse_args())
    parts = []
    for name, (step, _) in {**steps, "traps": (trapped, 0)}.items():
        started = time.perf_counter()
        parts.append(step(options.get(name, 0), options["seed"]))
        print(f"{name}: {' · '.join(parts[-1])} · {time.perf_counter() - started:.0f} s", flush=True)
    spelled = sum(len(entries) for entries in spellings.TABLES.values())
    if options["write"]:
        text = (
            "Mutants have operands, operators, axes, constants or a node of a recognised region changed; the regions\n"
            f"are those of {spelled:,} spellings and of the samples. Each claim is judged by executing the graph in\n"
            "float64.\n\n"
        )
        about = f"Counted with {surroundings('numpy', 'onnx', 'onnxruntime')}"
        write_section("accuracy.md", "soundness", f"{text}{table(parts).markdown()}\n\n{about}")


if __name__ == "__main__":
    main()
