"""A short, seeded run of the fuzzer of the reader; `python -m tests.fuzz_reader` makes a long one."""

from pathlib import Path

import pytest

from tests.fuzz_reader import fuzzed


@pytest.mark.parametrize("seed", range(4))
def test_mutated_files_are_read_as_onnx_does_or_refused(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fates = fuzzed(seed, minutes=1, at_most=250)
    assert fates["read"] > 20
    assert fates["refused"] > 20
