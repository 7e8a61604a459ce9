"""How much has been tried to make normgraph claim something wrong, and how often it did.

    python benchmarks/soundness.py [--mutants N] [--graphs N] [--norms N] [--models N] [--seed N] [--resume FILE]
        [--write]

Counts what the tests try, and tries it: mutants of recognised regions, random graphs, random spellings, whole random
models, traps.  It stops at the first claim that is wrong, with the model that shows it.  With ``--resume`` each batch
is noted in a file when it is done, and what is noted there for the very code isn't tried again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tables import Table, surroundings, table_of, write_section

from tests import spellings, traps
from tests.claims import Trap
from tests.core import test_mutations as mutations
from tests.core import test_soundness as soundness
from tests.optimizing import optimized, target_for
from tests.running import builds
from tests.test_traps import FUSED, LOOKALIKES

Figures = tuple[str, str, str]


def mutants(count: int, seed: int) -> Counter[str]:
    """Mutants of regions that were recognised: lost, invalid, or still recognised and then equal by evaluation."""
    return mutations.outcomes(count, seed)


def graphs(count: int, seed: int) -> Counter[str]:
    """Random graphs, executed: everything that is claimed of their values."""
    grown = (soundness.grow(Random(seed * 1_000_000 + number), longest=16) for number in range(count))
    return Counter(compared=sum(map(soundness.check_graph, grown)))


def norms(count: int, seed: int) -> Counter[str]:
    """Random spellings of normalizations: all are found."""
    for number in range(count):
        random = Random(seed * 1_000_000 + number)
        soundness.check_found(*(soundness.turned if number % 3 == 0 else soundness.spelled)(random))
    return Counter()


def models(count: int, seed: int) -> Counter[str]:
    """Random models, optimized and executed."""
    made = (soundness.surrounded(Random(seed * 1_000_000 + number)) for number in range(count))
    return Counter(fused=sum(soundness.check_optimized(*one) for one in made))


@dataclass(frozen=True)
class Step:
    """A kind of attempts.

    Attributes:
        attempt: so many of them, from a seed; what came of them, counted.
        count: how many there are by default.
        batch: how many are tried between two words of progress.
        told: what it is called, and what came of it, from the counts.
    """

    attempt: Callable[[int, int], Counter[str]]
    count: int
    batch: int
    told: Callable[[Counter[str]], tuple[str, str]]


STEPS: dict[str, Step] = {
    "mutants": Step(
        mutants,
        2_000,
        1_000,
        lambda found: (
            f"mutants of {len(mutations.subjects()):,} regions",
            (
                f"{found['lost']:,} not recognised any more, {found['invalid']:,} invalid, "
                f"{found['equal']:,} recognised and equal"
            ),
        ),
    ),
    "graphs": Step(
        graphs, 500, 100, lambda found: ("random graphs", f"{found['compared']:,} forms equal to what was executed")
    ),
    "norms": Step(norms, 450, 100, lambda _: ("random spellings of norms", "all found, and equal by evaluation")),
    "models": Step(
        models,
        60,
        20,
        lambda found: ("random models, optimized", f"{found['fused']:,} norms fused, all outputs the same"),
    ),
}


class Notes:
    """What has been tried already, in a file of one line of JSON for each batch."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._code = _digest()
        self._known: dict[tuple[object, ...], Counter[str]] = {}
        if path is not None and path.exists():
            for line in path.read_text("utf-8").splitlines():
                note = json.loads(line)
                if note["code"] == self._code:
                    self._known[note["step"], note["count"], note["seed"]] = Counter(note["found"])

    def outcome(self, name: str, count: int, seed: int) -> Counter[str]:
        """What came of a batch, tried unless it is noted."""
        found = self._known.get((name, count, seed))
        if found is None:
            found = STEPS[name].attempt(count, seed)
            if self._path is not None:
                note = {"code": self._code, "step": name, "count": count, "seed": seed, "found": dict(found)}
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(note) + "\n")
        return found


def _digest() -> str:
    """What tells the code apart whose claims are tried, and that which tries them."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for folder in ("kernels", "normgraph", "tests"):
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def tried(name: str, count: int, seed: int, notes: Notes) -> Figures:
    """So many attempts, batch by batch, each from a seed of its own."""
    step = STEPS[name]
    found: Counter[str] = Counter()
    for position, start in enumerate(range(0, count, step.batch)):
        found += notes.outcome(name, min(step.batch, count - start), seed * 1_000 + position)
        print(f"{name}: {min(start + step.batch, count):,} of {count:,}", file=sys.stderr, flush=True)
    what, outcome = step.told(found)
    return what, f"{count:,}", outcome


def trapped() -> Figures:
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
        _, report = optimized(case, how, target=target_for(how))
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
    for name, step in STEPS.items():
        help_ = f"how many (default: {step.count:,})"
        parser.add_argument(f"--{name}", metavar="N", type=int, default=step.count, help=help_)
    parser.add_argument("--seed", metavar="N", type=int, default=5, help="what is random follows from it (default: 5)")
    parser.add_argument(
        "--resume", metavar="FILE", type=Path, help="note each batch here, and go on from what is noted"
    )
    parser.add_argument("--write", action="store_true", help="put the counts into docs/accuracy.md")
    options = vars(parser.parse_args())
    notes = Notes(options["resume"])
    parts = []
    for name in (*STEPS, "traps"):
        started = time.perf_counter()
        parts.append(trapped() if name == "traps" else tried(name, options[name], options["seed"], notes))
        print(f"{name}: {' · '.join(parts[-1])} · {time.perf_counter() - started:.0f} s", flush=True)
    spelled = sum(len(entries) for entries in spellings.TABLES.values())
    if options["write"]:
        text = (
            "Mutants have operands, operators, axes, constants or a node of a recognised region changed; the regions\n"
            f"are those of {spelled:,} spellings and of the samples. Each claim is judged by executing the graph in\n"
            f"float64. What is random follows from the seed {options['seed']}.\n\n"
        )
        about = f"Counted with {surroundings('numpy', 'onnx', 'onnxruntime')}"
        write_section("accuracy.md", "soundness", f"{text}{table(parts).markdown()}\n\n{about}")


if __name__ == "__main__":
    main()
