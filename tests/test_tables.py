"""What people get to see of a report: everything, in any width, and no more than a terminal can show."""

import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from dataclasses import replace
from fcntl import ioctl
from typing import Any

import pytest
from rich.console import Console, RenderableType

from normgraph.cli import main, rendering
from normgraph.cli.optimize import Figures
from normgraph.cli.sections import sections_of
from normgraph.cli.text import file_size, merged, scientific, shortest
from normgraph.evidence import Evidence, Overflow, Trial, Ulps
from normgraph.inventory import Site
from normgraph.report import Change, Report
from tests.reports import FOLDED, FUSED, MISS, UNFOLDED, report
from tests.samples import FOLDER


def printed(renderable: RenderableType, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())


def encoder(layers: int) -> list[Site]:
    """The norms of a BERT, all alike."""
    shape = ("batch_size", "sequence_length", 768)
    names = ["embeddings.LayerNorm"]
    for layer in range(layers):
        names += [
            f"encoder.layer.{layer}.attention.output.LayerNorm",
            f"encoder.layer.{layer}.output.LayerNorm",
        ]
    return [replace(FUSED, name=name, shape=shape, parameters=1536) for name in names]


RUN = Figures(read=435_000_000, written=434_900_000, seconds=1.25, dry=False)
NOTHING = Report("model.onnx", "onnxruntime", Change(13, 13), Change(4, 4), ())


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_is_cut_in_a_terminal(width: int) -> None:
    sites = [*encoder(3), *(replace(MISS, name=f"tail.{'deep.' * 20}{n}") for n in "abc")]
    text = printed(rendering.optimized(report(*sites), RUN), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for site in sites:  # a name may be broken behind its dots, with other columns in between
        assert re.search(r"\.(?:[^\n]*\n +)?".join(site.name.split(".")), text), site.name
    assert "the spread is the mean of x to the power 4, not of its square (power)" in " ".join(text.split())
    assert "40 → 20 nodes · opset 13 → 17 · 435.0 MB → 434.9 MB · 1.2 s" in text


def test_many_sites_share_rows_and_all_are_there() -> None:
    sites = encoder(12)
    text = printed(rendering.optimized(report(*sites), RUN), 120)
    assert "LayerNormalization · 25 fused" in text
    assert re.search(r"encoder\.layer\.\{0\.\.11\}\.output\.LayerNorm +12× +2 +batch_size", text)
    (section,) = sections_of(sites, by_statistics=False)
    assert sorted(site.name for row in section.rows for site in row.entries) == sorted(s.name for s in sites)
    assert len(section.rows) == 3


def test_a_row_of_many_tells_the_largest_errors() -> None:
    sites = encoder(12)
    worse = Evidence((Trial("normal", (2, 3, 48), 3e-3, 4e-4, 1.0),))
    sites[5] = replace(sites[5], evidence=worse)
    text = printed(rendering.optimized(report(*sites), RUN), 120)
    assert re.search(r"attention\.output\.LayerNorm +12×.* 3\.0e-3 → 4\.0e-4", text)


def test_units_in_the_last_place_are_those_of_ordinary_inputs() -> None:
    ordinary = Trial("normal", (2, 3, 48), 2e-6, 1e-6, 8e-6, Ulps(90.0, 2.25), Ulps(80.0, 1.04))
    other = replace(ordinary, family="offset 100", ulps_before=Ulps(1e6, 1e5), ulps_after=Ulps(1e6, 1e5))
    text = printed(rendering.optimized(report(replace(FUSED, evidence=Evidence((ordinary, other)))), RUN), 120)
    assert re.search(r"2\.0e-6 → 1\.0e-6 +2\.2 → 1\.0\n", text)


def test_what_proofs_found_beyond_figures_is_told() -> None:
    trial = Trial("normal", (2, 3), 1e-3, 1e-3, 1e-2)
    refused = Trial("normal", (0, 3), 0.0, 0.0, 0.0, refused=True)
    sites = [
        replace(FUSED, name="a", evidence=Evidence((trial,), overflow=Overflow(300.0, 1.0))),
        replace(FUSED, name="b", evidence=Evidence((trial,), overflow=Overflow(250.0, 1.0))),
        replace(FUSED, name="c", evidence=Evidence((trial, refused), alike="a")),
    ]
    text = printed(rendering.optimized(report(*sites), RUN), 120)
    assert "gained at 2 of them: in float16 the original overflows from |x| ≈ 250 on, this doesn't" in text
    assert "an empty batch, which the original takes, is refused by what replaces it (1 site)" in text
    assert "tried on fewer inputs, since another that is written alike was tried on all (1 site)" in text
    assert "fewer inputs" not in printed(rendering.optimized(report(*sites[:2]), RUN), 120)
    assert "gained:" in printed(rendering.optimized(report(*sites[:2]), RUN), 120)
    assert "gained" not in printed(rendering.optimized(report(sites[2]), RUN), 120)


def test_sites_that_differ_have_rows_of_their_own() -> None:
    sites = encoder(12)
    sites[3] = replace(sites[3], epsilon=1e-6)
    (section,) = sections_of(sites, by_statistics=False)
    names = [row.name for row in section.rows]
    assert names == [
        "embeddings.LayerNorm",
        "encoder.layer.{0,2..11}.attention.output.LayerNorm",
        "encoder.layer.{0..11}.output.LayerNorm",
        "encoder.layer.1.attention.output.LayerNorm",
    ]


def test_folds_are_told_with_what_took_them_in() -> None:
    folds = [replace(FOLDED, name=f"layers.{n}.bn", into=f"/layers.{n}/conv/Conv") for n in range(12)]
    text = printed(rendering.optimized(report(*folds, UNFOLDED), RUN), 80)
    assert "Scale and shift per channel · 12 folded" in text
    assert re.search(r"layers\.\{0\.\.11\}\.bn +12× +8 +/layers\.\{0\.\.11\}/conv/Conv +2\.0e-6 → 1\.0e-6", text)
    assert "Relu is there (no-neighbour)\n  layers.1.bn" in text
    assert "12 folded, 1 not folded" in text


def test_reasons_that_are_alike_are_told_once() -> None:
    sites = [
        replace(MISS, name=f"layers.{n}.norm", rule="inner-reader", reason=f"'sqrt_{n}' is also read by Mul")
        for n in range(6)
    ]
    (section,) = sections_of(sites, by_statistics=False)
    assert (section.reason, section.others) == ("'sqrt_0' is also read by Mul", 5)
    assert section.count == 6
    few = sections_of(sites[:3], by_statistics=False)
    assert [one.reason for one in few] == [site.reason for site in sites[:3]]


@pytest.mark.parametrize(
    ("statistics", "words"),
    [
        pytest.param("sample", "statistics within each sample", id="sample"),
        pytest.param("batch", "statistics over the batch", id="batch"),
        pytest.param("running", "statistics over the batch (running statistics)", id="running"),
    ],
)
def test_explanation_says_where_statistics_are_taken(statistics: Any, words: str) -> None:
    site = replace(FUSED, kind="BatchNormalization", status="native", statistics=statistics, evidence=None)
    text = printed(rendering.explained(report(site)), 120)
    assert f"BatchNormalization · 1 native · {words}\n" in text


def test_nothing_found_is_said() -> None:
    assert "no normalization found" in printed(rendering.explained(NOTHING), 80)
    assert "no normalization found" in printed(rendering.optimized(NOTHING, replace(RUN, written=None)), 80)


def test_piped_output_is_plain_whole_and_the_same_whatever_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = FOLDER / "samples" / "bert_torchscript_13.onnx"
    texts = []
    for columns in ("20", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        assert main(["explain", str(sample)]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert "\x1b" not in texts[0]
    assert "…" not in texts[0]
    lines = texts[0].splitlines()
    assert all(line == line.rstrip() for line in lines)
    assert any(
        re.match(r"  encoder\.layer\.0\.attention\.output\.LayerNorm +2 +2×9×48 +3\.6e-6 +96$", x) for x in lines
    )


@pytest.mark.parametrize(
    ("environment", "colour"),
    [pytest.param({}, True, id="colour"), pytest.param({"NO_COLOR": "1"}, False, id="NO_COLOR")],
)
def test_a_terminal_gets_colour_and_its_width(environment: dict[str, str], colour: bool) -> None:
    sample = FOLDER / "samples" / "near_misses_torchscript_13.onnx"
    text = in_terminal(["optimize", str(sample), "--dry-run"], environment, columns=60)
    assert ("\x1b[1;32m" in text) is colour
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert "\x1b" not in plain, "the progress bar left something behind"
    assert max(map(len, plain.splitlines())) <= 60
    assert "epsilon 0.0004 is added to the standard deviation, not to the variance" in " ".join(plain.split())


def in_terminal(words: Sequence[str], environment: dict[str, str], columns: int) -> str:
    """What the command sends to a terminal of its own."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    kept = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "normgraph", *words],
        env={**kept, "TERM": "xterm-256color", "PYTHONPATH": str(FOLDER.parent), **environment},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    received = b""
    try:
        while chunk := os.read(ours, 1 << 16):
            received += chunk
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(ours)
    assert process.wait(timeout=60) == 0, received
    return received.decode()


def test_an_encoding_without_our_characters_is_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sample = FOLDER / "samples" / "near_misses_torchscript_13.onnx"
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(["optimize", str(sample), "--dry-run"]) == 0
    stream.seek(0)
    assert "opset 13 -> 17" in stream.read()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param(["a", "b"], ["a", "b"], id="nothing alike"),
        pytest.param(["a.0", "a.1"], ["a.{0,1}"], id="two"),
        pytest.param(["a.0", "a.1", "a.2", "a.7"], ["a.{0..2,7}"], id="run and one"),
        pytest.param(["a.0.b1", "a.0.b2", "a.1.b1", "a.1.b2"], ["a.{0,1}.b{1,2}"], id="product"),
        pytest.param(["a.0.b0", "a.1.b1"], ["a.0.b0", "a.1.b1"], id="no product"),
        pytest.param(["a.0.b0", "a.0.b1", "a.1.b0", "a.1.b1", "a.1.b2"], ["a.0.b{0,1}", "a.1.b{0..2}"], id="irregular"),
        pytest.param(["a.0", "x", "a.1"], ["a.{0,1}", "x"], id="order of the first"),
        pytest.param(["a.01", "a.1", "a.2"], ["a.01", "a.{1,2}"], id="leading zero"),
        pytest.param(["a.10", "a.9"], ["a.{9,10}"], id="numbers, not text"),
        pytest.param(["a.0", "a.0", "a.1"], ["a.{0,1}"], id="twice the same"),
    ],
)
def test_names_are_merged_without_standing_for_more(names: list[str], expected: list[str]) -> None:
    found = merged(names)
    assert [name for name, _ in found] == expected
    assert sorted(position for _, positions in found for position in positions) == list(range(len(names)))


@pytest.mark.parametrize(
    ("number", "rounded", "short"),
    [
        pytest.param(1e-12, "1.00e-12", "1e-12", id="tiny"),
        pytest.param(2.2000000171829015e-05, "2.20e-5", "2.2e-5", id="float32"),
        pytest.param(9.999e-6, "1.00e-5", "1e-5", id="rounded up"),
        pytest.param(0.0, "0", "0", id="zero"),
        pytest.param(1.5, "1.50", "1.5", id="about one"),
        pytest.param(float("inf"), "overflow", "overflow", id="overflow"),
        pytest.param(float("nan"), "unknown", "unknown", id="no number"),
    ],
)
def test_numbers_are_short(number: float, rounded: str, short: str) -> None:
    assert (scientific(number, 3), shortest(number, 3)) == (rounded, short)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (10**15, "1000.0 TB"),
    ],
)
def test_sizes_are_short(count: int, expected: str) -> None:
    assert file_size(count) == expected
