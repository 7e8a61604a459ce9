"""What other optimizers fuse of the normalizations in models/, side by side in one run, each in its own processes.

    python benchmarks/peers.py [--python INTERPRETER] [--write] [SAMPLE ...]

None of the tools needs to be there; one that isn't is said to be missing.  INTERPRETER is that of the environment in
which they are installed, beside numpy, onnx and onnxruntime.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import fill
from typing import Any

from backend_models import EXPORTER as BACKEND_TESTS
from backend_models import backend_samples
from peer import STANDARD, TOOLS
from remaining import fates, kind_of, remaining_table
from tables import WIDTH, Table, surroundings, table_of, write_section
from workers import answers_of, command_of, versions_in_words

ROOT = Path(__file__).resolve().parent.parent
#: A result counts as wrong where it differs by more than this from the original, relative to its largest element.
TOLERANCE = {"float32": 1e-4, "float16": 2e-2, "float64": 1e-4}
#: Seconds for all samples that are left; a tool that takes longer is stopped, and the sample at hand counts as failed.
PATIENCE = 600
#: Samples for one process of a tool: some wrap what they patch once more for each model, until they recurse too deeply.
BATCH = 50
#: The tools that run in this interpreter.
OWN = ("normgraph", STANDARD)
#: Kind → those as which it may come out in part: a LayerNorm whose mean stays outside, a group norm of reshaped groups.
IN_PART: Mapping[str, tuple[str, ...]] = {
    "GroupNormalization": ("InstanceNormalization", "LayerNormalization", "RMSNormalization"),
    "LayerNormalization": ("RMSNormalization",),
    "LpNormalization": ("RMSNormalization",),
}

Sample = Mapping[str, Any]
Answer = Mapping[str, Any]


@dataclass
class Outcome:
    """What a tool made of the samples.

    Attributes:
        answers: sample file → what `peer.py` says; empty if the tool isn't installed.
    """

    answers: dict[str, Answer] = field(default_factory=dict)

    @property
    def installed(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.answers)

    def verdict(self, sample: Sample) -> str:
        """Whether a sample came out "right" or "wrong", or the tool "failed" on it."""
        answer = self.answers[sample["file"]]
        if "failure" in answer:
            return "failed"
        wrong = answer.get("difference", 0.0) > TOLERANCE.get(sample["dtype"], 0.0)
        return "wrong" if wrong else "right"

    def count(self, sample: Sample, kind: str) -> int:
        """How many norms of a kind were fused, if in part, in a sample that came out right."""
        if self.verdict(sample) != "right":
            return 0
        found, present = Counter(self.answers[sample["file"]].get("fused", {})), spelled_out(sample)
        surplus = sum(max(0, found[other] - present[other]) for other in IN_PART.get(kind, ()))
        return min(found[kind] + surplus, present[kind])


def spelled_out(sample: Sample) -> Counter[str]:
    """How many norms of each kind a sample spells out in other operators."""
    return Counter(kind_of(norm) for norm in sample["norms"] if norm["form"] == "decomposed")


def outcome(tool: str, samples: Sequence[Sample], interpreter: str) -> Outcome:
    """Let a tool work off the samples; after a crash, go on behind the sample that it crashed on."""
    with tempfile.TemporaryDirectory() as folder:
        jobs = [{"source": str(ROOT / "models" / sample["file"]), "sample": sample} for sample in samples]
        command = command_of(interpreter, "peer.py", tool, folder)
        answers = answers_of(command, jobs, patience=PATIENCE, batch=BATCH)
    return Outcome(dict(zip((sample["file"] for sample in samples), answers or (), strict=answers is not None)))


def coverage_table(samples: Sequence[Sample], outcomes: Mapping[str, Outcome]) -> Table:
    """How many of the norms that are spelled out each tool fuses, by exporter, opset and kind."""
    groups: dict[tuple[str, int, str], list[Sample]] = {}
    for sample in samples:
        for kind in spelled_out(sample):
            groups.setdefault((sample["exporter"], sample["opset"], kind), []).append(sample)
    rows = [
        [exporter, str(opset), kind, *counts(members, [kind], outcomes)]
        for (exporter, opset, kind), members in sorted(groups.items())
    ]
    title = "Normalizations spelled out in the samples, and fused by each tool"
    return table_of(title, ["exporter", "opset", "kind", *columns(outcomes)], rows, left=3)


def kinds_table(samples: Sequence[Sample], outcomes: Mapping[str, Outcome]) -> Table:
    """The same by kind alone."""
    kinds = sorted({kind for sample in samples for kind in spelled_out(sample)})
    rows = [[kind, *counts(samples, [kind], outcomes)] for kind in kinds]
    rows.append(["all", *counts(samples, kinds, outcomes)])
    return table_of("By kind", ["kind", *columns(outcomes)], rows)


def columns(outcomes: Mapping[str, Outcome]) -> list[str]:
    """The headings of what `counts` gives."""
    own = ["present", "recognised", "kept", "missed"]
    return [*own, *outcomes]


def counts(samples: Sequence[Sample], kinds: Sequence[str], outcomes: Mapping[str, Outcome]) -> list[str]:
    """How many norms there are, what normgraph makes of them, and how many each tool fuses."""
    own = Counter(fate.status for fate in fates(samples, outcomes["normgraph"].answers) if fate.kind in kinds)
    present = sum(spelled_out(sample)[kind] for sample in samples for kind in kinds)
    fused = [
        str(sum(found.count(sample, kind) for sample in samples for kind in kinds)) if found.installed else "–"
        for found in outcomes.values()
    ]
    return [str(present), str(own["fused"] + own["kept"]), str(own["kept"]), str(own["missed"]), *fused]


def verdicts_table(samples: Sequence[Sample], outcomes: Mapping[str, Outcome]) -> Table:
    """How many of the models come out right."""
    rows = []
    for tool, found in outcomes.items():
        if not found.installed:
            rows.append([tool, "not installed", "", "", ""])
            continue
        verdicts = Counter(found.verdict(sample) for sample in samples)
        fused = sum(found.count(sample, kind) for sample in samples for kind in spelled_out(sample))
        rows.append([tool, *(str(verdicts[verdict]) for verdict in ("right", "wrong", "failed")), str(fused)])
    return table_of("Models that come out right", ["tool", "right", "wrong", "failed", "norms fused"], rows)


def main() -> None:
    """Run all tools, print, and write where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("samples", nargs="*", help="names of samples; all if none is given")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the tools' environment")
    parser.add_argument("--write", action="store_true", help="write docs/coverage.md")
    arguments = parser.parse_args()
    known = json.loads((ROOT / "models" / "manifest.json").read_text("utf-8"))["samples"]
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory() as folder:
        known += backend_samples(Path(folder))
        samples = [s for s in known if not arguments.samples or Path(s["file"]).stem in arguments.samples]
        for tool in TOOLS:
            interpreter = sys.executable if tool in OWN else arguments.python
            outcomes[tool] = outcome(tool, samples, interpreter)
            print(f"{tool}: {'done' if outcomes[tool].installed else 'not installed'}", file=sys.stderr)
    tables = [
        kinds_table(samples, outcomes),
        verdicts_table(samples, outcomes),
        coverage_table(samples, outcomes),
        remaining_table(f"What {STANDARD} leaves", fates(samples, outcomes[STANDARD].answers)),
        remaining_table("What normgraph leaves for ONNX Runtime", fates(samples, outcomes["normgraph"].answers)),
    ]
    for table in tables:
        table.show()
    for tool, found in outcomes.items():
        for sample in samples:
            if found.installed and found.verdict(sample) != "right":
                answer = found.answers[sample["file"]]
                print(f"{tool}: {sample['file']}: {answer.get('failure') or answer['difference']}", file=sys.stderr)
    if arguments.write:
        write_section("coverage.md", "coverage", page(tables, arguments.python))


def page(tables: Sequence[Table], interpreter: str) -> str:
    """The text of docs/coverage.md."""
    explanation = (
        "Each tool works in a process of its own, and its result is compared with the original in ONNX Runtime, whose "
        f"optimizations are off: it is wrong where it differs by more than {TOLERANCE['float32']:g} (in half precision "
        f"{TOLERANCE['float16']:g}) of the largest element. Norms count only in models that come out right. Any "
        "operator that computes the norm counts, ONNX Runtime's own as well, and so does one that computes it in part, "
        "a SimplifiedLayerNormalization of a centred value, say."
    )
    columns = (
        "*Present* is what the frameworks say of their own modules, layers and functions (models/manifest.json); what "
        "an exporter writes as one operator isn't counted. normgraph is run twice: as it is by default, for ONNX "
        "Runtime's CPU provider, and for the standard's operators at whatever cost. Of what it *recognises* in the "
        "first run, it leaves as they are those *kept*, which gain nothing there, and *misses* the others; both are "
        "listed below by name, with the reason. *Bounded* are vectors divided by a length that is at least ε: no "
        "operator of the standard does that, so that these count for nobody, though normgraph writes them in fewer "
        f"nodes. The samples are those of models/, and the models of {BACKEND_TESTS} in which a function is expanded."
    )
    environment = f"{versions_in_words(interpreter)}. {surroundings('onnx')}"
    command = "Made by `python benchmarks/peers.py --python INTERPRETER --write`."
    paragraphs = [fill(text, WIDTH) for text in (explanation, columns, environment)]
    return "\n\n".join([*paragraphs, *(table.markdown() for table in tables), command])


if __name__ == "__main__":
    main()
